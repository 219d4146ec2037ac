/* Who wears what (with FOLLOW_COLOUR; else there is none of this). Of each picture that the network sees a
 * thumbnail is kept, 32 x 32 cells of 12 bits; the colour of somebody's upper body is the median of up to
 * six of them, between the neck and the hips, four at least. Where somebody else's torso is, too, none is
 * looked at: nobody knows whose clothes are seen. Where most of them differ, there is no colour.
 *
 * The twin is ai8x_models/follow/colour.py. Colours are 0 .. 255 in Q4; how far apart two are is how far in
 * the channel where they differ most. SPDX-License-Identifier: MIT
 */
#ifndef COLOUR_H
#define COLOUR_H

#include "tracker.h"

#if FOLLOW_COLOUR

#define COLOUR_SURE 3u /* pictures in which it is seen before somebody is told by it */

/* One row of cells from rows of THUMBNAIL_PIXELS * THUMBNAIL_SIDE pixels in RGB565, the first byte
 * highest. */
void thumbnail_row(thumbnail_t *thumbnail, uint32_t row, const uint8_t *pixels);

uint32_t colour_away(const colour_t *one, const colour_t *other);

/* Whether somebody found wears what a track is known to wear, or something else; neither where one is not
 * known. nearest: how far away the found colour is from that of somebody else who is known by it. */
bool colour_alike(const colour_t *known, const colour_t *found);
bool colour_unlike(const colour_t *known, const colour_t *found, uint32_t nearest);

void colour_learn(colour_t *known, const colour_t *found);

/* Of each person, in the camera picture. thumbnail: of what the network saw of it. */
void colours_of(const pose_result_t *people, const thumbnail_t *thumbnail, const region_t *looked,
                colour_t colours[POSE_MAX_PEOPLE]);

#endif

#endif
