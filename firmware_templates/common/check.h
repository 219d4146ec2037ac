/* Known answers. SPDX-License-Identifier: MIT */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>

/* Set in a record's n when the CRC-32 of its n words (little-endian, masked) follows instead. */
#define CHECK_CRC 0x80000000u

/* Compare the accelerator's memory with records (address, mask, n, n words) ended by a zero.
 * Returns the number of words (of records with a CRC: of records) that differ and describes the
 * first of them on the console. */
uint32_t check_words(const uint32_t *record);

#endif
