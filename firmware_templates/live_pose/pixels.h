/* Pixels as the camera sends them, and as the network takes them. SPDX-License-Identifier: MIT */
#ifndef PIXELS_H
#define PIXELS_H

#include <stdint.h>

/* 16-bit pixels (red 5, green 6, blue 5 bits, first byte highest) to three bytes each, 0 .. 255; the
 * highest bits of a colour are repeated behind its lowest. count is even; from is aligned to
 * four bytes, to need not be. */
void pixels_expand(uint8_t *to, const uint8_t *from, uint32_t count);

#endif
