/* libFuzzer target of the averaging: `make fuzz`.
 *
 * Pictures one after the other, each with a region of its own, which may end at any line: then the
 * next begins, as when lines are lost. Lines and output are allocated to the byte.
 * SPDX-License-Identifier: MIT
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crop.h"

typedef struct {
    const uint8_t *data;
    size_t left;
} input_t;

static void require(int condition)
{
    if (!condition) abort();
}

static uint32_t some(input_t *input)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 2 && input->left != 0; ++i, --input->left) {
        value = value << 8 | *input->data++;
    }
    return value;
}

/* Any that crop.h allows. */
static region_t any_region(input_t *input, uint32_t picture, uint32_t output)
{
    const uint32_t most = picture < CROP_MOST_TIMES * output ? picture : CROP_MOST_TIMES * output;
    const uint32_t side = output + some(input) % (most - output + 1u);
    const uint32_t x = some(input) % (picture - side + 1u) & ~1u;
    const region_t region = {(uint16_t)x, (uint16_t)(some(input) % (picture - side + 1u)),
                             (uint16_t)side};
    return region;
}

static void picture_comes(crop_t *crop, input_t *input, uint32_t picture, uint32_t output)
{
    uint8_t *line = malloc(2u * picture), *to = malloc(2u * output * output);
    require(line != NULL && to != NULL);
    const region_t region = any_region(input, picture, output);
    const uint32_t lines = some(input) % 3u ? picture : some(input) % (picture + 1u);
    crop_begin(crop, &region, output);
    for (uint32_t y = 0; y < lines; ++y) {
        memset(line, (int)some(input), 2u * picture);
        crop_line(crop, y, line, to);
        require(crop->rows <= output);
    }
    require(lines < region.y + region.side || crop->rows == output);
    free(line);
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t input = {data, size};
    crop_t *crop = malloc(sizeof *crop);
    require(crop != NULL);
    const uint32_t output = 2u * (1u + some(&input) % (CROP_MOST_OUTPUT / 2u));
    const uint32_t room = 7u * output < TRACK_MOST_SIDE ? 7u * output : TRACK_MOST_SIDE;
    const uint32_t picture = output + some(&input) % (room - output + 1u);
    for (uint32_t i = 0; i < 8u && input.left != 0; ++i) {
        picture_comes(crop, &input, picture, output);
    }
    free(crop);
    return 0;
}
