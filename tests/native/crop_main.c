/* Crops camera pictures from standard input, results to standard output. A request, 32-bit words:
 * pixels a side of the picture, region (x, y, side), pixels a side of the output, lines that are lost;
 * then the picture. First so many lines come, and no more; then the whole picture, looked at in this
 * region. Answer: the output. One crop_t for all requests, as on the board; all memory is allocated to
 * the byte. SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "crop.h"

static void take(crop_t *crop, const uint8_t *data, uint32_t lines, uint32_t side, uint8_t *to)
{
    uint8_t *line = malloc(2 * side);
    if (line == NULL) exit(3);
    for (uint32_t y = 0; y < lines; ++y) {
        for (uint32_t i = 0; i < 2 * side; ++i) line[i] = data[2 * side * y + i];
        crop_line(crop, y, line, to);
    }
    free(line);
}

int main(void)
{
    uint32_t s[6];
    crop_t *crop = malloc(sizeof *crop);
    if (crop == NULL) return 3;
    while (fread(s, sizeof s, 1, stdin) == 1) {
        const region_t region = {(uint16_t)s[1], (uint16_t)s[2], (uint16_t)s[3]};
        const region_t before = {0, 0, (uint16_t)s[3]};
        uint8_t *data = malloc(2 * s[0] * s[0]), *to = malloc(2 * s[4] * s[4]);
        if (data == NULL || to == NULL) return 3;
        if (fread(data, 2 * s[0] * s[0], 1, stdin) != 1) return 3;
        crop_begin(crop, &before, s[4]);
        take(crop, data, s[5], s[0], to);
        crop_begin(crop, &region, s[4]);
        take(crop, data, s[0], s[0], to);
        if (crop->rows != s[4]) return 4;
        fwrite(to, 2 * s[4] * s[4], 1, stdout);
        free(data);
        free(to);
    }
    free(crop);
    return 0;
}
