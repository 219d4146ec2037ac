/* Runs tracker, region chooser and rules on courses from standard input, results to standard output.
 *
 * A course, 32-bit words: the nine settings in the order of tracker_settings_t, the seven of
 * region_settings_t, four rules of nine words each (event_rule_t), number of pictures; then for each picture:
 * time, what the network saw (x, y, side), number of people, and the people, 18 points each as
 * 16-bit x, y, value; with FOLLOW_COLOUR whether there is a thumbnail, and it. Answer for each picture: the
 * bytes of tracks_t, of the region_t chosen next, and of each rule count and whether it has changed. With
 * an argument: the firmware's own rules, in the same words; with thumbnail (and FOLLOW_COLOUR) that of each
 * picture of 128 x 128 pixels in RGB565. SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "colour.h"
#include "event_rules.h"
#include "region.h"
#include "tracker.h"

static int get(void *target, size_t bytes)
{
    return fread(target, 1, bytes, stdin) == bytes;
}

static void get_people(pose_result_t *people, uint32_t count)
{
    memset(people, 0, sizeof *people);
    people->count = count;
    if (count > POSE_MAX_PEOPLE) exit(3);
    for (uint32_t i = 0; i < count; ++i) {
        if (!get(people->people[i].points, sizeof people->people[i].points)) exit(3);
    }
}

#define RULES 4u
#define RULE_WORDS 9u

typedef struct {
    event_rule_t rules[RULES];
    event_state_t states[RULES];
} events_t;

static void rule_from(event_rule_t *rule, const uint32_t *words)
{
    rule->kind = (uint8_t)words[0];
    rule->most = (uint8_t)words[1];
    rule->light = (uint8_t)words[2];
    rule->first = words[3];
    rule->second = words[4];
    rule->margin = (int16_t)words[5];
    rule->slack = (int16_t)words[6];
    rule->on_ms = (uint16_t)words[7];
    rule->off_ms = (uint16_t)words[8];
}

static void tell_own_rules(void)
{
    for (uint32_t i = 0; i < EVENT_RULES; ++i) {
        const event_rule_t *rule = &event_rules[i];
        const uint32_t words[RULE_WORDS] = {
            rule->kind,   rule->most,  rule->light,
            rule->first,  rule->second, (uint32_t)(int32_t)rule->margin,
            (uint32_t)(int32_t)rule->slack, rule->on_ms, rule->off_ms,
        };
        fwrite(words, sizeof words, 1, stdout);
    }
}

static void tell_events(events_t *events, const tracks_t *tracks, uint32_t now)
{
    for (uint32_t i = 0; i < RULES; ++i) {
        const bool changed = event_step(&events->rules[i], &events->states[i], tracks, now);
        const uint8_t told[2] = {events->states[i].count, changed};
        fwrite(told, sizeof told, 1, stdout);
    }
}

static void picture(tracker_t *tracker, chooser_t *chooser, const tracker_settings_t *settings,
                    const region_settings_t *regions, events_t *events)
{
    uint32_t head[5];
    pose_result_t people;
    tracks_t out;
    if (!get(head, sizeof head)) exit(3);
    get_people(&people, head[4]);
    memset(&out, 0, sizeof out);
#if FOLLOW_COLOUR
    uint32_t shown;
    thumbnail_t thumbnail;
    if (!get(&shown, sizeof shown) || (shown && !get(&thumbnail, sizeof thumbnail))) exit(3);
    tracker->thumbnail = shown ? &thumbnail : 0;
#endif
    const region_t looked = {(uint16_t)head[1], (uint16_t)head[2], (uint16_t)head[3]};
    tracker_step(tracker, settings, &people, &looked, head[0], &out);
    const region_t next = region_next(chooser, regions, &out, head[0]);
    fwrite(&out, sizeof out, 1, stdout);
    fwrite(&next, sizeof next, 1, stdout);
    tell_events(events, &out, head[0]);
}

#if FOLLOW_COLOUR
static void tell_thumbnails(void)
{
    uint8_t rows[THUMBNAIL_PIXELS][THUMBNAIL_SIDE * THUMBNAIL_PIXELS][2];
    thumbnail_t thumbnail;
    memset(&thumbnail, 0xA5, sizeof thumbnail);
    for (uint32_t row = 0; get(rows, sizeof rows); row = (row + 1u) % THUMBNAIL_SIDE) {
        thumbnail_row(&thumbnail, row, rows[0][0]);
        if (row == THUMBNAIL_SIDE - 1u) fwrite(&thumbnail, sizeof thumbnail, 1, stdout);
    }
}
#endif

int main(int arguments, char **argument)
{
    uint32_t s[16u + RULES * RULE_WORDS + 1u];
    (void)argument;
    if (arguments > 1) {
#if FOLLOW_COLOUR
        if (strcmp(argument[1], "thumbnail") == 0) {
            tell_thumbnails();
            return 0;
        }
#endif
        tell_own_rules();
        return 0;
    }
    while (get(s, sizeof s)) {
        const tracker_settings_t settings = {
            (uint16_t)s[0], (uint16_t)s[1], (uint16_t)s[2], (uint16_t)s[3], (uint16_t)s[4],
            (uint16_t)s[5], (uint16_t)s[6], (uint16_t)s[7], (uint16_t)s[8],
        };
        const region_settings_t regions = {
            (uint16_t)s[9],  (uint16_t)s[10], (uint16_t)s[11], (uint16_t)s[12],
            (uint16_t)s[13], (uint16_t)s[14], (uint16_t)s[15],
        };
        /* Allocated to the byte, so that a sanitizer sees every access beside them. */
        tracker_t *tracker = malloc(sizeof *tracker);
        chooser_t *chooser = malloc(sizeof *chooser);
        if (tracker == NULL || chooser == NULL) return 3;
        tracker_init(tracker);
        region_init(chooser);
        events_t events;
        memset(&events, 0, sizeof events);
        for (uint32_t i = 0; i < RULES; ++i) rule_from(&events.rules[i], s + 16 + RULE_WORDS * i);
        const uint32_t pictures = s[16 + RULES * RULE_WORDS];
        for (uint32_t i = 0; i < pictures; ++i) {
            picture(tracker, chooser, &settings, &regions, &events);
        }
        free(tracker);
        free(chooser);
    }
    return 0;
}
