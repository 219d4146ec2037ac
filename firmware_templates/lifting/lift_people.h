/* The second network lifts everyone whom the first has found into 3D.
 * SPDX-License-Identifier: MIT
 */
#ifndef LIFT_PEOPLE_H
#define LIFT_PEOPLE_H

#include <stdint.h>

/* Lift the people of people.h and send a poses3d frame. Writes over the first network's results, and
 * leaves that network ready for its next input. Returns CNN_OK, or CNN_FAIL when the accelerator did
 * not finish: then nothing has been sent, and it has to be set up again. */
int lift_people(uint16_t number);

#endif
