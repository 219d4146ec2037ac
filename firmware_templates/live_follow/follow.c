/* SPDX-License-Identifier: MIT */
#include "follow.h"

#include "event_rules.h"
#include "frame.h"
#include "network.h"
#include "platform.h"
#include "region.h"

#define TICKS_PER_MS (1000u * PLATFORM_TICKS_PER_US)

static const region_settings_t regions = {
    .picture = CAMERA_SIDE,
    .least = INPUT_ROWS,
    .margin = FOLLOW_MARGIN,
    .refresh_ms = FOLLOW_REFRESH_MS,
    .lost_ms = 120,
    .ahead_ms = 110,
    .alternate = FOLLOW_ALTERNATE,
};

static tracker_t tracker;
static chooser_t chooser;
static tracks_t tracks;
static event_state_t states[EVENT_RULES];

void follow_init(void)
{
    tracker_init(&tracker);
    region_init(&chooser);
    tracks.count = 0;
}

uint32_t follow_ms(void)
{
    static uint32_t ms, ticks;
    const uint32_t passed = (platform_ticks() - ticks) / TICKS_PER_MS;
    ticks += passed * TICKS_PER_MS;
    return ms += passed;
}

region_t follow_region(void)
{
    return region_next(&chooser, &regions, &tracks, follow_ms());
}

/* ---- frames -------------------------------------------------------------------------------- */

static void send_track(const track_t *track)
{
    frame_put_u16(track->number);
    frame_put_u16(track->missed);
    frame_put_u16(track->size);
    frame_put_u16((uint16_t)track->speed_x);
    frame_put_u16((uint16_t)track->speed_y);
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        frame_put_u16((uint16_t)track->points[k].x);
        frame_put_u16((uint16_t)track->points[k].y);
        frame_put_u16(track->points[k].value);
    }
}

static void send_tracks(uint16_t number, const region_t *looked, uint32_t ms,
                        const follow_times_t *times)
{
    const uint32_t each = 10u + 6u * POSE_KEYPOINTS;
    frame_begin(FRAME_TRACKS, (uint16_t)(24u + each * tracks.count));
    frame_put_u16(number);
    frame_put_u16((uint16_t)tracks.count);
    frame_put_u16(CAMERA_SIDE);
    frame_put_u16(looked->x);
    frame_put_u16(looked->y);
    frame_put_u16(looked->side);
    frame_put_u32(ms);
    frame_put_u32(times->crop);
    frame_put_u32(times->track);
    for (uint32_t i = 0; i < tracks.count; ++i) send_track(&tracks.tracks[i]);
    frame_end();
}

static void send_event(uint16_t number, uint32_t rule)
{
    frame_begin(FRAME_EVENT, 8);
    frame_put_u16(number);
    frame_put_u16((uint16_t)rule);
    frame_put_u16(states[rule].count);
    frame_put_u16(0);
    frame_end();
}

/* ---- people -------------------------------------------------------------------------------- */

/* Rules whose count has changed, bit by bit. */
static uint32_t look_at_rules(uint32_t ms)
{
    uint32_t changed = 0;
    for (uint32_t i = 0; i < EVENT_RULES; ++i) {
        const event_rule_t *rule = &event_rules[i];
        if (event_step(rule, &states[i], &tracks, ms)) changed |= 1u << i;
        if (rule->light != EVENT_NO_LIGHT) light((light_t)rule->light, states[i].count != 0);
    }
    return changed;
}

#if FOLLOW_COLOUR
void follow_clothes(const thumbnail_t *thumbnail)
{
    tracker.thumbnail = thumbnail;
}
#endif

void follow_people(uint16_t number, pose_result_t *people, const region_t *looked, uint32_t ms,
                   uint32_t crop_us)
{
    const uint32_t start = platform_ticks();
    region_people(looked, INPUT_ROWS, people);
    tracker_step(&tracker, &tracker_default_settings, people, looked, ms, &tracks);
    const uint32_t changed = look_at_rules(ms);
    const follow_times_t times = {crop_us, (platform_ticks() - start) / PLATFORM_TICKS_PER_US};
    send_tracks(number, looked, ms, &times);
    for (uint32_t i = 0; i < EVENT_RULES; ++i) {
        if (changed >> i & 1u) send_event(number, i);
    }
}
