/* Known-answer test on demand, without a stored picture: the picture is computed, and of the answer
 * only the CRC-32 is stored (self_test_answer.h, generated). SPDX-License-Identifier: MIT
 */
#ifndef SELF_TEST_H
#define SELF_TEST_H

/* Check weight memory, run the network on the computed picture, check all outputs; sends an end
 * frame (docs/protocol.md) and says PASS or FAIL on the console. Returns CNN_OK when all was right.
 * The accelerator must be idle. */
int self_test(void);

#endif
