/* SPDX-License-Identifier: MIT */
#include "classes.h"

#if CNN_SOFTMAX

#define LOG2_E_Q16 94548u /* log2(e) * 65536 */
#define LAST_POWER 31u    /* 2^-31 of the largest weight is nothing */

/* 2^-(1/2), 2^-(1/4), ... as Q31: a factor for each bit behind the binary point. */
static const uint32_t roots[16] = {
    0x5a82799au, 0x6ba27e65u, 0x75606374u, 0x7a92be8bu,
    0x7d41d96eu, 0x7e9f0606u, 0x7f4f08aeu, 0x7fa765adu,
    0x7fd3ab29u, 0x7fe9d3a9u, 0x7ff4e959u, 0x7ffa748eu,
    0x7ffd3a3fu, 0x7ffe9d1eu, 0x7fff4e8eu, 0x7fffa747u,
};

/* 2^-power as Q31; power is Q16. */
static uint32_t power_of_half(uint64_t power)
{
    if (power >> 16 >= LAST_POWER) return 0;
    uint64_t value = 1u << 31;
    for (uint32_t bit = 0; bit < 16; ++bit) {
        if (power >> (15u - bit) & 1u) value = (value * roots[bit]) >> 31;
    }
    return (uint32_t)value >> (uint32_t)(power >> 16);
}

static int32_t value_of(const cnn_output_t *output, uint32_t channel)
{
    int32_t value;
    cnn_read_row(output, channel, 0, &value);
    return value;
}

/* e^(value - largest) as Q31; real numbers are the integers over 2^unit. Differences of 32-bit
 * values have 32 bits, so the product has at most 49; a unit below -14 leaves room for that. */
static uint32_t weight(const cnn_output_t *output, int32_t largest, int32_t value)
{
    uint64_t power = (uint64_t)((uint32_t)largest - (uint32_t)value) * LOG2_E_Q16;
    const int32_t unit = output->unit;
    if (unit >= 0) {
        power = unit > 63 ? 0 : power >> unit;
    } else {
        power <<= unit < -14 ? 14 : -unit;
    }
    return power_of_half(power);
}

uint32_t classes_softmax(const cnn_output_t *output, uint16_t *shares)
{
    uint32_t best = 0;
    int32_t largest = value_of(output, 0);
    for (uint32_t c = 1; c < output->channels; ++c) {
        const int32_t value = value_of(output, c);
        if (value > largest) {
            largest = value;
            best = c;
        }
    }
    uint64_t sum = 0; /* at most 1024 * 2^31 */
    for (uint32_t c = 0; c < output->channels; ++c) {
        sum += weight(output, largest, value_of(output, c));
    }
    uint32_t drop = 0; /* bits that the sum has beyond 16 */
    while (sum >> drop > 0xffffu) ++drop;
    const uint32_t whole = (uint32_t)(sum >> drop);
    for (uint32_t c = 0; c < output->channels; ++c) {
        const uint32_t part = weight(output, largest, value_of(output, c)) >> drop;
        shares[c] = (uint16_t)(part * SHARE_ONE / whole);
    }
    return best;
}

#endif
