/* SPDX-License-Identifier: MIT */
#include "crop.h"

/* The three colours of a pixel moved so far apart that 32 of them can be added. */
#define APART 0x07E0F81Fu
#define GREEN_BIT 21
#define RED_BIT 11
#define MOST_PIXELS (CROP_MOST_TIMES * CROP_MOST_TIMES)

#define ONE(n) ((65536u + (n) / 2u) / (n))
static const uint32_t reciprocals[MOST_PIXELS + 1u] = {
    0,       ONE(1),  ONE(2),  ONE(3),  ONE(4),  ONE(5),  ONE(6),  ONE(7),  ONE(8),
    ONE(9),  ONE(10), ONE(11), ONE(12), ONE(13), ONE(14), ONE(15), ONE(16), ONE(17),
    ONE(18), ONE(19), ONE(20), ONE(21), ONE(22), ONE(23), ONE(24), ONE(25),
};

static uint32_t end_of(const crop_t *crop, uint32_t i)
{
    return (i + 1u) * crop->region.side / crop->output;
}

void crop_begin(crop_t *crop, const region_t *region, uint32_t output)
{
    crop->region = *region;
    crop->output = output;
    crop->rows = 0;
    crop->lines = 0;
    crop->end = end_of(crop, 0);
    for (uint32_t i = 0, begin = 0; i < output; ++i) {
        crop->sums[i] = 0;
        crop->widths[i] = (uint8_t)(end_of(crop, i) - begin);
        begin = end_of(crop, i);
    }
}

/* Two pixels, the first in the lower half. */
static inline uint32_t load_two(const uint8_t *from)
{
    uint32_t two;
    __builtin_memcpy(&two, from, sizeof two);
    return (two & 0x00FF00FFu) << 8 | (two >> 8 & 0x00FF00FFu);
}

static inline uint32_t load_one(const uint8_t *from)
{
    uint16_t one;
    __builtin_memcpy(&one, from, sizeof one);
    return __builtin_bswap16(one);
}

static inline uint32_t apart(uint32_t pixel)
{
    return (pixel | pixel << 16) & APART;
}

/* Both of two, added. */
static inline uint32_t apart_two(uint32_t two)
{
    return (((two & 0xFFFFu) | two << 16) & APART) + ((two >> 16 | (two & 0xFFFF0000u)) & APART);
}

/* Add a line; an output pixel has at least one and at most CROP_MOST_TIMES of its pixels. */
static void add_line(crop_t *crop, const uint8_t *from)
{
    uint32_t *sum = crop->sums;
    const uint8_t *width = crop->widths, *end = width + crop->output;
    for (; width < end; ++width, ++sum) {
        uint32_t more = *sum;
        uint32_t left = *width;
        if (left & 1u) {
            more += apart(load_one(from));
            from += 2;
        }
        for (left >>= 1; left != 0; --left, from += 4) more += apart_two(load_two(from));
        *sum = more;
    }
}

static inline uint32_t mean(uint32_t sum, uint32_t reciprocal)
{
    return (sum * reciprocal + 32768u) >> 16;
}

/* The row's means as pixels, two at a time; sums back to 0. */
static void finish_row(crop_t *crop, uint8_t *to)
{
    uint32_t pair = 0;
    for (uint32_t i = 0; i < crop->output; ++i) {
        const uint32_t sum = crop->sums[i], one = reciprocals[crop->widths[i] * crop->lines];
        const uint32_t pixel = mean(sum >> GREEN_BIT, one) << 5 |
                               mean(sum >> RED_BIT & 0x3FFu, one) << 11 |
                               mean(sum & 0x7FFu, one);
        const uint32_t bytes = __builtin_bswap16((uint16_t)pixel);
        crop->sums[i] = 0;
        if (i & 1u) {
            pair |= bytes << 16;
            __builtin_memcpy(to + 2u * (i - 1u), &pair, sizeof pair);
        } else {
            pair = bytes;
        }
    }
    crop->lines = 0;
}

void crop_line(crop_t *crop, uint32_t y, const uint8_t *line, uint8_t *to)
{
    if (y < crop->region.y || crop->rows == crop->output) return;
    const uint32_t at = y - crop->region.y;
    const uint32_t last = at + 1u == crop->end;
    /* Of many lines every second will do, but a row needs one. */
    const uint32_t all = 2u * crop->region.side < 5u * crop->output;
    if (all || !(at & 1u) || (last && crop->lines == 0)) {
        add_line(crop, line + 2u * crop->region.x);
        ++crop->lines;
    }
    if (!last) return;
    finish_row(crop, to + 2u * crop->output * crop->rows);
    ++crop->rows;
    crop->end = end_of(crop, crop->rows);
}
