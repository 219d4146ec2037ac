/* libFuzzer target of tracker and region chooser: `make fuzz`, or by hand
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
 *     -Ifirmware_templates/track -Ifirmware_templates/decoder firmware_templates/track/fuzz_track.c \
 *     firmware_templates/track/{tracker,likeness,crossing,steady,region}.c -o build/fuzz_track
 *   build/fuzz_track -max_len=9000 -max_total_time=600
 *
 * The first bytes choose settings; then one picture after the other: how much time passes, where
 * the network looked, how many people, and their points. With -DFOLLOW_COLOUR=1 (and colour.c, clothes.c)
 * perhaps a thumbnail after them. SPDX-License-Identifier: MIT
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "region.h"
#include "tracker.h"

typedef struct {
    const uint8_t *data;
    size_t left;
} input_t;

static void require(int condition)
{
    if (!condition) abort();
}

/* The next bytes; zeros when there are none left. */
static void take(input_t *input, void *to, size_t count)
{
    const size_t given = input->left < count ? input->left : count;
    memset(to, 0, count);
    memcpy(to, input->data, given);
    input->data += given;
    input->left -= given;
}

static uint32_t some(input_t *input)
{
    uint16_t value;
    take(input, &value, sizeof value);
    return value;
}

static void take_settings(input_t *input, tracker_settings_t *tracker, region_settings_t *region)
{
    const uint32_t defaults = some(input) & 1u;
    take(input, tracker, sizeof *tracker);
    take(input, region, sizeof *region);
    tracker->least = (uint16_t)(1u + tracker->least % 4096u);
    if (tracker->good == 0) tracker->good = 1;
    if (tracker->confirm == 0) tracker->confirm = 1;
    if (tracker->speed_hz == 0) tracker->speed_hz = 1;
    region->picture = (uint16_t)(4u + (region->picture % 1017u & ~3u));
    region->least = (uint16_t)(4u + (region->least % (region->picture - 3u) & ~3u));
    region->ahead_ms %= 1001u;
    if (defaults) *tracker = tracker_default_settings;
}

static void take_people(input_t *input, pose_result_t *people)
{
    memset(people, 0, sizeof *people);
    people->count = some(input) % (POSE_MAX_PEOPLE + 1u);
    for (uint32_t i = 0; i < people->count; ++i) {
        take(input, people->people[i].points, sizeof people->people[i].points);
    }
}

static bool among(const tracks_t *tracks, uint16_t number)
{
    for (uint32_t i = 0; i < tracks->count; ++i) {
        if (tracks->tracks[i].number == number) return true;
    }
    return false;
}

/* Whether somebody had the number and was hidden. */
static bool was_hidden(const tracker_t *past, uint16_t number)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &past->tracks[t];
        if (track->seen && track->front && track->number == number) return true;
    }
    return false;
}

/* Who is hidden has a number, and is not told. */
static void check_hidden(const tracker_t *tracker, const tracks_t *out)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &tracker->tracks[t];
        if (track->front == 0) continue;
        require(track->seen && track->number && track->front != track->number);
        require(!among(out, track->number));
    }
}

/* Whoever was neither told a picture ago nor hidden has a number that nobody had before (inputs are too
 * short for all 65,535 of them); by the clothes perhaps an old one of their own. */
static void check_tracks(const tracks_t *out, const tracks_t *before, const tracker_t *past, bool coloured,
                         uint16_t *highest)
{
    uint16_t newest = *highest;
    for (uint32_t i = 0; i < out->count; ++i) {
        const track_t *track = &out->tracks[i];
        require(track->number != 0);
        for (uint32_t j = 0; j < i; ++j) require(out->tracks[j].number != track->number);
        const bool known = among(before, track->number) || was_hidden(past, track->number);
        require(coloured || known || track->number > *highest);
        if (track->number > newest) newest = track->number;
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            const pose_point_t *point = &track->points[k];
            require(point->value != 0 || (point->x == 0 && point->y == 0));
        }
    }
    *highest = newest;
}

static void check_region(const region_t *region, const region_settings_t *settings)
{
    require(region->side >= settings->least && region->side <= settings->picture);
    require(region->x + region->side <= settings->picture);
    require(region->y + region->side <= settings->picture);
    require(region->x % 2 == 0 && region->side % 2 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t input = {data, size};
    tracker_settings_t settings;
    region_settings_t regions;
    tracker_t *tracker = malloc(sizeof *tracker);
    chooser_t *chooser = malloc(sizeof *chooser);
    tracks_t before = {0};
    uint16_t highest = 0;
    bool coloured = false;
    require(tracker != NULL && chooser != NULL);
    take_settings(&input, &settings, &regions);
    tracker_init(tracker);
    region_init(chooser);
    region_t looked = {0, 0, regions.picture};
    for (uint32_t now = 1; input.left != 0; now += 1u + some(&input)) {
        pose_result_t people;
        tracks_t out;
        take_people(&input, &people);
        region_people(&looked, 128, &people);
#if FOLLOW_COLOUR
        thumbnail_t *thumbnail = malloc(sizeof *thumbnail);
        require(thumbnail != NULL);
        const bool shown = some(&input) & 1u;
        if (shown) take(&input, thumbnail, sizeof *thumbnail);
        tracker->thumbnail = shown ? thumbnail : NULL;
        coloured = coloured || shown;
#endif
        const tracker_t past = *tracker;
        tracker_step(tracker, &settings, &people, &looked, now, &out);
        require(out.count <= TRACK_MAX);
        check_tracks(&out, &before, &past, coloured, &highest);
        check_hidden(tracker, &out);
#if FOLLOW_COLOUR
        free(thumbnail);
#endif
        before = out;
        looked = region_next(chooser, &regions, &out, now);
        check_region(&looked, &regions);
    }
    free(tracker);
    free(chooser);
    return 0;
}
