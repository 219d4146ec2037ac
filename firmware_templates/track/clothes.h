/* Who is who by the clothes (colour.h), with FOLLOW_COLOUR; without it all of this is nothing.
 *
 * A track learns the colour of whoever it is given alone. Somebody found in a colour that somebody else is
 * known by, and is nearer to by 40 of 255, is not given to it, and while people cross none of their points is.
 * Whoever has left is remembered for ten seconds; a newcomer gets the number of the one known by the nearest
 * colour, if its owner is lost or has left and nobody else's colour is nearly as near: where people are dressed
 * alike nothing is given back.
 *
 * Light: where more than twice as many are alone where they are expected, in a colour that nobody wore, as
 * there are known colours to be seen, it is the light that has changed. Then all colours are forgotten, and
 * the picture is taken as if there were none.
 *
 * The twin is ai8x_models/follow/clothes.py. SPDX-License-Identifier: MIT
 */
#ifndef CLOTHES_H
#define CLOTHES_H

#include "crossing.h"

#if FOLLOW_COLOUR

void clothes_init(tracker_t *tracker);

/* Those who have left. */
void clothes_forget(tracker_t *tracker);

/* The colours of those found, by the tracker's thumbnail, which is used up. */
void clothes_look(tracker_t *tracker, const pose_result_t *people, const region_t *looked, pairs_t *pairs);

/* Whoever wears what somebody else is known by is not like a track. */
void clothes_refuse(tracker_t *tracker, uint32_t count, uint32_t least, pairs_t *pairs);

/* Whether the track is told by its colour. */
bool clothes_known(const tracked_t *track);

void clothes_begin(tracked_t *track, const pairs_t *pairs, uint32_t person);
void clothes_learn(tracked_t *track, const pairs_t *pairs, uint32_t person);

/* The owner of the track had a number, and leaves. */
void clothes_remember(tracker_t *tracker, uint16_t number, const tracked_t *track);

bool clothes_remembered(const tracker_t *tracker, uint16_t number);

/* Whether a newcomer without a colour, who has waited so many pictures, waits for a number: for 14 of them,
 * while somebody is lost or gone whom the colour may tell. */
#define CLOTHES_WAIT 14u
bool clothes_waits(const tracker_t *tracker, const tracked_t *newcomer, uint32_t waited);

/* What a newcomer's number was, who had it has it no longer; 0: there is none. */
uint16_t clothes_old_number(tracker_t *tracker, tracked_t *newcomer);

#else

#define clothes_init(tracker) ((void)0)
#define clothes_forget(tracker) ((void)0)
#define clothes_look(tracker, people, looked, pairs) ((void)0)
#define clothes_refuse(tracker, count, least, pairs) ((void)0)
#define clothes_known(track) false
#define clothes_begin(track, pairs, person) ((void)0)
#define clothes_learn(track, pairs, person) ((void)0)
#define clothes_remember(tracker, number, track) ((void)(number))
#define clothes_remembered(tracker, number) false
#define CLOTHES_WAIT 0u
#define clothes_waits(tracker, newcomer, waited) false
#define clothes_old_number(tracker, newcomer) 0

#endif

#endif
