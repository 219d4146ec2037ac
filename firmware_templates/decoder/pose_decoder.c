/* SPDX-License-Identifier: MIT */
#include "pose_decoder.h"

#include <stdbool.h>
#include <stddef.h>

#include "pose_tables.h"

_Static_assert((-3 >> 1) == -2, "right shifts of negative numbers must be arithmetic");
_Static_assert(sizeof(int) == 4, "int must have 32 bits");

#define CELL_SHIFT 10 /* positions: Q10 cells */
#define CELL (1 << CELL_SHIFT)
#define FIELD_PITCH 32 /* cells to a row of a field; a power of two */
#define FIELD_SHIFT 13 /* field components: Q13 */
#define SCORE_SHIFT 15 /* peak values and affinities: Q15 */
#define SCORE_MAX (4 << SCORE_SHIFT)
#define NONE (-1)
#define SMALL_MAP 512u /* cells; to fetch a limb's whole field costs less than to sample in place */

_Static_assert(POSE_MAX_SIDE == FIELD_PITCH, "cells are found by their five bits");

/* Functions with a parameter that is a constant at each call: one copy for each. */
#if defined(__GNUC__)
#define SPECIALISED static inline __attribute__((always_inline))
#else
#define SPECIALISED static inline
#endif

/* A new person needs two peaks nobody has, and no peak is ever given back. */
#define MAX_GROUPS (POSE_KEYPOINTS * POSE_MAX_PEAKS / 2)
#define MAX_CANDIDATES (POSE_MAX_PEAKS * POSE_MAX_PEAKS)

typedef struct {
    int16_t x, y;  /* Q10 cells, 0 .. (POSE_MAX_SIDE - 1) << 10 */
    int32_t value; /* Q15, 1 .. SCORE_MAX */
} peak_t;

typedef struct {
    int32_t affinity; /* Q15 */
    uint8_t start, end;
} candidate_t;

typedef struct {
    int32_t affinity; /* Q15, sum over the limbs joined */
    uint32_t found;   /* bit k: keypoint k; 0: merged into another person */
    int8_t peak[POSE_KEYPOINTS];
} group_t;

static struct {
    /* Of one limb: pairs (x, y), Q13; one more row and cell, read with weight 0. */
    uint32_t field[(POSE_MAX_SIDE + 1) * FIELD_PITCH + 1];
    peak_t peaks[POSE_KEYPOINTS][POSE_MAX_PEAKS];
    candidate_t candidates[MAX_CANDIDATES];
    group_t groups[MAX_GROUPS];
    int16_t owner[POSE_KEYPOINTS][POSE_MAX_PEAKS]; /* group a peak belongs to, or NONE */
    uint8_t peak_count[POSE_KEYPOINTS];
    uint32_t candidate_count, group_count;
} work;

_Static_assert(sizeof work == POSE_STATIC_BYTES, "POSE_STATIC_BYTES is out of date");

const pose_settings_t pose_default_settings = {
    .peak = POSE_DEFAULT_PEAK,
    .affinity = POSE_DEFAULT_AFFINITY,
    .min_score = POSE_DEFAULT_MIN_SCORE,
    .agreeing = POSE_DEFAULT_AGREEING,
    .min_keypoints = POSE_DEFAULT_MIN_KEYPOINTS,
    .max_people = POSE_DEFAULT_MAX_PEOPLE,
    .stride = POSE_DEFAULT_STRIDE,
};

/* ---- small arithmetic ---------------------------------------------------------------------- */

/* Leading zeros of a number that is not 0. */
static inline uint32_t leading_zeros(uint32_t value)
{
#if defined(__GNUC__)
    return (uint32_t)__builtin_clz(value);
#else
    uint32_t count = 0;
    while ((value & 0x80000000u) == 0) {
        value <<= 1;
        ++count;
    }
    return count;
#endif
}

/* Two signed 16-bit numbers in one word, as the dual multiplies take them. */
static inline uint32_t pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xFFFFu) | ((uint32_t)high << 16);
}

static inline uint32_t low_halves(uint32_t low, uint32_t high)
{
    return (low & 0xFFFFu) | (high << 16);
}

static inline uint32_t high_halves(uint32_t low, uint32_t high)
{
    return (low >> 16) | (high & 0xFFFF0000u);
}

