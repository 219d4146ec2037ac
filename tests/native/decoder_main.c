/* Runs the pose decoder on requests from standard input, results to standard output.
 *
 * Request, 32-bit words: rows, columns, the eight settings in the order of pose_settings_t, then
 * two maps, each: wide, unit, row stride, column stride, number of channels, bytes of memory,
 * channel offsets, the memory. The memory is allocated to the byte, so that a sanitizer sees every
 * access beside it. Answer: status, then the bytes of pose_result_t. SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pose_decoder.h"

#define MAX_CHANNELS 64

static int get(void *target, size_t bytes)
{
    return fread(target, 1, bytes, stdin) == bytes;
}

static uint8_t *get_map(pose_map_t *map, uint32_t *offsets)
{
    uint32_t head[6];
    if (!get(head, sizeof head) || head[4] > MAX_CHANNELS) exit(3);
    if (!get(offsets, 4 * head[4])) exit(3);
    uint8_t *memory = malloc(head[5]);
    if (memory == NULL || !get(memory, head[5])) exit(3);
    *map = (pose_map_t){(uintptr_t)memory, offsets, head[2], head[3], (uint8_t)head[0],
                        (uint8_t)head[1]};
    return memory;
}

int main(void)
{
    uint32_t head[10];
    while (get(head, sizeof head)) {
        const pose_settings_t settings = {
            head[2],          head[3],          head[4],          head[5],
            (uint8_t)head[6], (uint8_t)head[7], (uint8_t)head[8], (uint8_t)head[9],
        };
        uint32_t heat_offsets[MAX_CHANNELS], paf_offsets[MAX_CHANNELS];
        pose_map_t heat, pafs;
        uint8_t *heat_memory = get_map(&heat, heat_offsets);
        uint8_t *paf_memory = get_map(&pafs, paf_offsets);
        pose_result_t result;
        memset(&result, 0, sizeof result);
        const uint32_t status =
            (uint32_t)pose_decode(&heat, &pafs, head[0], head[1], &settings, &result);
        fwrite(&status, sizeof status, 1, stdout);
        fwrite(&result, sizeof result, 1, stdout);
        fflush(stdout);
        free(heat_memory);
        free(paf_memory);
    }
    return 0;
}
