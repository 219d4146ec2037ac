/* Stores rows of a picture in the accelerator's input memory, in the order the network wants them:
 * folded INPUT_FOLD x INPUT_FOLD if need be, four channels to a word, minus 128.
 * The places are data (input.h, generated). SPDX-License-Identifier: MIT
 */
#ifndef IMAGE_INPUT_H
#define IMAGE_INPUT_H

#include <stdint.h>

#include "input.h"

/* Rows that make one row of the folded picture, as bytes: row by row, pixel by pixel, channel by
 * channel, 0..255. */
#define INPUT_BAND_BYTES (INPUT_FOLD * INPUT_COLUMNS * INPUT_CHANNELS)
#define INPUT_BANDS (INPUT_ROWS / INPUT_FOLD)

/* Store one band, 0 <= band < INPUT_BANDS. The accelerator must not be running. */
void input_store_band(uint32_t band, const uint8_t *bytes);

#endif
