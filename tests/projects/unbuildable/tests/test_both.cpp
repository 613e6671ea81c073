// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "clock.hpp"
#include "mock_clock.hpp"
