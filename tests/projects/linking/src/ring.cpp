// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#error "this is the source of ring.hpp, and ring.c that of ring.h"
