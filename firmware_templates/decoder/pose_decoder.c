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

_Static_assert(POSE_MAX_PEAKS == 16, "a candidate has four bits for each peak");
_Static_assert(POSE_MAX_SIDE == FIELD_PITCH, "cells are found by their five bits");

/* Functions with a parameter that is a constant at each call: one copy for each. */
#if defined(__GNUC__)
#define SPECIALISED static inline __attribute__((always_inline))
#else
#define SPECIALISED static inline
#endif

/* Functions that would take registers from those that call them. */
#if defined(__GNUC__)
#define APART static __attribute__((noinline))
#else
#define APART static
#endif

/* A new person needs two peaks nobody has, and no peak is ever given back. */
#define MAX_GROUPS (POSE_KEYPOINTS * POSE_MAX_PEAKS / 2)
#define MAX_CANDIDATES (POSE_MAX_PEAKS * POSE_MAX_PEAKS)

typedef struct {
    int16_t x, y;  /* Q10 cells, 0 .. (POSE_MAX_SIDE - 1) << 10 */
    int32_t value; /* Q15, 1 .. SCORE_MAX */
} peak_t;

/* A pair of peaks that a limb may join, in a word that is the larger the better: affinity (Q15, at
 * most 2^18), then places in the lists of peaks, the first found the largest. */
typedef uint32_t candidate_t;

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
    int32_t least[POSE_KEYPOINTS];   /* element of the weakest peak of a full list */
    uint8_t weakest[POSE_KEYPOINTS]; /* its place there */
    uint8_t peak_count[POSE_KEYPOINTS];
    uint32_t candidate_count, group_count;
    uint32_t looked; /* samples of all limbs so far */
} work;

_Static_assert(sizeof work == POSE_STATIC_BYTES, "POSE_STATIC_BYTES is out of date");

