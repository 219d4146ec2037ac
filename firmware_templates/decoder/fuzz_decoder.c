/* libFuzzer target of the pose decoder: `make fuzz`, or by hand
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
 *     -Ifirmware_templates/decoder firmware_templates/decoder/fuzz_decoder.c \
 *     firmware_templates/decoder/pose_decoder.c -o build/fuzz_decoder
 *   build/fuzz_decoder -max_len=60000 -max_total_time=600
 *
 * The first bytes choose sizes and settings, the rest fills maps that are allocated to the byte;
 * what the input does not reach repeats it. SPDX-License-Identifier: MIT
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pose_decoder.h"

#define HEAD 24
#define CHANNELS (POSE_KEYPOINTS + POSE_FIELDS)

static uint32_t word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void require(int condition)
{
    if (!condition) abort();
}

static void check_result(const pose_result_t *result, const pose_settings_t *settings,
                         uint32_t rows, uint32_t columns)
{
    require(result->count <= settings->max_people);
    for (uint32_t i = 0; i < result->count; ++i) {
        const pose_person_t *person = &result->people[i];
        uint32_t found = 0;
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            const pose_point_t point = person->points[k];
            found += point.value != 0;
            require(point.value != 0 || (point.x == 0 && point.y == 0));
            require(point.x >= 0 && (uint32_t)point.x < columns * settings->stride * 16u);
            require(point.y >= 0 && (uint32_t)point.y < rows * settings->stride * 16u);
        }
        require(found == person->count && found >= settings->min_keypoints);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pose_result_t result;
    if (size <= HEAD) return 0;
    const uint32_t rows = data[0] % 36u;
    const uint32_t columns = data[1] % 36u;
    const uint8_t wide = data[2] & 1u;
    pose_settings_t settings = {word(data + 4) >> (data[3] % 32u),
                                word(data + 7) >> (data[11] % 32u),
                                word(data + 8) >> (data[12] % 32u),
                                word(data + 13) >> (data[17] % 32u),
                                data[18] % 12u,
                                data[19] % 20u,
                                data[20] % 10u,
                                data[21] % 66u};
    if (data[2] & 2u) settings = pose_default_settings;
    const uint32_t element = wide ? 4u : 1u;
    const uint32_t channel_bytes = rows * columns * element;
    const uint32_t bytes = CHANNELS * channel_bytes;
    uint32_t offsets[CHANNELS];
    for (uint32_t c = 0; c < CHANNELS; ++c) offsets[c] = c * channel_bytes;
    uint8_t *memory = malloc(bytes + 1u); /* one more, so that it is never zero bytes */
    require(memory != NULL);
    const size_t given = size - HEAD;
    for (size_t i = 0; i < bytes; i += given) {
        memcpy(memory + i, data + HEAD, bytes - i < given ? bytes - i : given);
    }
    const pose_map_t heat = {(uintptr_t)memory, offsets, columns * element, element, wide,
                             data[22] % 27u};
    const pose_map_t pafs = {(uintptr_t)memory, offsets + POSE_KEYPOINTS, columns * element,
                             element, wide, data[23] % 27u};
    if (pose_decode(&heat, &pafs, rows, columns, &settings, &result) == POSE_OK) {
        check_result(&result, &settings, rows, columns);
    } else {
        require(result.count == 0);
    }
    free(memory);
    return 0;
}
