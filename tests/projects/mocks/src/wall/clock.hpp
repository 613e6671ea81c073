// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

namespace wall {

int hour();

}  // namespace wall
