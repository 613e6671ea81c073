// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>

#include "firmware/reactor/tasks.hpp"
#include "hal/print.hpp"

namespace millrace {

/// Prints what tasks have taken of their memory: in total, and the frame of each kind.
inline void print_tasks(const Tasks& tasks) {
  const TaskStatistics statistics = tasks.statistics();
  hal::print("tasks memory=", statistics.memory.capacity, " used=", statistics.memory.used,
             " high-water=", statistics.memory.high_water, " frames=", statistics.frames,
             " most=", statistics.frames_high_water, " refused=", statistics.refused);
  for (std::size_t i = 0; const auto type = tasks.type(i); ++i) {
    hal::print("task frame=", type->frame, " live=", type->live, " most=", type->high_water, " ",
               type->name);
  }
}

}  // namespace millrace
