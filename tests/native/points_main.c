/* Runs the point reader on requests from standard input, results to standard output.
 *
 * Request, 32-bit words: maps, rows, columns, stride; then 128 visibilities (16 bits each), a place
 * for each map (a byte each), the maps themselves, one signed byte per cell. The memory is allocated
 * to the byte, so that a sanitizer sees every access beside it. Answer: count of people, score and
 * count of points of the first, then x, y and value of all maps' points, as 32-bit words; first those
 * of the person's 18 points, then those of each map. SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "point_reader.h"

static void get(void *target, size_t bytes)
{
    if (fread(target, 1, bytes, stdin) != bytes) exit(3);
}

static void put(int32_t value)
{
    fwrite(&value, sizeof value, 1, stdout);
}

static void put_point(const pose_point_t *point)
{
    put(point->x);
    put(point->y);
    put(point->value);
}

static void answer(const uint32_t *head, uint8_t *memory)
{
    static uint16_t visibility[POINT_LEVELS];
    static uint8_t places[POSE_KEYPOINTS];
    uint32_t offsets[POSE_KEYPOINTS];
    const uint32_t cells = head[1] * head[2];
    get(visibility, sizeof visibility);
    get(places, head[0]);
    get(memory, head[0] * cells);
    for (uint32_t i = 0; i < head[0]; ++i) offsets[i] = i * cells;
    const pose_map_t maps = {(uintptr_t)memory, offsets, head[2], 1, 0, 7};
    const point_settings_t settings = {places, visibility, (uint8_t)head[0], (uint8_t)head[3]};
    pose_result_t result;
    points_read(&maps, head[1], head[2], &settings, &result);
    put((int32_t)result.count);
    put(result.people[0].score);
    put(result.people[0].count);
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) put_point(&result.people[0].points[k]);
    for (uint32_t i = 0; i < head[0]; ++i) {
        pose_point_t point;
        point_read(&maps, i, head[1], head[2], &settings, &point);
        put_point(&point);
    }
}

int main(void)
{
    uint32_t head[4];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        if (head[0] == 0 || head[0] > POSE_KEYPOINTS) return 3;
        uint8_t *memory = malloc(head[0] * head[1] * head[2]);
        if (memory == NULL) return 3;
        answer(head, memory);
        free(memory);
    }
    return 0;
}
