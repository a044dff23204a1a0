// SPDX-License-Identifier: MIT
// Interrupts a piece of code after each of its instructions. What the interruption does stands for what another thread
// may do at that moment, so that races are tried one by one, and none is left to luck.
#ifndef MOTE_TESTS_INTERRUPTION_HPP
#define MOTE_TESTS_INTERRUPTION_HPP

#include <doctest/doctest.h>
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <mote.hpp>

namespace test {

// The code runs in a forked child, whose parent lets it go on by single steps and then sends it a signal. Its handler
// calls the action, if the code is between begin() and end().
class Interruption {
 public:
  // Single steps begin here.
  static void begin() {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::kill(::getpid(), SIGSTOP);
    inside_.store(true);
  }
  static void end() { inside_.store(false); }

  // Calls run() in a child again and again, each time interrupted by `action` an instruction later. run() makes what it
  // needs, calls begin() and end() around the code, and returns 0 if all was right, else at most 254.
  // Returns how often the code was interrupted; 0: this machine does not do single steps, as under most emulators.
  template <class Run, class Action> static int at_every_instruction(Run&& run, Action&& action) {
    if (signals_are_deferred) return 0;
    action_ = action;
    int interrupted = 0, later = 0;
    for (int instructions = 1; instructions < 5000 && later < 5; ++instructions) {
      const int result = after(instructions, run);
      if (result == impossible) {
        MESSAGE("this machine does not do single steps: not tried");
        return 0;
      }
      if (result == outside) {
        if (interrupted != 0) ++later;
        continue;
      }
      ++interrupted;
      CAPTURE(instructions);
      CHECK(result == 0);
    }
    CHECK(interrupted > 0);
    return interrupted;
  }
 private:
  // ThreadSanitizer calls signal handlers only where the program calls the C library.
#if defined(__SANITIZE_THREAD__)
  static constexpr bool signals_are_deferred = true;
#elif defined(__has_feature)
  static constexpr bool signals_are_deferred = __has_feature(thread_sanitizer);
#else
  static constexpr bool signals_are_deferred = false;
#endif
  static constexpr int outside = 1000, impossible = 1001, killed = 1002;

  template <class Run> static int after(int instructions, Run& run) {
    interrupted_.store(false);
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(30);
      ::signal(SIGUSR2, [](int) {
        if (!inside_.exchange(false)) return;
        interrupted_.store(true);
        action_();
      });
      const int result = run();
      ::_exit(interrupted_.load() ? result : code_of_outside);
    }
    int status = 0;
    bool steps = wait_for(child, status);
    for (int i = 0; i < instructions && steps && WIFSTOPPED(status); ++i) {
      steps = ::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0 && wait_for(child, status);
    }
    if (!steps) ::kill(child, SIGKILL);
    // Signals that come from elsewhere are passed on.
    for (long signal = SIGUSR2; WIFSTOPPED(status); signal = WSTOPSIG(status)) {
      if (steps) ::ptrace(PTRACE_CONT, child, nullptr, signal);
      wait_for(child, status);
    }
    if (!steps) return impossible;
    if (!WIFEXITED(status)) return killed;
    return WEXITSTATUS(status) == code_of_outside ? outside : WEXITSTATUS(status);
  }
  static bool wait_for(pid_t child, int& status) {
    pid_t waited = 0;
    do waited = ::waitpid(child, &status, WUNTRACED);  // without ptrace() it is stopped all the same
    while (waited < 0 && errno == EINTR);
    return waited == child;
  }

  static constexpr int code_of_outside = 255;
  static inline mote::Delegate<void()> action_;
  static inline std::atomic<bool> inside_{false}, interrupted_{false};
};

}  // namespace test

#endif  // MOTE_TESTS_INTERRUPTION_HPP
