/* A second network on the same accelerator, resident beside the first one.
 *
 * Call order: the first network is set up, then second_load once. For every inference, when the
 * first network's results have been read: second_configure, store the input, second_start,
 * cnn_wait, read the results; then cnn_init and cnn_configure bring the first one back. Its registers
 * are all that is exchanged; kernels and biases stay. Functions return CNN_OK.
 * SPDX-License-Identifier: MIT
 */
#ifndef SECOND_H
#define SECOND_H

#include "cnn.h"
#include "second_network.h"

extern const cnn_output_t second_outputs[SECOND_OUTPUT_COUNT];

/* Copy kernels and biases into what the first network leaves of weight and bias memory. */
int second_load(void);
/* Write all registers; clears those that only the first network needs. */
int second_configure(void);
/* Run; cnn_wait waits for the end and cnn_time is the time it took. */
int second_start(void);

#endif
