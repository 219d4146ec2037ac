/* Times the pose decoder on the board: one line "decode: people cycles CRC-32 of the people" for
 * each map set. SPDX-License-Identifier: MIT
 */
#include "console.h"
#include "crc32.h"
#include "map_sets.h"
#include "platform.h"
#include "pose_decoder.h"

#define CPU_CYCLES_PER_TICK 2u /* 100 MHz against 50 MHz */

static pose_result_t result;

int main(void)
{
    platform_init();
    for (uint32_t i = 0; i < MAP_SET_COUNT; ++i) {
        const pose_map_t heat = {(uintptr_t)map_sets[i], heat_offsets, MAP_ROW_STRIDE,
                                 MAP_COLUMN_STRIDE, MAP_WIDE, MAP_UNIT};
        const pose_map_t pafs = {(uintptr_t)map_sets[i], paf_offsets, MAP_ROW_STRIDE,
                                 MAP_COLUMN_STRIDE, MAP_WIDE, MAP_UNIT};
        const pose_settings_t settings = MAP_SETTINGS;
        const uint32_t start = platform_ticks();
        const pose_status_t status =
            pose_decode(&heat, &pafs, MAP_ROWS, MAP_COLUMNS, &settings, &result);
        const uint32_t ticks = platform_ticks() - start;
        console_text("decode: ");
        console_unsigned(status == POSE_OK ? result.count : 99u);
        console_text(" ");
        console_unsigned(ticks * CPU_CYCLES_PER_TICK);
        console_text(" ");
        console_unsigned(crc32_update(0, (const uint8_t *)result.people,
                                      result.count * (uint32_t)sizeof result.people[0]));
        console_text("\r\n");
    }
    console_text("done\r\n");
    platform_halt();
}
