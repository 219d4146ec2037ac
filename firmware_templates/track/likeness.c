/* SPDX-License-Identifier: MIT */
#include "likeness.h"

#include "fixed.h"

#define LEAST_SIZE 128 /* Q4: 8 pixels */

void box_add(box_t *box, int32_t x, int32_t y)
{
    if (box->count++ == 0) {
        box->left = box->right = x;
        box->top = box->bottom = y;
        return;
    }
    if (x < box->left) box->left = x;
    if (x > box->right) box->right = x;
    if (y < box->top) box->top = y;
    if (y > box->bottom) box->bottom = y;
}

box_t person_box(const pose_person_t *person)
{
    box_t box = {0, 0, 0, 0, 0};
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const pose_point_t *point = &person->points[k];
        if (point->value != 0) box_add(&box, point->x, point->y);
    }
    return box;
}

static int32_t q4(int32_t q12)
{
    return (q12 + 128) >> 8;
}

box_t track_box(const tracked_t *track)
{
    box_t box = {0, 0, 0, 0, 0};
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const tracked_point_t *point = &track->points[k];
        if (point->value != 0) box_add(&box, q4(point->x), q4(point->y));
    }
    return box;
}

int32_t box_size(const box_t *box)
{
    const int32_t width = box->right - box->left, height = box->bottom - box->top;
    return fixed_clamp(width > height ? width : height, LEAST_SIZE, 16 * TRACK_MOST_SIDE);
}

int32_t track_near(int32_t q12)
{
    return fixed_clamp(q4(q12), -32768, 32767);
}

static uint32_t squared(int32_t dx, int32_t dy)
{
    const uint32_t x = (uint32_t)(dx < 0 ? -dx : dx), y = (uint32_t)(dy < 0 ? -dy : dy);
    /* Halved before it could leave 32 bits; so far away it makes no difference. */
    if (x >= 32768 || y >= 32768) return 0xE0000000u;
    return x * x + y * y;
}

static uint32_t middle_likeness(const tracked_t *track, const pose_person_t *person, int32_t size)
{
    const box_t known = track_box(track), found = person_box(person);
    if (known.count == 0 || found.count == 0) return 0;
    const int32_t dx = fixed_clamp((known.left + known.right) >> 1, -32768, 32767) -
                       ((found.left + found.right) >> 1);
    const int32_t dy = fixed_clamp((known.top + known.bottom) >> 1, -32768, 32767) -
                       ((found.top + found.bottom) >> 1);
    return fixed_kernel((uint32_t)(size * size) >> 4, squared(dx, dy)) >> 1;
}

uint32_t point_likeness(int32_t size, const tracked_point_t *known, int32_t x, int32_t y)
{
    const uint32_t away = squared(track_near(known->x) - x, track_near(known->y) - y);
    return fixed_kernel((uint32_t)(size * size) >> 6, away);
}

uint32_t likeness(const tracked_t *track, const pose_person_t *person, int32_t found_size)
{
    const int32_t size = track->size > found_size ? track->size : found_size;
    uint32_t sum = 0, count = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const tracked_point_t *known = &track->points[k];
        const pose_point_t *found = &person->points[k];
        if (known->value == 0 || found->value == 0) continue;
        sum += point_likeness(size, known, found->x, found->y);
        ++count;
    }
    return count >= LIKENESS_COMMON ? sum / count : middle_likeness(track, person, size);
}

uint32_t track_likeness(const tracked_t *one, const tracked_t *other)
{
    const int32_t size = one->size > other->size ? one->size : other->size;
    uint32_t sum = 0, count = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const tracked_point_t *a = &one->points[k], *b = &other->points[k];
        if (a->value == 0 || b->value == 0) continue;
        sum += point_likeness(size, a, track_near(b->x), track_near(b->y));
        ++count;
    }
    return count >= LIKENESS_COMMON ? sum / count : 0;
}
