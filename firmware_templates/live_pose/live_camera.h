/* The camera: an OV7692 on the parallel camera interface, whose pictures come by DMA.
 * One implementation for each way to build: standalone/ and sdk/. SPDX-License-Identifier: MIT
 */
#ifndef LIVE_CAMERA_H
#define LIVE_CAMERA_H

#include <stdbool.h>
#include <stdint.h>

#include "network.h"
#if FOLLOW
#include "tracker.h"
#else
#define CAMERA_SIDE INPUT_ROWS
#endif

#define CAMERA_ROW_BYTES (2u * INPUT_COLUMNS)
#define CAMERA_BYTES (CAMERA_ROW_BYTES * INPUT_ROWS)

/* Power it up, find it, set it up. Returns 0, or one sentence on what is wrong. May be called again
 * after a failure. */
const char *live_camera_open(void);

/* Take the next whole picture. Not before the one before it is over. */
#if FOLLOW
/* Of the CAMERA_SIDE x CAMERA_SIDE pixels that the camera sends this region is averaged to
 * INPUT_ROWS x INPUT_COLUMNS while they come. */
void live_camera_start(const region_t *region);

/* Processor time that took for this picture, in ticks. */
uint32_t live_camera_cropping(void);
#else
void live_camera_start(void);
#endif

/* Rows of it that have come, 0 .. INPUT_ROWS, and whether it is over. Over without all its rows: lines
 * of it were lost. */
uint32_t live_camera_rows(void);
bool live_camera_over(void);

/* Where the rows are: INPUT_ROWS rows of INPUT_COLUMNS pixels of two bytes, red 5, green 6, blue 5
 * bits from the highest bit of the first byte on. */
const uint8_t *live_camera_picture(void);

#endif
