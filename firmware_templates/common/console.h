/* Text on the console, without a C library. SPDX-License-Identifier: MIT */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>

void console_text(const char *text);
void console_unsigned(uint32_t value);
void console_hex(uint32_t value); /* 0x and eight digits */

/* "text: value unit" and a line end. */
void console_line(const char *text, uint32_t value, const char *unit);

#endif
