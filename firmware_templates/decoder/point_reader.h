/* Points of one person from maps, one map per point, in integer arithmetic.
 *
 * A point lies at the centre of mass of the cells about its map's highest one; how surely it is
 * visible is looked up under that one's value. The same results, bit for bit, as
 * ai8x_models/point_reader.py. Portable C11, no working memory. SPDX-License-Identifier: MIT
 */
#ifndef POINT_READER_H
#define POINT_READER_H

#include "pose_decoder.h"

#define POINT_LEVELS 128 /* values of a peak: 0 to 127 */
#define POINT_REACH 2    /* cells to every side of the highest one */

typedef struct {
    const uint8_t *places;      /* of the maps among the POSE_KEYPOINTS points */
    const uint16_t *visibility; /* Q15 probability for each of the POINT_LEVELS peaks */
    uint8_t count;              /* maps, 1 .. POSE_KEYPOINTS */
    uint8_t stride;             /* pixels per cell, 1 .. POSE_MAX_STRIDE */
} point_settings_t;

/* Read one map of signed bytes; point->value becomes the visibility (Q15). */
void point_read(const pose_map_t *maps, uint32_t channel, uint32_t rows, uint32_t columns,
                const point_settings_t *settings, pose_point_t *point);

/* Read all of them. Points more likely hidden than visible have the value 0 in the result; its score
 * (Q14) is the mean visibility of all points of the settings. No point: nobody. */
void points_read(const pose_map_t *maps, uint32_t rows, uint32_t columns,
                 const point_settings_t *settings, pose_result_t *result);

#endif
