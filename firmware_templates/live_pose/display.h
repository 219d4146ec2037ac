/* The EVKIT's screen; boards without one do nothing. SPDX-License-Identifier: MIT */
#ifndef DISPLAY_H
#define DISPLAY_H

#include "pose_decoder.h"

void display_open(void);

/* Draw the skeletons in place of the last ones. */
void display_people(const pose_result_t *people);

#endif
