/* The rules of this firmware; in the order in which event frames name them (docs/follow.md).
 * Points: 0 nose, 1 neck, 2 to 4 right shoulder, elbow, wrist, 5 to 7 left, 8 to 10 right hip,
 * knee, ankle, 11 to 13 left, 14 and 15 eyes, 16 and 17 ears. SPDX-License-Identifier: MIT
 */
#ifndef EVENT_RULES_H
#define EVENT_RULES_H

#include "events.h"
#include "lights.h"

#define POINT(k) (1u << (k))
#define HEAD (POINT(0) | POINT(14) | POINT(15) | POINT(16) | POINT(17))
#define WRISTS (POINT(4) | POINT(7))
#define SHOULDERS (POINT(1) | POINT(2) | POINT(5))
#define HIPS (POINT(8) | POINT(11))

static const event_rule_t event_rules[] = {
    /* somebody is there */
    {EVENT_PEOPLE, 1, LIGHT_PEOPLE, 0, 0, 0, 0, 100, 1000},
    /* how many people are there */
    {EVENT_PEOPLE, TRACK_MAX, EVENT_NO_LIGHT, 0, 0, 0, 0, 300, 600},
    /* a hand is above the head, by a twentieth of the height */
    {EVENT_ABOVE, TRACK_MAX, LIGHT_WORK, WRISTS, HEAD, 13, 13, 200, 300},
    /* somebody lies: shoulders and hips beside each other rather than above */
    {EVENT_FLAT, TRACK_MAX, EVENT_NO_LIGHT, SHOULDERS, HIPS, 384, 128, 1000, 1000},
};

#define EVENT_RULES (sizeof event_rules / sizeof event_rules[0])

#endif
