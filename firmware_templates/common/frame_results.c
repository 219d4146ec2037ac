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

static int32_t values[CNN_LARGEST_CHANNEL]; /* one channel of a result */

uint32_t frame_results_crc(void)
{
    uint32_t crc = 0;
    for (uint32_t i = 0; i < CNN_OUTPUT_COUNT; ++i) {
        const cnn_output_t *output = &cnn_outputs[i];
        for (uint32_t c = 0; c < output->channels; ++c) {
            cnn_read_channel(output, c, values);
            crc = crc32_update(crc, (const uint8_t *)values, 4u * output->rows * output->columns);
        }
    }
    return crc;
}

/* One frame for each channel: header, then rows * columns little-endian 32-bit integers. */
void frame_send_maps(void)
{
    for (uint32_t i = 0; i < CNN_OUTPUT_COUNT; ++i) {
        const cnn_output_t *output = &cnn_outputs[i];
        const uint32_t size = 4u * output->rows * output->columns;
        for (uint32_t c = 0; c < output->channels; ++c) {
            cnn_read_channel(output, c, values);
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
                frame_put((const uint8_t *)values + done, part);
                frame_end();
                done += part;
            }
        }
    }
}
