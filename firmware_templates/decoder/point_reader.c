/* SPDX-License-Identifier: MIT */
#include "point_reader.h"

#define HALF 16384u /* Q15: as likely hidden as visible */

typedef struct {
    uint32_t row, column;
    int32_t value;
} cell_t;

/* Element of a map, nothing below zero and outside. */
static int32_t element(const pose_map_t *maps, uint32_t channel, uint32_t row, uint32_t column)
{
    const uint32_t place =
        maps->channel_offset[channel] + row * maps->row_stride + column * maps->column_stride;
    const int32_t value = *(const volatile int8_t *)(maps->base + place);
    return value > 0 ? value : 0;
}

/* The first of the highest cells, row by row. */
static cell_t highest(const pose_map_t *maps, uint32_t channel, uint32_t rows, uint32_t columns)
{
    cell_t best = {0, 0, 0};
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t column = 0; column < columns; ++column) {
            const int32_t value = element(maps, channel, row, column);
            if (value > best.value) best = (cell_t){row, column, value};
        }
    }
    return best;
}

/* Q4 pixels of the centre of mass in one direction, rounded half up. */
static int16_t position(uint32_t cell, int32_t moment, int32_t mass, int32_t stride)
{
    const int32_t middle = 16 * stride * (int32_t)cell + 8 * (stride - 1);
    if (mass == 0) return (int16_t)middle;
    const int32_t above = 32 * stride * moment + mass, below = 2 * mass;
    int32_t shift = above / below;
    if (above % below < 0) --shift; /* C rounds towards zero */
    return (int16_t)(middle + shift);
}

void point_read(const pose_map_t *maps, uint32_t channel, uint32_t rows, uint32_t columns,
                const point_settings_t *settings, pose_point_t *point)
{
    const cell_t peak = highest(maps, channel, rows, columns);
    int32_t mass = 0, down = 0, right = 0;
    for (int32_t y = -POINT_REACH; y <= POINT_REACH; ++y) {
        for (int32_t x = -POINT_REACH; x <= POINT_REACH; ++x) {
            const uint32_t row = peak.row + (uint32_t)y, column = peak.column + (uint32_t)x;
            if (row >= rows || column >= columns) continue; /* below zero is far above */
            const int32_t value = element(maps, channel, row, column);
            mass += value;
            down += y * value;
            right += x * value;
        }
    }
    point->x = position(peak.column, right, mass, settings->stride);
    point->y = position(peak.row, down, mass, settings->stride);
    point->value = settings->visibility[peak.value];
}

void points_read(const pose_map_t *maps, uint32_t rows, uint32_t columns,
                 const point_settings_t *settings, pose_result_t *result)
{
    pose_person_t *person = &result->people[0];
    uint32_t sum = 0;
    *person = (pose_person_t){.count = 0};
    for (uint32_t i = 0; i < settings->count; ++i) {
        pose_point_t point;
        point_read(maps, i, rows, columns, settings, &point);
        sum += point.value;
        if (point.value < HALF) continue;
        person->points[settings->places[i]] = point;
        ++person->count;
    }
    person->score = (uint16_t)(sum / (2u * settings->count));
    result->count = person->count != 0;
}
