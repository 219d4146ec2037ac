/* SPDX-License-Identifier: MIT */
#include "steady.h"

#include "fixed.h"

#define MOST_CUTOFF (64u << 8) /* Q8 Hz */
#define MOST_PRODUCT 611000u   /* Q8 Hz times milliseconds: an angle of 15 */
#define ANGLE 3294u            /* 2 pi / 1000 in steps of 2^-19 */

/* Q12 share of a low pass with this cut-off (Q8 Hz): angle / (1 + angle), angle = 2 pi f t. */
static uint32_t share_of(uint32_t cutoff, uint32_t ms)
{
    uint32_t product = cutoff * ms;
    if (product > MOST_PRODUCT) product = MOST_PRODUCT;
    const uint32_t angle = product * ANGLE >> 12; /* Q15 */
    return (angle << 12) / (angle + 32768u);
}

int32_t steady_speed(int32_t way, uint32_t ms)
{
    const int32_t bounded = fixed_clamp(way >> 4, -(1 << 19), 1 << 19);
    return fixed_clamp(bounded * 1000 / (int32_t)ms, -STEADY_MOST_SPEED, STEADY_MOST_SPEED);
}

static uint32_t cutoff_of(const tracked_point_t *point, int32_t size,
                          const tracker_settings_t *settings)
{
    const uint32_t x = fixed_distance(point->speed_x, 0), y = fixed_distance(point->speed_y, 0);
    const uint32_t speed = x > y ? x + (y >> 1) : y + (x >> 1);
    uint32_t heights = (speed << 4) / (uint32_t)size; /* a second, Q8 */
    if (heights > 0x3FFFu) heights = 0x3FFFu;
    const uint32_t cutoff = settings->slow_hz + (settings->opening_hz * heights >> 8);
    return cutoff < MOST_CUTOFF ? cutoff : MOST_CUTOFF;
}

void steady_begin(tracked_point_t *point, const pose_point_t *found)
{
    point->x = (int32_t)found->x * 256;
    point->y = (int32_t)found->y * 256;
    point->speed_x = point->speed_y = 0;
    point->value = found->value;
    point->missing = 0;
}

bool steady_faded(const tracked_point_t *point, const tracker_settings_t *settings)
{
    const uint32_t end = (uint32_t)settings->hold_ms + settings->fade_ms;
    return point->missing >= end || point->missing == 65535u;
}

void steady_found(tracked_point_t *point, const pose_point_t *found, int32_t size,
                  const tracker_settings_t *settings, uint32_t ms, bool crossing)
{
    if (point->value == 0 || settings->slow_hz == 0 || steady_faded(point, settings)) {
        steady_begin(point, found);
        return;
    }
    const int32_t x = (int32_t)found->x * 256, y = (int32_t)found->y * 256;
    const uint32_t speed_share = share_of(settings->speed_hz, ms);
    point->speed_x = fixed_toward(point->speed_x, steady_speed(x - point->x, ms), speed_share);
    point->speed_y = fixed_toward(point->speed_y, steady_speed(y - point->y, ms), speed_share);
    const uint32_t value = found->value < settings->good ? found->value : settings->good;
    const uint32_t trust = (value << 12) / settings->good >> (crossing ? 1 : 0);
    const uint32_t share = share_of(cutoff_of(point, size, settings), ms) * trust >> 12;
    point->x = fixed_toward(point->x, x, share);
    point->y = fixed_toward(point->y, y, share);
    point->value = found->value;
    point->missing = 0;
}

uint16_t steady_later(uint16_t time, uint32_t ms)
{
    return (uint16_t)(time + ms < 65535u ? time + ms : 65535u);
}

void steady_missing(tracked_point_t *point, uint32_t ms)
{
    point->missing = steady_later(point->missing, ms);
    point->speed_x = point->speed_y = 0;
}

uint16_t steady_value(const tracked_point_t *point, const tracker_settings_t *settings)
{
    if (point->value == 0 || steady_faded(point, settings)) return 0;
    if (point->missing <= settings->hold_ms) return point->value;
    const uint32_t left = (uint32_t)settings->hold_ms + settings->fade_ms - point->missing;
    return (uint16_t)(point->value * left / settings->fade_ms);
}
