// SPDX-License-Identifier: MIT
// A system seam for tests, for the programs of fault_*.cpp (see system/system.hpp): the real system calls, but counted
// by name, made to fail or to be short on demand, on a clock that only the test or a wait that runs out of time moves.
//
// Built into a program by defining MOTE_SYSTEM_HEADER as "support/fault_system.hpp" before mote.hpp. For one thread.
#ifndef MOTE_TESTS_FAULT_SYSTEM_HPP
#define MOTE_TESTS_FAULT_SYSTEM_HPP

#define MOTE_SYSTEM FaultSystem

namespace mote {

// Counts the calls, and says which of them fail or are cut short.
struct FaultScript {
  enum class Call : unsigned {
    clock,
    process,
    epoll_create,
    epoll_ctl,
    epoll_wait,
    epoll_pwait2,
    poll,
    event_fd,
    read,
    write,
    open,
    close,
    fcntl,
    socket,
    bind,
    listen,
    accept,
    connect,
    shutdown,
    recv,
    send,
    recvmsg,
    sendto,
    getsockopt,
    setsockopt,
    getsockname,
    getpeername,
    sigaction,
    set_exclusive,
    tcgetattr,
    tcsetattr,
    sigprocmask,
    send_again,
    look
  };
  static constexpr unsigned calls = static_cast<unsigned>(Call::look) + 1;

  static const char* name(Call call) {
    static constexpr const char* names[calls] = {"clock_gettime", "getpid",      "epoll_create1",
                                                 "epoll_ctl",     "epoll_wait",  "epoll_pwait2",
                                                 "poll",          "eventfd",     "read",
                                                 "write",         "open",        "close",
                                                 "fcntl",         "socket",      "bind",
                                                 "listen",        "accept4",     "connect",
                                                 "shutdown",      "recv",        "send",
                                                 "recvmsg",       "sendto",      "getsockopt",
                                                 "setsockopt",    "getsockname", "getpeername",
                                                 "sigaction",     "ioctl",       "tcgetattr",
                                                 "tcsetattr",     "sigprocmask", "rt_tgsigqueueinfo",
                                                 "poll"};
    return names[static_cast<unsigned>(call)];
  }

  // The `index`-th call of that name from here on, counted from 1, fails, and so do those up to `index + times`.
  struct Fault {
    Call call = Call::clock;
    std::uint32_t index = 0;  // 0: none
    int error = 0;
    std::uint32_t times = 1;
  };

  struct State {
    std::uint32_t counts[calls] = {};
    std::uint32_t added = 0, modified = 0, deleted = 0;  // of epoll_ctl, by its operation
    Fault faults[2];
    std::uint32_t faults_fired = 0;
    bool old_kernel = false;    // older than any that is asked for
    bool interrupting = false;  // every other call that a signal can interrupt fails with EINTR

    std::size_t most_received = SIZE_MAX;  // of one read, recv or the like; longer ones are cut short
    std::size_t most_sent = SIZE_MAX;

    bool virtual_time = false;
    std::int64_t now = 0;   // ns
    std::int64_t jump = 0;  // ns that pass in the next wait besides its timeout, as when the process was stopped
    std::int64_t last_timeout = -1;  // ns that the last wait was given; -1: forever
    int patience = 0;  // real milliseconds for a slow device (a pty, a network) before the virtual time moves on
    std::uint32_t most_waits = UINT32_MAX;  // further ones fail with EBADF
    bool stuck = false;  // there were that many, or a wait without limit found nothing for 5 real seconds
    void (*before_wait)(void*) = nullptr;  // called before each wait: the peers act here
    void* context = nullptr;
    void (*at_process)() = nullptr;         // called at each getpid(), once: what another thread does meanwhile
    void (*at_write)(bool done) = nullptr;  // called before and after each write: a thread may be held here

    std::uint32_t count(Call call) const { return counts[static_cast<unsigned>(call)]; }
    std::uint32_t waits() const { return count(Call::epoll_wait) + count(Call::epoll_pwait2) + count(Call::poll); }
    // The clock is left out: it is read without entering the kernel.
    std::uint32_t system_calls() const {
      std::uint32_t sum = 0;
      for (unsigned i = static_cast<unsigned>(Call::epoll_create); i < calls; ++i) sum += counts[i];
      return sum;
    }
    void reset_counts() {
      for (std::uint32_t& count : counts) count = 0;
      added = modified = deleted = faults_fired = 0;
    }
  };
};

struct FaultSystem : LinuxSystem, FaultScript {
  static inline State state;

