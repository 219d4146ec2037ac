/* The clock that the camera gets from the chip. SPDX-License-Identifier: MIT */
#ifndef CAMERA_CLOCK_H
#define CAMERA_CLOCK_H

/* 12.5 MHz on P0.18: the pixel array then delivers 28.9 pictures in a second (846 x 512 clocks
 * each; the sensor is specified for 30). The SDK's own function does not go above 8.3 MHz. */
void camera_clock_start(void);

#endif
