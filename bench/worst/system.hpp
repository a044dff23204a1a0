// SPDX-License-Identifier: MIT
// The system seam of what counts the worst cases: the real system calls on a clock that stands still unless it is moved,
// so that timers come when they are wanted; and connections that are gone before they are accepted.
#ifndef BENCH_WORST_SYSTEM_HPP
#define BENCH_WORST_SYSTEM_HPP

#define MOTE_SYSTEM StillSystem

namespace mote {
struct StillSystem : LinuxSystem {
  static inline std::int64_t time = 3'600'000'000'000;
  static inline bool connections_are_dead = false;
  static std::int64_t monotonic_ns() { return time; }
  static int accept(int fd) {
    if (!connections_are_dead) return LinuxSystem::accept(fd);
    errno = ECONNABORTED;
    return -1;
  }
};
}  // namespace mote

#endif  // BENCH_WORST_SYSTEM_HPP
