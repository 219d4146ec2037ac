/* SPDX-License-Identifier: MIT */
#include "tracker.h"

#include "clothes.h"
#include "crossing.h"
#include "fixed.h"
#include "likeness.h"
#include "steady.h"

#define LEAST_MS 5u
#define MOST_MS 250u
#define LONG_MS 1000u         /* a step after which nobody is known any more */
#define MOST_PLACE (1 << 23)  /* Q12: 2048 pixels either way */
#define SPEED_SHARE 100u      /* Q12: of an error in place that counts as one in speed */
#define DECAY_SHARE 16u       /* Q12: of its speed that a track not seen loses in each picture */
#define GROW_SHARE 1024u      /* Q12: how fast a size follows what is seen */
#define SHRINK_SHARE 256u
#define AGAIN 1500u                /* Q12: as like as this to somebody known: not somebody new */
#define NEW_POINTS 4u              /* somebody new has at least so many */
#define HIDDEN_MS 4000u            /* somebody hidden and not seen for longer is gone */
#define FRONT_MS 500u              /* whoever hides somebody has been seen since */
#define FRONT 1024u                /* Q12: as like as this to somebody who leaves: it is in front */

const tracker_settings_t tracker_default_settings = {
    .least = 1024,
    .confirm = 2,
    .leave_ms = 1000,
    .hold_ms = 250,
    .fade_ms = 350,
    .good = 13107,
    .slow_hz = 205,
    .opening_hz = 1024,
    .speed_hz = 256,
};

/* ---- regions ------------------------------------------------------------------------------- */

int32_t region_to_picture(int32_t at, uint32_t corner, uint32_t side, uint32_t input_side)
{
    const int32_t scaled = (at + 8) * (int32_t)side;
    const int32_t input = (int32_t)input_side;
    const int32_t rounded = (scaled + (scaled < 0 ? -input : input) / 2) / input;
    return (int32_t)(corner << 4) + rounded - 8;
}

void region_people(const region_t *region, uint32_t input_side, pose_result_t *people)
{
    for (uint32_t i = 0; i < people->count; ++i) {
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            pose_point_t *point = &people->people[i].points[k];
            if (point->value == 0) continue;
            point->x = (int16_t)fixed_clamp(
                region_to_picture(point->x, region->x, region->side, input_side), -32768, 32767);
            point->y = (int16_t)fixed_clamp(
                region_to_picture(point->y, region->y, region->side, input_side), -32768, 32767);
        }
    }
}

static void compare(const tracker_t *tracker, const pose_result_t *people, pairs_t *pairs)
{
    for (uint32_t p = 0; p < people->count; ++p) {
        const box_t box = person_box(&people->people[p]);
        const int32_t size = box_size(&box);
        for (uint32_t t = 0; t < TRACK_MAX; ++t) {
            const tracked_t *track = &tracker->tracks[t];
            pairs->like[t][p] =
                (uint16_t)(track->seen ? likeness(track, &people->people[p], size) : 0);
        }
    }
}

/* The best pair of those that are left; of equals the first track, then the first person. */
static bool best_pair(const pairs_t *pairs, uint32_t count, uint32_t least, uint32_t *best_track,
                      uint32_t *best_person)
{
    uint32_t best = least - 1;
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        if (pairs->person_of[t] != CROSSING_NOBODY) continue;
        for (uint32_t p = 0; p < count; ++p) {
            if (pairs->track_of[p] != CROSSING_NOBODY || pairs->like[t][p] <= best) continue;
            best = pairs->like[t][p];
            *best_track = t;
            *best_person = p;
        }
    }
    return best >= least;
}

static void match(tracker_t *tracker, const pose_result_t *people, uint32_t least, pairs_t *pairs)
{
    for (uint32_t i = 0; i < TRACK_MAX; ++i) pairs->person_of[i] = CROSSING_NOBODY;
    for (uint32_t i = 0; i < POSE_MAX_PEOPLE; ++i) pairs->track_of[i] = CROSSING_NOBODY;
    compare(tracker, people, pairs);
    clothes_refuse(tracker, people->count, least, pairs);
    uint32_t t = 0, p = 0;
    while (best_pair(pairs, people->count, least, &t, &p)) {
        pairs->person_of[t] = (uint8_t)p;
        pairs->track_of[p] = (uint8_t)t;
    }
}

