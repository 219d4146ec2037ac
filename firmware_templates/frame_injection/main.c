/* Frame injection: the host sends pictures over the console, the board answers with the people it
 * sees and, on request, with the result maps (docs/protocol.md).
 *
 * Every wrong request is answered with an error frame; the board goes on.
 * SPDX-License-Identifier: MIT
 */
#include "cnn.h"
#include "console.h"
#include "frame.h"
#include "frame_receiver.h"
#include "image_input.h"
#include "network.h"
#include "platform.h"
#if POSE_OUTPUTS
#include "pose_decoder.h"
#endif

#define INFERENCE_TIMEOUT_US 2000000u
#define SILENCE_US 100000u /* a frame that stands still for so long will not be completed */
#define DIRECT_BYTES 32u   /* longer remainders come by DMA */

#define IMAGE_HEADER_BYTES 8u
#define IMAGE_LAST 1u
#define IMAGE_WANT_MAPS 2u

/* Error codes. */
#define ERROR_TYPE 1u       /* unknown frame type */
#define ERROR_PIECE 2u      /* a piece is no whole number of bands, or lies outside the picture */
#define ERROR_INCOMPLETE 3u /* the last piece came, but others are missing */
#define ERROR_TIMEOUT 4u    /* the accelerator did not finish */

static frame_receiver_t receiver;

static struct {
    uint16_t number;
    uint16_t bands; /* how many have come, in order */
    uint32_t ticks; /* time spent storing them */
} picture;

static uint16_t u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t u32(const uint8_t *bytes)
{
    return u16(bytes) | (uint32_t)u16(bytes + 2) << 16;
}

static void send_error(uint16_t code, uint16_t number, const char *text)
{
    uint16_t length = 0;
    while (text[length] != '\0') ++length;
    frame_begin(FRAME_ERROR, (uint16_t)(4u + length));
    frame_put_u16(code);
    frame_put_u16(number);
    frame_put(text, length);
    frame_end();
}

static uint32_t microseconds(uint32_t ticks)
{
    return ticks / PLATFORM_TICKS_PER_US;
}

#if POSE_OUTPUTS
static pose_result_t people;

static pose_map_t map_of(const cnn_output_t *output)
{
    const pose_map_t map = {
        .base = 0,
        .channel_offset = output->channel_address,
        .row_stride = output->row_stride,
        .column_stride = output->column_stride,
        .wide = (uint8_t)output->wide,
        .unit = (uint8_t)output->unit,
    };
    return map;
}

static void find_people(void)
{
    const cnn_output_t *heat = &cnn_outputs[POSE_HEAT_OUTPUT];
    const pose_map_t heat_map = map_of(heat), paf_map = map_of(&cnn_outputs[POSE_PAF_OUTPUT]);
    (void)pose_decode(&heat_map, &paf_map, heat->rows, heat->columns, &pose_default_settings,
                      &people);
}

static void send_people(uint32_t decode_ticks)
{
    const uint16_t each = 4u + 6u * POSE_KEYPOINTS;
    frame_begin(FRAME_POSES, (uint16_t)(16u + each * people.count));
    frame_put_u16(picture.number);
    frame_put_u16((uint16_t)people.count);
    frame_put_u32(microseconds(picture.ticks));
    frame_put_u32(microseconds(cnn_time));
    frame_put_u32(microseconds(decode_ticks));
    for (uint32_t i = 0; i < people.count; ++i) {
        const pose_person_t *person = &people.people[i];
        frame_put_u16(person->score);
        frame_put_u16(person->count);
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            frame_put_u16((uint16_t)person->points[k].x);
            frame_put_u16((uint16_t)person->points[k].y);
            frame_put_u16(person->points[k].value);
        }
    }
    frame_end();
}
#endif

static void infer(uint32_t flags)
{
    cnn_start();
    if (cnn_wait(INFERENCE_TIMEOUT_US) != CNN_OK) {
        cnn_stop();
        send_error(ERROR_TIMEOUT, picture.number, "the accelerator did not finish");
        return;
    }
#if POSE_OUTPUTS
    const uint32_t start = platform_ticks();
    find_people();
    send_people(platform_ticks() - start);
#else
    flags |= IMAGE_WANT_MAPS;
#endif
    if (flags & IMAGE_WANT_MAPS) frame_send_maps();
}

