/* Events: a small table of rules over the people who are followed, each with hysteresis.
 *
 * A rule counts the people for whom it holds. A new count becomes an event once it has stood for
 * on_ms (more people) or off_ms (fewer); while the count is not 0, slack makes the rule easier to
 * meet. The table is event_rules.h: change it, or put another one in its place, and build.
 *
 * The same results, bit for bit, as ai8x_models/follow/events.py. Portable C11; no heap, no C
 * library; the state is the caller's. SPDX-License-Identifier: MIT
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "tracker.h"

#define EVENT_NO_LIGHT 255u

typedef enum {
    EVENT_PEOPLE, /* everybody */
    EVENT_ABOVE,  /* the highest of the first points is above all of the second by margin heights */
    EVENT_FLAT,   /* from the middle of the first points to that of the second it goes sideways by
                   * more than margin times what it goes up or down, and by an eighth of a height */
} event_kind_t;

typedef struct {
    uint8_t kind;           /* event_kind_t */
    uint8_t most;           /* larger counts are this one */
    uint8_t light;          /* of lights.h, on while the count is not 0; or EVENT_NO_LIGHT */
    uint32_t first, second; /* sets of points, bit k is point k */
    int16_t margin, slack;  /* Q8; not larger than 4096 */
    uint16_t on_ms, off_ms;
} event_rule_t;

/* Of one rule; all zero at first. */
typedef struct {
    uint32_t since;        /* milliseconds: when the count that waits was seen first */
    uint8_t count, waiting;
} event_state_t;

/* Take the people of a picture; whether the rule's count has changed. */
bool event_step(const event_rule_t *rule, event_state_t *state, const tracks_t *tracks,
                uint32_t now_ms);

#endif
