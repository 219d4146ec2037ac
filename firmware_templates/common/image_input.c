/* SPDX-License-Identifier: MIT */
#include "image_input.h"

#define WORD_AT(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* 0..255 minus 128 as a signed byte is the same with the highest bit inverted. */
#define TO_SIGNED 0x80808080u

static uint32_t load_pair(const uint8_t *bytes)
{
    uint16_t pair;
    __builtin_memcpy(&pair, bytes, sizeof pair); /* the processor may load it unaligned */
    return pair;
}

/* One word of every pixel of a band, its four bytes taken from anywhere. */
static void store_bytes(const input_word_t *word, uint32_t address, const uint8_t *bytes)
{
    const uint8_t *a = bytes + word->source[0], *b = bytes + word->source[1];
    const uint8_t *c = bytes + word->source[2], *d = bytes + word->source[3];
    for (uint32_t x = 0; x < INPUT_COLUMNS / INPUT_FOLD; ++x) {
        const uint32_t at = x * INPUT_FOLD * INPUT_CHANNELS;
        const uint32_t packed =
            a[at] | (uint32_t)b[at] << 8 | (uint32_t)c[at] << 16 | (uint32_t)d[at] << 24;
        WORD_AT(address + x * INPUT_COLUMN_STRIDE) = (packed ^ TO_SIGNED) & word->used;
    }
}

/* The same when both halves are neighbours in the picture, four pixels at a time. */
static void store_pairs(const input_word_t *word, uint32_t address, const uint8_t *bytes)
{
    const uint32_t step = INPUT_FOLD * INPUT_CHANNELS;
    const uint8_t *low = bytes + word->source[0], *high = bytes + word->source[2];
    for (uint32_t x = 0; x < INPUT_COLUMNS / INPUT_FOLD; x += 4) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < 4; ++i) {
            const uint32_t packed = load_pair(low + i * step) | load_pair(high + i * step) << 16;
            WORD_AT(address + i * INPUT_COLUMN_STRIDE) = packed ^ TO_SIGNED;
        }
        low += 4 * step;
        high += 4 * step;
        address += 4 * INPUT_COLUMN_STRIDE;
    }
}

static int in_pairs(const input_word_t *word)
{
    return word->used == 0xFFFFFFFFu && word->source[1] == word->source[0] + 1 &&
           word->source[3] == word->source[2] + 1 && INPUT_COLUMNS % (4 * INPUT_FOLD) == 0;
}

void input_store_band(uint32_t band, const uint8_t *bytes)
{
    for (uint32_t i = 0; i < INPUT_WORDS; ++i) {
        const input_word_t *word = &input_words[i];
        const uint32_t address = word->address + band * INPUT_ROW_STRIDE;
        if (in_pairs(word)) {
            store_pairs(word, address, bytes);
        } else {
            store_bytes(word, address, bytes);
        }
    }
}