/* ---- tracks ------------------------------------------------------------------------------------ */

/* Q8 pixels a second times milliseconds, in Q12 pixels. */
static int32_t way_of(int32_t speed, uint32_t ms)
{
    return (int32_t)((int64_t)speed * (int32_t)(ms * 1049u) >> 16);
}

/* To where its speed takes it. */
static void move_on(tracked_t *track, uint32_t ms)
{
    const int32_t x = way_of(track->speed_x, ms), y = way_of(track->speed_y, ms);
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        tracked_point_t *point = &track->points[k];
        point->x = fixed_clamp(point->x + x, -MOST_PLACE, MOST_PLACE);
        point->y = fixed_clamp(point->y + y, -MOST_PLACE, MOST_PLACE);
    }
}

/* The mean error of the expected places changes the speed. */
static void correct_speed(tracked_t *track, const pose_person_t *person, uint32_t ms)
{
    int32_t x = 0, y = 0, count = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        const tracked_point_t *point = &track->points[k];
        if (point->value == 0 || person->points[k].value == 0) continue;
        x += (int32_t)person->points[k].x * 256 - point->x;
        y += (int32_t)person->points[k].y * 256 - point->y;
        ++count;
    }
    if (count == 0) return;
    const int32_t dx = steady_speed(x / count, ms), dy = steady_speed(y / count, ms);
    track->speed_x = fixed_clamp(track->speed_x + (int32_t)((int64_t)dx * SPEED_SHARE >> 12),
                                 -STEADY_MOST_SPEED, STEADY_MOST_SPEED);
    track->speed_y = fixed_clamp(track->speed_y + (int32_t)((int64_t)dy * SPEED_SHARE >> 12),
                                 -STEADY_MOST_SPEED, STEADY_MOST_SPEED);
}

/* Of people who cross what is found is believed half, and the speed stays: they go on as they went. */
static void track_seen(tracked_t *track, const pose_person_t *person,
                       const tracker_settings_t *settings, uint32_t ms, bool crossing)
{
    if (!crossing) correct_speed(track, person, ms);
    const box_t box = person_box(person);
    const int32_t size = box_size(&box);
    track->size = fixed_toward(track->size, size, size > track->size ? GROW_SHARE : SHRINK_SHARE);
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        tracked_point_t *point = &track->points[k];
        if (person->points[k].value != 0) {
            steady_found(point, &person->points[k], track->size, settings, ms, crossing);
            continue;
        }
        steady_missing(point, ms);
        if (steady_faded(point, settings)) point->value = 0;
    }
    track->missed = 0;
    track->unseen = 0;
    track->front = 0;
    const uint32_t most = (uint32_t)settings->confirm + CLOTHES_WAIT;
    if (track->seen < most && track->seen < UINT16_MAX) ++track->seen;
}

static void track_begin(tracked_t *track, const pose_person_t *person)
{
    const box_t box = person_box(person);
    track->number = 0;
    track->seen = 1;
    track->missed = 0;
    track->unseen = 0;
    track->front = 0;
    track->size = box_size(&box);
    track->speed_x = track->speed_y = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
        steady_begin(&track->points[k], &person->points[k]);
        if (person->points[k].value == 0) track->points[k].missing = 65535;
    }
}

/* Whether the network would have seen the track's middle; of somebody who has left the picture, the
 * border next to it. Without a point left nobody knows. */
static bool expected_in(const tracked_t *track, const region_t *looked, int32_t edge)
{
    const box_t box = track_box(track);
    if (box.count == 0) return true;
    const int32_t x = fixed_clamp((box.left + box.right) >> 5, 0, edge - 1);
    const int32_t y = fixed_clamp((box.top + box.bottom) >> 5, 0, edge - 1);
    return x >= looked->x && x < looked->x + looked->side && y >= looked->y &&
           y < looked->y + looked->side;
}

