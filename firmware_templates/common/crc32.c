/* SPDX-License-Identifier: MIT */
#include "crc32.h"

/* Remainders of the 16 values of a half-byte: 64 bytes of table, two look-ups for each byte. */
static const uint32_t half_byte[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
    0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
    0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

static uint32_t add_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    crc = (crc >> 4) ^ half_byte[crc & 15u];
    return (crc >> 4) ^ half_byte[crc & 15u];
}

uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, uint32_t count)
{
    crc = ~crc;
    for (; count >= 8; count -= 8, bytes += 8) {
        crc = add_byte(crc, bytes[0]);
        crc = add_byte(crc, bytes[1]);
        crc = add_byte(crc, bytes[2]);
        crc = add_byte(crc, bytes[3]);
        crc = add_byte(crc, bytes[4]);
        crc = add_byte(crc, bytes[5]);
        crc = add_byte(crc, bytes[6]);
        crc = add_byte(crc, bytes[7]);
    }
    for (; count > 0; --count) crc = add_byte(crc, *bytes++);
    return ~crc;
}
