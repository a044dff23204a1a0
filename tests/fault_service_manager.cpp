// SPDX-License-Identifier: MIT
// Rooms: io/service_manager.hpp.
// Telling the service manager a state, without a reactor: a Unix socket stands for systemd's.
#include "support/service_manager.hpp"

#include <fcntl.h>

#include "support/descriptors.hpp"

using mote::notify_service_manager;
using test::abstract_name;
using test::Directory;
using test::error_of;
using test::Manager;
using test::Verdict;
using test::with_environment;

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;

int answers(const char* socket, int error) {
  return with_environment({socket, nullptr, nullptr}, [error](Verdict& verdict) {
    const int before = test::open_descriptors();
    EXPECT(verdict, error_of(notify_service_manager("READY=1")) == error);
    EXPECT(verdict, test::open_descriptors() == before);
  });
}

}  // namespace

TEST_CASE(
    "service manager: each state is one datagram to NOTIFY_SOCKET, a path or '@abstract', and nothing stays open") {
  Directory directory;
  for (const std::string& name : {directory.file, abstract_name()}) {
    CAPTURE(name);
    Manager manager(name);
    const int result = with_environment({name.c_str(), nullptr, nullptr}, [](Verdict& verdict) {
      const int before = test::open_descriptors();
      Seam::state.reset_counts();
      EXPECT(verdict, notify_service_manager("READY=1"));
      EXPECT(verdict, Seam::state.count(Call::socket) == 1);
      EXPECT(verdict, Seam::state.count(Call::sendto) == 1);
      EXPECT(verdict, Seam::state.count(Call::close) == 1);
      EXPECT(verdict, Seam::state.system_calls() == 3);
      EXPECT(verdict, notify_service_manager("STOPPING=1\nSTATUS=done"));
      EXPECT(verdict, notify_service_manager(""));
      EXPECT(verdict, test::open_descriptors() == before);
    });
    CHECK(result == 0);
    CHECK(manager.heard() == "READY=1|STOPPING=1\nSTATUS=done||");
  }
}

TEST_CASE("service manager: started by hand, where NOTIFY_SOCKET is not set, it is ENOENT, without a system call") {
  const int result = with_environment({nullptr, "2000000", nullptr}, [](Verdict& verdict) {
    Seam::state.reset_counts();
    EXPECT(verdict, error_of(notify_service_manager("READY=1")) == ENOENT);
    EXPECT(verdict, Seam::state.system_calls() == 0);
  });
  CHECK(result == 0);
}

TEST_CASE("service manager: a NOTIFY_SOCKET that makes no sense is EINVAL") {
  const std::string too_long = "/" + std::string(107, 'x');
  for (const char* socket : {"", "relative", "vsock:2:1234", "./here", too_long.c_str()}) {
    CAPTURE(socket);
    CHECK(answers(socket, EINVAL) == 0);
  }
}

TEST_CASE("service manager: a socket that is not there, has been left or is full is said by name, and nobody waits") {
  Directory directory;
  const std::string path = directory.file;
  CHECK(answers(path.c_str(), ENOENT) == 0);
  {
    Manager manager(path);
    const int result = with_environment({path.c_str(), nullptr, nullptr}, [](Verdict& verdict) {
      int sent = 0;
      mote::Result<void> last;
      while (sent < 100'000 && (last = notify_service_manager("STATUS=more"))) ++sent;
      EXPECT(verdict, error_of(last) == EAGAIN);
    });
    CHECK(result == 0);
    CHECK_FALSE(manager.heard().empty());
    CHECK(answers(path.c_str(), 0) == 0);  // and once it has been read, it is told again
    CHECK(manager.heard() == "READY=1|");
  }
  CHECK(answers(path.c_str(), ECONNREFUSED) == 0);
  CHECK(answers(abstract_name().c_str(), ECONNREFUSED) == 0);
}

TEST_CASE("service manager: a state that no datagram holds is EMSGSIZE, and the system's limits are said by name") {
  const std::string name = abstract_name();
  Manager manager(name);
  const int result = with_environment({name.c_str(), nullptr, nullptr}, [](Verdict& verdict) {
    const std::string state(16 << 20, 'x');
    EXPECT(verdict, error_of(notify_service_manager(state.c_str())) == EMSGSIZE);
    const int before = test::open_descriptors();
    for (const int error : {EMFILE, ENFILE, ENOMEM}) {
      Seam::state.faults[0] = {Call::socket, Seam::state.count(Call::socket) + 1, error, 1};
      EXPECT(verdict, error_of(notify_service_manager("READY=1")) == error);
    }
    for (const int error : {EACCES, ENOMEM}) {
      Seam::state.faults[0] = {Call::sendto, Seam::state.count(Call::sendto) + 1, error, 1};
      EXPECT(verdict, error_of(notify_service_manager("READY=1")) == error);
    }
    EXPECT(verdict, test::open_descriptors() == before);
  });
  CHECK(result == 0);
  CHECK(manager.heard().empty());
}
