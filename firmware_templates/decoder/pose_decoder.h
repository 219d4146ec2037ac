/* Pose decoder: heatmaps and part-affinity fields -> people, in integer arithmetic.
 *
 * Bottom-up grouping as in OpenPose (Cao et al., 2017): peaks of every keypoint channel, refined to
 * a fraction of a cell; every pair of peaks a limb could join, scored along the line between them;
 * the best pairs, each peak used once per limb, joined into people. What somebody reported lacks is
 * looked for once more, near where the mean body has it, among peaks that are too small to begin with:
 * ai8x_models/faint.py explains that. The same results, bit for bit,
 * as ai8x_models/decode_fixed.py, and close to the floating-point ai8x_models/decode.py.
 *
 * Portable C11 (two's complement, arithmetic right shift); DSP instructions on Cortex-M4.
 * No heap, no recursion, no C library; one call at a time (the working memory is static).
 * Memory: POSE_STATIC_BYTES of static working memory, less than 400 bytes of stack, and the caller's
 * pose_result_t (sizeof: 900 bytes).
 *
 * Q formats: Qn means an integer in steps of 2^-n. SPDX-License-Identifier: MIT
 */
#ifndef POSE_DECODER_H
#define POSE_DECODER_H

#include <stdint.h>

#define POSE_KEYPOINTS 18
#define POSE_LIMBS 19
#define POSE_FIELDS (2 * POSE_LIMBS) /* channel 2n: x of limb n, 2n + 1: y */
#define POSE_MAX_PEOPLE 8
#define POSE_MAX_SIDE 32   /* rows and columns of a map */
#define POSE_MAX_PEAKS 16  /* of one keypoint; when there are more, the strongest */
/* Pairs of peaks that are looked at. Where there are more, the strongest peaks of each keypoint remain,
 * as many as give no more pairs: 8 or more. */
#define POSE_MAX_PAIRS 1400
/* Samples of all pairs together, after which no further pair is looked at. */
#define POSE_MAX_LOOKS 10000
#define POSE_MAX_STRIDE 64 /* pixels per cell */
#define POSE_MAX_UNIT 24   /* 1.0 is at most 2^24 */
#define POSE_SAMPLES 10    /* look-ups along a limb */
/* Cells in which faint points are looked for; a search that would take more is left out. */
#define POSE_MAX_CELLS 8192
#define POSE_STATIC_BYTES 12284

/* Where the maps are and what an integer is worth. Element (channel, row, column) is at address
 * base + channel_offset[channel] + row * row_stride + column * column_stride (the products modulo
 * 2^32), read as int32_t when wide, else as int8_t; 1.0 is the integer 2^unit. With base 0
 * and the tables of cnn_outputs (cnn.h) this reads the accelerator's memory in place; a plain CHW
 * array has base = (uintptr_t)array and the offsets of its channels. */
typedef struct {
    uintptr_t base;
    const uint32_t *channel_offset;
    uint32_t row_stride, column_stride;
    uint8_t wide, unit;
} pose_map_t;

typedef struct {
    uint32_t peak;         /* Q16: keypoints have a larger heatmap value */
    uint32_t faint;        /* Q16: a point that somebody reported lacks has a larger one; none is looked
                            * for unless this is smaller than peak */
    uint32_t affinity;     /* Q27: a sample that agrees has a larger component along the limb */
    uint32_t min_score;    /* Q15: people with a lower score are dropped */
    uint8_t agreeing;      /* samples of POSE_SAMPLES that must agree, 1 .. POSE_SAMPLES */
    uint8_t min_keypoints; /* people with fewer, faint ones not counted, are dropped, 1 .. POSE_KEYPOINTS */
    uint8_t max_people;    /* 1 .. POSE_MAX_PEOPLE */
    uint8_t stride;        /* pixels per cell, 1 .. POSE_MAX_STRIDE */
} pose_settings_t;

/* The defaults of ai8x_models.thresholds.DecodeSettings, stride 8. */
extern const pose_settings_t pose_default_settings;

typedef struct {
    int16_t x, y;   /* Q4 pixels of the network's input; 0 is the centre of the first pixel */
    uint16_t value; /* Q15 heatmap value, saturating just below 2.0; 0: not found */
} pose_point_t;

typedef struct {
    pose_point_t points[POSE_KEYPOINTS];
    uint16_t score; /* Q14: sum of the limbs' affinities over points found + POSE_SCORE_PRIOR, less
                     * 1/32 for each halving of the size; 0 to about 1, saturating below 4.0 */
    uint16_t count; /* points found, faint ones too */
} pose_person_t;

typedef struct {
    uint32_t count; /* people, the best first */
    pose_person_t people[POSE_MAX_PEOPLE];
} pose_result_t;

typedef enum {
    POSE_OK = 0,
    POSE_BAD_SIZE,     /* rows or columns not 2 .. POSE_MAX_SIDE */
    POSE_BAD_MAP,      /* unit too large, or a wide map not aligned to 4 bytes */
    POSE_BAD_SETTINGS, /* a setting outside the range given above */
} pose_status_t;

/* Decode one pair of maps of rows x columns cells.
 *
 * heat: POSE_KEYPOINTS channels or more (the background is not read); pafs: POSE_FIELDS channels.
 * Any integer is a legal element: heatmap values saturate at 4.0 in scores, field components at
 * -4.0 and 4.0; nothing overflows. On any status but POSE_OK result->count is 0. The caller vouches for
 * the addresses; all else is checked. */
pose_status_t pose_decode(const pose_map_t *heat, const pose_map_t *pafs, uint32_t rows,
                          uint32_t columns, const pose_settings_t *settings,
                          pose_result_t *result);

#endif
