/* SPDX-License-Identifier: MIT */
#include "setup.h"

#include "cnn.h"
#include "console.h"
#include "frame.h"
#include "network.h"
#include "platform.h"

void setup_banner(const char *application)
{
    console_text("\r\n*** ");
    console_text(application);
    console_text(" ***\r\nnetwork: " NETWORK_NAME "\r\nchecksum: ");
    console_hex(NETWORK_CHECKSUM);
    console_text("\r\n");
}

static void no_lap(const char *what)
{
    (void)what;
}

/* Say it in words on the console and as a frame. */
static void complain(uint16_t code, const char *text)
{
    console_text(text);
    console_text("\r\n");
    frame_send_error(code, 0, text);
}

static int load(void (*lap)(const char *what))
{
    cnn_enable(CNN_CLOCK_PERIPHERAL, CNN_CLOCK_DIVIDE_1);
    cnn_init();
    cnn_load_weights();
    lap("weights");
    const int right = cnn_verify_weights();
    lap("check of the weights");
    cnn_load_bias();
    cnn_configure();
    lap("biases and registers");
    return right;
}

static int load_and_check(void (*lap)(const char *what))
{
    for (uint32_t i = 0; i < SETUP_TRIES; ++i) {
        if (load(lap) == CNN_OK) return CNN_OK;
        complain(ERROR_WEIGHTS, "weight memory does not hold the network's weights");
        cnn_disable();
        platform_alive();
    }
    return CNN_FAIL;
}

int setup_network(void (*lap)(const char *what))
{
    if (platform_watchdog_start()) {
        complain(ERROR_WATCHDOG, "the watchdog has restarted the board");
    }
    return load_and_check(lap ? lap : no_lap);
}

int setup_again(void)
{
    cnn_disable();
    return load_and_check(no_lap);
}
