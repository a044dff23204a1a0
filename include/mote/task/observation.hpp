// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// What a reactor counts, and what it reports to an observer.
#ifndef MOTE_TASK_OBSERVATION_HPP
#define MOTE_TASK_OBSERVATION_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/system/clock.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
class Task;

// What has happened in a reactor so far. It may be read at any time; nothing depends on it.
struct Statistics {
  std::uint32_t descriptors = 0;       // registered now
  std::uint32_t descriptors_high = 0;  // the most there have been at a time
  std::uint32_t tasks = 0;
  std::uint32_t tasks_high = 0;
  std::uint32_t timers_high = 0;
  std::uint32_t stale_events = 0;  // events of registrations that had been removed
  std::uint32_t selector_rebuilds = 0;
  std::uint64_t turns = 0;
  std::uint64_t events = 0;
  std::uint64_t steps = 0;
  std::uint64_t timers_fired = 0;
  std::uint64_t tasks_spawned = 0;
  std::uint64_t tasks_ended = 0;
  std::uint64_t tasks_failed = 0;
  std::uint64_t tasks_destroyed = 0;
  Duration longest_step{};  // measured while a slow-step threshold is set
};

// What an observer is called with, at the moment at which it happens.
struct Observation {
  enum Kind : std::uint8_t {
    task_failed,      // and its handle is not held; `error` says why
    slow_step,        // `task` ran for `duration`, which is the threshold or more
    table_full,       // no slot for one more descriptor
    selector_rebuilt  // pollable_descriptor() is another one now
  };

  Kind kind;
  const Task* task = nullptr;
  Error error;
  Duration duration{};
};
using Observer = Delegate<void(const Observation&)>;

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OBSERVATION_HPP
