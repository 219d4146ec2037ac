/* Finds frames (docs/protocol.md) in a stream of bytes. No input or output of its own, so that it
 * also runs in a test on the host. Whatever comes in, a frame comes out only if both of its checks
 * were right; and a frame that arrives whole comes out, whatever came before it.
 *
 *     while (receiver_next(&receiver, &frame)) { use frame; receiver_release(&receiver); }
 *     put at most receiver_room(&receiver) bytes at receiver_space(&receiver);
 *     receiver_add(&receiver, how many);
 *
 * Memory: sizeof(frame_receiver_t), 4140 bytes; no more, no heap. SPDX-License-Identifier: MIT
 */
#ifndef FRAME_RECEIVER_H
#define FRAME_RECEIVER_H

#include <stdint.h>

#include "frame.h"

typedef struct {
    /* The frame at hand, magic first, without stuffing; behind it bytes not looked at yet. */
    uint8_t buffer[FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD + FRAME_CHECK_BYTES];
    uint32_t have;     /* bytes of the frame at hand; below 4: so much of a magic */
    uint32_t next;     /* first byte not looked at */
    uint32_t end;      /* behind the last of them */
    uint32_t matching; /* how many of the latest bytes are the beginning of a magic */
    uint32_t rejected; /* frames that were begun and did not pass */
    uint32_t strays;   /* bytes since the last frame that belong to none */
    uint8_t stuffing;  /* zeros that must come before the frame goes on */
    uint8_t whole;     /* the frame at hand is complete and was handed out */
    uint8_t abandon;   /* forget what is begun once all bytes have been looked at */
} frame_receiver_t;

typedef struct {
    uint8_t type, sequence;
    uint16_t length;
    const uint8_t *payload; /* in the receiver's buffer, valid until receiver_release */
} frame_t;

void receiver_init(frame_receiver_t *receiver);

/* Bytes that are certainly still needed for the frame at hand: of its header, or once that is
 * complete and right, of its payload and check (stuffing may add to them). Never 0 after
 * receiver_next has returned 0. */
uint32_t receiver_room(const frame_receiver_t *receiver);
uint8_t *receiver_space(frame_receiver_t *receiver);
void receiver_add(frame_receiver_t *receiver, uint32_t count);

/* 1 and the frame when a whole one is there, else 0 and all bytes have been looked at. */
int receiver_next(frame_receiver_t *receiver, frame_t *frame);

/* Done with the frame of receiver_next (which the next call of that takes for granted). */
void receiver_release(frame_receiver_t *receiver);

/* The rest of the frame at hand will not come: forget it, or what receiver_next leaves of it. */
void receiver_give_up(frame_receiver_t *receiver);

#endif