/* a.low * b.low + a.high * b.high, which the callers keep within 32 bits. */
static inline int32_t dual_multiply(uint32_t a, uint32_t b)
{
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
    int32_t result;
    __asm__("smuad %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int16_t)(a & 0xFFFFu) * (int16_t)(b & 0xFFFFu) +
           (int16_t)(a >> 16) * (int16_t)(b >> 16);
#endif
}

/* sum + a.low * b.low + a.high * b.high. The callers keep the result within 32 bits. */
static inline int32_t dual_multiply_add(uint32_t a, uint32_t b, int32_t sum)
{
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + dual_multiply(a, b);
#endif
}

static inline int32_t magnitude(int32_t value)
{
    return value < 0 ? -value : value;
}

static inline int32_t limited(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* value, in steps of 2^-unit, in steps of 2^-target: rounded half up, saturating at low and high.
 * Any value; unit 0 .. 24, target 0 .. 15; low and high within +-2^(30 - target), low a multiple
 * of 2^target. */
SPECIALISED int32_t rescaled(int32_t value, uint32_t unit, uint32_t target, int32_t low,
                             int32_t high)
{
    if (unit > target) {
        const int32_t twice = value >> (unit - target - 1u);
        return limited((twice < INT32_MAX ? twice + 1 : twice) >> 1, low, high);
    }
    const uint32_t shift = target - unit;
    return limited(value, low >> shift, high >> shift) * (int32_t)(1u << shift);
}

/* 2^30 / sqrt(value) for value 2^28 .. 2^31 - 1: 2^14 .. 2^16, up to 1 part in 10000 too small.
 * From a table by the leading eight bits (1 % accurate), then one step of Newton's method. */
static inline uint32_t inverse_root(uint32_t value)
{
    const uint32_t guess = pose_inverse_root_table[(value >> 23) - 32u];
    /* value * guess^2, 1.0 = 2^28 */
    const uint32_t square = (uint32_t)(((uint64_t)value * (guess * guess)) >> 32);
    return (uint32_t)(((uint64_t)(guess << 3) * ((3u << 28) - square)) >> 32);
}

/* Base-2 logarithm of value >= 1: Q20, 0 .. 31 << 20, error below 2^-18 (table and straight
 * lines between its 257 points). */
static int32_t log2_q20(uint32_t value)
{
    const uint32_t zeros = leading_zeros(value);
    const uint32_t mantissa = value << zeros; /* bit 31 is set */
    const uint32_t index = (mantissa >> 23) & 0xFFu;
    const uint32_t fraction = (mantissa >> 7) & 0xFFFFu;
    const uint32_t low = pose_log2_table[index];
    const uint32_t step = pose_log2_table[index + 1] - low; /* below 2^13 */
    return (int32_t)(((31u - zeros) << 20) + low + ((step * fraction + 0x8000u) >> 16));
}

/* ---- reading the maps ---------------------------------------------------------------------- */

static inline uintptr_t place(const pose_map_t *map, uint32_t channel, uint32_t row,
                              uint32_t column)
{
    return map->base + map->channel_offset[channel] + row * map->row_stride +
           column * map->column_stride;
}

SPECIALISED int32_t load(uintptr_t address, bool wide)
{
    /* volatile: the accelerator writes this memory, and each value is to be read once. */
    return wide ? *(const volatile int32_t *)address : *(const volatile int8_t *)address;
}

/* ---- peaks --------------------------------------------------------------------------------- */

typedef struct {
    const pose_map_t *map;
    uint32_t channel;
    int32_t rows, columns;
    int32_t floor;     /* elements up to here count as 1/1000 when refining */
    int32_t log_floor; /* log2 of 1/1000 in the map's units, Q20 */
} channel_t;

static inline int32_t element(const channel_t *channel, int32_t row, int32_t column)
{
    return load(place(channel->map, channel->channel, (uint32_t)row, (uint32_t)column),
                channel->map->wide != 0);
}

/* Whether the element of that value exceeds all eight neighbours; of equal ones the first in
 * reading order wins. What lies outside the map is smaller than anything. */
static bool is_peak_at_edge(const channel_t *channel, int32_t row, int32_t column, int32_t value)
{
    const int32_t first_row = row > 0 ? row - 1 : 0;
    const int32_t last_row = row + 1 < channel->rows ? row + 1 : row;
    const int32_t first_column = column > 0 ? column - 1 : 0;
    const int32_t last_column = column + 1 < channel->columns ? column + 1 : column;
    for (int32_t i = first_row; i <= last_row; ++i) {
        for (int32_t j = first_column; j <= last_column; ++j) {
            const int32_t other = element(channel, i, j);
            const bool earlier = i < row || (i == row && j < column);
            if (other > value || (earlier && other == value)) return false;
        }
    }
    return true;
}

static int32_t log_of(const channel_t *channel, int32_t row, int32_t column)
{
    const int32_t value = element(channel, row, column);
    return value > channel->floor ? log2_q20((uint32_t)value) : channel->log_floor;
}

/* Offset of the vertex of the parabola through three values one cell apart: Q10, +-CELL / 2.
 * The values are logarithms, Q20, within +-2^26; mid is not smaller than the others. */
static int32_t vertex(int32_t before, int32_t mid, int32_t after)
{
    const int32_t curvature = 2 * mid - before - after; /* >= |slope|, unless the map changed */
    const int32_t slope = after - before;
    if (curvature < 2) return 0; /* flat: no vertex */
    uint32_t rise = (uint32_t)magnitude(slope);
    uint32_t bend = (uint32_t)curvature;
    if (rise >= bend) return slope < 0 ? -CELL / 2 : CELL / 2;
    const uint32_t zeros = leading_zeros(bend);
    if (zeros < 10u) { /* keep rise << 9 within 32 bits */
        rise >>= 10u - zeros;
        bend >>= 10u - zeros;
    }
    const int32_t offset = (int32_t)(((rise << (CELL_SHIFT - 1)) + bend / 2) / bend);
    return slope < 0 ? -offset : offset;
}

static peak_t refined(const channel_t *channel, int32_t row, int32_t column, int32_t value)
{
    int32_t x = column * CELL;
    int32_t y = row * CELL;
    const int32_t mid =
        value > channel->floor ? log2_q20((uint32_t)value) : channel->log_floor;
    if (column > 0 && column < channel->columns - 1) {
        x += vertex(log_of(channel, row, column - 1), mid, log_of(channel, row, column + 1));
    }
    if (row > 0 && row < channel->rows - 1) {
        y += vertex(log_of(channel, row - 1, column), mid, log_of(channel, row + 1, column));
    }
    return (peak_t){(int16_t)x, (int16_t)y,
                    rescaled(value, channel->map->unit, SCORE_SHIFT, 1, SCORE_MAX)};
}

/* Append a peak; when the list is full it takes the place of the (first) weakest, if that is
 * weaker. The list stays in reading order. */
static void keep_peak(uint32_t keypoint, peak_t peak)
{
    peak_t *list = work.peaks[keypoint];
    if (work.peak_count[keypoint] < POSE_MAX_PEAKS) {
        list[work.peak_count[keypoint]++] = peak;
        return;
    }
    uint32_t weakest = 0;
    for (uint32_t i = 1; i < POSE_MAX_PEAKS; ++i) {
        if (list[i].value < list[weakest].value) weakest = i;
    }
    if (list[weakest].value >= peak.value) return;
    for (uint32_t i = weakest; i + 1 < POSE_MAX_PEAKS; ++i) list[i] = list[i + 1];
    list[POSE_MAX_PEAKS - 1] = peak;
}

/* The same for an element with neighbours on all sides, of which left and right are known to be
 * no larger. */
SPECIALISED bool is_peak(const pose_map_t *map, uintptr_t address, int32_t value, bool wide)
{
    const uintptr_t left = address - map->column_stride;
    const uintptr_t right = address + map->column_stride;
    const uint32_t row = map->row_stride;
    return load(address - row, wide) < value && load(address + row, wide) <= value &&
           load(left - row, wide) < value && load(right - row, wide) < value &&
           load(left + row, wide) <= value && load(right + row, wide) <= value;
}

/* Keep the element if it is a peak. */
static void handle_large(const channel_t *channel, int32_t row, int32_t column, uintptr_t address,
                         int32_t value, bool wide)
{
    const bool inside =
        row > 0 && row < channel->rows - 1 && column > 0 && column < channel->columns - 1;
    if (!inside) {
        if (!is_peak_at_edge(channel, row, column, value)) return;
    } else if (wide) {
        if (!is_peak(channel->map, address, value, true)) return;
    } else {
        if (!is_peak(channel->map, address, value, false)) return;
    }
    keep_peak(channel->channel, refined(channel, row, column, value));
}

/* Walk through one channel. */
SPECIALISED void scan(const channel_t *channel, int32_t threshold, bool wide)
{
    const uint32_t stride = channel->map->column_stride;
    for (int32_t row = 0; row < channel->rows; ++row) {
        uintptr_t address = place(channel->map, channel->channel, (uint32_t)row, 0);
        for (int32_t column = 0; column < channel->columns; ++column, address += stride) {
            const int32_t value = load(address, wide);
            if (value <= threshold) continue;
            /* Most of what is large lies on a slope: these two look-ups spare it the call. */
            if (column > 0 && load(address - stride, wide) >= value) continue;
            if (column < channel->columns - 1 && load(address + stride, wide) > value) continue;
            handle_large(channel, row, column, address, value, wide);
        }
    }
}

/* Whether the channels from first on share their words: narrow, each in its own byte. */
static bool share_words(const pose_map_t *map, uint32_t first, uint32_t count)
{
    const uint32_t start = map->channel_offset[first];
    if (map->wide != 0) return false;
    if (((map->base + start) | map->row_stride | map->column_stride) & 3u) return false;
    for (uint32_t c = 1; c < count; ++c) {
        if (map->channel_offset[first + c] != start + c) return false;
    }
    return true;
}

/* Bit 7 of each byte of a word that is larger than the threshold, 0 .. 127. */
static inline uint32_t larger_bytes(uint32_t word, uint32_t threshold)
{
    const uint32_t each = 0x01010101u * (127u - threshold);
    return ((word & 0x7F7F7F7Fu) + each) & ~word & 0x80808080u;
}

static inline uint32_t lowest_bit(uint32_t value)
{
    return 31u - leading_zeros(value & (0u - value));
}

/* The channel in which bit 7 of a byte was found to be large, at this word. */
static void handle_lane(channel_t *channel, uint32_t first, uint32_t lane, int32_t row,
                        int32_t column, uintptr_t word_address)
{
    const uint32_t stride = channel->map->column_stride;
    const uintptr_t address = word_address + lane;
    const int32_t value = load(address, false);
    if (column > 0 && load(address - stride, false) >= value) return;
    if (column < channel->columns - 1 && load(address + stride, false) > value) return;
    channel->channel = first + lane;
    handle_large(channel, row, column, address, value, false);
}

/* Walk through up to four channels at a time, whose bytes share words: one load finds what is
 * large in any of them. Each channel's peaks come in reading order, as from scan(). */
static void scan_words(channel_t *channel, uint32_t first, uint32_t count, uint32_t threshold)
{
    const pose_map_t *map = channel->map;
    const uint32_t lanes = count < 4u ? 0x80808080u >> (8u * (4u - count)) : 0x80808080u;
    for (int32_t row = 0; row < channel->rows; ++row) {
        uintptr_t address = place(map, first, (uint32_t)row, 0);
        for (int32_t column = 0; column < channel->columns; ++column) {
            const uint32_t word = *(const volatile uint32_t *)address;
            uint32_t large = larger_bytes(word, threshold) & lanes;
            for (; large != 0; large &= large - 1u) {
                handle_lane(channel, first, lowest_bit(large) >> 3, row, column, address);
            }
            address += map->column_stride;
        }
    }
}

/* All keypoints, four at a time where they share words, else one by one. */
static void scan_narrow(channel_t *channel, int32_t threshold)
{
    for (uint32_t first = 0; first < POSE_KEYPOINTS; first += 4u) {
        const uint32_t left = POSE_KEYPOINTS - first;
        const uint32_t count = left < 4u ? left : 4u;
        if (threshold <= 127 && share_words(channel->map, first, count)) {
            scan_words(channel, first, count, (uint32_t)threshold);
            continue;
        }
        for (uint32_t c = first; c < first + count; ++c) {
            channel->channel = c;
            scan(channel, threshold, false);
        }
    }
}

static void find_peaks(const pose_map_t *map, uint32_t rows, uint32_t columns, uint32_t peak)
{
    /* Elements are integers: above peak * 2^unit means above its whole part. At most 2^26. */
    const int32_t threshold = (int32_t)(((uint64_t)peak << map->unit) >> 16);
    channel_t channel = {map, 0, (int32_t)rows, (int32_t)columns, 0, 0};
    channel.floor = (int32_t)((1u << map->unit) / 1000u);
    channel.log_floor = ((int32_t)map->unit << 20) - POSE_LOG2_1000;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) work.peak_count[k] = 0;
    if (map->wide == 0) {
        scan_narrow(&channel, threshold);
        return;
    }
    for (uint32_t keypoint = 0; keypoint < POSE_KEYPOINTS; ++keypoint) {
        channel.channel = keypoint;
        scan(&channel, threshold, true);
    }
}

/* ---- limbs --------------------------------------------------------------------------------- */

typedef struct {
    uint32_t first_row, last_row, first_column, last_column;
} box_t;

/* Widen the box to the cells between which the peaks of one keypoint lie. */
static void include_peaks(box_t *box, uint32_t keypoint)
{
    for (uint32_t i = 0; i < work.peak_count[keypoint]; ++i) {
        const uint32_t column = (uint32_t)work.peaks[keypoint][i].x >> CELL_SHIFT;
        const uint32_t row = (uint32_t)work.peaks[keypoint][i].y >> CELL_SHIFT;
        if (row < box->first_row) box->first_row = row;
        if (row + 1 > box->last_row) box->last_row = row + 1;
        if (column < box->first_column) box->first_column = column;
        if (column + 1 > box->last_column) box->last_column = column + 1;
    }
}

/* Component in steps of 2^-unit -> Q13, saturating at 16 bits. fine: unit > FIELD_SHIFT; then
 * shift is unit - FIELD_SHIFT - 1, else FIELD_SHIFT - unit. */
SPECIALISED int32_t field_component(int32_t value, uint32_t shift, bool fine)
{
    if (fine) {
        const int32_t twice = value >> shift;
        return limited((twice < INT32_MAX ? twice + 1 : twice) >> 1, INT16_MIN, INT16_MAX);
    }
    return limited(value, INT16_MIN >> shift, INT16_MAX >> shift) * (int32_t)(1u << shift);
}

/* Convert one limb's channels within the box to pairs in work.field. */
SPECIALISED void fetch(const pose_map_t *map, uint32_t limb, const box_t *box, bool wide, bool fine)
{
    const uint32_t stride = map->column_stride;
    const uint32_t shift = fine ? map->unit - FIELD_SHIFT - 1u : (uint32_t)FIELD_SHIFT - map->unit;
    for (uint32_t row = box->first_row; row <= box->last_row; ++row) {
        uintptr_t x = place(map, 2u * limb, row, box->first_column);
        uintptr_t y = place(map, 2u * limb + 1u, row, box->first_column);
        uint32_t *cell = &work.field[row * FIELD_PITCH];
        for (uint32_t column = box->first_column; column <= box->last_column; ++column) {
            cell[column] = pair(field_component(load(x, wide), shift, fine),
                                field_component(load(y, wide), shift, fine));
            x += stride;
            y += stride;
        }
    }
}

/* All of the field that lines between these two keypoints' peaks can touch. */
static void fetch_field(const pose_map_t *map, uint32_t limb, uint32_t rows, uint32_t columns)
{
    box_t box = {rows - 1, 0, columns - 1, 0};
    include_peaks(&box, pose_limbs[limb][0]);
    include_peaks(&box, pose_limbs[limb][1]);
    if (box.last_row > rows - 1) box.last_row = rows - 1;
    if (box.last_column > columns - 1) box.last_column = columns - 1;
    const bool fine = map->unit > FIELD_SHIFT;
    if (map->wide != 0 && fine) {
        fetch(map, limb, &box, true, true);
    } else if (map->wide != 0) {
        fetch(map, limb, &box, true, false);
    } else if (fine) {
        fetch(map, limb, &box, false, true);
    } else {
        fetch(map, limb, &box, false, false);
    }
}

/* The field at (x, y), Q25 cells, interpolated between four cells: a pair of Q13. Positions lie
 * between two peaks, hence in the map; the five bits taken of each cannot leave work.field. On the
 * last row or column the cells beyond have weight 0. */
static inline uint32_t sample(uint32_t x, uint32_t y)
{
    const uint32_t *cell = &work.field[((y >> 25) & 31u) * FIELD_PITCH + ((x >> 25) & 31u)];
    const int32_t right = (int32_t)((x >> 15) & 1023u); /* Q10 */
    const int32_t down = (int32_t)((y >> 15) & 1023u);
    const int32_t both = (right * down + 32) >> 6; /* weights: Q14, together 1 */
    const int32_t only_right = 16 * right - both;
    const uint32_t upper = pair(16 * (CELL - down) - only_right, only_right);
    const uint32_t lower = pair(16 * down - both, both);
    const uint32_t a = cell[0];
    const uint32_t b = cell[1];
    const uint32_t c = cell[FIELD_PITCH];
    const uint32_t d = cell[FIELD_PITCH + 1];
    /* At most 2^29 before the shifts, within 16 bits after them. */
    int32_t along_x = dual_multiply(low_halves(a, b), upper);
    int32_t along_y = dual_multiply(high_halves(a, b), upper);
    along_x = dual_multiply_add(low_halves(c, d), lower, along_x);
    along_y = dual_multiply_add(high_halves(c, d), lower, along_y);
    return pair(along_x >> 14, along_y >> 14);
}

/* A limb's field where it is: narrow maps whose elements, shifted to Q13, need no clipping. */
typedef struct {
    uintptr_t x, y; /* addresses of the two channels' first elements */
    uint32_t row_stride, column_stride;
    uint32_t last_row, last_column;
    uint32_t shift; /* after the weighted sum: 14 less the step from the map's unit to Q13 */
} bytes_t;

static bool fits_bytes(const pose_map_t *map)
{
    return map->wide == 0 && map->unit <= FIELD_SHIFT && map->unit + 8u >= FIELD_SHIFT;
}

static bytes_t bytes_of(const pose_map_t *map, uint32_t limb, uint32_t rows, uint32_t columns)
{
    return (bytes_t){place(map, 2u * limb, 0, 0), place(map, 2u * limb + 1u, 0, 0),
                     map->row_stride, map->column_stride, rows - 1u, columns - 1u,
                     14u - (FIELD_SHIFT - map->unit)};
}

/* The same as sample(), straight from the map: few people need few of its cells. On the last row or
 * column the cell itself is read again, with weight 0. */
static inline uint32_t sample_bytes(const bytes_t *field, uint32_t x, uint32_t y)
{
    const uint32_t column = x >> 25 < field->last_column ? x >> 25 : field->last_column;
    const uint32_t row = y >> 25 < field->last_row ? y >> 25 : field->last_row;
    const uint32_t here = row * field->row_stride + column * field->column_stride;
    const uint32_t step = column < field->last_column ? field->column_stride : 0u;
    const uint32_t below = here + (row < field->last_row ? field->row_stride : 0u);
    const int32_t right = (int32_t)((x >> 15) & 1023u); /* Q10 */
    const int32_t down = (int32_t)((y >> 15) & 1023u);
    const int32_t both = (right * down + 32) >> 6; /* weights: Q14, together 1 */
    const int32_t only_right = 16 * right - both;
    const int32_t only_down = 16 * down - both;
    const int32_t neither = 16 * (CELL - down) - only_right;
    int32_t along_x = load(field->x + here, false) * neither;
    int32_t along_y = load(field->y + here, false) * neither;
    along_x += load(field->x + here + step, false) * only_right;
    along_y += load(field->y + here + step, false) * only_right;
    along_x += load(field->x + below, false) * only_down;
    along_y += load(field->y + below, false) * only_down;
    along_x += load(field->x + below + step, false) * both;
    along_y += load(field->y + below + step, false) * both;
    return pair(along_x >> field->shift, along_y >> field->shift);
}

/* Unit vector along (dx, dy), not both 0, each within +-2^15: a pair of Q14, within +-1. */
static uint32_t direction(int32_t dx, int32_t dy)
{
    const uint32_t zeros = leading_zeros((uint32_t)magnitude(dx) | (uint32_t)magnitude(dy));
    if (zeros > 17u) { /* use all 15 bits, so that short limbs lose nothing */
        const int32_t factor = (int32_t)(1u << (zeros - 17u));
        dx *= factor;
        dy *= factor;
    }
    const int32_t inverse = (int32_t)inverse_root((uint32_t)(dx * dx) + (uint32_t)(dy * dy));
    return pair((dx * inverse + (1 << 15)) >> 16, (dy * inverse + (1 << 15)) >> 16);
}

/* Mean component along the limb from a to b over the samples that agree, Q15, or NONE. Looks at
 * the middle first and gives up as soon as too many samples disagree: most wrong pairs cost a few
 * samples only. */
SPECIALISED int32_t affinity_of(peak_t a, peak_t b, const pose_settings_t *settings,
                                const bytes_t *bytes)
{
    const int32_t dx = b.x - a.x;
    const int32_t dy = b.y - a.y;
    if (dx == 0 && dy == 0) return NONE;
    const uint32_t unit = direction(dx, dy);
    const int32_t x = a.x * (1 << 15) + (1 << 14); /* Q25, for rounding to Q10 */
    const int32_t y = a.y * (1 << 15) + (1 << 14);
    const int32_t threshold = (int32_t)settings->affinity;
    const int32_t most = POSE_SAMPLES - settings->agreeing;
    int32_t disagreed = 0;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < POSE_SAMPLES; ++i) {
        const int32_t along = pose_sample_q15[i];
        const uint32_t at_x = (uint32_t)(x + dx * along);
        const uint32_t at_y = (uint32_t)(y + dy * along);
        const uint32_t here = bytes != NULL ? sample_bytes(bytes, at_x, at_y) : sample(at_x, at_y);
        const int32_t value = dual_multiply(here, unit); /* Q27, at most 2^30 */
        if (value > threshold) {
            sum += (uint32_t)value >> 12; /* Q15, at most 2^18 each */
        } else if (++disagreed > most) {
            return NONE;
        }
    }
    return (int32_t)sum / (POSE_SAMPLES - disagreed); /* at least settings->agreeing, hence 1 */
}

