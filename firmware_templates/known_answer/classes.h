/* What a classifier answers: shares of the classes by softmax. SPDX-License-Identifier: MIT */
#ifndef CLASSES_H
#define CLASSES_H

#include <stdint.h>

#include "cnn.h"

/* 1.0 as a share. */
#define SHARE_ONE 32768u

/* Softmax over the channels of an output of one pixel: shares[c], rounded down to 1/32768, right
 * to 1/8192. At least 1 and at most 1024 channels, whatever their values; no 64-bit division, no
 * floating point, no overflow: see the comments in classes.c. Returns the class with the largest
 * value, the first of equal ones. */
uint32_t classes_softmax(const cnn_output_t *output, uint16_t *shares);

#endif