  // No faults, and a virtual clock that begins far from the real time.
  static void start_virtual_time() {
    state = State();
    state.virtual_time = true;
    state.most_waits = 1'000'000;  // so that a loop that spins fails its test
    state.now = std::int64_t{1'000'000} * 1'000'000'000;
  }

  static std::int64_t monotonic_ns() {
    count(Call::clock);
    return state.virtual_time ? state.now : LinuxSystem::monotonic_ns();
  }
  static pid_t process() {
    count(Call::process);
    const auto at_process = std::exchange(state.at_process, nullptr);
    if (at_process != nullptr) at_process();
    return LinuxSystem::process();
  }

  static bool is_at_least(unsigned major, unsigned minor) {
    return !state.old_kernel && LinuxSystem::is_at_least(major, minor);
  }
  static int epoll_create() { return fails(Call::epoll_create) ? -1 : LinuxSystem::epoll_create(); }
  static int epoll_ctl(int set, int what, int fd, epoll_event* event) {
    ++(what == EPOLL_CTL_ADD ? state.added : what == EPOLL_CTL_MOD ? state.modified : state.deleted);
    return fails(Call::epoll_ctl) ? -1 : LinuxSystem::epoll_ctl(set, what, fd, event);
  }
  static int epoll_wait(int set, epoll_event* events, int most, int milliseconds) {
    return wait_milliseconds(Call::epoll_wait, milliseconds,
                             [&](int limit) { return LinuxSystem::epoll_wait(set, events, most, limit); });
  }
  static int epoll_pwait2(int set, epoll_event* events, int most, std::int64_t ns) {
    return wait(
        Call::epoll_pwait2, ns, [&](int limit) { return LinuxSystem::epoll_wait(set, events, most, limit); },
        [&] { return LinuxSystem::epoll_pwait2(set, events, most, ns); });
  }
  static int look(pollfd& entry) { return fails(Call::look) ? -1 : LinuxSystem::look(entry); }
  static int poll(pollfd* fds, std::size_t count, int milliseconds) {
    return wait_milliseconds(Call::poll, milliseconds, [&](int limit) { return LinuxSystem::poll(fds, count, limit); });
  }

  static int event_fd() { return fails(Call::event_fd) ? -1 : LinuxSystem::event_fd(); }
  static ssize_t read(int fd, void* data, std::size_t size) {
    return fails(Call::read) ? -1 : LinuxSystem::read(fd, data, received(size));
  }
  static ssize_t write(int fd, const void* data, std::size_t size) {
    if (fails(Call::write)) return -1;
    const auto at_write = state.at_write;
    if (at_write != nullptr) at_write(false);
    const ssize_t written = LinuxSystem::write(fd, data, sent(size));
    if (at_write != nullptr) at_write(true);
    return written;
  }
  static int open(const char* path, int flags) { return fails(Call::open) ? -1 : LinuxSystem::open(path, flags); }
  static int close(int fd) {  // Linux closes the descriptor even when it answers an error
    const bool failing = fails(Call::close);
    const int saved = errno;
    const int result = LinuxSystem::close(fd);
    if (failing) errno = saved;
    return failing ? -1 : result;
  }
  static int fcntl(int fd, int command, int argument) {
    return fails(Call::fcntl) ? -1 : LinuxSystem::fcntl(fd, command, argument);
  }

  static int socket(int family, int type) { return fails(Call::socket) ? -1 : LinuxSystem::socket(family, type); }
  static int bind(int fd, const sockaddr* address, socklen_t size) {
    return fails(Call::bind) ? -1 : LinuxSystem::bind(fd, address, size);
  }
  static int listen(int fd, int backlog) { return fails(Call::listen) ? -1 : LinuxSystem::listen(fd, backlog); }
  static int accept(int fd) { return fails(Call::accept) ? -1 : LinuxSystem::accept(fd); }
  static int connect(int fd, const sockaddr* address, socklen_t size) {
    if (!fails(Call::connect)) return LinuxSystem::connect(fd, address, size);
    const int failure = errno;
    // After these two the connection is established all the same.
    if (failure == EINTR || failure == EINPROGRESS) LinuxSystem::connect(fd, address, size);
    errno = failure;
    return -1;
  }
  static int shutdown(int fd, int how) { return fails(Call::shutdown) ? -1 : LinuxSystem::shutdown(fd, how); }
  static ssize_t recv(int fd, void* data, std::size_t size, int flags) {
    return fails(Call::recv) ? -1 : LinuxSystem::recv(fd, data, received(size), flags);
  }
  static ssize_t send(int fd, const void* data, std::size_t size, int flags) {
    return fails(Call::send) ? -1 : LinuxSystem::send(fd, data, sent(size), flags);
  }
  static ssize_t recvmsg(int fd, msghdr* message, int flags) {
    return fails(Call::recvmsg) ? -1 : LinuxSystem::recvmsg(fd, message, flags);
  }
  static ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to, socklen_t length) {
    return fails(Call::sendto) ? -1 : LinuxSystem::sendto(fd, data, size, flags, to, length);
  }
  static int getsockopt(int fd, int level, int option, void* value, socklen_t* size) {
    return fails(Call::getsockopt) ? -1 : LinuxSystem::getsockopt(fd, level, option, value, size);
  }
  static int setsockopt(int fd, int level, int option, const void* value, socklen_t size) {
    return fails(Call::setsockopt) ? -1 : LinuxSystem::setsockopt(fd, level, option, value, size);
  }
  static int getsockname(int fd, sockaddr* address, socklen_t* size) {
    return fails(Call::getsockname) ? -1 : LinuxSystem::getsockname(fd, address, size);
  }
  static int getpeername(int fd, sockaddr* address, socklen_t* size) {
    return fails(Call::getpeername) ? -1 : LinuxSystem::getpeername(fd, address, size);
  }