/* Who is in front of somebody who would leave, with whom it goes on unseen; 0: nobody. */
static const tracked_t *in_front(const tracker_t *tracker, const tracked_t *track)
{
    const tracked_t *best = 0;
    uint32_t most = FRONT - 1u;
    if (track->number == 0 || track->unseen > HIDDEN_MS || clothes_known(track)) return 0;
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *other = &tracker->tracks[t];
        if (other == track || other->seen == 0 || other->number == 0 || other->front) continue;
        if (track->front) {
            if (other->number == track->front && other->unseen <= FRONT_MS) return other;
            continue;
        }
        const uint32_t like = other->unseen == 0 ? track_likeness(track, other) : 0;
        if (like <= most) continue;
        most = like;
        best = other;
    }
    return best;
}

/* Somebody missed for too long leaves, or is hidden. */
static void leave(const tracker_t *tracker, tracked_t *track)
{
    const tracked_t *front = in_front(tracker, track);
    if (front) {
        track->front = front->number;
        track->speed_x = front->speed_x;
        track->speed_y = front->speed_y;
        return;
    }
    track->seen = track->number = track->front = 0;
}

/* Its points are told no longer after a while, but stay expected where its speed takes them: by them it is
 * known again. */
static void track_not_seen(const tracker_t *tracker, tracked_t *track,
                           const tracker_settings_t *settings, const region_t *looked, uint32_t ms)
{
    const bool missed = expected_in(track, looked, tracker->edge);
    track->unseen = steady_later(track->unseen, ms);
    if (missed) track->missed = steady_later(track->missed, ms);
    for (uint32_t k = 0; k < POSE_KEYPOINTS && missed; ++k) {
        steady_missing(&track->points[k], ms);
    }
    track->speed_x = fixed_toward(track->speed_x, 0, DECAY_SHARE);
    track->speed_y = fixed_toward(track->speed_y, 0, DECAY_SHARE);
    if (missed && track->number == 0) {
        track->seen = 0;
    } else if (track->missed > settings->leave_ms || track->unseen / 4u > settings->leave_ms) {
        leave(tracker, track);
    }
}

static bool in_use(const tracker_t *tracker, uint16_t number)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        if (tracker->tracks[t].seen && tracker->tracks[t].number == number) return true;
    }
    return clothes_remembered(tracker, number);
}

static uint16_t next_number(tracker_t *tracker)
{
    do {
        ++tracker->last;
    } while (tracker->last == 0 || in_use(tracker, tracker->last));
    return tracker->last;
}

static bool somebody_known(const pairs_t *pairs, uint32_t person)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        if (pairs->like[t][person] >= AGAIN) return true;
    }
    return false;
}

/* For somebody new: a track of nobody, else of somebody hidden. */
static tracked_t *free_track(tracker_t *tracker)
{
    tracked_t *hidden = 0;
    for (uint32_t t = TRACK_MAX; t-- > 0;) {
        if (tracker->tracks[t].front) hidden = &tracker->tracks[t];
    }
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        if (tracker->tracks[t].seen == 0) return &tracker->tracks[t];
    }
    return hidden;
}

static void newcomers(tracker_t *tracker, const pose_result_t *people, const pairs_t *pairs)
{
    for (uint32_t p = 0; p < people->count; ++p) {
        if (pairs->track_of[p] != CROSSING_NOBODY || somebody_known(pairs, p)) continue;
        if (person_box(&people->people[p]).count < NEW_POINTS) continue;
        tracked_t *track = free_track(tracker);
        if (track == 0) continue;
        track_begin(track, &people->people[p]);
        clothes_begin(track, pairs, p);
    }
}

static void give_numbers(tracker_t *tracker, const tracker_settings_t *settings)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        tracked_t *track = &tracker->tracks[t];
        if (track->seen == 0 || track->number != 0 || track->seen < settings->confirm) continue;
        if (clothes_waits(tracker, track, (uint32_t)track->seen - settings->confirm)) continue;
        const uint16_t old = clothes_old_number(tracker, track);
        track->number = old ? old : next_number(tracker);
    }
}

