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

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
/* Bytes of both halves swapped; a half joined with the same half of another word moved there. */
static inline uint32_t swapped(uint32_t two)
{
    __asm("rev16 %0, %0" : "+r"(two));
    return two;
}

static inline uint32_t lower_twice(uint32_t two)
{
    uint32_t out;
    __asm("pkhbt %0, %1, %1, lsl #16" : "=r"(out) : "r"(two));
    return out;
}

static inline uint32_t upper_twice(uint32_t two)
{
    uint32_t out;
    __asm("pkhtb %0, %1, %1, asr #16" : "=r"(out) : "r"(two));
    return out;
}
#else
static inline uint32_t swapped(uint32_t two)
{
    return (two & 0x00FF00FFu) << 8 | (two >> 8 & 0x00FF00FFu);
}

static inline uint32_t lower_twice(uint32_t two)
{
    return (two & 0xFFFFu) | two << 16;
}

static inline uint32_t upper_twice(uint32_t two)
{
    return two >> 16 | (two & 0xFFFF0000u);
}
#endif

static inline uint32_t one_pixel(const uint8_t *from)
{
    uint16_t one;
    __builtin_memcpy(&one, from, sizeof one);
    return lower_twice(swapped(one)) & APART;
}

/* The sum of two. */
static inline uint32_t two_pixels(const uint8_t *from)
{
    uint32_t two;
    __builtin_memcpy(&two, from, sizeof two);
    two = swapped(two);
    return (lower_twice(two) & APART) + (upper_twice(two) & APART);
}

/* Add a line where output pixels have least or least + 1 of its pixels; least is a constant. */
static inline __attribute__((always_inline)) void add_widths(crop_t *crop, const uint8_t *from,
                                                             uint32_t least)
{
    const uint8_t *width = crop->widths;
    for (uint32_t *sum = crop->sums, *end = sum + crop->output; sum < end; ++sum) {
        uint32_t more = *sum;
        if (least > 1u) more += two_pixels(from);
        if (least > 3u) more += two_pixels(from + 4);
        if (least & 1u) more += one_pixel(from + 2u * (least - 1u));
        from += 2u * least;
        if (*width++ != least) {
            more += one_pixel(from);
            from += 2;
        }
        *sum = more;
    }
}

static void add_line(crop_t *crop, const uint8_t *from)
{
    switch (crop->region.side / crop->output) {
    case 1:
        add_widths(crop, from, 1);
        break;
    case 2:
        add_widths(crop, from, 2);
        break;
    case 3:
        add_widths(crop, from, 3);
        break;
    case 4:
        add_widths(crop, from, 4);
        break;
    default:
        add_widths(crop, from, 5);
    }
}

static inline uint32_t mean(uint32_t sum, uint32_t reciprocal)
{
    return (sum * reciprocal + 32768u) >> 16;
}

static inline uint32_t mean_pixel(uint32_t sum, uint32_t reciprocal)
{
    const uint32_t pixel = mean(sum >> GREEN_BIT, reciprocal) << 5 |
                           mean(sum >> RED_BIT & 0x3FFu, reciprocal) << 11 |
                           mean(sum & 0x7FFu, reciprocal);
    return pixel;
}

/* The row's means as pixels, two at a time; sums back to 0. */
static void finish_row(crop_t *crop, uint8_t *to)
{
    const uint32_t least = crop->region.side / crop->output;
    const uint32_t few = reciprocals[least * crop->lines];
    const uint32_t more = crop->region.side % crop->output ? (least + 1u) * crop->lines : 0;
    const uint32_t many = reciprocals[more];
    const uint8_t *width = crop->widths;
    for (uint32_t *sum = crop->sums, *end = sum + crop->output; sum < end; sum += 2, width += 2) {
        const uint32_t first = mean_pixel(sum[0], width[0] == least ? few : many);
        const uint32_t second = mean_pixel(sum[1], width[1] == least ? few : many);
        const uint32_t pair = swapped(first | second << 16);
        __builtin_memcpy(to, &pair, sizeof pair);
        to += 4;
        sum[0] = sum[1] = 0;
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
