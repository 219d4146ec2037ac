/* SPDX-License-Identifier: MIT */
#include "clothes.h"

#if FOLLOW_COLOUR

#include "colour.h"

#define MEMORY_MS 10000u
#define DOUBT 20u   /* of 255: two colours no farther apart than this may be meant */
#define CHANGED 60u /* of 255: so far away is another colour where nobody has it */

void clothes_init(tracker_t *tracker)
{
    tracker->thumbnail = 0;
    clothes_forget(tracker);
}

void clothes_forget(tracker_t *tracker)
{
    for (uint32_t m = 0; m < TRACK_MEMORIES; ++m) tracker->memories[m].number = 0;
}

void clothes_look(tracker_t *tracker, const pose_result_t *people, const region_t *looked, pairs_t *pairs)
{
    for (uint32_t m = 0; m < TRACK_MEMORIES; ++m) {
        memory_t *memory = &tracker->memories[m];
        if (tracker->time - memory->time > MEMORY_MS) memory->number = 0;
    }
    for (uint32_t p = 0; p < people->count; ++p) pairs->colours[p].known = 0;
    if (tracker->thumbnail) colours_of(people, tracker->thumbnail, looked, pairs->colours);
    tracker->thumbnail = 0;
}

/* ---- light ------------------------------------------------------------------------------------- */

#define NOBODYS 256u /* farther than colours can be apart */

static uint32_t nearer(uint32_t nearest, const colour_t *known, const colour_t *found)
{
    if (!colour_alike(known, found)) return nearest;
    const uint32_t away = colour_away(known, found);
    return away < nearest ? away : nearest;
}

/* How far away a colour is from that of the one known by it; NOBODYS: there is none. */
static uint32_t nearest_to(const tracker_t *tracker, const colour_t *found)
{
    uint32_t nearest = NOBODYS;
    for (uint32_t m = 0; m < TRACK_MEMORIES; ++m) {
        const memory_t *memory = &tracker->memories[m];
        if (memory->number != 0) nearest = nearer(nearest, &memory->colour, found);
    }
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &tracker->tracks[t];
        if (track->seen != 0) nearest = nearer(nearest, &track->colour, found);
    }
    return nearest;
}

static bool worn(const colour_t *known, uint32_t count, const pairs_t *pairs)
{
    for (uint32_t p = 0; p < count; ++p) {
        if (colour_alike(known, &pairs->colours[p])) return true;
    }
    return false;
}

/* Whoever is most like a track, if enough; count: nobody. */
static uint32_t likest(const uint16_t *like, uint32_t count, uint32_t least)
{
    uint32_t best = count, most = least - 1u;
    for (uint32_t p = 0; p < count; ++p) {
        if (like[p] <= most) continue;
        most = like[p];
        best = p;
    }
    return best;
}

/* Whether most of those who are alone where they are expected wear what nobody wore. */
static bool light_changed(const tracker_t *tracker, uint32_t count, uint32_t least, const pairs_t *pairs)
{
    const uint32_t crossing = crossing_tracks(tracker);
    uint32_t changed = 0, kept = 0;
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &tracker->tracks[t];
        if (track->seen == 0 || track->colour.known < COLOUR_SURE) continue;
        if (worn(&track->colour, count, pairs)) {
            ++kept;
            continue;
        }
        const uint32_t p = likest(pairs->like[t], count, least);
        if ((crossing >> t & 1u) || p == count || pairs->colours[p].known == 0) continue;
        const bool far = colour_away(&track->colour, &pairs->colours[p]) > CHANGED;
        if (far && nearest_to(tracker, &pairs->colours[p]) == NOBODYS) ++changed;
    }
    return changed > 2u * kept;
}

