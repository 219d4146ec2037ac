/* Integer arithmetic that tracker, region chooser and rules share. Right shifts of negative numbers
 * round down (as every compiler for these machines does), divisions towards zero.
 * SPDX-License-Identifier: MIT
 */
#ifndef FIXED_H
#define FIXED_H

#include <stdint.h>

static inline int32_t fixed_clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* From one value towards another, by a share in Q12, 0 .. 4096. */
static inline int32_t fixed_toward(int32_t from, int32_t to, uint32_t share)
{
    return from + (int32_t)(((int64_t)to - from) * (int32_t)share >> 12);
}

static inline uint32_t fixed_distance(int32_t a, int32_t b)
{
    return (uint32_t)(a > b ? a - b : b - a);
}

/* amount / (amount + error), Q12; amount at most 2^28, error below 2^32 - 2^28, not both 0. */
static inline uint32_t fixed_kernel(uint32_t amount, uint32_t error)
{
    uint32_t total = amount + error;
    while (total >= 1u << 20) {
        total >>= 1;
        amount >>= 1;
    }
    return (amount << 12) / total;
}

#endif
