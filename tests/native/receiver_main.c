/* Feeds standard input to the firmware's frame receiver as the firmware does, and writes every
 * frame it delivers: type, sequence, length (2 bytes), payload. At the end, the number of rejected
 * frames (4 bytes) after a record of type 0xFF. SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "frame_receiver.h"

static frame_receiver_t receiver;

static void deliver(void)
{
    frame_t frame;
    while (receiver_next(&receiver, &frame)) {
        const unsigned char head[4] = {frame.type, frame.sequence, (unsigned char)frame.length,
                                       (unsigned char)(frame.length >> 8)};
        fwrite(head, 1, sizeof head, stdout);
        fwrite(frame.payload, 1, frame.length, stdout);
        receiver_release(&receiver);
    }
}

int main(void)
{
    receiver_init(&receiver);
    for (;;) {
        deliver();
        const size_t count = fread(receiver_space(&receiver), 1, receiver_room(&receiver), stdin);
        if (count == 0) break;
        receiver_add(&receiver, (uint32_t)count);
    }
    while (receiver.have != 0) {
        receiver_give_up(&receiver);
        deliver();
    }
    const unsigned char end[8] = {0xFF, 0, 4, 0, (unsigned char)receiver.rejected,
                                  (unsigned char)(receiver.rejected >> 8),
                                  (unsigned char)(receiver.rejected >> 16),
                                  (unsigned char)(receiver.rejected >> 24)};
    fwrite(end, 1, sizeof end, stdout);
    return 0;
}
