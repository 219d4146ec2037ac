/* Steady points: a one-euro filter (Casiez, Roussel, Vogel, 2012) for each point of somebody who is
 * followed, in fixed point. A point that is not found is held, then faded.
 *
 * The twin is in ai8x_models/follow/tracker.py. Places are Q12 pixels, speeds Q8 pixels a second, times
 * milliseconds; nothing overflows for steps of 1 to 250 ms. SPDX-License-Identifier: MIT
 */
#ifndef STEADY_H
#define STEADY_H

#include "tracker.h"

#define STEADY_MOST_SPEED (1 << 20) /* Q8: 4096 pixels a second */

/* Of a way, Q12 pixels, in so many milliseconds. */
int32_t steady_speed(int32_t way, uint32_t ms);

/* A time so much later, at most 65535. */
uint16_t steady_later(uint16_t time, uint32_t ms);

void steady_begin(tracked_point_t *point, const pose_point_t *found);

/* size: of the person, Q4 pixels. crossing: what is found may be somebody else's, and is believed half. */
void steady_found(tracked_point_t *point, const pose_point_t *found, int32_t size,
                  const tracker_settings_t *settings, uint32_t ms, bool crossing);

void steady_missing(tracked_point_t *point, uint32_t ms);

/* Not seen for so long that it is not shown any more. */
bool steady_faded(const tracked_point_t *point, const tracker_settings_t *settings);

/* What it is told with, Q15. */
uint16_t steady_value(const tracked_point_t *point, const tracker_settings_t *settings);

#endif
