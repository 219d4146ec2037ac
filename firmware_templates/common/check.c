/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "console.h"

uint32_t check_words(const uint32_t *record)
{
    uint32_t differing = 0;
    while (record[0] != 0) {
        const uint32_t address = record[0];
        const uint32_t mask = record[1];
        const uint32_t count = record[2];
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
