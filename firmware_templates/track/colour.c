/* SPDX-License-Identifier: MIT */
#include "colour.h"

#include "fixed.h"
#include "likeness.h"

#if FOLLOW_COLOUR

#define ALIKE 40u
#define UNEVEN 40u
#define LEAST_CELLS 4u
#define MOST_CELLS 6u
#define MOST_KNOWN 15u
#define NECK 1u
#define GROWN 26 /* Q8: of its longer side, how much larger a torso's box is either way */

/* ---- thumbnail --------------------------------------------------------------------------------- */

static void set(uint8_t *row, uint32_t nibble, uint32_t value)
{
    const uint32_t shift = nibble % 2u * 4u;
    row[nibble / 2u] = (uint8_t)((row[nibble / 2u] & ~(15u << shift)) | value << shift);
}

/* Two pixels, the first byte lowest. */
static uint32_t pair_at(const uint8_t *at)
{
    uint32_t two;
    __builtin_memcpy(&two, at, sizeof two);
    return two;
}

/* The sum of both halves. */
static uint32_t both(uint32_t word)
{
    return (word & 0xFFFFu) + (word >> 16);
}

void thumbnail_row(thumbnail_t *thumbnail, uint32_t row, const uint8_t *pixels)
{
    uint8_t *cells = thumbnail->rows[row];
    for (uint32_t cell = 0; cell < THUMBNAIL_SIDE; ++cell) {
        /* Two pixels a word, in halves of it: of the first bytes (red, and green from bit 3 on), of the second
         * (green below bit 3, and blue), and of blue (from bit 8 on) and the upper green alone. */
        uint32_t firsts = 0, seconds = 0, parts = 0;
        const uint8_t *at = pixels + 2u * THUMBNAIL_PIXELS * cell;
        for (uint32_t y = 0; y < THUMBNAIL_PIXELS; ++y, at += 2u * THUMBNAIL_PIXELS * THUMBNAIL_SIDE) {
            for (uint32_t x = 0; x < THUMBNAIL_PIXELS / 2u; ++x) {
                const uint32_t two = pair_at(at + 4u * x);
                firsts += two & 0x00FF00FFu;
                seconds += two >> 8 & 0x00FF00FFu;
                parts += two & 0x1F071F07u;
            }
        }
        const uint32_t first = both(firsts), second = both(seconds);
        const uint32_t upper = both(parts & 0x00FF00FFu), blue = both(parts >> 8 & 0x00FF00FFu);
        const uint32_t red = (first - upper) >> 3, green = 8u * upper + ((second - blue) >> 5);
        set(cells, 3u * cell, red >> 5);
        set(cells, 3u * cell + 1u, green >> 6);
        set(cells, 3u * cell + 2u, blue >> 5);
    }
}

static uint8_t cell_of(const thumbnail_t *thumbnail, uint32_t row, uint32_t column, uint32_t channel)
{
    const uint32_t nibble = 3u * column + channel;
    const uint32_t value = thumbnail->rows[row][nibble / 2u] >> nibble % 2u * 4u & 15u;
    return (uint8_t)(16u * value + 8u);
}

/* ---- colours ----------------------------------------------------------------------------------- */

uint32_t colour_away(const colour_t *one, const colour_t *other)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < 3; ++i) {
        const uint32_t away = fixed_distance(one->channels[i] >> 4, other->channels[i] >> 4);
        if (away > most) most = away;
    }
    return most;
}

bool colour_alike(const colour_t *known, const colour_t *found)
{
    return found->known != 0 && known->known >= COLOUR_SURE && colour_away(known, found) <= ALIKE;
}

bool colour_unlike(const colour_t *known, const colour_t *found, uint32_t nearest)
{
    return found->known != 0 && known->known >= COLOUR_SURE && colour_away(known, found) > nearest + ALIKE;
}

void colour_learn(colour_t *known, const colour_t *found)
{
    if (found->known == 0) return;
    if (known->known == 0) {
        *known = *found;
    } else if (colour_away(known, found) > ALIKE) {
        --known->known;
    } else {
        const uint32_t share = known->known >= COLOUR_SURE ? 4u : 1u;
        for (uint32_t i = 0; i < 3; ++i) {
            const int32_t more = (int32_t)found->channels[i] - known->channels[i];
            known->channels[i] = (uint16_t)(known->channels[i] + (more >> share));
        }
        if (known->known < MOST_KNOWN) ++known->known;
    }
}

/* ---- people ------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t cells[3][MOST_CELLS]; /* of each channel */
    uint32_t count;
} body_t;

