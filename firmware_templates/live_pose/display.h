/* The EVKIT's screen; boards without one do nothing. SPDX-License-Identifier: MIT */
#ifndef DISPLAY_H
#define DISPLAY_H

#include <stdbool.h>

#include "pose_decoder.h"

void display_open(void);

/* Draw these skeletons in place of the last ones, when there is time. */
void display_people(const pose_result_t *people);

/* Draw a little. False when there is nothing to draw. */
bool display_step(void);

#endif
