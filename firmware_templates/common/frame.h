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
#define FRAME_PICTURE 0x06u /* a piece of what the camera saw */
#define FRAME_PACE 0x07u  /* how long each stage of a camera picture took */
#define FRAME_POSES3D 0x08u /* the same people in 3D */
#define FRAME_TRACKS 0x09u /* people with numbers, in the camera picture; where it was looked */
#define FRAME_EVENT 0x0Au  /* a rule's count has changed */
#define FRAME_ASK 0x10u   /* from the host: who are you? */
#define FRAME_IMAGE 0x11u /* from the host: a piece of a picture */
#define FRAME_SHOW 0x12u  /* from the host: send the next camera picture */
#define FRAME_TEST 0x13u  /* from the host: run the known-answer test */

/* Codes of error frames. */
#define ERROR_TYPE 1u       /* unknown frame type */
#define ERROR_PIECE 2u      /* a piece is no whole number of bands, or lies outside the picture */
#define ERROR_INCOMPLETE 3u /* the last piece came, but others are missing */
#define ERROR_TIMEOUT 4u    /* the accelerator did not finish */
#define ERROR_WEIGHTS 5u    /* weight memory does not hold the network's weights */
#define ERROR_CAMERA 6u     /* the camera is missing or silent */
#define ERROR_WATCHDOG 7u   /* the watchdog has restarted the board */

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
void frame_send_error(uint16_t code, uint16_t number, const char *text);
void frame_send_end(uint32_t status, uint32_t ticks);

/* Say that bytes come which are no frames, and the console's rate. */
#define FRAME_STRAYS 256u /* after so many bytes */
void frame_tell_strays(void);

/* CRC-32 of all results, in the order and form in which frame_send_maps sends them. */
uint32_t frame_results_crc(void);

#endif
