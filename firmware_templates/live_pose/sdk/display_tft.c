/* Skeletons on the EVKIT's TFT (320 x 240) through the vendor SDK's driver. A square at a time, in
 * the time that nobody else wants: the driver waits for every word it sends.
 * SPDX-License-Identifier: MIT
 */
#include "display.h"

#ifndef BOARD_EVKIT
void display_open(void) {}

void display_people(const pose_result_t *people)
{
    (void)people;
}

bool display_step(void)
{
    return false;
}
#else
#include "gpio.h"
#include "mxc_device.h"
#include "network.h"
#include "spi.h"
#include "tft.h"

#define SIDE 240 /* of the screen that stands for the network's input */
#define LEFT 40
#define SQUARE 4 /* the driver sends four pixels at once, others one by one */
#define LIMBS 17

/* A pixel of the driver: two words of nine bits, of which the highest says "data". */
#define COLOUR(rgb565) (0x01000100u | (rgb565) >> 8 | ((rgb565) & 0xFFu) << 16)
#define BLACK COLOUR(0x0000u)

/* The driver looks for a file of pictures and palettes where the SDK's linker script puts this
 * section; this one says that there are none. */
static const unsigned int no_pictures[8] __attribute__((section(".bin_storage_img"), used)) = {0};

static const uint8_t limbs[LIMBS][2] = {
    {1, 8}, {8, 9}, {9, 10}, {1, 11}, {11, 12}, {12, 13}, {1, 2}, {2, 3}, {3, 4},
    {1, 5}, {5, 6}, {6, 7}, {1, 0}, {0, 14}, {0, 15}, {14, 16}, {15, 17},
};
static const uint32_t colours[] = {COLOUR(0xFFE0u), COLOUR(0x07FFu), COLOUR(0xF81Fu),
                                   COLOUR(0x07E0u)};
#define COLOURS (sizeof colours / sizeof colours[0])

typedef struct {
    int16_t x, y; /* on the screen; x is negative for a point that was not found */
} spot_t;

typedef struct {
    uint32_t count;
    spot_t spots[POSE_MAX_PEOPLE][POSE_KEYPOINTS];
} scene_t;

static scene_t drawn, next;
static bool fresh; /* next is newer than drawn */

/* Where the drawing is. */
static struct {
    enum { RESTING, ERASING, DRAWING } phase;
    uint32_t person, limb;
    int32_t at; /* squares of the limb that are done */
} pen;

void display_open(void)
{
    static mxc_gpio_cfg_t reset = {MXC_GPIO0, MXC_GPIO_PIN_19, MXC_GPIO_FUNC_OUT, MXC_GPIO_PAD_NONE,
                                   MXC_GPIO_VSSEL_VDDIOH};
    SystemCoreClockUpdate();
    MXC_TFT_Init(MXC_SPI0, 1, &reset, 0);
    MXC_TFT_WritePixel(0, 0, 320, 240, BLACK);
}

void display_people(const pose_result_t *people)
{
    next.count = people->count;
    for (uint32_t i = 0; i < people->count; ++i) {
        for (uint32_t k = 0; k < POSE_KEYPOINTS; ++k) {
            const pose_point_t *point = &people->people[i].points[k];
            spot_t *spot = &next.spots[i][k];
            spot->x = (int16_t)(LEFT + point->x * SIDE / (16 * (int)INPUT_COLUMNS));
            spot->y = (int16_t)(point->y * SIDE / (16 * (int)INPUT_ROWS));
            if (point->value == 0) spot->x = -1;
        }
    }
    fresh = true;
}

static int32_t distance(int32_t a, int32_t b)
{
    return a > b ? a - b : b - a;
}

/* The next square of the limb at hand; false when there is none left. */
static bool draw_square(uint32_t colour)
{
    const spot_t *a = &drawn.spots[pen.person][limbs[pen.limb][0]];
    const spot_t *b = &drawn.spots[pen.person][limbs[pen.limb][1]];
    if (a->x < 0 || b->x < 0) return false;
    const int32_t dx = distance(a->x, b->x), dy = distance(a->y, b->y);
    const int32_t squares = (dx > dy ? dx : dy) / (SQUARE - 1) + 1; /* they overlap */
    if (pen.at > squares) return false;
    const int32_t x = a->x + (b->x - a->x) * pen.at / squares;
    const int32_t y = a->y + (b->y - a->y) * pen.at / squares;
    MXC_TFT_WritePixel(x, y < 0 ? 0 : y, SQUARE, SQUARE, colour);
    ++pen.at;
    return true;
}

static void begin(int phase)
{
    pen.phase = phase;
    pen.person = 0;
    pen.limb = 0;
    pen.at = 0;
}

/* To the next limb, person or phase. */
static void go_on(void)
{
    pen.at = 0;
    if (++pen.limb < LIMBS) return;
    pen.limb = 0;
    if (++pen.person < drawn.count) return;
    if (pen.phase == DRAWING) {
        begin(RESTING);
    } else {
        drawn = next;
        fresh = false;
        begin(drawn.count > 0 ? DRAWING : RESTING);
    }
}

bool display_step(void)
{
    if (pen.phase == RESTING) {
        if (!fresh) return false;
        begin(ERASING);
        if (drawn.count == 0) {
            pen.limb = LIMBS;
            go_on();
            return true;
        }
    }
    const uint32_t colour = pen.phase == ERASING ? BLACK : colours[pen.person % COLOURS];
    if (!draw_square(colour)) go_on();
    return true;
}
#endif
