/* Pulse train 0 as a square wave (public MAX78000 SDK, pt_reva.c). SPDX-License-Identifier: MIT */
#include "camera_clock.h"

#include "max78000_registers.h"

#define CLOCKS_PER_EDGE 2u /* of the peripheral clock, 50 MHz */

void camera_clock_start(void)
{
    GCR_PCLKDIS0 &= ~PCLKDIS0_PT;
    PTG_ENABLE &= ~1u;
    PT0_RATE_LENGTH = CLOCKS_PER_EDGE | PT_MODE_SQUARE_WAVE;
    PT0_LOOP = 0; /* for good */
    gpio_function(GPIO0, 1u << 18, GPIO_ALTERNATE_1);
    GPIO_VSSEL(GPIO0) |= 1u << 18;
    PTG_ENABLE |= 1u;
}