SPECIALISED void find_candidates(uint32_t limb, const pose_settings_t *settings,
                                 const bytes_t *bytes)
{
    const uint32_t start = pose_limbs[limb][0];
    const uint32_t end = pose_limbs[limb][1];
    for (uint32_t a = 0; a < work.peak_count[start]; ++a) {
        for (uint32_t b = 0; b < work.peak_count[end]; ++b) {
            const int32_t affinity =
                affinity_of(work.peaks[start][a], work.peaks[end][b], settings, bytes);
            if (affinity == NONE || work.candidate_count >= MAX_CANDIDATES) continue;
            work.candidates[work.candidate_count++] =
                (candidate_t){affinity, (uint8_t)a, (uint8_t)b};
        }
    }
}

/* ---- people -------------------------------------------------------------------------------- */

/* Group of a peak or NONE. */
static inline int32_t owner_of(uint32_t keypoint, uint32_t peak)
{
    return work.owner[keypoint][peak];
}

static void give(int32_t group, uint32_t keypoint, int8_t peak)
{
    work.groups[group].peak[keypoint] = peak;
    work.groups[group].found |= 1u << keypoint;
    work.owner[keypoint][peak] = (int16_t)group;
}

static int32_t new_group(void)
{
    if (work.group_count >= MAX_GROUPS) return NONE; /* cannot happen, see MAX_GROUPS */
    group_t *group = &work.groups[work.group_count];
    *group = (group_t){0, 0, {0}};
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) group->peak[k] = NONE;
    return (int32_t)work.group_count++;
}

