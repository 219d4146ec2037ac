/* The people in the network's answer, and how they are told. Needs a network with pose outputs.
 * SPDX-License-Identifier: MIT
 */
#ifndef PEOPLE_H
#define PEOPLE_H

#include "cnn.h"
#include "pose_decoder.h"

extern pose_result_t people;

/* Find them in the accelerator's memory, where the network has left its maps. */
void people_find(void);

/* The maps as the decoder wants them described. */
pose_map_t people_map(const cnn_output_t *output);

/* Send a poses frame; times in microseconds. */
void people_send(uint16_t number, uint32_t input_us, uint32_t network_us, uint32_t decode_us);

#endif
