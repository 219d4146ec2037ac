/* SPDX-License-Identifier: MIT */
#include "crossing.h"

#include "likeness.h"

#define BESIDE 1500u /* Q12: two tracks as like as this may be taken for each other */
#define ASTRAY 1500u /* Q12: a point less near to where it is expected is another's */

uint32_t crossing_tracks(const tracker_t *tracker)
{
    uint32_t crossing = 0;
    for (uint32_t t = 1; t < TRACK_MAX; ++t) {
        for (uint32_t u = 0; u < t; ++u) {
            const tracked_t *one = &tracker->tracks[t], *other = &tracker->tracks[u];
            if (one->seen == 0 || other->seen == 0 || one->front || other->front) continue;
            if (track_likeness(one, other) >= BESIDE) crossing |= 1u << t | 1u << u;
        }
    }
    return crossing;
}

/* One kind of point. */
typedef struct {
    uint16_t like[TRACK_MAX][POSE_MAX_PEOPLE];
    uint32_t tracks, people; /* bits: those without one yet, and those whose point is not given away */
} joint_t;

/* Whether a track knows where to expect the point: it was there when the person was seen last. */
static bool expected(const tracked_t *track, uint32_t k, const tracker_settings_t *settings)
{
    const tracked_point_t *point = &track->points[k];
    return point->value != 0 && point->missing <= (uint32_t)settings->hold_ms + track->missed;
}

static bool refused(const pairs_t *pairs, uint32_t track, uint32_t person)
{
#if FOLLOW_COLOUR
    return pairs->refused[person] >> track & 1u;
#else
    (void)pairs, (void)track, (void)person;
    return false;
#endif
}

static void compare(const tracker_t *tracker, const tracker_settings_t *settings,
                    const pose_result_t *people, const pairs_t *pairs, uint32_t k, joint_t *joint)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &tracker->tracks[t];
        const bool wanted = (joint->tracks >> t & 1u) && expected(track, k, settings);
        for (uint32_t p = 0; p < people->count; ++p) {
            const pose_point_t *found = &people->people[p].points[k];
            const bool free = (joint->people >> p & 1u) && found->value != 0;
            joint->like[t][p] = 0;
            if (!wanted || !free || refused(pairs, t, p)) continue;
            joint->like[t][p] =
                (uint16_t)point_likeness(track->size, &track->points[k], found->x, found->y);
        }
    }
}

/* Of equals the first track, then the first person. */
static bool best_pair(const joint_t *joint, uint32_t count, uint32_t *track, uint32_t *person)
{
    uint32_t best = ASTRAY - 1u;
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        if (!(joint->tracks >> t & 1u)) continue;
        for (uint32_t p = 0; p < count; ++p) {
            if (!(joint->people >> p & 1u) || joint->like[t][p] <= best) continue;
            best = joint->like[t][p];
            *track = t;
            *person = p;
        }
    }
    return best >= ASTRAY;
}

/* Where a track expects nothing, it takes the point of the person who was given to it. */
static void share_unexpected(const tracker_t *tracker, const tracker_settings_t *settings,
                             const pose_result_t *people, const pairs_t *pairs, uint32_t k,
                             const joint_t *joint, pose_person_t *shares)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const uint32_t p = pairs->person_of[t];
        if (!(joint->tracks >> t & 1u) || p == CROSSING_NOBODY || !(joint->people >> p & 1u)) continue;
        if (expected(&tracker->tracks[t], k, settings)) continue;
        shares[t].points[k] = people->people[p].points[k];
    }
}

void crossing_share(const tracker_t *tracker, const tracker_settings_t *settings,
                    const pose_result_t *people, const pairs_t *pairs, uint32_t crossing,
                    pose_person_t shares[TRACK_MAX])
{
    uint32_t free = 0;
    for (uint32_t p = 0; p < people->count; ++p) {
        const uint32_t t = pairs->track_of[p];
        if (t == CROSSING_NOBODY || (crossing >> t & 1u)) free |= 1u << p;
    }
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        joint_t joint = {.tracks = crossing, .people = free};
        uint32_t t = 0, p = 0;
        compare(tracker, settings, people, pairs, k, &joint);
        for (t = 0; t < TRACK_MAX; ++t) shares[t].points[k] = (pose_point_t){0, 0, 0};
        while (best_pair(&joint, people->count, &t, &p)) {
            shares[t].points[k] = people->people[p].points[k];
            joint.tracks &= ~(1u << t);
            joint.people &= ~(1u << p);
        }
        share_unexpected(tracker, settings, people, pairs, k, &joint, shares);
    }
}
