/* SPDX-License-Identifier: MIT */
#include "image_input.h"

#define WORD_AT(address) (*(volatile uint32_t *)(uintptr_t)(address))

void input_store_band(uint32_t band, const uint8_t *bytes)
{
    const uint32_t step = INPUT_FOLD * INPUT_CHANNELS;
    for (uint32_t i = 0; i < INPUT_WORDS; ++i) {
        const input_word_t *word = &input_words[i];
        const uint8_t *source[4];
        for (uint32_t lane = 0; lane < 4; ++lane) source[lane] = bytes + word->source[lane];
        const uint32_t used = word->used;
        uint32_t address = word->address + band * INPUT_ROW_STRIDE;
        for (uint32_t at = 0; at < INPUT_COLUMNS * INPUT_CHANNELS; at += step) {
            const uint32_t packed = source[0][at] | (uint32_t)source[1][at] << 8 |
                                    (uint32_t)source[2][at] << 16 | (uint32_t)source[3][at] << 24;
            /* 0..255 minus 128 as a signed byte is the same with the highest bit inverted. */
            WORD_AT(address) = (packed ^ 0x80808080u) & used;
            address += INPUT_COLUMN_STRIDE;
        }
    }
}
