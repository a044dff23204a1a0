// SPDX-License-Identifier: MIT
// A service manager as tests play it: its socket, and the environment in which it starts a process.
#ifndef MOTE_TESTS_SERVICE_MANAGER_HPP
#define MOTE_TESTS_SERVICE_MANAGER_HPP

#include <cstdlib>
#include <string>

#include "support/child.hpp"
#include "support/harness.hpp"

namespace test {

// A directory for one test, and what is in it.
struct Directory {
  char path[32] = "/tmp/mote-test-XXXXXX";
  std::string file = std::string(::mkdtemp(path)) + "/it";
  ~Directory() {
    ::unlink(file.c_str());
    ::rmdir(path);
  }
};

// Its side: a datagram socket of that name.
struct Manager {
  mote::Fd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  explicit Manager(const std::string& name) {
    mote::Endpoint endpoint = *mote::Endpoint::unix_path(name.c_str());
    REQUIRE(::bind(fd.get(), endpoint.address(), endpoint.size()) == 0);
  }
  // One datagram each, with a stroke behind it.
  std::string heard() {
    std::string all;
    char bytes[256];
    for (;;) {
      const ssize_t n = ::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (n < 0) return all;
      all.append(bytes, static_cast<std::size_t>(n)) += "|";
    }
  }
};
// A name that nobody else has.
inline std::string abstract_name() {
  static int number = 0;
  return "@mote-test-manager-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
}

struct Environment {
  const char* socket;
  const char* usec;
  const char* pid;
};
// The environment of a process is set before its threads are there: so in a child.
template <class Check> int with_environment(const Environment& environment, Check&& check) {
  Child child([&] {
    const auto set = [](const char* name, const char* value) {
      if (value != nullptr) ::setenv(name, value, 1);
      else ::unsetenv(name);
    };
    set("NOTIFY_SOCKET", environment.socket);
    set("WATCHDOG_USEC", environment.usec);
    set("WATCHDOG_PID",
        environment.pid != nullptr && *environment.pid == '\0' ? std::to_string(::getpid()).c_str() : environment.pid);
    Verdict verdict;
    check(verdict);
    return verdict.exit_code();
  });
  return child.join();
}

}  // namespace test

#endif  // MOTE_TESTS_SERVICE_MANAGER_HPP