/* Put all of second into first, unless both have the same keypoint. */
static bool merge(int32_t first, int32_t second)
{
    group_t *from = &work.groups[second];
    if ((work.groups[first].found & from->found) != 0) return false;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        if (from->peak[k] != NONE) give(first, k, from->peak[k]);
    }
    work.groups[first].affinity += from->affinity;
    from->found = 0;
    return true;
}

static bool has_other(int32_t group, uint32_t keypoint, uint32_t peak)
{
    const int8_t own = work.groups[group].peak[keypoint];
    return own != NONE && own != (int8_t)peak;
}

/* Add one connection to the people found so far. */
static void join(uint32_t limb, candidate_t pair_found)
{
    const uint32_t start = pose_limbs[limb][0];
    const uint32_t end = pose_limbs[limb][1];
    int32_t first = owner_of(start, pair_found.start);
    const int32_t second = owner_of(end, pair_found.end);
    /* Such a limb closes a loop; it must not start a person either. */
    if (pose_limb_is_loop[limb] != 0 && (first == NONE || second != NONE)) return;
    if (first == NONE && second == NONE) first = new_group();
    if (first != NONE && second != NONE && first != second && !merge(first, second)) return;
    const int32_t group = first != NONE ? first : second;
    if (group == NONE) return;
    if (has_other(group, start, pair_found.start) || has_other(group, end, pair_found.end)) return;
    give(group, start, (int8_t)pair_found.start);
    give(group, end, (int8_t)pair_found.end);
    work.groups[group].affinity += pair_found.affinity;
}

