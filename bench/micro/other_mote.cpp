// SPDX-License-Identifier: MIT
// register: a descriptor, and its removal · mailbox: a message · channel: a message from one task to another.
#include <sys/eventfd.h>
#include <mote.hpp>

#include <vector>

#include "measure.hpp"

namespace {
struct Config : mote::Config {
  static constexpr std::size_t descriptors = 10000;
};
mote::StaticReactor<Config> reactor;

void ignore(mote::Readiness) {}

void turn() { static_cast<void>(reactor.run_once(mote::Duration::zero())); }

mote::Mailbox<std::uint32_t, 1024> mailbox;
mote::Channel<std::uint32_t, 16> channel;
std::size_t got;

void take_all() {
  while (mailbox.try_receive()) ++got;
}

struct Sender : mote::StateMachine {
  std::uint32_t left;
  mote::Result<void> sent;
  mote::Step step() {
    MOTE_BEGIN();
    while (left-- != 0) {
      MOTE_AWAIT(sent, channel.send(left));
      if (!sent) return mote::failed(sent.error());
    }
    MOTE_END();
  }
};
struct Receiver : mote::StateMachine {
  std::size_t left;
  mote::Result<std::uint32_t> value;
  mote::Step step() {
    MOTE_BEGIN();
    while (left-- != 0) {
      MOTE_AWAIT(value, channel.receive());
      if (!value) return mote::failed(value.error());
    }
    MOTE_END();
  }
};
mote::TaskPool<Sender, 1> senders;
mote::TaskPool<Receiver, 1> receivers;
}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments = bench::parse(argc, argv);
  const std::size_t n = arguments.size;
  if (!reactor.open()) bench::fail("open");
  bench::Stopwatch stopwatch;
  if (arguments.is("register")) {
    std::vector<int> fds(n);
    std::vector<mote::Registration> registrations(n);
    for (int& fd : fds) fd = eventfd(0, EFD_CLOEXEC);
    for (std::size_t r = 0; r < arguments.repeats; ++r) {
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i)
          registrations[i] = *reactor.add(fds[i], mote::Interest::read, mote::Handler::of<&ignore>());
        for (std::size_t i = 0; i < n; ++i) static_cast<void>(reactor.remove(registrations[i]));
      });
    }
  } else if (arguments.is("mailbox")) {
    if (!mailbox.open(reactor, mote::Delegate<void()>::of<&take_all>())) bench::fail("open");
    for (std::size_t r = 0; r < arguments.repeats; ++r) {
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i) static_cast<void>(mailbox.post(static_cast<std::uint32_t>(i)));
        turn();
      });
    }
    if (got != n * arguments.repeats) bench::fail("lost a message");
  } else if (arguments.is("channel")) {
    for (std::size_t r = 0; r < arguments.repeats; ++r) {
      static_cast<void>(senders.spawn(reactor, static_cast<std::uint32_t>(n)));
      static_cast<void>(receivers.spawn(reactor, n));
      stopwatch.measure(n, [] {
        while (receivers.size() != 0) turn();
      });
      turn();
    }
  } else {
    bench::no_such_case();
  }
  stopwatch.print();
  return 0;
}
