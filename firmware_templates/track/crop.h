/* A region of the camera's picture, averaged to the size that the network takes, line by line as the
 * camera sends it.
 *
 * Output pixel i is the mean of the camera pixels i * side / n .. (i + 1) * side / n (rounded down,
 * the last not included) of each chosen line; every second line when there are five for two rows of
 * output or more. Pixels are two bytes, red 5, green 6, blue 5 bits from the highest bit of the first
 * byte on; means are rounded to the nearest.
 *
 * The same results, bit for bit, as ai8x_models/follow/crop.py. Portable C11; no heap, no C library;
 * sizeof(crop_t) bytes of the caller's. SPDX-License-Identifier: MIT
 */
#ifndef CROP_H
#define CROP_H

#include "tracker.h"

#define CROP_MOST_OUTPUT 128u
#define CROP_MOST_TIMES 5u /* a region has at most so many pixels for one of the output, each way */

typedef struct {
    uint32_t sums[CROP_MOST_OUTPUT];   /* green, red, blue from bits 21, 11, 0 on */
    uint8_t widths[CROP_MOST_OUTPUT];  /* camera pixels of each output pixel */
    region_t region;
    uint32_t output; /* pixels a side of the output, even */
    uint32_t rows;   /* of the output that are complete */
    uint32_t end;    /* first line of the region that belongs to the next row */
    uint32_t lines;  /* that were added to this row */
} crop_t;

/* region.side: output .. CROP_MOST_TIMES * output; region.x even. */
void crop_begin(crop_t *crop, const region_t *region, uint32_t output);

/* Take line y of the camera picture, one after the other from 0 on. to: output * output pixels.
 * line and to are aligned to 4 bytes. */
void crop_line(crop_t *crop, uint32_t y, const uint8_t *line, uint8_t *to);

#endif
