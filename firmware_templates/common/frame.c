/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include "crc32.h"
#include "platform.h"

static const uint8_t magic[FRAME_MAGIC_BYTES] = FRAME_MAGIC;
static uint8_t sequence;
static uint32_t running_crc;
static uint32_t matching; /* how many of the latest bytes are the beginning of a magic */

/* Send what follows the magic, stuffed. */
static void send(const uint8_t *bytes, uint32_t count)
{
    static const uint8_t stuffing[FRAME_STUFFING_BYTES] = FRAME_STUFFING;
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; ++i) {
        if (matching == FRAME_MAGIC_BYTES - 1) {
            platform_write(bytes + first, i - first);
            platform_write(stuffing, sizeof stuffing);
            first = i;
            matching = 0;
        }
        /* The magic's first byte is not in it again. */
        matching = bytes[i] == magic[matching] ? matching + 1 : bytes[i] == magic[0] ? 1 : 0;
    }
    platform_write(bytes + first, count - first);
}

void frame_begin(uint8_t type, uint16_t length)
{
    uint8_t header[6] = {type, sequence++, (uint8_t)length, (uint8_t)(length >> 8)};
    running_crc = crc32_update(0, header, 4);
    header[4] = (uint8_t)running_crc; /* half a CRC guards the length by itself */
    header[5] = (uint8_t)(running_crc >> 8);
    platform_write(magic, sizeof magic);
    matching = 0;
    send(header, sizeof header);
}

void frame_put(const void *bytes, uint32_t count)
{
    running_crc = crc32_update(running_crc, bytes, count);
    send(bytes, count);
}

void frame_put_u16(uint16_t value)
{
    const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    frame_put(bytes, sizeof bytes);
}

void frame_put_u32(uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    frame_put(bytes, sizeof bytes);
}

void frame_end(void)
{
    const uint32_t crc = running_crc;
    const uint8_t bytes[4] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16),
                              (uint8_t)(crc >> 24)};
    send(bytes, sizeof bytes);
}