static void take_piece(const frame_t *frame)
{
    if (frame->length < IMAGE_HEADER_BYTES) {
        send_error(ERROR_PIECE, 0, "an image frame has at least 8 bytes");
        return;
    }
    const uint16_t number = u16(frame->payload);
    const uint16_t flags = u16(frame->payload + 2);
    const uint32_t offset = u32(frame->payload + 4);
    const uint32_t size = frame->length - IMAGE_HEADER_BYTES;
    const uint32_t first = offset / INPUT_BAND_BYTES;
    const uint32_t count = size / INPUT_BAND_BYTES;
    if (offset % INPUT_BAND_BYTES != 0 || size % INPUT_BAND_BYTES != 0 || first > INPUT_BANDS ||
        count > INPUT_BANDS - first) {
        send_error(ERROR_PIECE, number, "a piece must be whole bands inside the picture");
        return;
    }
    if (number != picture.number || first == 0) {
        picture.number = number;
        picture.bands = 0;
        picture.ticks = 0;
    }
    const uint32_t start = platform_ticks();
    for (uint32_t i = 0; i < count; ++i) {
        input_store_band(first + i, frame->payload + IMAGE_HEADER_BYTES + i * INPUT_BAND_BYTES);
    }
    picture.ticks += platform_ticks() - start;
    if (first == picture.bands) picture.bands = (uint16_t)(picture.bands + count);
    if (!(flags & IMAGE_LAST)) return;
    if (picture.bands != INPUT_BANDS) {
        send_error(ERROR_INCOMPLETE, number, "pieces of the picture are missing");
        return;
    }
    picture.bands = 0; /* the next picture needs all of its pieces again */
    infer(flags);
}

static void handle(const frame_t *frame)
{
    switch (frame->type) {
    case FRAME_ASK:
        frame_send_hello();
        break;
    case FRAME_IMAGE:
        take_piece(frame);
        break;
    default:
        send_error(ERROR_TYPE, 0, "unknown frame type");
    }
}

/* The rest of a frame whose header has come; returns when it is complete or nothing comes. */
static void receive_directly(uint32_t count)
{
    platform_receive(receiver_space(&receiver), count);
    uint32_t left = count, before = count;
    uint32_t moved = platform_ticks();
    for (;;) {
        platform_mask();
        left = platform_receive_left();
        if (left == 0) break;
        if (left != before) {
            before = left;
            moved = platform_ticks();
        } else if (microseconds(platform_ticks() - moved) > SILENCE_US) {
            left = platform_receive_stop();
            break;
        }
        platform_sleep();
    }
    platform_unmask();
    receiver_add(&receiver, count - left);
    if (left != 0) receiver_give_up(&receiver);
}

/* Wait for one byte; gives up on a frame that was begun and does not go on. */
static void receive_byte(void)
{
    const uint32_t start = platform_ticks();
    int byte;
    for (;;) {
        platform_mask();
        byte = platform_read();
        if (byte >= 0) break;
        if (receiver.have != 0 && microseconds(platform_ticks() - start) > SILENCE_US) break;
        platform_sleep();
    }
    platform_unmask();
    if (byte < 0) {
        receiver_give_up(&receiver);
        return;
    }
    *receiver_space(&receiver) = (uint8_t)byte;
    receiver_add(&receiver, 1);
}

int main(void)
{
    platform_init();
    console_text("\r\n*** frame injection ***\r\nnetwork: " NETWORK_NAME "\r\nchecksum: ");
    console_hex(NETWORK_CHECKSUM);
    console_text("\r\n");
    cnn_enable(CNN_CLOCK_PERIPHERAL, CNN_CLOCK_DIVIDE_1);
    cnn_init();
    cnn_load_weights();
    cnn_load_bias();
    cnn_configure();
    receiver_init(&receiver);
    frame_send_hello();
    for (;;) {
        frame_t frame;
        while (receiver_next(&receiver, &frame)) {
            handle(&frame);
            receiver_release(&receiver);
        }
        const uint32_t room = receiver_room(&receiver);
        if (receiver.have >= FRAME_HEADER_BYTES && room > DIRECT_BYTES) {
            receive_directly(room);
        } else {
            receive_byte();
        }
    }
}
