/* SPDX-License-Identifier: MIT */
#include "people.h"

#if PEOPLE_OUTPUTS
#include "frame.h"
#include "point_reader.h"

pose_result_t people;

/* Maps in the accelerator's memory as the readers want them described. */
static pose_map_t in_place(const cnn_output_t *output, uint32_t first)
{
    const pose_map_t map = {
        .base = 0,
        .channel_offset = output->channel_address + first,
        .row_stride = output->row_stride,
        .column_stride = output->column_stride,
        .wide = (uint8_t)output->wide,
        .unit = (uint8_t)output->unit,
    };
    return map;
}

#if POINT_OUTPUTS
static const uint8_t places[] = POINT_PLACES;
static const uint16_t visibility[POINT_LEVELS] = POINT_VISIBILITY;

static const point_settings_t settings = {
    .places = places,
    .visibility = visibility,
    .count = sizeof places,
    .stride = POINT_STRIDE,
};

void people_find(void)
{
    const cnn_output_t *output = &cnn_outputs[0];
    const pose_map_t maps = in_place(output, 0);
    points_read(&maps, output->rows, output->columns, &settings, &people);
}
#else
const people_maps_t people_heat = {&cnn_outputs[POSE_HEAT_OUTPUT], 0, POSE_KEYPOINTS};
const people_maps_t people_fields = {&cnn_outputs[POSE_PAF_OUTPUT], POSE_PAF_CHANNEL, POSE_FIELDS};

const pose_settings_t people_settings = {
    .peak = POSE_SETTING_PEAK,
    .faint = POSE_SETTING_FAINT,
    .affinity = POSE_SETTING_AFFINITY,
    .min_score = POSE_SETTING_MIN_SCORE,
    .agreeing = POSE_SETTING_AGREEING,
    .min_keypoints = POSE_SETTING_MIN_KEYPOINTS,
    .max_people = POSE_SETTING_MAX_PEOPLE,
    .stride = POSE_STRIDE,
};

void people_find(void)
{
    const cnn_output_t *heat = people_heat.output;
    const pose_map_t heat_map = in_place(heat, people_heat.first);
    const pose_map_t paf_map = in_place(people_fields.output, people_fields.first);
    (void)pose_decode(&heat_map, &paf_map, heat->rows, heat->columns, &people_settings, &people);
}
#endif

void people_send(uint16_t number, uint32_t input_us, uint32_t network_us, uint32_t decode_us)
{
    const uint16_t each = 4u + 6u * POSE_KEYPOINTS;
    frame_begin(FRAME_POSES, (uint16_t)(16u + each * people.count));
    frame_put_u16(number);
    frame_put_u16((uint16_t)people.count);
    frame_put_u32(input_us);
    frame_put_u32(network_us);
    frame_put_u32(decode_us);
    for (uint32_t i = 0; i < people.count; ++i) {
        const pose_person_t *person = &people.people[i];
        frame_put_u16(person->score);
        frame_put_u16(person->count);
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            frame_put_u16((uint16_t)person->points[k].x);
            frame_put_u16((uint16_t)person->points[k].y);
            frame_put_u16(person->points[k].value);
        }
    }
    frame_end();
}
#endif
