/* SPDX-License-Identifier: MIT */
#include "image_input.h"

#define WORD_AT(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* 0..255 minus 128 as a signed byte is the same with the highest bit inverted. */
static uint32_t packed(const uint8_t *const source[4], uint32_t at)
{
    const uint32_t bytes = source[0][at] | (uint32_t)source[1][at] << 8 |
                           (uint32_t)source[2][at] << 16 | (uint32_t)source[3][at] << 24;
    return bytes ^ 0x80808080u;
}

void input_store_band(uint32_t band, const uint8_t *bytes)
{
    const uint32_t step = INPUT_FOLD * INPUT_CHANNELS;
    const uint32_t end = INPUT_COLUMNS * INPUT_CHANNELS;
    for (uint32_t i = 0; i < INPUT_WORDS; ++i) {
        const input_word_t *word = &input_words[i];
        const uint8_t *const source[4] = {
            bytes + word->source[0],
            bytes + word->source[1],
            bytes + word->source[2],
            bytes + word->source[3],
        };
        const uint32_t used = word->used;
        uint32_t address = word->address + band * INPUT_ROW_STRIDE;
        uint32_t at = 0;
        for (; at + 3 * step < end; at += 4 * step, address += 4 * INPUT_COLUMN_STRIDE) {
            WORD_AT(address) = packed(source, at) & used;
            WORD_AT(address + INPUT_COLUMN_STRIDE) = packed(source, at + step) & used;
            WORD_AT(address + 2 * INPUT_COLUMN_STRIDE) = packed(source, at + 2 * step) & used;
            WORD_AT(address + 3 * INPUT_COLUMN_STRIDE) = packed(source, at + 3 * step) & used;
        }
        for (; at < end; at += step, address += INPUT_COLUMN_STRIDE) {
            WORD_AT(address) = packed(source, at) & used;
        }
    }
}
