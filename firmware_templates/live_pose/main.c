/* Live pose: the board's camera looks, people's skeletons go out over the console
 * (docs/protocol.md) and onto the EVKIT's screen.
 *
 * Button 0 pauses and goes on, button 1 runs the known-answer test. Whatever is wrong is said in an
 * error frame and on the console, and the board keeps trying.
 * SPDX-License-Identifier: MIT
 */
#include "cnn.h"
#include "console.h"
#include "display.h"
#if FOLLOW
#include "follow.h"
#endif
#include "frame.h"
#include "frame_receiver.h"
#include "lights.h"
#include "live_camera.h"
#include "people.h"
#include "pipeline.h"
#include "platform.h"
#include "self_test.h"
#include "setup.h"
#include "show.h"

#define TICK_HZ 1000u /* rows of the camera are looked for so often */
#define RETRY_TICKS (1000000u * PLATFORM_TICKS_PER_US)
#define SILENCE_TICKS (100000u * PLATFORM_TICKS_PER_US)
#define PICTURES_PER_LINE 100u /* of text about the rate */

static frame_receiver_t receiver;
static uint32_t heard; /* ticks when the last byte came */

static bool ready;          /* the network is loaded */
static bool paused, testing; /* as buttons and host want it */
static const char *trouble; /* with the camera: one sentence, or 0 when it works */
static uint32_t tried;      /* ticks when it was set up last */

/* ---- camera -------------------------------------------------------------------------------- */

static void tell_trouble(void)
{
    if (trouble) frame_send_error(ERROR_CAMERA, pipeline_number, trouble);
}

/* Set the camera up; says what is wrong with it, but not again and again. */
static void open_camera(void)
{
    const char *before = trouble;
    trouble = live_camera_open();
    tried = platform_ticks();
    pipeline_restart();
    light(LIGHT_ERROR, trouble != 0 || !ready);
    if (trouble == before) return;
    console_text(trouble ? trouble : "the camera is there");
    console_text("\r\n");
    tell_trouble();
}

static void camera_fell_silent(void)
{
    console_text("the camera sends no picture\r\n");
    frame_send_error(ERROR_CAMERA, pipeline_number, "the camera sends no picture");
    open_camera();
}

/* ---- host ---------------------------------------------------------------------------------- */

static void take_show(const frame_t *frame)
{
    const uint32_t step = frame->length == 2 ? frame->payload[0] | frame->payload[1] << 8 : 0;
    if (step == 0 || step > SHOW_MOST_STEP) {
        frame_send_error(ERROR_PIECE, 0, "a show frame holds a step of 1 to 16");
    } else {
        show_ask((uint16_t)step);
    }
}

static void handle(const frame_t *frame)
{
    switch (frame->type) {
    case FRAME_ASK:
        frame_send_hello();
        if (!ready) frame_send_error(ERROR_WEIGHTS, 0, "the network could not be loaded");
        tell_trouble();
        break;
    case FRAME_SHOW:
        take_show(frame);
        break;
    case FRAME_TEST:
        testing = true;
        break;
    case FRAME_IMAGE:
        frame_send_error(ERROR_TYPE, 0, "this firmware looks through its own camera; send none");
        break;
    default:
        frame_send_error(ERROR_TYPE, 0, "unknown frame type");
    }
}

static void listen(void)
{
    for (int byte; (byte = platform_read()) >= 0;) {
        frame_t frame;
        heard = platform_ticks();
        *receiver_space(&receiver) = (uint8_t)byte;
        receiver_add(&receiver, 1);
        while (receiver_next(&receiver, &frame)) {
            handle(&frame);
            receiver_release(&receiver);
        }
    }
    if (receiver.strays >= FRAME_STRAYS) {
        receiver.strays = 0;
        frame_tell_strays();
    }
    if (receiver.have != 0 && platform_ticks() - heard > SILENCE_TICKS) receiver_give_up(&receiver);
}

/* ---- what the pipeline has done ------------------------------------------------------------ */

static void send_pace(void)
{
    frame_begin(FRAME_PACE, 28);
    frame_put_u16(pipeline_number);
    frame_put_u16(0);
    frame_put_u32(pipeline_pace.period);
    frame_put_u32(pipeline_pace.capture);
    frame_put_u32(pipeline_pace.store);
    frame_put_u32(pipeline_pace.network);
    frame_put_u32(pipeline_pace.copy);
    frame_put_u32(pipeline_pace.decode);
    frame_end();
}

/* Every so many pictures, how many come in a second. */
static void tell_rate(void)
{
    static uint32_t pictures, began;
    if (pictures++ % PICTURES_PER_LINE != 0) return;
    const uint32_t now = platform_ticks();
    const uint32_t us_each = (now - began) / PLATFORM_TICKS_PER_US / PICTURES_PER_LINE;
    if (pictures > 1 && us_each != 0) console_line("rate", 1000000u / us_each, " pictures/s");
    began = now;
}

static void tell_people(void)
{
    people_send(pipeline_number, pipeline_pace.store, pipeline_pace.network, pipeline_pace.decode);
    send_pace();
    tell_rate();
    display_people(&people);
#if FOLLOW
#if FOLLOW_COLOUR
    follow_clothes(pipeline_thumbnail());
#endif
    follow_people(pipeline_number, &people, &pipeline_pace.region, pipeline_pace.ms,
                  pipeline_pace.crop);
#else
    static bool odd;
    light(LIGHT_PEOPLE, people.count > 0);
    light(LIGHT_WORK, odd = !odd);
#endif
}

static void network_is_stuck(void)
{
    ready = setup_again() == CNN_OK; /* first: nobody listens meanwhile */
    console_text("the accelerator did not finish\r\n");
    frame_send_error(ERROR_TIMEOUT, pipeline_number, "the accelerator did not finish");
    pipeline_refill();
    light(LIGHT_ERROR, !ready);
}

static void test(void)
{
    testing = false;
    ready = self_test(ready) == CNN_OK;
    pipeline_refill();
    light(LIGHT_ERROR, !ready || trouble != 0);
}

static void look_at_buttons(void)
{
    if (button_pressed(0)) {
        paused = !paused;
        console_text(paused ? "paused\r\n" : "going on\r\n");
    }
    if (button_pressed(1)) testing = true;
}

static void step(void)
{
    const bool capture = ready && !paused && !testing && !show_busy();
    switch (pipeline_step(capture)) {
    case PIPELINE_STARTED:
        show_begin(pipeline_number);
        return;
    case PIPELINE_PEOPLE:
        tell_people();
        return;
    case PIPELINE_SILENT:
        camera_fell_silent();
        return;
    case PIPELINE_STUCK:
        network_is_stuck();
        return;
    case PIPELINE_BUSY:
        return;
    case PIPELINE_IDLE:
        if (!show_step() && !display_step()) pipeline_sleep();
    }
}

int main(void)
{
    platform_init();
    lights_init();
    buttons_init();
    setup_banner(FOLLOW ? "live follow" : "live pose");
    ready = setup_network(0) == CNN_OK;
    receiver_init(&receiver);
    frame_send_hello();
    platform_tick(TICK_HZ);
    pipeline_init();
#if FOLLOW
    follow_init();
#endif
    display_open();
    open_camera();
    for (;;) {
        platform_alive();
        listen();
        look_at_buttons();
        if (testing && pipeline_resting()) test();
        if (trouble) {
            if (platform_ticks() - tried > RETRY_TICKS) open_camera();
            pipeline_sleep();
        } else {
            step();
        }
    }
}
