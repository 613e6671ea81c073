/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

#include "ring.h"

int ring_size(void) { return 8; }
