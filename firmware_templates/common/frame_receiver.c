/* SPDX-License-Identifier: MIT */
#include "frame_receiver.h"

#include "crc32.h"

#define MAGIC_BYTES 4u
#define GUARDED_BYTES 4u /* type, sequence, length */

static const uint8_t magic[MAGIC_BYTES] = {'P', '7', '8', 0xA5};

void receiver_init(frame_receiver_t *receiver)
{
    receiver->have = 0;
    receiver->rejected = 0;
}

static void drop(frame_receiver_t *receiver, uint32_t count)
{
    const uint32_t left = receiver->have - count;
    for (uint32_t i = 0; i < left; ++i) receiver->buffer[i] = receiver->buffer[i + count];
    receiver->have = left;
}

/* Whether the bytes from place on are, as far as they have come, the beginning of a magic. */
static int may_be_magic(const frame_receiver_t *receiver, uint32_t place)
{
    for (uint32_t i = 0; i < MAGIC_BYTES && place + i < receiver->have; ++i) {
        if (receiver->buffer[place + i] != magic[i]) return 0;
    }
    return 1;
}

/* Drop at least first bytes, and then all that cannot begin a frame. */
static void skip_to_magic(frame_receiver_t *receiver, uint32_t first)
{
    uint32_t place = first;
    while (place < receiver->have && !may_be_magic(receiver, place)) ++place;
    if (place > 0) drop(receiver, place);
}

static uint32_t payload_bytes(const frame_receiver_t *receiver)
{
    return receiver->buffer[6] | (uint32_t)receiver->buffer[7] << 8;
}

static int header_is_right(const frame_receiver_t *receiver)
{
    const uint32_t crc = crc32_update(0, receiver->buffer + MAGIC_BYTES, GUARDED_BYTES);
    return receiver->buffer[8] == (uint8_t)crc && receiver->buffer[9] == (uint8_t)(crc >> 8) &&
           payload_bytes(receiver) <= FRAME_MAX_PAYLOAD;
}

static uint32_t total_bytes(const frame_receiver_t *receiver)
{
    return FRAME_HEADER_BYTES + payload_bytes(receiver) + FRAME_CHECK_BYTES;
}

static int check_is_right(const frame_receiver_t *receiver)
{
    const uint32_t length = payload_bytes(receiver);
    uint32_t crc = crc32_update(0, receiver->buffer + MAGIC_BYTES, GUARDED_BYTES);
    crc = crc32_update(crc, receiver->buffer + FRAME_HEADER_BYTES, length);
    const uint8_t *check = receiver->buffer + FRAME_HEADER_BYTES + length;
    return check[0] == (uint8_t)crc && check[1] == (uint8_t)(crc >> 8) &&
           check[2] == (uint8_t)(crc >> 16) && check[3] == (uint8_t)(crc >> 24);
}

int receiver_next(frame_receiver_t *receiver, frame_t *frame)
{
    /* Every turn but the last drops at least one byte. */
    skip_to_magic(receiver, 0);
    while (receiver->have >= FRAME_HEADER_BYTES) {
        if (header_is_right(receiver)) {
            if (receiver->have < total_bytes(receiver)) return 0;
            if (check_is_right(receiver)) {
                frame->type = receiver->buffer[4];
                frame->sequence = receiver->buffer[5];
                frame->length = (uint16_t)payload_bytes(receiver);
                frame->payload = receiver->buffer + FRAME_HEADER_BYTES;
                return 1;
            }
        }
        ++receiver->rejected;
        skip_to_magic(receiver, 1);
    }
    return 0;
}

void receiver_release(frame_receiver_t *receiver)
{
    skip_to_magic(receiver, total_bytes(receiver));
}

void receiver_give_up(frame_receiver_t *receiver)
{
    if (receiver->have == 0) return;
    ++receiver->rejected;
    skip_to_magic(receiver, 1);
}

uint32_t receiver_room(const frame_receiver_t *receiver)
{
    if (receiver->have < FRAME_HEADER_BYTES) return FRAME_HEADER_BYTES - receiver->have;
    return total_bytes(receiver) - receiver->have;
}

uint8_t *receiver_space(frame_receiver_t *receiver)
{
    return receiver->buffer + receiver->have;
}

void receiver_add(frame_receiver_t *receiver, uint32_t count)
{
    receiver->have += count;
}
