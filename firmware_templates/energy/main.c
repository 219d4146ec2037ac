/* Energy of an inference, for a power monitor in the board's supply: phases of repeated work, each
 * after a second of sleep, with the green light on while it lasts. The console tells how often
 * what was done in how long; what the monitor's mean power times that time is, is the energy.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include "cnn.h"
#include "console.h"
#include "frame.h"
#include "lights.h"
#include "network.h"
#include "platform.h"
#include "sampledata.h"
#include "sampleoutput.h"
#include "setup.h"

#ifndef ENERGY_REPEATS
#define ENERGY_REPEATS 100u
#endif
#define PAUSE_US 1000000u

static const uint32_t sample_input[] = SAMPLE_INPUT;
static const uint32_t sample_output[] = SAMPLE_OUTPUT;

static int right = 1;

static void sleep_us(uint32_t time)
{
    const uint32_t start = platform_ticks();
    while (platform_ticks() - start < time * PLATFORM_TICKS_PER_US) {
        platform_alive();
        platform_mask();
        platform_sleep(); /* until the next tick */
        platform_unmask();
    }
}

static void nothing(void)
{
    sleep_us(PAUSE_US / ENERGY_REPEATS);
}

static void weights(void)
{
    cnn_load_weights();
}

static void input(void)
{
#if !CNN_INPUT_FIFO
    cnn_load_input(sample_input);
#endif
}

static void inference(void)
{
#if CNN_INPUT_FIFO
    cnn_start(); /* the network consumes its input while it is running */
    cnn_load_input(sample_input);
#else
    cnn_load_input(sample_input);
    cnn_start();
#endif
    if (cnn_wait(CNN_TIMEOUT_US) != CNN_OK) right = 0;
}

static void phase(const char *name, void (*work)(void))
{
    platform_flush();
    sleep_us(PAUSE_US);
    light(LIGHT_PEOPLE, true);
    const uint32_t start = platform_ticks();
    for (uint32_t i = 0; i < ENERGY_REPEATS; ++i) {
        work();
        platform_alive();
    }
    const uint32_t ticks = platform_ticks() - start;
    light(LIGHT_PEOPLE, false);
    console_text("phase ");
    console_text(name);
    console_line("", ticks / PLATFORM_TICKS_PER_US, " us");
}

int main(void)
{
    platform_init();
    lights_init();
    setup_banner("energy");
    console_line("times each", ENERGY_REPEATS, "");
    if (setup_network(0) == CNN_OK) {
        phase("sleep", nothing);
        phase("weights", weights);
        phase("input", input);
        phase("input and inference", inference);
        console_line("inference", cnn_time / PLATFORM_TICKS_PER_US, " us");
        if (check_words(sample_output) != 0) right = 0;
    } else {
        right = 0;
    }
    console_text(right ? "PASS\r\n" : "FAIL\r\n");
    frame_send_hello();
    frame_send_end(right ? 0u : 1u, cnn_time);
    platform_halt();
}
