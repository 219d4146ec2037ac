/* The one function of stdio that generated code calls. SPDX-License-Identifier: MIT */
#ifndef BOARD_STDIO_H
#define BOARD_STDIO_H

/* Knows %d, %u, %x, %s, %c and %%, with zero padding and a width for numbers; returns 0. */
int printf(const char *format, ...);

#endif
