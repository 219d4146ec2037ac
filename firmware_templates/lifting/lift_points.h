/* Between the 18 points of the pose decoder and the bytes of the lifting network: which of its 17
 * joints lie where, moved to the pelvis and scaled; and its answers as millimetres.
 *
 * The same results, bit for bit, as distill/tasks/lift/fixed.py. Portable C11, no C library, no
 * static memory, less than 250 bytes of stack. SPDX-License-Identifier: MIT
 */
#ifndef LIFT_POINTS_H
#define LIFT_POINTS_H

#include <stdint.h>

#include "pose_decoder.h"

#define LIFT_JOINTS 16 /* the pelvis is the origin and not among them */
#define LIFT_INPUTS (2 * LIFT_JOINTS)
#define LIFT_OUTPUTS (3 * LIFT_JOINTS)
#define LIFT_MAX_UNIT 20 /* an answer of 1 m is at most 2^20 */

/* Make the network's input of one person's points (any int16 coordinates; value 0: not found).
 *
 * view: x and y of each joint in Q7 of the pose's extent, -127..127; 0 where a joint is not known.
 * known: bit j: joint j + 1 is known. Returns 1, or 0 when a hip is missing: then there is no pelvis
 * to start from, and nothing is written. */
int lift_view(const pose_point_t points[POSE_KEYPOINTS], int8_t view[LIFT_INPUTS],
              uint16_t *known);

/* An answer in steps of 2^-unit m (unit 0 .. LIFT_MAX_UNIT) as millimetres: rounded, halves up,
 * saturating at -32768 and 32767. */
int16_t lift_millimetres(int32_t answer, uint32_t unit);

#endif
