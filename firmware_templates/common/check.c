/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "console.h"
#include "crc32.h"

static uint32_t crc_of(uint32_t address, uint32_t mask, uint32_t count)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t word = ((const volatile uint32_t *)(uintptr_t)address)[i] & mask;
        const uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                                  (uint8_t)(word >> 24)};
        crc = crc32_update(crc, bytes, sizeof bytes);
    }
    return crc;
}

/* Returns whether the CRC of some words is another one, and says so if none has been before. */
static uint32_t check_crc(const uint32_t *record, uint32_t before)
{
    const uint32_t count = record[2] & ~CHECK_CRC;
    const uint32_t got = crc_of(record[0], record[1], count);
    if (got == record[3]) return 0;
    if (before == 0) {
        console_text("the words differ from ");
        console_hex(record[0]);
        console_text(" to ");
        console_hex(record[0] + 4u * (count - 1u));
        console_text("\r\n");
    }
    return 1;
}

uint32_t check_words(const uint32_t *record)
{
    uint32_t differing = 0;
    while (record[0] != 0) {
        const uint32_t address = record[0];
        const uint32_t mask = record[1];
        const uint32_t count = record[2];
        if ((count & CHECK_CRC) != 0) {
            differing += check_crc(record, differing);
            record += 4;
            continue;
        }
        record += 3;
        for (uint32_t i = 0; i < count; ++i) {
            const uint32_t got = ((const volatile uint32_t *)(uintptr_t)address)[i] & mask;
            if (got == record[i]) continue;
            if (differing++ != 0) continue;
            console_text("first difference at ");
            console_hex(address + 4u * i);
            console_text(": got ");
            console_hex(got);
            console_text(", expected ");
            console_hex(record[i]);
            console_text("\r\n");
        }
        record += count;
    }
    return differing;
}
