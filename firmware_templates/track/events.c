/* SPDX-License-Identifier: MIT */
#include "events.h"

#include "fixed.h"

typedef struct {
    int32_t x, y, top, count; /* sums and the highest place, Q4 pixels */
} points_t;

static points_t points_of(const track_t *track, uint32_t set)
{
    points_t sum = {0, 0, 32767, 0};
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const pose_point_t *point = &track->points[k];
        if (!(set >> k & 1u) || point->value == 0) continue;
        sum.x += point->x;
        sum.y += point->y;
        if (point->y < sum.top) sum.top = point->y;
        ++sum.count;
    }
    return sum;
}

static bool flat(const points_t *first, const points_t *second, int32_t margin, int32_t size)
{
    const int32_t dx = (int32_t)fixed_distance(first->x / first->count, second->x / second->count);
    const int32_t dy = (int32_t)fixed_distance(first->y / first->count, second->y / second->count);
    return 8 * dx > size && (int64_t)dx * 256 > (int64_t)dy * margin;
}

static bool holds(const event_rule_t *rule, const track_t *track, int32_t margin)
{
    if (rule->kind == EVENT_PEOPLE) return true;
    const points_t first = points_of(track, rule->first), second = points_of(track, rule->second);
    if (first.count == 0 || second.count == 0) return false;
    if (rule->kind == EVENT_FLAT) return flat(&first, &second, margin, track->size);
    return first.top + (margin * (int32_t)track->size >> 8) < second.top;
}

static uint8_t count_people(const event_rule_t *rule, const tracks_t *tracks, int32_t margin)
{
    uint8_t count = 0;
    for (uint32_t i = 0; i < tracks->count; ++i) {
        if (count < rule->most && holds(rule, &tracks->tracks[i], margin)) ++count;
    }
    return count;
}

bool event_step(const event_rule_t *rule, event_state_t *state, const tracks_t *tracks,
                uint32_t now_ms)
{
    const int32_t slack = state->count ? rule->slack : 0;
    const uint8_t count = count_people(rule, tracks, rule->margin - slack);
    if (count == state->count) {
        state->waiting = count;
        return false;
    }
    if (count != state->waiting) {
        state->waiting = count;
        state->since = now_ms;
    }
    const uint32_t wait = count > state->count ? rule->on_ms : rule->off_ms;
    if (now_ms - state->since < wait) return false;
    state->count = count;
    return true;
}
