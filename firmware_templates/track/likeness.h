/* How alike people found in a picture and the tracker's people are: 0 .. 4096 for the mean of a kernel of
 * distances in units of the person's size, after the object key point similarity of COCO.
 *
 * The twin is ai8x_models/follow/likeness.py. SPDX-License-Identifier: MIT
 */
#ifndef LIKENESS_H
#define LIKENESS_H

#include "tracker.h"

#define LIKENESS_COMMON 3u /* points two people need in common to be compared by them */

typedef struct {
    int32_t left, top, right, bottom; /* Q4 pixels */
    uint32_t count;                   /* of points; without one all is 0 */
} box_t;

/* One more point. */
void box_add(box_t *box, int32_t x, int32_t y);

box_t person_box(const pose_person_t *person);

box_t track_box(const tracked_t *track);

/* Its longer side, Q4, bounded: 8 pixels to TRACK_MOST_SIDE. */
int32_t box_size(const box_t *box);

/* Q12 to Q4, not beyond the places that detections have: differences of two fit 16 bits and a sign. */
int32_t track_near(int32_t q12);

/* Of a place, Q4, and where a point is expected, for a person of such a size (Q4). */
uint32_t point_likeness(int32_t size, const tracked_point_t *known, int32_t x, int32_t y);

/* Of their points; with fewer than LIKENESS_COMMON in common of their middles, and half of that. */
uint32_t likeness(const tracked_t *track, const pose_person_t *person, int32_t found_size);

/* Of two tracks; 0 with too few points in common. */
uint32_t track_likeness(const tracked_t *one, const tracked_t *other);

#endif
