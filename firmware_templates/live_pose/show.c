/* SPDX-License-Identifier: MIT */
#include "show.h"

#include "frame.h"
#include "live_camera.h"
#include "platform.h"

#define PIECE_HEADER_BYTES 12u
#define FORMAT_RGB565 0u /* red 5, green 6, blue 5 bits, first byte highest */
/* A piece and what the frame adds to it; half as much again if all of it were stuffed. */
#define ROOM_NEEDED (3u * (CAMERA_ROW_BYTES + PIECE_HEADER_BYTES + 32u) / 2u)

static uint32_t wanted; /* step of the picture that was asked for, 0: none */
static struct {
    uint16_t number;
    uint32_t step; /* 0: nothing is being sent */
    uint32_t row;  /* of those that are sent */
} picture;

void show_ask(uint16_t step)
{
    wanted = step;
}

void show_begin(uint16_t number)
{
    if (wanted == 0 || picture.step != 0) return;
    picture.number = number;
    picture.step = wanted;
    picture.row = 0;
    wanted = 0;
}

bool show_busy(void)
{
    return picture.step != 0;
}

/* One row is one piece. */
static void send_row(uint32_t rows, uint32_t columns)
{
    const uint8_t *from = live_camera_picture() + picture.row * picture.step * CAMERA_ROW_BYTES;
    frame_begin(FRAME_PICTURE, (uint16_t)(PIECE_HEADER_BYTES + 2u * columns));
    frame_put_u16(picture.number);
    frame_put_u16(FORMAT_RGB565);
    frame_put_u16((uint16_t)rows);
    frame_put_u16((uint16_t)columns);
    frame_put_u32(picture.row * 2u * columns);
    if (picture.step == 1) {
        frame_put(from, 2u * columns);
    } else {
        for (uint32_t x = 0; x < columns; ++x) frame_put(from + 2u * x * picture.step, 2);
    }
    frame_end();
}

bool show_step(void)
{
    if (picture.step == 0 || platform_write_room() < ROOM_NEEDED) return false;
    const uint32_t rows = INPUT_ROWS / picture.step, columns = INPUT_COLUMNS / picture.step;
    send_row(rows, columns);
    if (++picture.row == rows) picture.step = 0;
    return true;
}
