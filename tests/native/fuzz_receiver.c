/* libFuzzer target: any bytes, in pieces of any size, into the firmware's frame receiver.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -Ifirmware_templates/common \
 *         tests/native/fuzz_receiver.c firmware_templates/common/frame_receiver.c \
 *         firmware_templates/common/crc32.c -o fuzz_receiver && ./fuzz_receiver
 *
 * SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <string.h>

#include "frame_receiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static frame_receiver_t receiver;
    uint8_t sum = 0;
    receiver_init(&receiver);
    while (size > 0) {
        frame_t frame;
        while (receiver_next(&receiver, &frame)) {
            for (uint32_t i = 0; i < frame.length; ++i) sum ^= frame.payload[i];
            receiver_release(&receiver);
        }
        const uint32_t room = receiver_room(&receiver);
        if (room == 0) __builtin_trap();
        uint32_t count = 1u + data[0] % 64u;
        if (count > room) count = room;
        if (count > size) count = (uint32_t)size;
        memcpy(receiver_space(&receiver), data, count);
        receiver_add(&receiver, count);
        data += count;
        size -= count;
    }
    (void)sum;
    return 0;
}
