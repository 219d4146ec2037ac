/* SPDX-License-Identifier: MIT */
#include "region.h"

#include "fixed.h"

#define SEARCHED 20u /* the whole picture and nine squares, each twice */
#define TIGHT 288 /* Q8: people's box with this margin must be inside */

typedef struct {
    int32_t left, top, right, bottom; /* pixels, right and bottom not included */
    bool any;
} area_t;

static int32_t least_of(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most_of(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Where a person is and will be, cut to the picture. */
static area_t area_of(const track_t *track, const region_settings_t *settings)
{
    const int32_t ahead = settings->ahead_ms, picture = settings->picture;
    const int32_t x = track->speed_x * ahead / 1000, y = track->speed_y * ahead / 1000;
    area_t area = {picture << 4, picture << 4, 0, 0, false};
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const pose_point_t *point = &track->points[k];
        if (point->value == 0) continue;
        area.left = least_of(area.left, point->x + least_of(x, 0));
        area.right = most_of(area.right, point->x + most_of(x, 0));
        area.top = least_of(area.top, point->y + least_of(y, 0));
        area.bottom = most_of(area.bottom, point->y + most_of(y, 0));
        area.any = true;
    }
    area.left = fixed_clamp(area.left >> 4, 0, picture);
    area.top = fixed_clamp(area.top >> 4, 0, picture);
    area.right = fixed_clamp((area.right >> 4) + 1, area.left, picture);
    area.bottom = fixed_clamp((area.bottom >> 4) + 1, area.top, picture);
    return area;
}

static void join(area_t *all, const area_t *one)
{
    if (!one->any) return;
    if (!all->any) {
        *all = *one;
        return;
    }
    all->left = least_of(all->left, one->left);
    all->top = least_of(all->top, one->top);
    all->right = most_of(all->right, one->right);
    all->bottom = most_of(all->bottom, one->bottom);
}

static int32_t longer(const area_t *area)
{
    return most_of(area->right - area->left, area->bottom - area->top);
}

/* Twice the middle, one axis after the other. */
static int32_t middle_x(const area_t *area)
{
    return area->left + area->right;
}

static int32_t middle_y(const area_t *area)
{
    return area->top + area->bottom;
}

static region_t whole(const region_settings_t *settings)
{
    const region_t region = {0, 0, settings->picture};
    return region;
}

/* A square inside the picture, its middle as near as possible to the one wanted (doubled). */
static region_t square(int32_t side, int32_t x2, int32_t y2, const region_settings_t *settings)
{
    const int32_t picture = settings->picture;
    const int32_t even = fixed_clamp((side + 3) & ~3, settings->least, picture);
    region_t region;
    region.side = (uint16_t)even;
    region.x = (uint16_t)(fixed_clamp((x2 - even) >> 1, 0, picture - even) & ~1);
    region.y = (uint16_t)(fixed_clamp((y2 - even) >> 1, 0, picture - even) & ~1);
    return region;
}

/* Where to look for somebody: the whole picture twice, as somebody is known from two pictures on, then
 * squares of half its side, for those who are small in it. */
static region_t search(chooser_t *chooser, const region_settings_t *settings, uint32_t now_ms)
{
    const uint32_t place = chooser->searched / 2u;
    chooser->searched = (uint16_t)((chooser->searched + 1u) % SEARCHED);
    chooser->following = 0;
    if (place == 0) {
        chooser->whole_at = now_ms;
        return whole(settings);
    }
    const int32_t picture = settings->picture, column = (int32_t)(place - 1u) % 3;
    return square(picture / 2, column * picture, (int32_t)(place - 1u) / 3 * picture, settings);
}

static region_t aim(const area_t *area, const region_settings_t *settings)
{
    const int32_t side = longer(area) * settings->margin >> 8;
    if (side > settings->picture - settings->picture / 8) return whole(settings);
    return square(side, middle_x(area), middle_y(area), settings);
}

static bool well_inside(const region_t *region, const area_t *area,
                        const region_settings_t *settings)
{
    const int32_t more = (longer(area) * (TIGHT - 256) >> 8) / 2, picture = settings->picture;
    return most_of(area->left - more, 0) >= region->x &&
           most_of(area->top - more, 0) >= region->y &&
           least_of(area->right + more, picture) <= region->x + region->side &&
           least_of(area->bottom + more, picture) <= region->y + region->side;
}

static void follow(chooser_t *chooser, const area_t *area, const region_settings_t *settings)
{
    const region_t want = aim(area, settings);
    const region_t *now = &chooser->now;
    if (!chooser->following) {
        chooser->following = 1;
        chooser->now = want;
        return;
    }
    const bool small = 2 * now->side <= 3 * want.side;
    if (small && well_inside(now, area, settings)) return;
    const int32_t side = (now->side + want.side) / 2;
    const region_t next = square(side, (2 * now->x + now->side + 2 * want.x + want.side) / 2,
                                 (2 * now->y + now->side + 2 * want.y + want.side) / 2, settings);
    chooser->now = well_inside(&next, area, settings) ? next : want;
}

/* The person with the next number; the lowest when there is no higher one. */
static uint32_t next_turn(const chooser_t *chooser, const tracks_t *tracks,
                          const area_t *areas)
{
    uint32_t best = TRACK_MAX, lowest = TRACK_MAX;
    for (uint32_t i = 0; i < tracks->count; ++i) {
        const uint16_t number = tracks->tracks[i].number;
        if (!areas[i].any) continue;
        if (lowest == TRACK_MAX || number < tracks->tracks[lowest].number) lowest = i;
        if (number > chooser->turn &&
            (best == TRACK_MAX || number < tracks->tracks[best].number)) {
            best = i;
        }
    }
    return best == TRACK_MAX ? lowest : best;
}

static bool far_apart(const area_t *all, const area_t *areas, uint32_t count,
                      const region_settings_t *settings)
{
    int32_t largest = settings->least;
    for (uint32_t i = 0; i < count; ++i) {
        if (areas[i].any) largest = most_of(largest, longer(&areas[i]) * settings->margin >> 8);
    }
    return 2 * (longer(all) * settings->margin >> 8) > 3 * largest;
}

void region_init(chooser_t *chooser)
{
    chooser->now = (region_t){0, 0, 0};
    chooser->whole_at = 0;
    chooser->turn = 0;
    chooser->following = 0;
    chooser->searched = 0;
}

static bool anybody_lost(const tracks_t *tracks, const region_settings_t *settings)
{
    for (uint32_t i = 0; i < tracks->count; ++i) {
        if (tracks->tracks[i].missed > settings->lost_ms) return true;
    }
    return false;
}

region_t region_next(chooser_t *chooser, const region_settings_t *settings, const tracks_t *tracks,
                     uint32_t now_ms)
{
    area_t areas[TRACK_MAX], all = {0, 0, 0, 0, false};
    for (uint32_t i = 0; i < tracks->count; ++i) {
        areas[i] = area_of(&tracks->tracks[i], settings);
        join(&all, &areas[i]);
    }
    const uint32_t wait = settings->refresh_ms >> (anybody_lost(tracks, settings) ? 2 : 0);
    const bool due = settings->refresh_ms != 0 && now_ms - chooser->whole_at >= wait;
    if (!all.any) return search(chooser, settings, now_ms);
    chooser->searched = 0;
    if (due) {
        chooser->whole_at = now_ms;
        return whole(settings);
    }
    if (settings->alternate && far_apart(&all, areas, tracks->count, settings)) {
        const uint32_t i = next_turn(chooser, tracks, areas);
        chooser->turn = tracks->tracks[i].number;
        chooser->following = 0;
        return aim(&areas[i], settings);
    }
    follow(chooser, &all, settings);
    if (chooser->now.side == settings->picture) chooser->whole_at = now_ms;
    return chooser->now;
}
