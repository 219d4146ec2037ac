/* SPDX-License-Identifier: MIT */
#include "lift_people.h"

#include "cnn.h"
#include "frame.h"
#include "lift_points.h"
#include "people.h"
#include "platform.h"
#include "second.h"
#include "second_input.h"

#define WORD_AT(address) (*(volatile uint32_t *)(uintptr_t)(address))

_Static_assert(4 * SECOND_INPUT_WORDS == LIFT_INPUTS, "the second network is no lifter");

typedef struct {
    uint16_t person; /* which of the poses frame */
    uint16_t known;
    int16_t millimetres[LIFT_OUTPUTS];
} lifted_t;

static lifted_t lifted[POSE_MAX_PEOPLE];
static uint32_t lifted_count;

static void store(const int8_t *view)
{
    for (uint32_t i = 0; i < SECOND_INPUT_WORDS; ++i) {
        uint32_t word;
        __builtin_memcpy(&word, view + 4 * i, sizeof word);
        WORD_AT(second_input_words[i]) = word;
    }
}

static int lift(const pose_person_t *person, lifted_t *result)
{
    int8_t view[LIFT_INPUTS];
    if (!lift_view(person->points, view, &result->known)) return CNN_OK;
    store(view);
    second_start();
    if (cnn_wait(CNN_TIMEOUT_US) != CNN_OK) return CNN_FAIL;
    const cnn_output_t *output = &second_outputs[0];
    for (uint32_t i = 0; i < LIFT_OUTPUTS; ++i) {
        int32_t answer;
        cnn_read_channel(output, i, &answer);
        result->millimetres[i] = lift_millimetres(answer, (uint32_t)output->unit);
    }
    ++lifted_count;
    return CNN_OK;
}

static void send(uint16_t number, uint32_t ticks)
{
    const uint16_t each = 4u + 2u * LIFT_OUTPUTS;
    frame_begin(FRAME_POSES3D, (uint16_t)(8u + each * lifted_count));
    frame_put_u16(number);
    frame_put_u16((uint16_t)lifted_count);
    frame_put_u32(ticks / PLATFORM_TICKS_PER_US);
    for (uint32_t i = 0; i < lifted_count; ++i) {
        frame_put_u16(lifted[i].person);
        frame_put_u16(lifted[i].known);
        for (uint32_t k = 0; k < LIFT_OUTPUTS; ++k) {
            frame_put_u16((uint16_t)lifted[i].millimetres[k]);
        }
    }
    frame_end();
}

int lift_people(uint16_t number)
{
    const uint32_t start = platform_ticks();
    lifted_count = 0;
    second_configure();
    for (uint32_t i = 0; i < people.count; ++i) {
        lifted_t *result = &lifted[lifted_count];
        result->person = (uint16_t)i;
        if (lift(&people.people[i], result) != CNN_OK) return CNN_FAIL;
    }
    cnn_init();
    cnn_configure();
    send(number, platform_ticks() - start);
    return CNN_OK;
}
