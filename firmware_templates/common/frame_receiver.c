/* SPDX-License-Identifier: MIT */
#include "frame_receiver.h"

#include "crc32.h"

#define GUARDED_BYTES 4u /* type, sequence, length */

static const uint8_t magic[FRAME_MAGIC_BYTES] = FRAME_MAGIC;

void receiver_init(frame_receiver_t *receiver)
{
    receiver->have = 0;
    receiver->next = 0;
    receiver->end = 0;
    receiver->matching = 0;
    receiver->rejected = 0;
    receiver->strays = 0;
    receiver->stuffing = 0;
    receiver->whole = 0;
    receiver->abandon = 0;
}

static uint32_t payload_bytes(const frame_receiver_t *receiver)
{
    return receiver->buffer[6] | (uint32_t)receiver->buffer[7] << 8;
}

static int header_is_right(const frame_receiver_t *receiver)
{
    const uint32_t crc = crc32_update(0, receiver->buffer + FRAME_MAGIC_BYTES, GUARDED_BYTES);
    return receiver->buffer[8] == (uint8_t)crc && receiver->buffer[9] == (uint8_t)(crc >> 8) &&
           payload_bytes(receiver) <= FRAME_MAX_PAYLOAD;
}

/* Bytes of the frame at hand; its header is right. */
static uint32_t total_bytes(const frame_receiver_t *receiver)
{
    return FRAME_HEADER_BYTES + payload_bytes(receiver) + FRAME_CHECK_BYTES;
}

static int check_is_right(const frame_receiver_t *receiver)
{
    const uint32_t length = payload_bytes(receiver);
    uint32_t crc = crc32_update(0, receiver->buffer + FRAME_MAGIC_BYTES, GUARDED_BYTES);
    crc = crc32_update(crc, receiver->buffer + FRAME_HEADER_BYTES, length);
    const uint8_t *check = receiver->buffer + FRAME_HEADER_BYTES + length;
    return check[0] == (uint8_t)crc && check[1] == (uint8_t)(crc >> 8) &&
           check[2] == (uint8_t)(crc >> 16) && check[3] == (uint8_t)(crc >> 24);
}

/* No frame at hand, or no more: of the latest bytes, a magic's beginning counts. */
static void hunt(frame_receiver_t *receiver)
{
    if (receiver->have >= FRAME_MAGIC_BYTES) ++receiver->rejected;
    receiver->have = receiver->matching;
    receiver->stuffing = 0;
}

static void forget(frame_receiver_t *receiver)
{
    receiver->matching = 0;
    receiver->abandon = 0;
    hunt(receiver);
}

/* One more byte of the frame at hand. Returns 1 when that completes it and it is right. */
static int append(frame_receiver_t *receiver, uint8_t byte)
{
    receiver->buffer[receiver->have++] = byte; /* have < total_bytes() <= sizeof buffer */
    if (receiver->have < FRAME_HEADER_BYTES) return 0;
    if (receiver->have == FRAME_HEADER_BYTES) {
        if (!header_is_right(receiver)) hunt(receiver);
        return 0;
    }
    if (receiver->have < total_bytes(receiver)) return 0;
    if (check_is_right(receiver)) return 1;
    hunt(receiver);
    return 0;
}

/* Returns 1 when the byte completes a frame. */
static int take(frame_receiver_t *receiver, uint8_t byte)
{
    const uint32_t matched = receiver->matching;
    /* The magic's first byte is not in it again, so there is one way only to fall back. */
    receiver->matching = byte == magic[matched] ? matched + 1 : byte == magic[0] ? 1 : 0;
    if (receiver->matching == FRAME_MAGIC_BYTES) { /* nowhere else than at the start of a frame */
        receiver->matching = 0;
        hunt(receiver);
        for (uint32_t i = 0; i < FRAME_MAGIC_BYTES; ++i) receiver->buffer[i] = magic[i];
        receiver->have = FRAME_MAGIC_BYTES;
        return 0;
    }
    if (receiver->have < FRAME_MAGIC_BYTES) {
        receiver->have = receiver->matching;
        if (receiver->matching == 0) ++receiver->strays;
        return 0;
    }
    if (matched == FRAME_MAGIC_BYTES - 1) receiver->stuffing = FRAME_STUFFING_BYTES;
    if (receiver->stuffing > 0) {
        --receiver->stuffing;
        if (byte != 0) hunt(receiver);
        return 0;
    }
    return append(receiver, byte);
}

/* One of four bytes may begin a magic: a zero byte in w is found by its borrow. */
static uint32_t begins_magic(uint32_t four)
{
    const uint32_t w = four ^ (magic[0] * 0x01010101u);
    return (w - 0x01010101u) & ~w & 0x80808080u;
}

/* What take() would do with the bytes of a payload up to one that may begin a magic: keep them. */
static void take_plain(frame_receiver_t *receiver)
{
    if (receiver->have < FRAME_HEADER_BYTES || receiver->matching || receiver->stuffing) return;
    const uint32_t wanted = total_bytes(receiver) - receiver->have - 1; /* not the last one */
    const uint32_t here = receiver->end - receiver->next;
    const uint32_t count = wanted < here ? wanted : here;
    const uint8_t *from = receiver->buffer + receiver->next;
    uint8_t *to = receiver->buffer + receiver->have;
    uint32_t i = 0;
    /* Sixteen bytes are read before any is written, because the two places may overlap. */
    for (uint32_t w[4]; i + sizeof w <= count; i += sizeof w) {
        __builtin_memcpy(w, from + i, sizeof w);
        if (begins_magic(w[0]) | begins_magic(w[1]) | begins_magic(w[2]) | begins_magic(w[3])) break;
        __builtin_memcpy(to + i, w, sizeof w);
    }
    for (; i < count && from[i] != magic[0]; ++i) to[i] = from[i];
    receiver->have += i;
    receiver->next += i;
}

int receiver_next(frame_receiver_t *receiver, frame_t *frame)
{
    if (receiver->whole) receiver_release(receiver);
    for (;;) {
        take_plain(receiver);
        if (receiver->next == receiver->end) break;
        /* What is written lies before what is read: a byte read adds at most one, and the four of
         * a magic have been read before they are written. */
        const uint8_t byte = receiver->buffer[receiver->next++];
        if (!take(receiver, byte)) continue;
        receiver->whole = 1;
        receiver->strays = 0;
        frame->type = receiver->buffer[4];
        frame->sequence = receiver->buffer[5];
        frame->length = (uint16_t)payload_bytes(receiver);
        frame->payload = receiver->buffer + FRAME_HEADER_BYTES;
        return 1;
    }
    if (receiver->abandon) forget(receiver);
    return 0;
}

void receiver_release(frame_receiver_t *receiver)
{
    receiver->have = 0;
    receiver->matching = 0;
    receiver->whole = 0;
}

void receiver_give_up(frame_receiver_t *receiver)
{
    if (receiver->next < receiver->end) {
        receiver->abandon = 1;
    } else {
        forget(receiver);
    }
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
    receiver->next = receiver->have;
    receiver->end = receiver->have + count;
    if (receiver->end > sizeof receiver->buffer) receiver->end = sizeof receiver->buffer;
}
