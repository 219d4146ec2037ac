/* SPDX-License-Identifier: MIT */
#include "console.h"

#include "platform.h"

void console_text(const char *text)
{
    uint32_t length = 0;
    while (text[length] != '\0') ++length;
    platform_write((const uint8_t *)text, length);
}

void console_unsigned(uint32_t value)
{
    uint8_t digits[10];
    uint32_t count = 0;
    do {
        digits[sizeof digits - ++count] = (uint8_t)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    platform_write(digits + sizeof digits - count, count);
}

void console_hex(uint32_t value)
{
    uint8_t digits[10] = {'0', 'x'};
    for (uint32_t i = 0; i < 8; ++i) {
        digits[2 + i] = (uint8_t)"0123456789abcdef"[(value >> (28u - 4u * i)) & 15u];
    }
    platform_write(digits, sizeof digits);
}

void console_line(const char *text, uint32_t value, const char *unit)
{
    console_text(text);
    console_text(": ");
    console_unsigned(value);
    console_text(unit);
    console_text("\r\n");
}
