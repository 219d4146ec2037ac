/* Records of 18 points (x, y, value: 2 bytes each) on standard input; for each a byte whether there
 * is a view, 32 bytes of view, 2 bytes of known joints. With an argument: records of answers (4
 * bytes) instead, as millimetres (2 bytes) of that unit. SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "lift_points.h"

static int answers(uint32_t unit)
{
    int32_t answer;
    while (fread(&answer, sizeof answer, 1, stdin) == 1) {
        const int16_t value = lift_millimetres(answer, unit);
        fwrite(&value, sizeof value, 1, stdout);
    }
    return 0;
}

int main(int count, char **words)
{
    if (count > 1) return answers((uint32_t)atoi(words[1]));
    pose_point_t points[POSE_KEYPOINTS];
    while (fread(points, sizeof points, 1, stdin) == 1) {
        int8_t view[LIFT_INPUTS] = {0};
        uint16_t known = 0;
        const uint8_t found = (uint8_t)lift_view(points, view, &known);
        fwrite(&found, 1, 1, stdout);
        fwrite(view, 1, sizeof view, stdout);
        fwrite(&known, sizeof known, 1, stdout);
    }
    return 0;
}
