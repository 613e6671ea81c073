/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

#include "c_case.h"
#include "ring.h"

int c_case(void) { return ring_size() == 8; }