static void tell(const tracker_t *tracker, const tracker_settings_t *settings, tracks_t *out)
{
    out->count = 0;
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &tracker->tracks[t];
        if (track->seen == 0 || track->number == 0 || track->front) continue;
        track_t *told = &out->tracks[out->count++];
        told->number = track->number;
        told->missed = track->unseen;
        told->size = (uint16_t)track->size;
        told->speed_x = (int16_t)fixed_clamp(track->speed_x >> 4, -32768, 32767);
        told->speed_y = (int16_t)fixed_clamp(track->speed_y >> 4, -32768, 32767);
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            const tracked_point_t *point = &track->points[k];
            const uint16_t value = steady_value(point, settings);
            told->points[k].value = value;
            told->points[k].x = (int16_t)(value ? track_near(point->x) : 0);
            told->points[k].y = (int16_t)(value ? track_near(point->y) : 0);
        }
    }
}

void tracker_init(tracker_t *tracker)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        tracker->tracks[t].seen = 0;
        tracker->tracks[t].number = 0;
        tracker->tracks[t].front = 0;
    }
    clothes_init(tracker);
    tracker->time = 0;
    tracker->edge = 1;
    tracker->last = 0;
}

static void forget_all(tracker_t *tracker)
{
    for (uint32_t t = 0; t < TRACK_MAX; ++t) tracker->tracks[t].seen = tracker->tracks[t].front = 0;
    clothes_forget(tracker);
}

/* Whether somebody who crosses got so many of their points that it is them. */
static bool is_enough(const tracked_t *track, const pose_person_t *share)
{
    const uint32_t count = person_box(share).count;
    uint32_t known = 0;
    for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) known += track->points[k].value > 0;
    return count >= LIKENESS_COMMON && 2u * count >= known;
}

static void update(tracker_t *tracker, const tracker_settings_t *settings,
                   const pose_result_t *people, const pairs_t *pairs, const region_t *looked,
                   uint32_t ms)
{
    const uint32_t crossing = crossing_tracks(tracker);
    pose_person_t shares[TRACK_MAX];
    if (crossing) crossing_share(tracker, settings, people, pairs, crossing, shares);
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        tracked_t *track = &tracker->tracks[t];
        const uint32_t p = pairs->person_of[t];
        const bool crosses = crossing >> t & 1u;
        const pose_person_t *person = p != CROSSING_NOBODY ? &people->people[p] : 0;
        if (track->seen == 0) continue;
        if (crosses) person = is_enough(track, &shares[t]) ? &shares[t] : 0;
        if (person) {
            track_seen(track, person, settings, ms, crosses);
            const bool alone = !crosses || track->number == 0;
            if (alone && p != CROSSING_NOBODY) clothes_learn(track, pairs, p);
        } else {
            const uint16_t number = track->number;
            track_not_seen(tracker, track, settings, looked, ms);
            if (track->seen == 0) clothes_remember(tracker, number, track);
        }
    }
}

void tracker_step(tracker_t *tracker, const tracker_settings_t *settings,
                  const pose_result_t *people, const region_t *looked, uint32_t now_ms,
                  tracks_t *out)
{
    pairs_t pairs;
    const uint32_t passed = now_ms - tracker->time; /* a clock that goes back: very much */
    const uint32_t ms = passed < LEAST_MS ? LEAST_MS : passed > MOST_MS ? MOST_MS : passed;
    tracker->time = now_ms;
    const int32_t end = (looked->x > looked->y ? looked->x : looked->y) + looked->side;
    if (end > tracker->edge) tracker->edge = end;
    if (passed >= LONG_MS) forget_all(tracker);
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        if (tracker->tracks[t].seen) move_on(&tracker->tracks[t], ms);
    }
    clothes_look(tracker, people, looked, &pairs);
    match(tracker, people, settings->least, &pairs);
    update(tracker, settings, people, &pairs, looked, ms);
    newcomers(tracker, people, &pairs);
    give_numbers(tracker, settings);
    tell(tracker, settings, out);
}
