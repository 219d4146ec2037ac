/* Binary frames over the console, between lines of plain text. Layout: docs/protocol.md.
 * SPDX-License-Identifier: MIT
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdint.h>

#define FRAME_MAX_PAYLOAD 4096u
#define FRAME_MAGIC {'P', '7', '8', 0xA5}
#define FRAME_MAGIC_BYTES 4u
#define FRAME_HEADER_BYTES 10u
#define FRAME_CHECK_BYTES 4u
/* Behind three bytes of a frame that are the magic's first three, two zeros are sent that do not
 * count: so the magic is nowhere else than at the start of a frame, even with one byte lost. */
#define FRAME_STUFFING {0, 0}
#define FRAME_STUFFING_BYTES 2u

/* Frame types. */
#define FRAME_HELLO 0x01u /* which network, which firmware */
#define FRAME_MAP 0x02u   /* one channel of a result map */
#define FRAME_END 0x03u   /* status and time of a known-answer test */
#define FRAME_POSES 0x04u /* people found in a picture, and how long that took */
#define FRAME_ERROR 0x05u /* why the board did not do what it was asked */
#define FRAME_ASK 0x10u   /* from the host: who are you? */
#define FRAME_IMAGE 0x11u /* from the host: a piece of a picture */

/* A frame is sent in pieces so that no buffer has to hold all of it: begin, any number of puts,
 * end. length is the number of payload bytes, at most FRAME_MAX_PAYLOAD, and must be put exactly.
 * One frame at a time. */
void frame_begin(uint8_t type, uint16_t length);
void frame_put(const void *bytes, uint32_t count);
void frame_put_u16(uint16_t value); /* little endian */
void frame_put_u32(uint32_t value);
void frame_end(void);

/* The frames that several applications send. */
void frame_send_hello(void);
void frame_send_maps(void);

#endif
