/* CRC-32 (polynomial 0x04C11DB7 reflected, as zlib and Ethernet). SPDX-License-Identifier: MIT */
#ifndef CRC32_H
#define CRC32_H

#include <stdint.h>

/* Continue a CRC over count more bytes; start with crc = 0.
 * crc32_update(0, "123456789", 9) == 0xCBF43926. */
uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, uint32_t count);

#endif