/* Join the candidates of one limb, the best first, each peak at most once. */
static void connect(uint32_t limb)
{
    uint32_t start_used = 0;
    uint32_t end_used = 0;
    for (uint32_t round = 0; round < POSE_MAX_PEAKS; ++round) {
        const candidate_t *best = NULL;
        for (uint32_t i = 0; i < work.candidate_count; ++i) {
            const candidate_t *candidate = &work.candidates[i];
            if (((start_used >> candidate->start) | (end_used >> candidate->end)) & 1u) continue;
            if (best == NULL || candidate->affinity > best->affinity) best = candidate;
        }
        if (best == NULL) return;
        start_used |= 1u << best->start;
        end_used |= 1u << best->end;
        join(limb, *best);
    }
}

static void group_people(const pose_map_t *map, uint32_t rows, uint32_t columns,
                         const pose_settings_t *settings)
{
    work.group_count = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        for (uint32_t i = 0; i < POSE_MAX_PEAKS; ++i) work.owner[k][i] = NONE;
    }
    for (uint32_t step = 0; step < POSE_LIMBS; ++step) {
        const uint32_t limb = pose_group_order[step];
        work.candidate_count = 0;
        if (work.peak_count[pose_limbs[limb][0]] == 0) continue;
        if (work.peak_count[pose_limbs[limb][1]] == 0) continue;
        if (rows * columns > SMALL_MAP && fits_bytes(map)) {
            const bytes_t bytes = bytes_of(map, limb, rows, columns);
            find_candidates(limb, settings, &bytes);
        } else {
            fetch_field(map, limb, rows, columns);
            find_candidates(limb, settings, NULL);
        }
        connect(limb);
    }
}

