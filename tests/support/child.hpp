// SPDX-License-Identifier: MIT
// Processes forked by a test. A child must not report to doctest: it answers with its exit code.
#ifndef MOTE_TESTS_CHILD_HPP
#define MOTE_TESTS_CHILD_HPP

#include <doctest/doctest.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

// A forked process that runs `body`, whose answer becomes its exit code. SIGALRM ends it if it hangs.
class Child {
 public:
  template <class Body> explicit Child(Body&& body) : id_(::fork()) {
    REQUIRE(id_ >= 0);
    if (id_ != 0) return;
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(30);
    ::_exit(body());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    join();
  }
  pid_t id() const { return id_; }

  // The exit code; 1000 and the signal's number if one has ended it.
  int join() {
    const int status = wait(0);
    id_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // Waits until it has been stopped by a signal.
  bool wait_until_stopped() { return WIFSTOPPED(wait(WUNTRACED)); }
 private:
  int wait(int flags) {
    int status = 0;
    while (::waitpid(id_, &status, flags) < 0 && errno == EINTR) {}
    return status;
  }

  pid_t id_;
};

// In a child: keeps the line of the first EXPECT that failed.
class Verdict {
 public:
  void expect(bool condition, int line) {
    if (!condition && line_ == 0) line_ = line;
  }
  int exit_code() const { return line_ == 0 ? 0 : line_ % 255 + 1; }
 private:
  int line_ = 0;
};

}  // namespace test

// The exit code is the line of the failing EXPECT, modulo 255, plus 1.
#define EXPECT(verdict, condition) (verdict).expect(static_cast<bool>(condition), __LINE__)

#endif  // MOTE_TESTS_CHILD_HPP
