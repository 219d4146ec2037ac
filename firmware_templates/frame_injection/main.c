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
#include "people.h"
#include "platform.h"
#include "self_test.h"
#include "setup.h"
#if SECOND_NETWORK
#include "lift_people.h"
#include "second.h"
#endif

#define SILENCE_US 100000u /* a frame that stands still for so long will not be completed */
#define DIRECT_BYTES 32u   /* longer remainders come by DMA */

#define IMAGE_HEADER_BYTES 8u
#define IMAGE_LAST 1u
#define IMAGE_WANT_MAPS 2u

static frame_receiver_t receiver;
static int ready; /* the network is loaded */

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

static uint32_t microseconds(uint32_t ticks)
{
    return ticks / PLATFORM_TICKS_PER_US;
}

/* Take note of whether the first network is loaded; what is resident beside it comes along. */
static void loaded(int status)
{
    ready = status == CNN_OK;
#if SECOND_NETWORK
    if (ready) second_load();
#endif
}

static void did_not_finish(void)
{
    loaded(setup_again()); /* first: nobody listens meanwhile */
    frame_send_error(ERROR_TIMEOUT, picture.number, "the accelerator did not finish");
}

static void infer(uint32_t flags)
{
    cnn_start();
    if (cnn_wait(CNN_TIMEOUT_US) != CNN_OK) {
        did_not_finish();
        return;
    }
#if PEOPLE_OUTPUTS
    const uint32_t network_ticks = cnn_time;
    const uint32_t start = platform_ticks();
    people_find();
    const uint32_t decode_ticks = platform_ticks() - start;
#if SECOND_NETWORK
    /* The second network writes over the maps, so they go first; poses end the answer. */
    if (flags & IMAGE_WANT_MAPS) frame_send_maps();
    flags = 0;
    if (lift_people(picture.number) != CNN_OK) {
        did_not_finish();
        return;
    }
#endif
    people_send(picture.number, microseconds(picture.ticks), microseconds(network_ticks),
                microseconds(decode_ticks));
#else
    flags |= IMAGE_WANT_MAPS;
#endif
    if (flags & IMAGE_WANT_MAPS) frame_send_maps();
}

static void take_piece(const frame_t *frame)
{
    if (frame->length < IMAGE_HEADER_BYTES) {
        frame_send_error(ERROR_PIECE, 0, "an image frame has at least 8 bytes");
        return;
    }
    const uint16_t number = u16(frame->payload);
    const uint16_t flags = u16(frame->payload + 2);
    const uint32_t offset = u32(frame->payload + 4);
    const uint32_t size = frame->length - IMAGE_HEADER_BYTES;
    const uint32_t first = offset / INPUT_BAND_BYTES;
    const uint32_t count = size / INPUT_BAND_BYTES;
    if (!ready) { /* the accelerator is off */
        if (flags & IMAGE_LAST) {
            frame_send_error(ERROR_WEIGHTS, number, "the network could not be loaded");
        }
        return;
    }
    if (offset % INPUT_BAND_BYTES != 0 || size % INPUT_BAND_BYTES != 0 || first > INPUT_BANDS ||
        count > INPUT_BANDS - first) {
        frame_send_error(ERROR_PIECE, number, "a piece must be whole bands inside the picture");
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
        frame_send_error(ERROR_INCOMPLETE, number, "pieces of the picture are missing");
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
    case FRAME_TEST:
        picture.bands = 0; /* the test's picture has taken its place */
        loaded(self_test(ready));
        break;
    default:
        frame_send_error(ERROR_TYPE, 0, "unknown frame type");
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
        platform_alive();
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

/* Wait for at least one of `wanted` bytes; gives up on a frame that was begun and does not go on. */
static void receive_some(uint32_t wanted)
{
    const uint32_t start = platform_ticks();
    uint8_t *space = receiver_space(&receiver);
    uint32_t count = 0;
    for (;;) {
        platform_mask();
        for (int byte; count < wanted && (byte = platform_read()) >= 0;) space[count++] = (uint8_t)byte;
        if (count > 0) break;
        if (receiver.have != 0 && microseconds(platform_ticks() - start) > SILENCE_US) break;
        platform_alive();
        platform_sleep();
    }
    platform_unmask();
    if (count > 0) {
        receiver_add(&receiver, count);
    } else {
        receiver_give_up(&receiver);
    }
}

int main(void)
{
    platform_init();
    setup_banner("frame injection");
    loaded(setup_network(0));
    receiver_init(&receiver);
    frame_send_hello();
    for (;;) {
        platform_alive();
        frame_t frame;
        while (receiver_next(&receiver, &frame)) {
            handle(&frame);
            receiver_release(&receiver);
        }
        if (receiver.strays >= FRAME_STRAYS) {
            receiver.strays = 0;
            frame_tell_strays();
        }
        const uint32_t room = receiver_room(&receiver);
        if (receiver.have >= FRAME_HEADER_BYTES && room > DIRECT_BYTES) {
            receive_directly(room);
        } else {
            receive_some(room);
        }
    }
}
