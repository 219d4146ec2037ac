/* Buttons and LEDs of the two boards. The MAX78000FTHR unless BOARD_EVKIT is defined.
 * SPDX-License-Identifier: MIT
 */
#ifndef LIGHTS_H
#define LIGHTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    LIGHT_ERROR,  /* red: something is wrong */
    LIGHT_PEOPLE, /* green: there is somebody in the picture; a test was passed */
    LIGHT_WORK,   /* blue, MAX78000FTHR only: changes with every picture */
} light_t;

#define BUTTONS 2u

void lights_init(void);
void light(light_t which, bool on);

void buttons_init(void);

/* True once for every press of button 0 or 1; call at least every 50 ms. */
bool button_pressed(uint32_t which);

#endif
