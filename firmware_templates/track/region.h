/* Where to look next: a square of the camera picture that holds the people of the last answers.
 *
 * The square has a margin, rests while everybody is well inside and it is not much too large, and
 * otherwise goes half of the way to where it should be. Every so often, four times as often while somebody is
 * lost, it is the whole picture. While nobody is known, the whole picture and nine squares of half its side are
 * looked at in turn, each twice. People far from each other may be looked at in turn instead of all
 * together. It always lies inside the picture, whatever comes in.
 *
 * The same results, bit for bit, as ai8x_models/follow/region.py. Portable C11; no heap, no C
 * library, no static memory. SPDX-License-Identifier: MIT
 */
#ifndef REGION_H
#define REGION_H

#include "tracker.h"

typedef struct {
    uint16_t picture;    /* pixels a side, at most TRACK_MOST_SIDE, a multiple of 4 */
    uint16_t least;      /* pixels a side of the smallest region, 4 .. picture, a multiple of 4 */
    uint16_t margin;     /* Q8: side of the region by the longer side of the people's box */
    uint16_t refresh_ms; /* the whole picture so often; 0: only while nobody is known */
    uint16_t lost_ms;    /* somebody not seen for so long is lost */
    uint16_t ahead_ms;   /* how long until the answer to the next picture; at most 1000 */
    uint16_t alternate;  /* look at people far apart in turn */
} region_settings_t;

typedef struct {
    region_t now;
    uint32_t whole_at;  /* milliseconds: when the whole picture was looked at last */
    uint16_t turn;      /* number of the person looked at last */
    uint16_t following; /* whether now is of use */
    uint16_t searched;  /* pictures for which nobody has been known, modulo a round */
} chooser_t;

void region_init(chooser_t *chooser);

/* The region for the next picture; x and side are even. */
region_t region_next(chooser_t *chooser, const region_settings_t *settings, const tracks_t *tracks,
                     uint32_t now_ms);

#endif
