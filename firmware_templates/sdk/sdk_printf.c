/* The SDK prints failed assertions with printf(); the C library's would take 15 KB of flash that
 * large networks need. This one prints the format as it is. SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "console.h"

int printf(const char *format, ...)
{
    console_text(format);
    return 0;
}
