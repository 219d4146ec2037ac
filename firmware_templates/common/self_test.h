/* Known-answer test on demand, without a stored picture: the picture is computed, and of the answer
 * only the CRC-32 is stored (self_test_answer.h, generated). SPDX-License-Identifier: MIT
 */
#ifndef SELF_TEST_H
#define SELF_TEST_H

/* Check weight memory, run the network on the computed picture, check all outputs; when something
 * is wrong, load the network again. Then tell the result with an end frame (docs/protocol.md) and
 * with PASS or FAIL on the console. Returns whether the accelerator can be used: CNN_OK or CNN_FAIL.
 * It must be idle; loaded: whether the network is in it. */
int self_test(int loaded);

#endif