/* ---- results ------------------------------------------------------------------------------- */

/* Q10 cells -> Q4 pixels; the centre of cell 0 is at pixel (stride - 1) / 2. */
static int16_t pixels(int32_t cells, uint32_t stride)
{
    const int32_t scaled = (cells * (int32_t)stride * 16 + CELL / 2) >> CELL_SHIFT;
    return (int16_t)(scaled + ((int32_t)stride - 1) * 8);
}

/* How sure a person is, Q15 (at most 19 * 4.0), or NONE for one not to report: the limbs' affinities
 * over the points and a few more, so that what few points tell weighs less. */
static int32_t score_of(const group_t *group, const pose_settings_t *settings)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) count += group->peak[k] != NONE;
    if (group->found == 0 || count < settings->min_keypoints) return NONE;
    const int32_t score = group->affinity / (int32_t)(count + POSE_SCORE_PRIOR);
    return (uint32_t)score >= settings->min_score ? score : NONE;
}

static void report(const group_t *group, int32_t score, uint32_t stride, pose_person_t *person)
{
    person->count = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        person->points[k] = (pose_point_t){0, 0, 0};
        if (group->peak[k] == NONE) continue;
        const peak_t peak = work.peaks[k][group->peak[k]];
        person->points[k].x = pixels(peak.x, stride);
        person->points[k].y = pixels(peak.y, stride);
        person->points[k].value = (uint16_t)limited(peak.value, 1, UINT16_MAX);
        ++person->count;
    }
    person->score = (uint16_t)limited(score / 2, 0, UINT16_MAX);
}

