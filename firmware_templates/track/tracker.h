/* Who is who from picture to picture, and steady points.
 *
 * People found in a picture are given to the tracks of the pictures before, the best pair first: by
 * how near their points are to where the track expects them (a kernel of the distance and the
 * person's size, after the object key point similarity of COCO), or their middles where they have
 * fewer than three points in common. A track moves on with its own speed while it is not
 * seen, is kept for a while, and then leaves; its number is not used again for a long time. Who would leave
 * where somebody else is expected, and whose clothes nobody knows, is hidden: goes on unseen with whoever
 * is in front, four seconds at most, is not told, and takes no points but those of a whole person.
 * Where two tracks are expected at the same place, people cross: they share the points out that are found
 * there (crossing.h), keep their speed, and believe the points half; and nobody begins where somebody is
 * known already.
 *
 * With FOLLOW_COLOUR people are told by their clothes as well (clothes.h).
 *
 * Points go through a one-euro filter (steady.h): a low pass that opens with the
 * point's speed, here counted in heights of the person and against the person's own motion, and that
 * opens less the less the point is trusted. A point that is not found is held, then faded.
 *
 * The same results, bit for bit, as ai8x_models/follow/tracker.py. Portable C11; no heap, no
 * recursion, no C library, no static memory: everything is in the caller's tracker_t.
 * Time is bounded: TRACK_MAX * POSE_MAX_PEOPLE comparisons of POSE_KEYPOINTS points, and one filter
 * for each point. Places are in Q4 pixels of the camera picture, at most 1023 pixels a side;
 * whatever comes in, nothing overflows. SPDX-License-Identifier: MIT
 */
#ifndef TRACKER_H
#define TRACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "pose_decoder.h"

#ifndef FOLLOW_COLOUR
#define FOLLOW_COLOUR 0 /* whether people are told by their clothes too; the same in all files */
#endif

#define TRACK_MAX 8
#define TRACK_MOST_SIDE 1023 /* of a camera picture */

/* A square of the camera picture, in its pixels. */
typedef struct {
    uint16_t x, y, side;
} region_t;

#if FOLLOW_COLOUR
#define TRACK_MEMORIES 8 /* of people who have left */
#define THUMBNAIL_SIDE 32u
#define THUMBNAIL_PIXELS 4u /* of the network's input, a side of a cell */

/* What the network saw of the picture: the mean of each cell's red, green and blue, four bits each, the
 * first of two in a byte below. */
typedef struct {
    uint8_t rows[THUMBNAIL_SIDE][THUMBNAIL_SIDE * 3u / 2u];
} thumbnail_t;

/* Red, green, blue, 0 .. 255 in Q4, and in how many pictures that was seen: 0 nobody knows it. */
typedef struct {
    uint16_t channels[3], known;
} colour_t;

/* Somebody who has left. */
typedef struct {
    uint16_t number; /* 0: nobody */
    colour_t colour;
    uint32_t time; /* milliseconds, when the track was given up */
} memory_t;
#endif

typedef struct {
    uint16_t least;      /* Q12: people are the same from this likeness on, 1 .. 4096 */
    uint16_t confirm;    /* pictures in which somebody is seen before getting a number */
    uint16_t leave_ms;   /* looked for and not seen for so long: gone */
    uint16_t hold_ms;    /* a point not seen stays so long as it was, */
    uint16_t fade_ms;    /* then its value falls to 0 within so long */
    uint16_t good;       /* Q15: a point with this value is trusted fully, 1 .. 65535 */
    uint16_t slow_hz;    /* Q8: cut-off for a point that rests; 0: points are not smoothed */
    uint16_t opening_hz; /* Q8: what one height a second adds to it */
    uint16_t speed_hz;   /* Q8: cut-off of the speed, 1 .. 65535 */
} tracker_settings_t;

extern const tracker_settings_t tracker_default_settings;

/* One point of a track. Places are Q12 pixels, speeds Q8 pixels a second. */
typedef struct {
    int32_t x, y, speed_x, speed_y;
    uint16_t value, missing; /* Q15; milliseconds since it was found */
} tracked_point_t;

typedef struct {
    uint16_t number;  /* 0: not confirmed */
    uint16_t seen;    /* pictures, up to the number needed; 0: nobody */
    uint16_t missed;  /* milliseconds: looked for and not found */
    uint16_t unseen;  /* milliseconds since it was found */
    uint16_t front;   /* number of who hides it; 0: it is not hidden */
    int32_t size;     /* Q4: longer side of the box around the points */
    int32_t speed_x, speed_y; /* Q8 pixels a second */
#if FOLLOW_COLOUR
    colour_t colour; /* that the person wears */
#endif
    tracked_point_t points[POSE_KEYPOINTS];
} tracked_t;

typedef struct {
    tracked_t tracks[TRACK_MAX];
#if FOLLOW_COLOUR
    memory_t memories[TRACK_MEMORIES]; /* the oldest first */
    const thumbnail_t *thumbnail;      /* of the picture that is taken next, or 0 */
#endif
    uint32_t time; /* milliseconds, of the last picture */
    int32_t edge;  /* pixels a side of the picture, as far as it has been looked at */
    uint16_t last; /* number that was given out */
} tracker_t;

/* A person as the tracker tells them. */
typedef struct {
    uint16_t number;         /* 1 .. 65535 */
    uint16_t missed;         /* milliseconds since it was found; 0: in this picture */
    uint16_t size;           /* Q4 pixels */
    int16_t speed_x, speed_y; /* Q4 pixels a second */
    pose_point_t points[POSE_KEYPOINTS]; /* Q4 pixels of the camera picture; value 0: unknown */
} track_t;

typedef struct {
    uint32_t count;
    track_t tracks[TRACK_MAX];
} tracks_t;

/* From the network's input to the camera picture: Q4 pixels of an input of input_side pixels, which
 * shows this region. Middles of pixels are at whole numbers. */
int32_t region_to_picture(int32_t at, uint32_t corner, uint32_t side, uint32_t input_side);

/* The same for all points of these people, in place. */
void region_people(const region_t *region, uint32_t input_side, pose_result_t *people);

void tracker_init(tracker_t *tracker);

/* Take the people of a picture, in Q4 pixels of the camera picture.
 *
 * looked: the part of the camera picture that the network saw; whoever is expected elsewhere has
 * not been missed. now_ms may jump: steps count as 5 to 250 ms, after a second or more (or
 * when the clock goes back) everybody is new. */
void tracker_step(tracker_t *tracker, const tracker_settings_t *settings,
                  const pose_result_t *people, const region_t *looked, uint32_t now_ms,
                  tracks_t *out);

#endif
