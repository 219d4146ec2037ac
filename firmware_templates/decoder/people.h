/* The people in the network's answer, and how they are told. Needs a network with pose outputs, or
 * with one map per point of one person.
 * SPDX-License-Identifier: MIT
 */
#ifndef PEOPLE_H
#define PEOPLE_H

#include "cnn.h"
#include "network.h"
#include "pose_decoder.h"

#define PEOPLE_OUTPUTS (POSE_OUTPUTS || POINT_OUTPUTS)

extern pose_result_t people;

/* Find them in the accelerator's memory, where the network has left its maps. */
void people_find(void);

#if POSE_OUTPUTS
/* Where the 19 heatmaps and the 38 part affinities are: an output of the network and the first of
 * its channels. One output may hold both. */
typedef struct {
    const cnn_output_t *output;
    uint32_t first, channels;
} people_maps_t;

extern const people_maps_t people_heat, people_fields;

/* The network's own thresholds and stride. */
extern const pose_settings_t people_settings;
#endif

/* Send a poses frame; times in microseconds. */
void people_send(uint16_t number, uint32_t input_us, uint32_t network_us, uint32_t decode_us);

#endif