/* The people with the highest scores, the highest first; of equal ones the first found. */
static void report_best(const pose_settings_t *settings, pose_result_t *result)
{
    while (result->count < settings->max_people) {
        int32_t best = NONE;
        int32_t best_score = NONE;
        for (uint32_t i = 0; i < work.group_count; ++i) {
            if (work.groups[i].found == 0) continue;
            const int32_t score = score_of(&work.groups[i], settings);
            if (score <= best_score) continue;
            best = (int32_t)i;
            best_score = score;
        }
        if (best == NONE) return;
        report(&work.groups[best], best_score, settings->stride, &result->people[result->count++]);
        work.groups[best].found = 0; /* done with it */
    }
}

static bool usable_map(const pose_map_t *map, uint32_t channels)
{
    if (map->unit > POSE_MAX_UNIT) return false;
    if (map->wide == 0) return true;
    if (((map->base | map->row_stride | map->column_stride) & 3u) != 0) return false;
    for (uint32_t c = 0; c < channels; ++c) {
        if ((map->channel_offset[c] & 3u) != 0) return false;
    }
    return true;
}

static bool usable_settings(const pose_settings_t *settings)
{
    return settings->peak < (1u << 18) && settings->affinity < (1u << 30) &&
           settings->min_score < (1u << 20) && settings->agreeing >= 1 &&
           settings->agreeing <= POSE_SAMPLES && settings->min_keypoints >= 1 &&
           settings->min_keypoints <= POSE_KEYPOINTS && settings->max_people >= 1 &&
           settings->max_people <= POSE_MAX_PEOPLE && settings->stride >= 1 &&
           settings->stride <= POSE_MAX_STRIDE;
}

pose_status_t pose_decode(const pose_map_t *heat, const pose_map_t *pafs, uint32_t rows,
                          uint32_t columns, const pose_settings_t *settings,
                          pose_result_t *result)
{
    result->count = 0;
    if (rows < 2 || rows > POSE_MAX_SIDE || columns < 2 || columns > POSE_MAX_SIDE) {
        return POSE_BAD_SIZE;
    }
    if (!usable_map(heat, POSE_KEYPOINTS) || !usable_map(pafs, POSE_FIELDS)) return POSE_BAD_MAP;
    if (!usable_settings(settings)) return POSE_BAD_SETTINGS;
    find_peaks(heat, rows, columns, settings->peak);
    group_people(pafs, rows, columns, settings);
    report_best(settings, result);
    return POSE_OK;
}
