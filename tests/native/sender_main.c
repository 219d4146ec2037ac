/* Sends what standard input asks for with the firmware's sender, to standard output.
 * Request: type, length (2 bytes), how many bytes to put at a time, payload.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "frame.h"
#include "platform.h"

void platform_write(const uint8_t *bytes, uint32_t count)
{
    fwrite(bytes, 1, count, stdout);
}

int main(void)
{
    static uint8_t head[4], payload[FRAME_MAX_PAYLOAD];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        const uint32_t length = head[1] | (uint32_t)head[2] << 8;
        if (length > sizeof payload || fread(payload, 1, length, stdin) != length) return 3;
        frame_begin(head[0], (uint16_t)length);
        for (uint32_t done = 0; done < length;) {
            const uint32_t left = length - done;
            const uint32_t count = left < head[3] ? left : head[3];
            frame_put(payload + done, count);
            done += count;
        }
        frame_end();
    }
    return 0;
}