const pose_settings_t pose_default_settings = {
    .peak = POSE_DEFAULT_PEAK,
    .faint = POSE_DEFAULT_FAINT,
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

/* A peak with its cell (x column, y row) -> the same with its place in Q10 cells. */
static void refine(const channel_t *channel, peak_t *peak)
{
    const int32_t column = peak->x;
    const int32_t row = peak->y;
    int32_t x = column * CELL;
    int32_t y = row * CELL;
    const int32_t mid = log_of(channel, row, column);
    if (column > 0 && column < channel->columns - 1) {
        x += vertex(log_of(channel, row, column - 1), mid, log_of(channel, row, column + 1));
    }
    if (row > 0 && row < channel->rows - 1) {
        y += vertex(log_of(channel, row - 1, column), mid, log_of(channel, row + 1, column));
    }
    peak->x = (int16_t)x;
    peak->y = (int16_t)y;
}

/* The first of the weakest peaks of a keypoint, which has some. */
static uint32_t weakest_peak(uint32_t keypoint)
{
    const peak_t *list = work.peaks[keypoint];
    uint32_t weakest = 0;
    for (uint32_t i = 1; i < work.peak_count[keypoint]; ++i) {
        if (list[i].value < list[weakest].value) weakest = i;
    }
    return weakest;
}

/* Take a peak out of the list, which stays in reading order. */
static void drop_peak(uint32_t keypoint, uint32_t dropped)
{
    peak_t *list = work.peaks[keypoint];
    const uint32_t count = --work.peak_count[keypoint];
    for (uint32_t i = dropped; i < count; ++i) list[i] = list[i + 1];
}

/* Append a peak, its place that of its cell; when the list is full it takes the place of the (first)
 * weakest, if that is weaker. The list stays in reading order. */
static void keep_peak(const channel_t *channel, int32_t row, int32_t column, int32_t value)
{
    const uint32_t keypoint = channel->channel;
    /* Most of the many are weaker than any that is kept: known at a glance. */
    if (value <= work.least[keypoint]) return;
    const int32_t score = rescaled(value, channel->map->unit, SCORE_SHIFT, 1, SCORE_MAX);
    peak_t *list = work.peaks[keypoint];
    if (work.peak_count[keypoint] == POSE_MAX_PEAKS) {
        const uint32_t weakest = work.weakest[keypoint];
        if (score <= list[weakest].value) return;
        drop_peak(keypoint, weakest);
    }
    list[work.peak_count[keypoint]++] = (peak_t){(int16_t)column, (int16_t)row, score};
    if (work.peak_count[keypoint] < POSE_MAX_PEAKS) return;
    const uint32_t weakest = weakest_peak(keypoint);
    work.weakest[keypoint] = (uint8_t)weakest;
    work.least[keypoint] = element(channel, list[weakest].y, list[weakest].x);
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
    keep_peak(channel, row, column, value);
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

/* Bit 7 of each byte, signed, of one word that is no smaller than the other word's. */
static inline uint32_t no_smaller_bytes(uint32_t one, uint32_t other)
{
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
    uint32_t result;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %3, %4"
            : "=&r"(result)
            : "r"(one), "r"(other), "r"(0x80808080u), "r"(0u));
    return result;
#else
    const uint32_t first = one ^ 0x80808080u, second = other ^ 0x80808080u;
    const uint32_t rest = (first | 0x80808080u) - (second & 0x7F7F7F7Fu);
    return ((first & ~second) | (~(first ^ second) & rest)) & 0x80808080u;
#endif
}

static inline uint32_t word_at(uintptr_t address)
{
    return *(const volatile uint32_t *)address;
}

/* Bytes of a word that exceed all eight neighbours, as is_peak_at_edge() says; of those of which bit 7
 * is set in large. What lies outside the map is smaller than anything. */
static inline uint32_t peak_bytes(const channel_t *channel, uintptr_t address, int32_t row,
                                  int32_t column, uint32_t large)
{
    const uint32_t word = word_at(address);
    const uint32_t next = channel->map->column_stride;
    const bool left = column > 0;
    const bool right = column < channel->columns - 1;
    if (left) large &= ~no_smaller_bytes(word_at(address - next), word);
    if (right) large &= no_smaller_bytes(word, word_at(address + next));
    if (large == 0) return 0; /* most of what is large lies on a slope */
    if (row > 0) {
        const uintptr_t above = address - channel->map->row_stride;
        large &= ~no_smaller_bytes(word_at(above), word);
        if (left) large &= ~no_smaller_bytes(word_at(above - next), word);
        if (right) large &= ~no_smaller_bytes(word_at(above + next), word);
    }
    if (row < channel->rows - 1) {
        const uintptr_t below = address + channel->map->row_stride;
        large &= no_smaller_bytes(word, word_at(below));
        if (left) large &= no_smaller_bytes(word, word_at(below - next));
        if (right) large &= no_smaller_bytes(word, word_at(below + next));
    }
    return large;
}

static inline uint32_t lowest_bit(uint32_t value)
{
    return 31u - leading_zeros(value & (0u - value));
}

/* Keep the peaks among the bytes of a word of which bit 7 is set in large. */
static void handle_word(channel_t *channel, uint32_t first, uint32_t large, int32_t row,
                        int32_t column, uintptr_t address)
{
    large = peak_bytes(channel, address, row, column, large);
    for (; large != 0; large &= large - 1u) {
        const uint32_t lane = lowest_bit(large) >> 3;
        channel->channel = first + lane;
        keep_peak(channel, row, column, load(address + lane, false));
    }
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
            const uint32_t large = larger_bytes(word_at(address), threshold) & lanes;
            if (large != 0) handle_word(channel, first, large, row, column, address);
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

/* Pairs of peaks to look at when no keypoint has more than so many. */
static uint32_t pairs_of(uint32_t most)
{
    uint32_t pairs = 0;
    for (uint32_t limb = 0; limb < POSE_LIMBS; ++limb) {
        const uint32_t starts = work.peak_count[pose_limbs[limb][0]];
        const uint32_t ends = work.peak_count[pose_limbs[limb][1]];
        pairs += (starts < most ? starts : most) * (ends < most ? ends : most);
    }
    return pairs;
}

/* Leave so many peaks of every keypoint, the strongest, that their pairs can be looked at in time. */
static void bound_pairs(void)
{
    uint32_t most = POSE_MAX_PEAKS;
    while (most > 1u && pairs_of(most) > POSE_MAX_PAIRS) --most;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        while (work.peak_count[k] > most) drop_peak(k, weakest_peak(k));
    }
}

static void scan_all(channel_t *channel, int32_t threshold)
{
    if (channel->map->wide == 0) {
        scan_narrow(channel, threshold);
        return;
    }
    for (uint32_t keypoint = 0; keypoint < POSE_KEYPOINTS; ++keypoint) {
        channel->channel = keypoint;
        scan(channel, threshold, true);
    }
}

/* Elements are integers: above least * 2^unit means above its whole part. At most 2^26. */
static inline int32_t threshold_of(const pose_map_t *map, uint32_t least)
{
    return (int32_t)(((uint64_t)least << map->unit) >> 16);
}

static channel_t first_channel(const pose_map_t *map, uint32_t rows, uint32_t columns)
{
    channel_t channel = {map, 0, (int32_t)rows, (int32_t)columns, 0, 0};
    channel.floor = (int32_t)((1u << map->unit) / 1000u);
    channel.log_floor = ((int32_t)map->unit << 20) - POSE_LOG2_1000;
    return channel;
}

APART void find_peaks(const channel_t *first, uint32_t peak)
{
    channel_t channel = *first;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        work.peak_count[k] = 0;
        work.least[k] = INT32_MIN;
    }
    scan_all(&channel, threshold_of(channel.map, peak));
    bound_pairs();
    for (uint32_t keypoint = 0; keypoint < POSE_KEYPOINTS; ++keypoint) {
        channel.channel = keypoint;
        for (uint32_t i = 0; i < work.peak_count[keypoint]; ++i) {
            refine(&channel, &work.peaks[keypoint][i]);
        }
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

/* A limb's field where it is: narrow maps of FIELD_PITCH columns, a word from one to the next, with
 * 1.0 = 2^BYTE_UNIT. Few people need few of its cells. */
typedef struct {
    const int8_t *x, *y; /* the two channels' first elements */
    uint32_t low_row;    /* the last but one */
    bool at_end;         /* a peak lies on the last row or column */
} bytes_t;

#define BYTE_UNIT 7
#define NEXT_CELL 4u /* bytes */
#define NEXT_ROW (NEXT_CELL * FIELD_PITCH)

static bool fits_bytes(const pose_map_t *map, uint32_t columns)
{
    return map->wide == 0 && map->unit == BYTE_UNIT && columns == FIELD_PITCH &&
           map->column_stride == NEXT_CELL && map->row_stride == NEXT_ROW;
}

/* Whether a peak of the keypoint has no cells to its right or below it. */
static bool any_at_end(uint32_t keypoint, uint32_t rows)
{
    for (uint32_t i = 0; i < work.peak_count[keypoint]; ++i) {
        const peak_t *peak = &work.peaks[keypoint][i];
        if (peak->x >> CELL_SHIFT == FIELD_PITCH - 1) return true;
        if (peak->y >> CELL_SHIFT == (int32_t)rows - 1) return true;
    }
    return false;
}

static bytes_t bytes_of(const pose_map_t *map, uint32_t limb, uint32_t rows)
{
    const bool at_end = any_at_end(pose_limbs[limb][0], rows) ||
                        any_at_end(pose_limbs[limb][1], rows);
    return (bytes_t){(const int8_t *)place(map, 2u * limb, 0, 0),
                     (const int8_t *)place(map, 2u * limb + 1u, 0, 0), rows - 2u, at_end};
}

/* The field at a place right of and below a cell, Q10, 0 .. CELL: a pair of Q13. */
static inline uint32_t between(const int8_t *x, const int8_t *y, int32_t right, int32_t down)
{
    const int32_t both = (right * down + 32) >> 6; /* weights: Q14, together 1 */
    const int32_t only_right = 16 * right - both;
    const int32_t only_down = 16 * down - both;
    const int32_t neither = 16 * (CELL - down) - only_right;
    int32_t along_x = x[0] * neither;
    int32_t along_y = y[0] * neither;
    along_x += x[NEXT_CELL] * only_right;
    along_y += y[NEXT_CELL] * only_right;
    along_x += x[NEXT_ROW] * only_down;
    along_y += y[NEXT_ROW] * only_down;
    along_x += x[NEXT_ROW + NEXT_CELL] * both;
    along_y += y[NEXT_ROW + NEXT_CELL] * both;
    return pair(along_x >> 8, along_y >> 8);
}

_Static_assert(14 - (FIELD_SHIFT - BYTE_UNIT) == 8, "from bytes times weights to Q13");

/* The same as sample(), straight from the map. On the last row or column the cells are the last but
 * one and it, which has all of the weight; at_end is a constant. */
SPECIALISED uint32_t sample_bytes(const bytes_t *field, uint32_t x, uint32_t y, bool at_end)
{
    uint32_t column = x >> 25;
    uint32_t row = y >> 25;
    if (at_end && column > FIELD_PITCH - 2u) column = FIELD_PITCH - 2u;
    if (at_end && row > field->low_row) row = field->low_row;
    const uint32_t here = (row * FIELD_PITCH + column) * NEXT_CELL;
    if (at_end) {
        return between(field->x + here, field->y + here, (int32_t)((x >> 15) - column * CELL),
                       (int32_t)((y >> 15) - row * CELL));
    }
    return between(field->x + here, field->y + here, (int32_t)(x >> 15 & 1023u),
                   (int32_t)(y >> 15 & 1023u));
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

/* A line between two peaks, for the look-ups along it. */
typedef struct {
    int32_t x, y;    /* of the start: Q25 cells, and half a Q10 cell */
    int32_t back;    /* to the start from the end: a pair of Q10 cells */
    uint32_t unit;   /* direction: a pair of Q14 */
    int32_t weakest; /* Q27: a component that agrees is larger */
} line_t;

/* What the look-ups came to: disagreements left before the line is given up, from bit 24 on, and the
 * sum of the components that agree below: Q15, at most 2^18 each. Negative: given up. Together, since
 * registers are scarce here. */
#define ONE_LEFT (1 << 24)

/* Looks at the middle first and gives up as soon as too many samples disagree: most wrong pairs cost a
 * few samples only. Bytes or words, whether a peak lies at the end: constants. */
SPECIALISED int32_t look_along(const line_t *line, const bytes_t *bytes, bool at_end, int32_t state,
                               uint32_t *looked)
{
    const int16_t *along = pose_sample_back_q15;
    for (; *along != POSE_SAMPLES_END; ++along) {
        const uint32_t x = (uint32_t)(line->x + (int16_t)line->back * *along);
        const uint32_t y = (uint32_t)(line->y + (line->back >> 16) * *along);
        const uint32_t here = bytes != NULL ? sample_bytes(bytes, x, y, at_end) : sample(x, y);
        const int32_t value = dual_multiply(here, line->unit); /* Q27, at most 2^30 */
        if (value > line->weakest) {
            state += value >> 12;
        } else if ((state -= ONE_LEFT) < 0) {
            ++along;
            break;
        }
    }
    *looked += (uint32_t)(along - pose_sample_back_q15);
    return state;
}

/* Mean component along the limb from a to b over the samples that agree, Q15, or NONE. */
SPECIALISED int32_t affinity_of(peak_t a, peak_t b, const pose_settings_t *settings,
                                const bytes_t *bytes, bool at_end)
{
    const int32_t dx = b.x - a.x;
    const int32_t dy = b.y - a.y;
    if (dx == 0 && dy == 0) return NONE;
    const line_t line = {
        .x = a.x * (1 << 15) + (1 << 14),
        .y = a.y * (1 << 15) + (1 << 14),
        .back = (int32_t)pair(-dx, -dy),
        .unit = direction(dx, dy),
        .weakest = (int32_t)settings->affinity,
    };
    const int32_t most = POSE_SAMPLES - settings->agreeing;
    const int32_t state = look_along(&line, bytes, at_end, most * ONE_LEFT, &work.looked);
    if (state < 0) return NONE;
    const int32_t disagreed = most - (state >> 24);
    return (state & (ONE_LEFT - 1)) / (POSE_SAMPLES - disagreed); /* 1 or more have agreed */
}

static inline candidate_t candidate_of(int32_t affinity, uint32_t start, uint32_t end)
{
    return (uint32_t)affinity << 8 | (15u - start) << 4 | (15u - end);
}

static inline uint32_t start_of(candidate_t candidate)
{
    return 15u - (candidate >> 4 & 15u);
}

static inline uint32_t end_of(candidate_t candidate)
{
    return 15u - (candidate & 15u);
}

SPECIALISED void find_candidates(uint32_t limb, const pose_settings_t *settings,
                                 const bytes_t *bytes, bool at_end)
{
    const uint32_t start = pose_limbs[limb][0];
    const uint32_t end = pose_limbs[limb][1];
    for (uint32_t a = 0; a < work.peak_count[start]; ++a) {
        for (uint32_t b = 0; b < work.peak_count[end]; ++b) {
            if (work.looked >= POSE_MAX_LOOKS) return;
            const int32_t affinity =
                affinity_of(work.peaks[start][a], work.peaks[end][b], settings, bytes, at_end);
            if (affinity == NONE || work.candidate_count >= MAX_CANDIDATES) continue;
            work.candidates[work.candidate_count++] = candidate_of(affinity, a, b);
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
static void join(uint32_t limb, uint32_t from, uint32_t to, int32_t affinity)
{
    const uint32_t start = pose_limbs[limb][0];
    const uint32_t end = pose_limbs[limb][1];
    int32_t first = owner_of(start, from);
    const int32_t second = owner_of(end, to);
    /* Such a limb closes a loop; it must not start a person either. */
    if (pose_limb_is_loop[limb] != 0 && (first == NONE || second != NONE)) return;
    if (first == NONE && second == NONE) first = new_group();
    if (first != NONE && second != NONE && first != second && !merge(first, second)) return;
    const int32_t group = first != NONE ? first : second;
    if (group == NONE) return;
    if (has_other(group, start, from) || has_other(group, end, to)) return;
    give(group, start, (int8_t)from);
    give(group, end, (int8_t)to);
    work.groups[group].affinity += affinity;
}

/* The best candidate of those whose peaks are both unused, or 0; the others are struck off. */
static candidate_t best_of_unused(uint32_t starts_used, uint32_t ends_used)
{
    candidate_t best = 0;
    candidate_t *kept = work.candidates;
    const candidate_t *end = kept + work.candidate_count;
    for (const candidate_t *each = kept; each < end; ++each) {
        const candidate_t candidate = *each;
        if ((starts_used >> start_of(candidate) | ends_used >> end_of(candidate)) & 1u) continue;
        *kept++ = candidate;
        if (candidate > best) best = candidate;
    }
    work.candidate_count = (uint32_t)(kept - work.candidates);
    return best;
}

/* Join the candidates of one limb, the best first, each peak at most once. */
static void connect(uint32_t limb)
{
    uint32_t starts_used = 0;
    uint32_t ends_used = 0;
    for (uint32_t round = 0; round < POSE_MAX_PEAKS; ++round) {
        const candidate_t best = best_of_unused(starts_used, ends_used);
        if (best == 0) return;
        starts_used |= 1u << start_of(best);
        ends_used |= 1u << end_of(best);
        join(limb, start_of(best), end_of(best), (int32_t)(best >> 8));
    }
}

static void group_people(const pose_map_t *map, uint32_t rows, uint32_t columns,
                         const pose_settings_t *settings)
{
    work.group_count = 0;
    work.looked = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        for (uint32_t i = 0; i < POSE_MAX_PEAKS; ++i) work.owner[k][i] = NONE;
    }
    for (uint32_t step = 0; step < POSE_LIMBS; ++step) {
        const uint32_t limb = pose_group_order[step];
        work.candidate_count = 0;
        if (work.peak_count[pose_limbs[limb][0]] == 0) continue;
        if (work.peak_count[pose_limbs[limb][1]] == 0) continue;
        if (rows * columns > SMALL_MAP && fits_bytes(map, columns)) {
            const bytes_t bytes = bytes_of(map, limb, rows);
            if (bytes.at_end) {
                find_candidates(limb, settings, &bytes, true);
            } else {
                find_candidates(limb, settings, &bytes, false);
            }
        } else {
            fetch_field(map, limb, rows, columns);
            find_candidates(limb, settings, NULL, false);
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

/* What to add to the score of a group that is a side of the picture long, or less: Q15, 0 or less.
 * Cells of the longer side of the picture. */
static int32_t for_size(const group_t *group, uint32_t cells)
{
    int32_t low_x = INT16_MAX, low_y = INT16_MAX;
    int32_t high_x = 0, high_y = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        if (group->peak[k] == NONE) continue;
        const peak_t *peak = &work.peaks[k][group->peak[k]];
        if (peak->x < low_x) low_x = peak->x;
        if (peak->x > high_x) high_x = peak->x;
        if (peak->y < low_y) low_y = peak->y;
        if (peak->y > high_y) high_y = peak->y;
    }
    const int32_t wide = high_x - low_x;
    const int32_t high = high_y - low_y;
    const int32_t side = limited(wide > high ? wide : high, CELL, POSE_MAX_SIDE * CELL);
    return (log2_q20((uint32_t)side) - log2_q20(cells * CELL)) >> POSE_SIZE_SHIFT;
}

/* How sure a person is, Q15 (at most 19 * 4.0), or NONE for one not to report: the limbs' affinities
 * over the points and a few more, so that what few points tell weighs less; less for small ones. */
static int32_t score_of(const group_t *group, const pose_settings_t *settings, uint32_t cells)
{
    uint32_t count = 0;
    if (group->found == 0) return NONE;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) count += group->peak[k] != NONE;
    if (count < settings->min_keypoints) return NONE;
    const int32_t mean = group->affinity / (int32_t)(count + POSE_SCORE_PRIOR);
    const int32_t score = limited(mean + for_size(group, cells), 0, INT32_MAX);
    return (uint32_t)score >= settings->min_score ? score : NONE;
}

/* From here on the affinity of a group is its score. */
static void score_groups(const pose_settings_t *settings, uint32_t cells)
{
    for (uint32_t i = 0; i < work.group_count; ++i) {
        work.groups[i].affinity = score_of(&work.groups[i], settings, cells);
    }
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
            if (work.groups[i].affinity <= best_score) continue;
            best = (int32_t)i;
            best_score = work.groups[i].affinity;
        }
        if (best == NONE) return;
        report(&work.groups[best], best_score, settings->stride, &result->people[result->count++]);
        work.groups[best].affinity = NONE; /* done with it */
    }
}

/* ---- faint points -------------------------------------------------------------------------- */

/* Where a point is expected, and how far it may be away: eighths of cells. */
typedef struct {
    int32_t x, y, reach;
} search_t;

/* Width and height, together, of the box around the points found: Q4 pixels; and around the same points
 * of the mean body. */
static void measure(const pose_person_t *person, int32_t *size, int32_t *body)
{
    int32_t low[4] = {INT16_MAX, INT16_MAX, INT16_MAX, INT16_MAX};
    int32_t high[4] = {INT16_MIN, INT16_MIN, INT16_MIN, INT16_MIN};
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const pose_point_t *point = &person->points[k];
        const int32_t at[4] = {point->x, point->y, pose_body[k][0], pose_body[k][1]};
        if (point->value == 0) continue;
        for (uint32_t i = 0; i < 4; ++i) {
            if (at[i] < low[i]) low[i] = at[i];
            if (at[i] > high[i]) high[i] = at[i];
        }
    }
    *size = high[0] - low[0] + high[1] - low[1];
    *body = limited(high[2] - low[2] + high[3] - low[3], POSE_LEAST_BODY, INT16_MAX);
}

static int32_t eighths(int32_t at, int32_t stride)
{
    return limited((at - (stride - 1) * 8) / (2 * stride), -1023, 1023);
}

/* Whether the point is somebody's who is reported. */
static bool is_taken(const pose_result_t *result, uint32_t keypoint, pose_point_t point)
{
    for (uint32_t i = 0; i < result->count; ++i) {
        const pose_point_t *other = &result->people[i].points[keypoint];
        if (other->value != 0 && other->x == point.x && other->y == point.y) return true;
    }
    return false;
}

/* Rows or columns within reach, count of them in all: the first; the last and one. */
static inline int32_t first_within(int32_t middle, int32_t reach)
{
    const int32_t first = (middle - reach + 7) >> 3;
    return first > 0 ? first : 0;
}

static inline int32_t end_within(int32_t middle, int32_t reach, int32_t count)
{
    const int32_t end = ((middle + reach) >> 3) + 1;
    return end < count ? end : count;
}

static uint32_t cells_within(const search_t *search, const channel_t *channel)
{
    const int32_t rows = end_within(search->y, search->reach, channel->rows) -
                         first_within(search->y, search->reach);
    const int32_t columns = end_within(search->x, search->reach, channel->columns) -
                            first_within(search->x, search->reach);
    return rows > 0 && columns > 0 ? (uint32_t)(rows * columns) : 0;
}

/* A peak of that value, Q15, as a point. */
static pose_point_t point_at(const channel_t *channel, int32_t row, int32_t column, int32_t score,
                             uint32_t stride)
{
    peak_t peak = {(int16_t)column, (int16_t)row, score};
    refine(channel, &peak);
    return (pose_point_t){pixels(peak.x, stride), pixels(peak.y, stride),
                          (uint16_t)limited(score, 1, UINT16_MAX)};
}

/* A search of one kind of point, and the likeliest peak so far. */
typedef struct {
    const channel_t *channel;
    const pose_result_t *result;
    search_t search;
    uint32_t stride;
    int32_t best;
    pose_point_t found;
} quest_t;

/* Take the element if it is a likelier peak that is nobody else's. */
static void consider(quest_t *quest, int32_t row, int32_t column, int32_t value, int32_t near)
{
    const channel_t *channel = quest->channel;
    const int32_t score = rescaled(value, channel->map->unit, SCORE_SHIFT, 1, SCORE_MAX);
    const int32_t likely = (score >> 7) * near; /* at most 2^28 */
    if (likely <= quest->best || !is_peak_at_edge(channel, row, column, value)) return;
    const pose_point_t point = point_at(channel, row, column, score, quest->stride);
    if (is_taken(quest->result, channel->channel, point)) return;
    quest->best = likely;
    quest->found = point;
}

/* Look at all cells within reach. */
SPECIALISED void look_about(quest_t *quest, int32_t threshold, bool wide)
{
    const channel_t *channel = quest->channel;
    const search_t search = quest->search;
    const uint32_t step = channel->map->column_stride;
    const int32_t last_row = end_within(search.y, search.reach, channel->rows);
    const int32_t first_column = first_within(search.x, search.reach);
    const int32_t last_column = end_within(search.x, search.reach, channel->columns);
    for (int32_t row = first_within(search.y, search.reach); row < last_row; ++row) {
        const int32_t dy = 8 * row - search.y;
        const int32_t room = search.reach * search.reach - dy * dy;
        uintptr_t address =
            place(channel->map, channel->channel, (uint32_t)row, (uint32_t)first_column);
        for (int32_t column = first_column; column < last_column; ++column, address += step) {
            const int32_t value = load(address, wide);
            if (value <= threshold) continue;
            /* As in scan(): most of what is large lies on a slope. */
            if (column > 0 && load(address - step, wide) >= value) continue;
            if (column < channel->columns - 1 && load(address + step, wide) > value) continue;
            const int32_t dx = 8 * column - search.x;
            if (room > dx * dx) consider(quest, row, column, value, room - dx * dx);
        }
    }
}

/* By which of the points found a missing one is expected, or NONE. */
static int32_t anchor(uint32_t keypoint, uint32_t found)
{
    for (uint32_t i = 0; i < POSE_NEAREST; ++i) {
        const uint8_t other = pose_nearest[keypoint][i];
        if (found >> other & 1u) return other;
    }
    return NONE;
}

static void complete(channel_t *channel, int32_t threshold, uint32_t stride, uint32_t *looked,
                     const pose_result_t *result, pose_person_t *person)
{
    uint32_t found = 0;
    int32_t size, body;
    if (person->count < POSE_LEAST_FOUND) return;
    measure(person, &size, &body);
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        if (person->points[k].value != 0) found |= 1u << k;
    }
    const int32_t reach = POSE_BODY_UNIT / 2 * size / (body * (int32_t)stride);
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const int32_t other = anchor(k, found);
        if ((found >> k & 1u) || other == NONE) continue;
        const int32_t x = (pose_body[k][0] - pose_body[other][0]) * size / body;
        const int32_t y = (pose_body[k][1] - pose_body[other][1]) * size / body;
        const search_t search = {eighths(person->points[other].x + x, (int32_t)stride),
                                 eighths(person->points[other].y + y, (int32_t)stride),
                                 reach < 511 ? reach : 511};
        const uint32_t cells = cells_within(&search, channel);
        if (*looked + cells > POSE_MAX_CELLS) continue;
        *looked += cells;
        channel->channel = k;
        quest_t quest = {channel, result, search, stride, 0, {0, 0, 0}};
        if (channel->map->wide != 0) {
            look_about(&quest, threshold, true);
        } else {
            look_about(&quest, threshold, false);
        }
        person->points[k] = quest.found;
        person->count += person->points[k].value != 0;
    }
}

APART void add_faint_points(const channel_t *first, const pose_settings_t *settings,
                            pose_result_t *result)
{
    const int32_t threshold = threshold_of(first->map, settings->faint);
    channel_t channel = *first;
    uint32_t looked = 0;
    if (settings->faint >= settings->peak) return;
    for (uint32_t i = 0; i < result->count; ++i) {
        complete(&channel, threshold, settings->stride, &looked, result, &result->people[i]);
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
    return settings->peak < (1u << 18) && settings->faint < (1u << 18) &&
           settings->affinity < (1u << 30) && settings->min_score < (1u << 20) &&
           settings->agreeing >= 1 &&
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
    const channel_t channel = first_channel(heat, rows, columns);
    find_peaks(&channel, settings->peak);
    group_people(pafs, rows, columns, settings);
    score_groups(settings, rows > columns ? rows : columns);
    report_best(settings, result);
    add_faint_points(&channel, settings, result);
    return POSE_OK;
}
