// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "src/wall/clock.hpp"

#error "the real clock of the wall is not for tests"