void clothes_refuse(tracker_t *tracker, uint32_t count, uint32_t least, pairs_t *pairs)
{
    if (light_changed(tracker, count, least, pairs)) {
        clothes_forget(tracker);
        for (uint32_t t = 0; t < TRACK_MAX; ++t) tracker->tracks[t].colour.known = 0;
    }
    for (uint32_t p = 0; p < count; ++p) {
        const uint32_t nearest = nearest_to(tracker, &pairs->colours[p]);
        pairs->refused[p] = 0;
        if (nearest == NOBODYS) continue;
        for (uint32_t t = 0; t < TRACK_MAX; ++t) {
            const tracked_t *track = &tracker->tracks[t];
            if (track->seen == 0 || !colour_unlike(&track->colour, &pairs->colours[p], nearest)) continue;
            pairs->like[t][p] = 0;
            pairs->refused[p] |= (uint8_t)(1u << t);
        }
    }
}

/* ---- people ------------------------------------------------------------------------------------ */

bool clothes_known(const tracked_t *track)
{
    return track->colour.known >= COLOUR_SURE;
}

void clothes_begin(tracked_t *track, const pairs_t *pairs, uint32_t person)
{
    track->colour = pairs->colours[person];
}

void clothes_learn(tracked_t *track, const pairs_t *pairs, uint32_t person)
{
    colour_learn(&track->colour, &pairs->colours[person]);
}

/* In the place of one that is over, else of the oldest. */
void clothes_remember(tracker_t *tracker, uint16_t number, const tracked_t *track)
{
    if (number == 0 || track->colour.known < COLOUR_SURE) return;
    uint32_t free = 0;
    for (uint32_t m = TRACK_MEMORIES; m-- > 0;) {
        if (tracker->memories[m].number == 0) free = m;
    }
    for (uint32_t m = free; m + 1u < TRACK_MEMORIES; ++m) tracker->memories[m] = tracker->memories[m + 1u];
    const memory_t memory = {number, track->colour, tracker->time};
    tracker->memories[TRACK_MEMORIES - 1u] = memory;
}

bool clothes_remembered(const tracker_t *tracker, uint16_t number)
{
    for (uint32_t m = 0; m < TRACK_MEMORIES; ++m) {
        if (tracker->memories[m].number == number) return true;
    }
    return false;
}

bool clothes_waits(const tracker_t *tracker, const tracked_t *newcomer, uint32_t waited)
{
    if (newcomer->colour.known != 0 || waited >= CLOTHES_WAIT) return false;
    for (uint32_t m = 0; m < TRACK_MEMORIES; ++m) {
        if (tracker->memories[m].number != 0) return true;
    }
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        const tracked_t *track = &tracker->tracks[t];
        if (track->seen != 0 && track->unseen != 0 && track->colour.known >= COLOUR_SURE) return true;
    }
    return false;
}

typedef struct {
    uint32_t away, next; /* of the nearest colour and of the one after it */
    uint16_t *number;
    tracked_t *track; /* 0: who has left */
} owner_t;

static void owner_may_be(owner_t *owner, const colour_t *known, const colour_t *found, uint16_t *number,
                         tracked_t *track)
{
    if (!colour_alike(known, found)) return;
    const uint32_t away = colour_away(known, found);
    if (away >= owner->away) {
        if (away < owner->next) owner->next = away;
        return;
    }
    *owner = (owner_t){away, owner->away, number, track};
}

uint16_t clothes_old_number(tracker_t *tracker, tracked_t *newcomer)
{
    owner_t owner = {NOBODYS, NOBODYS, 0, 0};
    for (uint32_t m = 0; m < TRACK_MEMORIES; ++m) {
        memory_t *memory = &tracker->memories[m];
        if (memory->number == 0) continue;
        owner_may_be(&owner, &memory->colour, &newcomer->colour, &memory->number, 0);
    }
    for (uint32_t t = 0; t < TRACK_MAX; ++t) {
        tracked_t *track = &tracker->tracks[t];
        if (track->seen == 0 || track->number == 0) continue; /* the newcomer has none */
        owner_may_be(&owner, &track->colour, &newcomer->colour, &track->number, track);
    }
    if (owner.number == 0 || owner.next - owner.away <= DOUBT) return 0;
    if (owner.track && owner.track->unseen == 0) return 0;
    const uint16_t number = *owner.number;
    *owner.number = 0;
    if (owner.track) owner.track->seen = 0;
    if (newcomer->colour.known < COLOUR_SURE) newcomer->colour.known = COLOUR_SURE;
    return number;
}

#endif