  static int sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
    return fails(Call::sigaction) ? -1 : LinuxSystem::sigaction(signal, action, old);
  }
  static int sigprocmask(int how, const sigset_t* change, sigset_t* old) {
    return fails(Call::sigprocmask) ? -1 : LinuxSystem::sigprocmask(how, change, old);
  }
  static int send_again(int signal, siginfo_t* information) {
    return fails(Call::send_again) ? -1 : LinuxSystem::send_again(signal, information);
  }
  static int set_exclusive(int fd) { return fails(Call::set_exclusive) ? -1 : LinuxSystem::set_exclusive(fd); }
  static int tcgetattr(int fd, termios* settings) {
    return fails(Call::tcgetattr) ? -1 : LinuxSystem::tcgetattr(fd, settings);
  }
  static int tcsetattr(int fd, const termios* settings) {
    return fails(Call::tcsetattr) ? -1 : LinuxSystem::tcsetattr(fd, settings);
  }

  static bool interruptible(Call call) {
    switch (call) {
      case Call::epoll_wait:
      case Call::epoll_pwait2:
      case Call::poll:
      case Call::read:
      case Call::write:
      case Call::open:
      case Call::close:
      case Call::accept:
      case Call::connect:
      case Call::recv:
      case Call::send:
      case Call::recvmsg:
      case Call::sendto:
      case Call::tcsetattr: return true;
      default: return false;
    }
  }
 private:
  static std::uint32_t count(Call call) { return ++state.counts[static_cast<unsigned>(call)]; }
  static bool fails(Call call) {
    const std::uint32_t index = count(call);
    for (const Fault& fault : state.faults) {
      if (fault.index == 0 || fault.call != call || index < fault.index || index - fault.index >= fault.times) continue;
      ++state.faults_fired;
      errno = fault.error;
      return true;
    }
    if (!state.interrupting || !interruptible(call) || index % 2 == 0) return false;
    ++state.faults_fired;
    errno = EINTR;
    return true;
  }
  static std::size_t received(std::size_t size) { return size < state.most_received ? size : state.most_received; }
  static std::size_t sent(std::size_t size) { return size < state.most_sent ? size : state.most_sent; }

  template <class Ask> static int wait_milliseconds(Call call, int milliseconds, Ask&& ask) {
    const std::int64_t ns = milliseconds < 0 ? -1 : std::int64_t{milliseconds} * 1'000'000;
    return wait(call, ns, ask, [&] { return ask(milliseconds); });
  }
  // ask(milliseconds) is the real wait with that limit; really() the very one that was asked for.
  template <class Ask, class Really> static int wait(Call call, std::int64_t ns, Ask&& ask, Really&& really) {
    if (state.before_wait != nullptr) state.before_wait(state.context);
    state.last_timeout = ns;
    if (fails(call)) return -1;
    if (state.waits() > state.most_waits) return give_up();
    if (!state.virtual_time) return really();
    const std::int64_t start = state.now;
    const int ready = ask(ns < 0 ? 5000 : ns == 0 ? 0 : state.patience);
    state.now += state.jump;
    state.jump = 0;
    if (ready != 0 || ns == 0) return ready;
    if (ns > 0) {
      const std::int64_t end = ns > INT64_MAX - start ? INT64_MAX : start + ns;
      if (state.now < end) state.now = end;
      return 0;
    }
    return give_up();
  }
  static int give_up() {
    state.stuck = true;
    errno = EBADF;
    return -1;
  }
};

}  // namespace mote

#endif  // MOTE_TESTS_FAULT_SYSTEM_HPP
