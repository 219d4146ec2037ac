/* Two networks, both resident: known answers of the first, of the second, and of the first again.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include "cnn.h"
#include "console.h"
#include "frame.h"
#include "network.h"
#include "platform.h"
#include "sampledata.h"
#include "sampleoutput.h"
#include "second.h"
#include "second_sample.h"
#include "setup.h"

static const uint32_t first_input[] = SAMPLE_INPUT;
static const uint32_t first_output[] = SAMPLE_OUTPUT;
static const uint32_t second_input[] = SECOND_INPUT;
static const uint32_t second_output[] = SECOND_OUTPUT;

static uint32_t stopwatch;

static void lap(const char *what)
{
    const uint32_t ticks = platform_ticks() - stopwatch;
    console_line(what, ticks / PLATFORM_TICKS_PER_US, " us");
    stopwatch = platform_ticks();
}

/* Run one inference and compare; returns whether the known answer was met. */
static int test(int (*start)(void), const uint32_t *input, const uint32_t *output)
{
    stopwatch = platform_ticks();
    cnn_load_input(input);
    lap("  input");
    start();
    if (cnn_wait(CNN_TIMEOUT_US) != CNN_OK) {
        console_text("the accelerator did not finish\r\n");
        return 0;
    }
    console_line("  inference", cnn_time / PLATFORM_TICKS_PER_US, " us");
    console_line("  CNN clock cycles", cnn_time, "");
    const uint32_t differing = check_words(output);
    if (differing != 0) console_line("words that differ", differing, "");
    return differing == 0;
}

static int test_all(void)
{
    stopwatch = platform_ticks();
    second_load();
    lap("kernels and biases of the second network");
    console_text("first network: " NETWORK_NAME "\r\n");
    int passed = test(cnn_start, first_input, first_output);
    const uint32_t first_ticks = cnn_time;

    stopwatch = platform_ticks();
    second_configure();
    lap("change to the second network");
    console_text("second network: " SECOND_NAME "\r\n");
    passed &= test(second_start, second_input, second_output);
    console_line("both networks, CNN clock cycles", first_ticks + cnn_time, "");

    stopwatch = platform_ticks();
    cnn_init();
    cnn_configure();
    lap("change to the first network");
    passed &= test(cnn_start, first_input, first_output);
    return passed;
}

int main(void)
{
    platform_init();
    setup_banner("two networks");
    stopwatch = platform_ticks();
    const int passed = setup_network(lap) == CNN_OK && test_all();
    console_text(passed ? "PASS\r\n" : "FAIL\r\n");
    frame_send_hello();
    frame_send_end(passed ? 0u : 1u, cnn_time);
    platform_halt();
}
