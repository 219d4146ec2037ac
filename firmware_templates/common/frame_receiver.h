/* Finds frames (docs/protocol.md) in a stream of bytes. No input or output of its own, so that it
 * also runs in a test on the host. Whatever comes in, a frame comes out only if both of its checks
 * were right, and the next whole frame after a damaged one is found.
 *
 *     while (receiver_next(&receiver, &frame)) { use frame; receiver_release(&receiver); }
 *     put at most receiver_room(&receiver) bytes at receiver_space(&receiver);
 *     receiver_add(&receiver, how many);
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef FRAME_RECEIVER_H
#define FRAME_RECEIVER_H

#include <stdint.h>

#include "frame.h"

#define FRAME_HEADER_BYTES 10u
#define FRAME_CHECK_BYTES 4u

typedef struct {
    uint8_t buffer[FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD + FRAME_CHECK_BYTES];
    uint32_t have;     /* bytes in buffer */
    uint32_t rejected; /* supposed frames that failed a check */
} frame_receiver_t;

typedef struct {
    uint8_t type, sequence;
    uint16_t length;
    const uint8_t *payload; /* in the receiver's buffer, valid until receiver_release */
} frame_t;

void receiver_init(frame_receiver_t *receiver);

/* Bytes that are certainly still needed for the frame at hand: of its header, or once that is
 * complete and right, of its payload and check. Never 0 after receiver_next has returned 0. */
uint32_t receiver_room(const frame_receiver_t *receiver);
uint8_t *receiver_space(frame_receiver_t *receiver);
void receiver_add(frame_receiver_t *receiver, uint32_t count);

/* 1 and the frame when a whole one is there, else 0. */
int receiver_next(frame_receiver_t *receiver, frame_t *frame);
void receiver_release(frame_receiver_t *receiver);

/* The rest of the frame at hand will not come: look for another behind its magic. */
void receiver_give_up(frame_receiver_t *receiver);

#endif
