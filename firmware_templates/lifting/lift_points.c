/* SPDX-License-Identifier: MIT */
#include "lift_points.h"

_Static_assert((-3 >> 1) == -2, "right shifts of negative numbers must be arithmetic");

/* Positions are in steps of 1/40 of the decoder's, in which every joint's place is a whole number:
 * middles of middles need a fourth, three fourths of such a line an eighth, 8/5 a fifth.
 * The largest distance from the pelvis, the head top's, stays below 40 * 65535 * 2.6 < 2^23. */
#define STEPS 40

enum { NOSE = 0, R_SHOULDER = 2, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST, R_HIP, R_KNEE,
       R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR };

enum { PELVIS = 0, SPINE = 7, THORAX = 8, NECK = 9, HEAD_TOP = 10 };

/* For each joint that is a point its number, for the others 0 (no joint is the nose). */
static const uint8_t point_of[LIFT_JOINTS + 1] = {
    0, R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, 0, 0,
    0, 0, L_SHOULDER, L_ELBOW, L_WRIST, R_SHOULDER, R_ELBOW, R_WRIST,
};

typedef struct {
    int32_t x, y;
    int known;
} place_t;

static place_t point(const pose_point_t *from)
{
    const place_t place = {STEPS * (int32_t)from->x, STEPS * (int32_t)from->y, from->value != 0};
    return place;
}

/* Coordinates of two places are even in sum: multiples of 20 at least. */
static place_t middle(place_t a, place_t b)
{
    const place_t place = {(a.x + b.x) / 2, (a.y + b.y) / 2, a.known && b.known};
    return place;
}

/* from + share / of * (to - from); the division leaves no remainder. */
static place_t along(place_t from, place_t to, int32_t share, int32_t of)
{
    const place_t place = {from.x + share * (to.x - from.x) / of,
                           from.y + share * (to.y - from.y) / of, from.known && to.known};
    return place;
}

static place_t head(const pose_point_t *points)
{
    const place_t ears = middle(point(&points[R_EAR]), point(&points[L_EAR]));
    if (ears.known) return ears;
    const place_t eyes = middle(point(&points[R_EYE]), point(&points[L_EYE]));
    return eyes.known ? eyes : point(&points[NOSE]);
}

static void place_joints(const pose_point_t *points, place_t joints[LIFT_JOINTS + 1])
{
    for (uint32_t j = 1; j <= LIFT_JOINTS; ++j) joints[j] = point(&points[point_of[j]]);
    const place_t top = head(points);
    joints[PELVIS] = middle(point(&points[R_HIP]), point(&points[L_HIP]));
    joints[THORAX] = middle(point(&points[R_SHOULDER]), point(&points[L_SHOULDER]));
    joints[SPINE] = middle(joints[PELVIS], joints[THORAX]);
    joints[NECK] = along(joints[THORAX], top, 3, 4);
    joints[HEAD_TOP] = along(joints[THORAX], top, 8, 5);
}

static int32_t magnitude(int32_t value)
{
    return value < 0 ? -value : value;
}

/* 127 * value / extent, rounded, halves up; -extent <= value <= extent < 2^23. */
static int8_t scaled(int32_t value, int32_t extent)
{
    if (extent == 0) return 0;
    /* 256 extents are added so that nothing is negative: at most 511 * 2^23 < 2^32. */
    const uint32_t positive = (uint32_t)(254 * value + 257 * extent);
    return (int8_t)((int32_t)(positive / (2u * (uint32_t)extent)) - 128);
}

int lift_view(const pose_point_t points[POSE_KEYPOINTS], int8_t view[LIFT_INPUTS],
              uint16_t *known)
{
    place_t joints[LIFT_JOINTS + 1];
    place_joints(points, joints);
    const place_t pelvis = joints[PELVIS];
    if (!pelvis.known) return 0;
    int32_t extent = 0;
    uint32_t bits = 0;
    for (uint32_t j = 1; j <= LIFT_JOINTS; ++j) {
        place_t *joint = &joints[j];
        joint->x = joint->known ? joint->x - pelvis.x : 0;
        joint->y = joint->known ? joint->y - pelvis.y : 0;
        if (joint->known) bits |= 1u << (j - 1);
        if (magnitude(joint->x) > extent) extent = magnitude(joint->x);
        if (magnitude(joint->y) > extent) extent = magnitude(joint->y);
    }
    for (uint32_t j = 1; j <= LIFT_JOINTS; ++j) {
        view[2 * j - 2] = scaled(joints[j].x, extent);
        view[2 * j - 1] = scaled(joints[j].y, extent);
    }
    *known = (uint16_t)bits;
    return 1;
}

int16_t lift_millimetres(int32_t answer, uint32_t unit)
{
    const int32_t metres = answer >> unit;
    if (metres < -33) return INT16_MIN;
    if (metres > 33) return INT16_MAX;
    const uint32_t rest = (uint32_t)answer & ((1u << unit) - 1u);
    const uint32_t half = (1u << unit) >> 1;
    const int32_t value = 1000 * metres + (int32_t)((1000u * rest + half) >> unit);
    if (value < INT16_MIN) return INT16_MIN;
    return value > INT16_MAX ? INT16_MAX : (int16_t)value;
}
