/* Camera -> input memory -> network -> maps in SRAM -> people, three pictures at once: while the
 * network looks at one, the next arrives from the camera and the people of the last are found.
 *
 * The accelerator's memory belongs to the network while it runs, so rows that come meanwhile wait in
 * the camera's buffer; once the maps have been copied out, rows are stored as they come.
 * SPDX-License-Identifier: MIT
 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "live_camera.h"

/* Microseconds of one picture's stages. */
typedef struct {
    uint32_t period;  /* from the start of the network to its next start; 0 at first */
    uint32_t capture; /* from asking the camera to the last row */
    uint32_t store;   /* processor time to unpack the rows and store them */
    uint32_t network; /* accelerator */
    uint32_t copy;    /* processor time to copy the maps out of the accelerator */
    uint32_t decode;  /* processor time to find the people */
#if FOLLOW
    region_t region; /* of the camera picture that was looked at, */
    uint32_t ms;     /* when it was asked for, */
    uint32_t crop;   /* and processor time to average it */
#endif
} pace_t;

typedef enum {
    PIPELINE_IDLE,    /* nothing to do before the next interrupt */
    PIPELINE_BUSY,    /* call again */
    PIPELINE_STARTED, /* the network has begun with a picture; the buffer still holds it */
    PIPELINE_PEOPLE,  /* people (people.h) are those of pipeline_number, pipeline_pace */
    PIPELINE_SILENT,  /* the camera sends nothing */
    PIPELINE_STUCK,   /* the network did not finish */
} pipeline_event_t;

extern uint16_t pipeline_number; /* of the picture the event is about */
extern pace_t pipeline_pace;

#if FOLLOW && FOLLOW_COLOUR
/* Of the picture whose people were found last; until the next network starts. 0: there is none. */
const thumbnail_t *pipeline_thumbnail(void);
#endif

void pipeline_init(void);

/* Forget the picture that is coming; the camera has been set up again. */
void pipeline_restart(void);

/* Do the most urgent thing there is. capture: whether to ask the camera for more. */
pipeline_event_t pipeline_step(bool capture);

/* The accelerator is idle: its memory may be used, if pipeline_refill() is called afterwards. */
bool pipeline_resting(void);
void pipeline_refill(void);

/* Sleep until something may have happened. */
void pipeline_sleep(void);

#endif
