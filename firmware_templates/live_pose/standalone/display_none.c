/* Stand-alone firmware drives no screen; the vendor SDK's build does (sdk/).
 * SPDX-License-Identifier: MIT
 */
#include "display.h"

void display_open(void) {}

void display_people(const pose_result_t *people)
{
    (void)people;
}

bool display_step(void)
{
    return false;
}
