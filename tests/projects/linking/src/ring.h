/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

#ifndef RING_H
#define RING_H

int ring_size(void);

#endif
