/* Sends camera pictures to a host that has asked for them, in pieces that do not make anybody wait.
 * SPDX-License-Identifier: MIT
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdbool.h>
#include <stdint.h>

#define SHOW_MOST_STEP 16u

/* Send the next picture, every step-th pixel of every step-th row. */
void show_ask(uint16_t step);

/* A picture is in the buffer; send it if one was asked for. */
void show_begin(uint16_t number);

/* Whether the buffer must stay as it is. */
bool show_busy(void);

/* Send another piece if the transmitter takes it at once. Returns whether it did. */
bool show_step(void);

#endif
