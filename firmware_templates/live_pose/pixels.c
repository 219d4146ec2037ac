/* SPDX-License-Identifier: MIT */
#include "pixels.h"

/* Two pixels at a time, one in each half of a word. */
void pixels_expand(uint8_t *to, const uint8_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 2, from += 4, to += 6) {
        uint32_t two;
        __builtin_memcpy(&two, __builtin_assume_aligned(from, 4), sizeof two);
        two = (two & 0x00FF00FFu) << 8 | (two >> 8 & 0x00FF00FFu);
        const uint32_t red = (two >> 8 & 0x00F800F8u) | (two >> 13 & 0x00070007u);
        const uint32_t green = (two >> 3 & 0x00FC00FCu) | (two >> 9 & 0x00030003u);
        const uint32_t blue = (two << 3 & 0x00F800F8u) | (two >> 2 & 0x00070007u);
        const uint32_t first = (red & 0xFFu) | (green & 0xFFu) << 8 | (blue & 0xFFu) << 16 |
                               (red >> 16) << 24;
        const uint16_t second = (uint16_t)(green >> 16 | blue >> 16 << 8);
        __builtin_memcpy(to, &first, sizeof first);
        __builtin_memcpy(to + 4, &second, sizeof second);
    }
}
