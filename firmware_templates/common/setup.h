/* Brings the accelerator up with the network in it, and up again after a failure.
 * SPDX-License-Identifier: MIT
 */
#ifndef SETUP_H
#define SETUP_H

#include <stdint.h>

#define SETUP_TRIES 3u

/* What the console prints first. */
void setup_banner(const char *application);

/* Start the watchdog and load the network; says on the console and in an error frame if the last
 * run was ended by the watchdog, and if weight memory does not hold what it should. The weights
 * are loaded up to SETUP_TRIES times. Returns CNN_OK or CNN_FAIL; the accelerator must not be used
 * after CNN_FAIL. lap, if not 0, is called after each stage with its name. */
int setup_network(void (*lap)(const char *what));

/* The accelerator did not finish: cut its power and load the network again. */
int setup_again(void);

#endif
