// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "port.hpp"

TEST_SOURCE_FILE("src/port_for_linux.cpp")

const char* helped();
