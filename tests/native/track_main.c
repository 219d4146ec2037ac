/* Runs tracker and region chooser on sequences from standard input, results to standard output.
 *
 * A sequence, 32-bit words: the nine settings in the order of tracker_settings_t, the seven of
 * region_settings_t, number of pictures; then for each picture: time, what the network saw (x, y,
 * side), number of people, and the people, 18 points each as 16-bit x, y, value. Answer for each
 * picture: the bytes of tracks_t and of the region_t chosen next. SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void picture(tracker_t *tracker, chooser_t *chooser, const tracker_settings_t *settings,
                    const region_settings_t *regions)
{
    uint32_t head[5];
    pose_result_t people;
    tracks_t out;
    if (!get(head, sizeof head)) exit(3);
    get_people(&people, head[4]);
    memset(&out, 0, sizeof out);
    const region_t looked = {(uint16_t)head[1], (uint16_t)head[2], (uint16_t)head[3]};
    tracker_step(tracker, settings, &people, &looked, head[0], &out);
    const region_t next = region_next(chooser, regions, &out, head[0]);
    fwrite(&out, sizeof out, 1, stdout);
    fwrite(&next, sizeof next, 1, stdout);
}

int main(void)
{
    uint32_t s[17];
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
        for (uint32_t i = 0; i < s[16]; ++i) picture(tracker, chooser, &settings, &regions);
        free(tracker);
        free(chooser);
    }
    return 0;
}
