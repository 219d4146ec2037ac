/* Following people with the camera: who is who, where to look next, events; and how they are told.
 * SPDX-License-Identifier: MIT
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include "tracker.h"

/* Processor time of a picture, microseconds. */
typedef struct {
    uint32_t crop;  /* to average the region while the camera sent it */
    uint32_t track; /* to give people their numbers and to look at the rules */
} follow_times_t;

void follow_init(void);

/* Time that tracks and rules count in, milliseconds; call at least once a minute. */
uint32_t follow_ms(void);

/* Where to look in the picture that is asked for now. */
region_t follow_region(void);

#if FOLLOW_COLOUR
/* A thumbnail of the picture whose people come next, or 0. */
void follow_clothes(const thumbnail_t *thumbnail);
#endif

/* Take the people of picture number, who were seen in a region at a time, and tell who they are; lights and event
 * frames follow the rules. Moves people into the camera picture. */
void follow_people(uint16_t number, pose_result_t *people, const region_t *looked, uint32_t ms,
                   uint32_t crop_us);

#endif
