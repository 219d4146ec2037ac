/* People who cross: where two tracks are expected at the same place, what is found there may be either's,
 * or half of each; the decoder mixes their points. So these tracks share the points out among themselves,
 * each kind of point for itself: the nearest pair of an expected place and a point first. A point that no
 * track expects goes nowhere, and a track that gets fewer than three points, or fewer than half of those
 * it has, has not been seen.
 *
 * The twin is ai8x_models/follow/crossing.py. Bounded: for each kind of point TRACK_MAX * POSE_MAX_PEOPLE
 * comparisons and at most as many pairs as tracks. SPDX-License-Identifier: MIT
 */
#ifndef CROSSING_H
#define CROSSING_H

#include "tracker.h"

#define CROSSING_NOBODY 255u

typedef struct {
    uint16_t like[TRACK_MAX][POSE_MAX_PEOPLE];
    uint8_t track_of[POSE_MAX_PEOPLE], person_of[TRACK_MAX]; /* CROSSING_NOBODY: none */
#if FOLLOW_COLOUR
    colour_t colours[POSE_MAX_PEOPLE]; /* of those found */
    uint8_t refused[POSE_MAX_PEOPLE];  /* bit t: whose points track t does not get */
#endif
} pairs_t;

/* Tracks that are expected where another one is: bit t is track t. Whoever is hidden takes no part. */
uint32_t crossing_tracks(const tracker_t *tracker);

/* The points of everybody who was not given to a track outside, for each track that crosses. */
void crossing_share(const tracker_t *tracker, const tracker_settings_t *settings,
                    const pose_result_t *people, const pairs_t *pairs, uint32_t crossing,
                    pose_person_t shares[TRACK_MAX]);

#endif
