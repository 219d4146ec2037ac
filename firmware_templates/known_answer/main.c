/* Known-answer test: load the network, run it on a stored sample, compare every output word,
 * report times, then send the result maps as frames (docs/protocol.md).
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include "classes.h"
#include "cnn.h"
#include "console.h"
#include "frame.h"
#include "network.h"
#include "people.h"
#include "platform.h"
#include "sampledata.h"
#include "sampleoutput.h"
#include "setup.h"

static const uint32_t sample_input[] = SAMPLE_INPUT;
static const uint32_t sample_output[] = SAMPLE_OUTPUT;

static uint32_t stopwatch;

static void lap(const char *what)
{
    const uint32_t ticks = platform_ticks() - stopwatch;
    console_line(what, ticks / PLATFORM_TICKS_PER_US, " us");
    stopwatch = platform_ticks();
}

static int infer(void)
{
#if CNN_INPUT_FIFO
    cnn_start(); /* the network consumes its input while it is running */
    cnn_load_input(sample_input);
    lap("input");
#else
    cnn_load_input(sample_input);
    lap("input");
    cnn_start();
#endif
    return cnn_wait(CNN_TIMEOUT_US);
}

/* Returns whether the known answer was met. */
static int test(void)
{
    uint32_t differing = 0;
    const int finished = infer();
    if (finished == CNN_OK) {
        console_line("inference", cnn_time / PLATFORM_TICKS_PER_US, " us");
        console_line("CNN clock cycles", cnn_time, "");
        differing = check_words(sample_output);
    } else {
        console_text("the accelerator did not finish\r\n");
    }
    if (differing != 0) console_line("words that differ", differing, "");
    return finished == CNN_OK && differing == 0;
}

#if PEOPLE_OUTPUTS
static void tell_people(void)
{
    const uint32_t start = platform_ticks();
    people_find();
    const uint32_t decode_us = (platform_ticks() - start) / PLATFORM_TICKS_PER_US;
    console_line("people", people.count, "");
    console_line("decoding", decode_us, " us");
    people_send(0, 0, cnn_time / PLATFORM_TICKS_PER_US, decode_us);
}
#endif

#if CNN_SOFTMAX
static void tell_classes(void)
{
    static uint16_t shares[CNN_CLASSES];
    const uint32_t start = platform_ticks();
    const uint32_t best = classes_softmax(&cnn_outputs[CNN_CLASSES_OUTPUT], shares);
    console_line("softmax", (platform_ticks() - start) / PLATFORM_TICKS_PER_US, " us");
    console_line("class", best, "");
    for (uint32_t c = 0; c < CNN_CLASSES; ++c) {
        const uint32_t permille = (shares[c] * 1000u + SHARE_ONE / 2) / SHARE_ONE;
        if (permille == 0) continue;
        console_text("share of class ");
        console_unsigned(c);
        console_line("", permille, " permille");
    }
}
#endif

int main(void)
{
    platform_init();
    setup_banner("known-answer test");
    stopwatch = platform_ticks();
    const int loaded = setup_network(lap) == CNN_OK;
    const int passed = loaded && test();
    console_text(passed ? "PASS\r\n" : "FAIL\r\n");

    frame_send_hello();
    if (cnn_time != 0) {
#if CNN_SOFTMAX
        tell_classes();
#endif
#if PEOPLE_OUTPUTS
        tell_people();
#endif
        frame_send_maps();
    }
    frame_send_end(passed ? 0u : 1u, cnn_time);
    platform_halt();
}
