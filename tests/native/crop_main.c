/* Crops camera pictures from standard input, results to standard output. A request, 32-bit words:
 * pixels a side of the picture, region (x, y, side), pixels a side of the output; then the picture.
 * Answer: the output. All memory is allocated to the byte. SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "crop.h"

int main(void)
{
    uint32_t s[5];
    while (fread(s, sizeof s, 1, stdin) == 1) {
        const region_t region = {(uint16_t)s[1], (uint16_t)s[2], (uint16_t)s[3]};
        uint8_t *line = malloc(2 * s[0]), *to = malloc(2 * s[4] * s[4]);
        crop_t *crop = malloc(sizeof *crop);
        if (line == NULL || to == NULL || crop == NULL) return 3;
        crop_begin(crop, &region, s[4]);
        for (uint32_t y = 0; y < s[0]; ++y) {
            if (fread(line, 2 * s[0], 1, stdin) != 1) return 3;
            crop_line(crop, y, line, to);
        }
        if (crop->rows != s[4]) return 4;
        fwrite(to, 2 * s[4] * s[4], 1, stdout);
        free(line);
        free(to);
        free(crop);
    }
    return 0;
}