/* Of everybody, and of whom the cells are looked at. */
typedef struct {
    const thumbnail_t *thumbnail;
    const region_t *looked;
    box_t torsos[POSE_MAX_PEOPLE];
    uint32_t count, own;
} scene_t;

/* The box around neck, shoulders and hips, somewhat larger; with fewer than two of them there is none. */
static box_t torso_of(const pose_person_t *person)
{
    static const uint8_t torso[5] = {NECK, 2, 5, 8, 11};
    box_t box = {0, 0, 0, 0, 0};
    for (uint32_t k = 0; k < 5; ++k) {
        const pose_point_t *point = &person->points[torso[k]];
        if (point->value != 0) box_add(&box, point->x, point->y);
    }
    const int32_t width = box.right - box.left, height = box.bottom - box.top;
    const int32_t more = (width > height ? width : height) * GROWN >> 8;
    box.left -= more;
    box.top -= more;
    box.right += more;
    box.bottom += more;
    return box;
}

static bool is_covered(const scene_t *scene, int32_t x, int32_t y)
{
    for (uint32_t p = 0; p < scene->count; ++p) {
        const box_t *box = &scene->torsos[p];
        if (p == scene->own || box->count < 2) continue;
        if (x >= box->left && x <= box->right && y >= box->top && y <= box->bottom) return true;
    }
    return false;
}

/* THUMBNAIL_SIDE: outside. */
static uint32_t cell_at(int32_t at, uint32_t corner, uint32_t side)
{
    const int32_t inside = at + 8 - (int32_t)(corner << 4);
    if (inside < 0 || side == 0) return THUMBNAIL_SIDE;
    const uint32_t cell = 2u * (uint32_t)inside / side;
    return cell < THUMBNAIL_SIDE ? cell : THUMBNAIL_SIDE;
}

static void body_add(body_t *body, const scene_t *scene, int32_t x, int32_t y)
{
    const uint32_t column = cell_at(x, scene->looked->x, scene->looked->side);
    const uint32_t row = cell_at(y, scene->looked->y, scene->looked->side);
    if (column == THUMBNAIL_SIDE || row == THUMBNAIL_SIDE || is_covered(scene, x, y)) return;
    for (uint32_t i = 0; i < 3; ++i) {
        body->cells[i][body->count] = cell_of(scene->thumbnail, row, column, i);
    }
    ++body->count;
}

static void body_of(body_t *body, const pose_person_t *person, const scene_t *scene)
{
    static const uint8_t hips[2] = {8, 11}, ways[3] = {77, 128, 179}; /* Q8 */
    const pose_point_t *neck = &person->points[NECK];
    body->count = 0;
    for (uint32_t h = 0; h < 2 && neck->value != 0; ++h) {
        const pose_point_t *hip = &person->points[hips[h]];
        for (uint32_t w = 0; w < 3 && hip->value != 0; ++w) {
            const int32_t x = neck->x + ((hip->x - neck->x) * ways[w] >> 8);
            const int32_t y = neck->y + ((hip->y - neck->y) * ways[w] >> 8);
            body_add(body, scene, x, y);
        }
    }
}

static uint8_t median(const uint8_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        uint32_t less = 0, same = 0;
        for (uint32_t j = 0; j < count; ++j) {
            less += values[j] < values[i];
            same += values[j] == values[i];
        }
        if (less <= count / 2u && count / 2u < less + same) return values[i];
    }
    return 0; /* cannot happen */
}

static colour_t body_colour(const body_t *body)
{
    colour_t colour = {{0, 0, 0}, 0};
    if (body->count < LEAST_CELLS) return colour;
    for (uint32_t i = 0; i < 3; ++i) {
        colour.channels[i] = (uint16_t)(median(body->cells[i], body->count) << 4);
    }
    uint32_t even = 0;
    for (uint32_t c = 0; c < body->count; ++c) {
        bool same = true;
        for (uint32_t i = 0; i < 3; ++i) {
            same = same && fixed_distance(body->cells[i][c], colour.channels[i] >> 4) <= UNEVEN;
        }
        even += same;
    }
    colour.known = 2u * even > body->count;
    return colour;
}

void colours_of(const pose_result_t *people, const thumbnail_t *thumbnail, const region_t *looked,
                colour_t colours[POSE_MAX_PEOPLE])
{
    scene_t scene = {.thumbnail = thumbnail, .looked = looked, .count = people->count};
    for (uint32_t p = 0; p < people->count; ++p) scene.torsos[p] = torso_of(&people->people[p]);
    for (uint32_t p = 0; p < people->count; ++p) {
        body_t body;
        scene.own = p;
        body_of(&body, &people->people[p], &scene);
        colours[p] = body_colour(&body);
    }
}

#endif
