/* What every application tells about itself and its results. SPDX-License-Identifier: MIT */
#include "cnn.h"
#include "console.h"
#include "crc32.h"
#include "frame.h"
#include "network.h"
#include "platform.h"

static uint32_t text_length(const char *text)
{
    uint32_t length = 0;
    while (text[length] != '\0') ++length;
    return length;
}

void frame_send_hello(void)
{
    const uint32_t length = text_length(NETWORK_NAME);
    frame_begin(FRAME_HELLO, (uint16_t)(16u + length));
    frame_put_u32(FIRMWARE_VERSION);
    frame_put_u32(NETWORK_CHECKSUM);
    frame_put_u16(INPUT_CHANNELS);
    frame_put_u16(INPUT_ROWS);
    frame_put_u16(INPUT_COLUMNS);
    frame_put_u16((uint16_t)CNN_OUTPUT_COUNT);
    frame_put(NETWORK_NAME, length);
    frame_end();
}

void frame_send_error(uint16_t code, uint16_t number, const char *text)
{
    const uint32_t length = text_length(text);
    frame_begin(FRAME_ERROR, (uint16_t)(4u + length));
    frame_put_u16(code);
    frame_put_u16(number);
    frame_put(text, length);
    frame_end();
}

void frame_send_end(uint32_t status, uint32_t ticks)
{
    frame_begin(FRAME_END, 8);
    frame_put_u32(status);
    frame_put_u32(ticks);
    frame_end();
}

void frame_tell_strays(void)
{
    console_line("bytes come in that are no frames; the rate of this console is", platform_baud(),
                 " baud");
}

static int32_t values[CNN_LONGEST_ROW]; /* one row of a result */

uint32_t frame_results_crc(void)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < CNN_OUTPUT_COUNT; ++i) {
        const cnn_output_t *output = &cnn_outputs[i];
        for (uint32_t c = 0; c < output->channels; ++c) {
            for (uint32_t y = 0; y < output->rows; ++y) {
                cnn_read_row(output, c, y, values);
                crc = crc32_update(crc, (const uint8_t *)values, 4u * output->columns);
            }
        }
    }
    return crc;
}

/* Elements from..to (exclusive) of a channel, as they follow each other row by row. */
static void put_elements(const cnn_output_t *output, uint32_t channel, uint32_t from, uint32_t to)
{
    const uint32_t columns = output->columns;
    while (from < to) {
        const uint32_t row = from / columns, column = from % columns;
        const uint32_t left = columns - column;
        const uint32_t count = to - from < left ? to - from : left;
        cnn_read_row(output, channel, row, values);
        frame_put((const uint8_t *)(values + column), 4u * count);
        from += count;
    }
}

/* One frame for each channel: header, then rows * columns little-endian 32-bit integers. */
void frame_send_maps(void)
{
    for (uint32_t i = 0; i < CNN_OUTPUT_COUNT; ++i) {
        const cnn_output_t *output = &cnn_outputs[i];
        const uint32_t size = 4u * output->rows * output->columns;
        for (uint32_t c = 0; c < output->channels; ++c) {
            for (uint32_t done = 0; done < size;) {
                const uint32_t left = size - done;
                const uint32_t most = FRAME_MAX_PAYLOAD - 16u;
                const uint32_t part = left < most ? left : most;
                frame_begin(FRAME_MAP, (uint16_t)(16u + part));
                frame_put_u16((uint16_t)i);
                frame_put_u16((uint16_t)c);
                frame_put_u16(output->channels);
                frame_put_u16(output->rows);
                frame_put_u16(output->columns);
                frame_put_u16(output->wide);
                frame_put_u32(done);
                put_elements(output, c, done / 4u, (done + part) / 4u);
                frame_end();
                done += part;
            }
        }
    }
}
