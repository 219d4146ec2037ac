/* Everything is in mxc.h. SPDX-License-Identifier: MIT */
#include "mxc.h"
