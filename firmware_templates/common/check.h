/* Known answers. SPDX-License-Identifier: MIT */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>

/* Compare the accelerator's memory with records (address, mask, n, n words) ended by a zero.
 * Returns the number of words that differ and describes the first of them on the console. */
uint32_t check_words(const uint32_t *record);

#endif
