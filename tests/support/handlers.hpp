// SPDX-License-Identifier: MIT
// A generated world of handlers: sockets, pipes, terminals, timers and events, whose handlers add, modify, remove,
// close and re-add themselves and each other at random, from within handlers and between turns, while peers write,
// read, close and shut down. poll(2) is the judge: in every turn, who should be called is called, and nobody else.
// Everything follows from a seed.
#ifndef MOTE_TESTS_HANDLERS_HPP
#define MOTE_TESTS_HANDLERS_HPP

#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <termios.h>

#include <cstdio>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>

#include "harness.hpp"

namespace handlers {

using mote::Error;
using mote::Interest;
using mote::Readiness;
using mote::Registration;
using mote::Result;
using namespace std::chrono_literals;

constexpr unsigned readable = 0x1, priority = 0x2, writable = 0x4, error = 0x8, hangup = 0x10, read_closed = 0x2000;
constexpr unsigned never_masked = error | hangup;

// What may be reported for this interest beside hang-up and error, written down without the library's help.
inline unsigned asked_for(Interest interest) {
  unsigned asked = 0;
  if (any(interest & Interest::read)) asked |= readable | read_closed;
  if (any(interest & Interest::write)) asked |= writable;
  if (any(interest & Interest::priority)) asked |= priority;
  return asked;
}
inline pollfd entry_of(int fd, Interest interest) {
  short events = 0;
  if (any(interest & Interest::read)) events |= POLLIN | POLLRDHUP;
  if (any(interest & Interest::write)) events |= POLLOUT;
  if (any(interest & Interest::priority)) events |= POLLPRI;
  return {fd, events, 0};
}
inline unsigned bits_of(const pollfd& entry) {
  const auto seen = static_cast<unsigned>(entry.revents);
  unsigned bits = 0;
  if ((seen & POLLIN) != 0) bits |= readable;
  if ((seen & POLLPRI) != 0) bits |= priority;
  if ((seen & POLLOUT) != 0) bits |= writable;
  if ((seen & (POLLERR | POLLNVAL)) != 0) bits |= error;
  if ((seen & POLLHUP) != 0) bits |= hangup;
  if ((seen & POLLRDHUP) != 0) bits |= read_closed;
  return bits;
}
inline unsigned judge(int fd, Interest interest) {
  pollfd entry = entry_of(fd, interest);
  return ::poll(&entry, 1, 0) == 1 ? bits_of(entry) : 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Descriptors and their peers
// ---------------------------------------------------------------------------------------------------------------------
enum class Kind { stream, datagram, packets, reader, writer, tcp, udp, event, timer, master, slave, null, count };

inline void close(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}
inline void set_small_buffer(int fd) {
  const int size = 4096;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

// A descriptor, `fd`, and the other end, through which the world acts on it.
struct File {
  Kind kind = Kind::stream;
  int fd = -1;
  int peer = -1;
  int duplicate = -1;  // keeps the description alive when `fd` is closed
  bool owned = false;  // by a Source
  int written = 0;     // bytes, to a terminal: they arrive in the background, and some time there is no more room
  sockaddr_in peer_address{};

  bool open(Kind what) {
    kind = what;
    written = 0;
    owned = false;
    switch (kind) {
      case Kind::stream: return open_pair(SOCK_STREAM);
      case Kind::datagram: return open_pair(SOCK_DGRAM);
      case Kind::packets: return open_pair(SOCK_SEQPACKET);
      case Kind::reader:
      case Kind::writer: return open_pipe();
      case Kind::tcp: return open_tcp();
      case Kind::udp: return open_udp();
      case Kind::event: fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); break;
      case Kind::timer: fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); break;
      case Kind::master:
      case Kind::slave: return open_terminal();
      default: fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    return fd >= 0;
  }
  void close_all() {
    close(fd);
    close(peer);
    close(duplicate);
  }

  // ---- what the peer does ----

  void peer_writes() {
    const std::uint64_t one = 1;
    const itimerspec soon{{0, 0}, {0, 1}};
    switch (kind) {
      case Kind::event: static_cast<void>(!::write(fd, &one, sizeof one)); break;
      case Kind::timer:
        ::timerfd_settime(fd, 0, &soon, nullptr);
        wait_for(POLLIN);
        break;
      case Kind::writer:
      case Kind::null: break;
      case Kind::master:
      case Kind::slave: write_terminal(peer); break;
      default: static_cast<void>(!::write(peer, "data", 4));
    }
  }
  void peer_reads() {
    if (kind != Kind::reader) drain(peer);
  }
  void peer_sends_urgent_byte() {
    if (kind == Kind::tcp) ::send(peer, "!", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  void peer_shuts_down(int how) { ::shutdown(peer, how); }
  void peer_closes(bool by_force) {
    const linger at_once{1, 0};
    if (kind == Kind::tcp && by_force) ::setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(peer);
  }
  // Another one comes in the place of one that has gone, where there is such a thing.
  void peer_comes_again() {
    if (peer >= 0 || fd < 0) return;
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (kind == Kind::reader) peer = ::open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (kind == Kind::writer) peer = ::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (kind == Kind::master && ::ptsname_r(fd, path, sizeof path) == 0) {
      peer = ::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    }
    if (kind == Kind::udp) peer = open_udp_peer();
  }

  // ---- what the program does with it ----

  void writes() {
    const std::uint64_t one = 1;
    if (kind == Kind::event) {
      static_cast<void>(!::write(fd, &one, sizeof one));
    } else if (kind == Kind::master || kind == Kind::slave) {
      write_terminal(fd);
    } else {
      static_cast<void>(!::write(fd, "data", 4));
    }
    if (kind == Kind::udp && peer < 0) wait_for(POLLERR);  // the answer that nobody is there
  }
  void fills() {
    if (kind == Kind::stream || kind == Kind::packets || kind == Kind::datagram || kind == Kind::writer) {
      char block[1024] = {};
      for (int i = 0; i < 64 && ::write(fd, block, sizeof block) > 0; ++i) {}
    }
  }
  void reads() {
    char bytes[8];
    static_cast<void>(!::read(fd, bytes, sizeof bytes));
  }
  void drains() { drain(fd); }
  void takes_error() {
    int value = 0;
    socklen_t size = sizeof value;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size);
  }
  void shuts_down(int how) { ::shutdown(fd, how); }
 private:
  bool take(const int (&pair)[2]) {
    fd = pair[0];
    peer = pair[1];
    return true;
  }
  bool open_pair(int type) {
    int pair[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return false;
    set_small_buffer(pair[0]);
    set_small_buffer(pair[1]);
    return take(pair);
  }
  bool open_pipe() {
    int pair[2];
    if (::pipe2(pair, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    ::fcntl(pair[1], F_SETPIPE_SZ, 4096);
    if (kind == Kind::writer) std::swap(pair[0], pair[1]);
    return take(pair);
  }
  bool open_tcp() {
    test::Pair pair = test::tcp_pair();
    fd = pair.a.release();
    peer = pair.b.release();
    return true;
  }
  bool open_udp() {
    fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    peer_address = sockaddr_in{};
    peer_address.sin_family = AF_INET;
    peer_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in mine = peer_address;
    if (::bind(fd, address_of(mine), sizeof mine) != 0) return false;
    peer = open_udp_peer();
    socklen_t size = sizeof peer_address;
    if (peer < 0 || ::getsockname(peer, address_of(peer_address), &size) != 0) return false;
    return ::connect(fd, address_of(peer_address), sizeof peer_address) == 0;
  }
  int open_udp_peer() {
    sockaddr_in mine;
    socklen_t size = sizeof mine;
    int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool ready = ::bind(socket, address_of(peer_address), sizeof peer_address) == 0 &&
                       ::getsockname(fd, address_of(mine), &size) == 0 &&
                       ::connect(socket, address_of(mine), size) == 0;
    if (!ready) close(socket);
    return socket;
  }
  bool open_terminal() {
    int pair[2] = {::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), -1};
    char path[64];
    if (pair[0] < 0 || ::grantpt(pair[0]) != 0 || ::unlockpt(pair[0]) != 0) return false;
    if (::ptsname_r(pair[0], path, sizeof path) != 0) return false;
    pair[1] = ::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    termios settings;
    if (pair[1] < 0 || ::tcgetattr(pair[1], &settings) != 0) return false;
    ::cfmakeraw(&settings);
    ::tcsetattr(pair[1], TCSANOW, &settings);
    if (kind == Kind::slave) std::swap(pair[0], pair[1]);
    return take(pair);
  }
  void write_terminal(int end) {
    if (end < 0 || written == 1000) return;
    ++written;
    const int other = end == fd ? peer : fd;
    const int before = bytes_in(other);
    static_cast<void>(!::write(end, "x", 1));
    for (int i = 0; i < 10'000 && other >= 0 && bytes_in(other) == before; ++i) ::sched_yield();
  }
  static int bytes_in(int terminal) {
    int count = 0;
    return ::ioctl(terminal, FIONREAD, &count) == 0 ? count : -1;
  }
  // What the kernel does in the background is waited for, so that a world is the same each time.
  void wait_for(short event) const {
    pollfd entry{fd, event, 0};
    ::poll(&entry, 1, 50);
  }
  static void drain(int end) {
    if (end < 0) return;
    char bytes[4096];
    for (int i = 0; i < 64 && ::read(end, bytes, sizeof bytes) > 0; ++i) {}
  }
  static sockaddr* address_of(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }
};

// ---------------------------------------------------------------------------------------------------------------------
// Handlers
// ---------------------------------------------------------------------------------------------------------------------
class World;

// One registration, by Reactor::add() or by a Source, and what is known of it.
struct Player {
  World* world = nullptr;
  Registration registration;  // of add(), also when it is not there any more
  mote::Source source;
  File* file = nullptr;  // that the source owns
  int number = -1;       // the descriptor's
  Interest interest = Interest::none;
  bool armed = false;  // it has a handler
  // Its descriptor was closed before it was removed. Until it is modified it may be called or not: poll(2) has no
  // answer.
  bool stale = false;
  bool number_may_be_lost = false;  // stale, and told so
  bool muted = false;               // told of a hang-up or an error alone, which stayed
  bool may_be_heard = false;        // muted, but that has gone since, or what is asked for has come
  int told = 0;                     // of a hang-up or an error alone, since it is stale
  bool touched = false;             // in this turn
  bool due = false;                 // before this turn
  unsigned settings = 0;            // how often it has been added, modified, removed
  unsigned settings_when_due = 0;
  std::uint64_t added_in = 0;   // turns
  std::uint64_t called_in = 0;  // likewise

  void on(Readiness readiness);
  mote::Handler handler() { return mote::Handler::of<&Player::on>(*this); }
  bool is_source() const { return file != nullptr; }
};

// What a world needs from its surroundings.
struct Surroundings {
  mote::Reactor& reactor;
  std::uint32_t capacity;
  void (*let_time_pass)();  // a little more than limits::retry_pause
  bool time_stands_still;   // else
};

class World {
 public:
  World(const Surroundings& surroundings, unsigned seed)
      : reactor_(surroundings.reactor),
        capacity_(surroundings.capacity),
        let_time_pass_(surroundings.let_time_pass),
        time_stands_still_(surroundings.time_stands_still),
        random_(seed),
        seed_(seed),
        traced_(::getenv("MOTE_TEST_TRACE") != nullptr) {
    for (Player& player : players_) player.world = this;
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    for (Player& player : players_) player.source.close();
    for (File& file : files_) {
      if (file.owned) file.fd = -1;
      file.close_all();
    }
  }

  // Busy turns, then turns in which nobody acts but everybody who should be is called; again and again.
  void run(unsigned rounds) {
    for (unsigned round = 1; round <= rounds && !failed_; ++round) {
      for (unsigned i = below(6); i != 0 && !failed_; --i) act();
      busy_ = true;
      turn();
      busy_ = false;
      for (unsigned i = 1 + below(2); i != 0 && !failed_; --i) turn();
      const bool is_last = round == rounds;
      if (is_last || one_in(time_stands_still_ ? 20 : 5000)) pass_pause(is_last);
    }
  }
  bool failed() const { return failed_; }
  const char* failure() const { return failure_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t calls() const { return calls_; }
  std::uint64_t muted() const { return muted_; }
  std::uint64_t heard_again() const { return heard_again_; }

  void called(Player& player, unsigned bits);
 private:
  static constexpr std::size_t files = 18, players = 26;

  // ---- chance and record ----

  unsigned below(std::size_t n) { return static_cast<unsigned>(random_() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
  void check(bool holds, const char* what, const Player* player = nullptr, std::int64_t detail = 0) {
    ++steps_;
    if (holds || failed_) return;
    failed_ = true;
    std::snprintf(failure_, sizeof failure_, "seed %u, turn %u: %s; handler %d, descriptor %d, detail 0x%lx", seed_,
                  static_cast<unsigned>(turn_), what, player != nullptr ? index_of(*player) : -1,
                  player != nullptr ? player->number : -1, static_cast<unsigned long>(detail));
    for (const Player& one : players_) {
      if (one.armed) trace(one.stale ? "at the end, closed" : one.muted ? "at the end, muted" : "at the end", one);
    }
  }
  template <class R>
  int check_result(const R& result, std::initializer_list<int> expected, const char* what, const Player& player) {
    const int answer = test::error_of(result);
    bool found = false;
    for (const int one : expected) found = found || one == answer;
    trace(what, player, answer);
    check(found, what, &player, answer);
    return answer;
  }
  void trace(const char* what, const Player& player, long detail = 0) const {
    if (traced_) {
      std::fprintf(stderr, "%u %s: handler %d, descriptor %d, interest %u, 0x%lx\n", static_cast<unsigned>(turn_), what,
                   index_of(player), player.number, static_cast<unsigned>(player.interest),
                   static_cast<unsigned long>(detail));
    }
  }
  void trace(const char* what, const File& file) const {
    if (traced_) {
      std::fprintf(stderr, "%u %s: file %d of kind %d, descriptor %d\n", static_cast<unsigned>(turn_), what,
                   static_cast<int>(&file - files_), static_cast<int>(file.kind), file.fd);
    }
  }
  int index_of(const Player& player) const { return static_cast<int>(&player - players_); }

  // ---- turns ----

  void turn() {
    ++turn_;
    judge_before();
    const std::uint64_t calls = calls_;
    const mote::Statistics before = reactor_.stats();
    const Result<std::uint32_t> done = reactor_.run_once(mote::Duration::zero());
    check(static_cast<bool>(done), "a turn failed", nullptr, test::error_of(done));
    const mote::Statistics& after = reactor_.stats();
    for (Player& player : players_) {
      if (!player.due || player.touched || player.settings != player.settings_when_due) continue;
      check(player.called_in == turn_, "who should be called was not", &player, judge(player.number, player.interest));
    }
    if (busy_ || after.selector_rebuilds != before.selector_rebuilds) return;
    // What a closed descriptor has left behind is cured at once, so there is nothing else.
    check(after.events - before.events == calls_ - calls, "events that nobody was told of", nullptr,
          static_cast<std::int64_t>(after.events - before.events));
  }
  // What poll(2) says before the turn. Whoever is due then, and is not touched in the turn, has to be called in it.
  void judge_before() {
    pollfd entries[players];
    nfds_t count = 0;
    std::uint32_t registered = 0;
    for (Player& player : players_) {
      player.touched = false;
      player.due = false;
      if (player.armed || player.is_source()) ++registered;
      if (player.armed && !player.stale) entries[count++] = entry_of(player.number, player.interest);
    }
    check(reactor_.vacancies() == capacity_ - registered, "the table's count is wrong", nullptr, registered);
    ::poll(entries, count, 0);
    count = 0;
    for (Player& player : players_) {
      if (!player.armed || player.stale) continue;
      const unsigned seen = bits_of(entries[count++]);
      if (player.muted) {
        if (!stays(seen, player.interest)) player.may_be_heard = true;
        continue;
      }
      player.due = (seen & (asked_for(player.interest) | never_masked)) != 0;
      player.settings_when_due = player.settings;
    }
  }
  static bool stays(unsigned seen, Interest interest) {
    return (seen & never_masked) != 0 && (seen & asked_for(interest)) == 0;
  }
  Kind kind_of(int number) const {
    for (const File& file : files_) {
      if (file.fd == number) return file.kind;
    }
    return Kind::count;  // a peer or a duplicate
  }
  bool has_muted(const File& file) const {
    for (const Player& player : players_) {
      if (player.muted && player.number == file.fd) return true;
    }
    return false;
  }
  void revive(File& file) {
    trace("revived", file);
    file.peer_comes_again();
    file.takes_error();
    if (one_in(2)) file.peer_writes();
    touch(file);
  }
  // Afterwards whoever was muted, and has reason to be heard again, is.
  void pass_pause(bool with_all) {
    for (File& file : files_) {
      if (has_muted(file) && (with_all || one_in(2))) revive(file);
    }
    turn();  // the pause begins in the turn after the muting at the latest
    let_time_pass_();
    turn();
    for (Player& player : players_) {
      if (!player.armed || player.stale || !player.muted) continue;
      if (stays(judge(player.number, player.interest), player.interest)) continue;
      player.muted = false;
      ++heard_again_;
    }
    turn();
    turn();
  }

  // ---- what registrations there are ----

  enum class Holder { none, maybe, surely };
  // Whether another one holds the number.
  Holder holder_of(int number, const Player* but) const {
    Holder found = Holder::none;
    for (const Player& player : players_) {
      if (&player == but || !player.armed || player.number != number) continue;
      if (!player.number_may_be_lost) return Holder::surely;
      found = Holder::maybe;
    }
    return found;
  }
  static bool is_open(int number) { return ::fcntl(number, F_GETFD) >= 0; }
  // What the selector answers to a number that no registration has.
  int answer_to(int number) const {
    if (!is_open(number)) return EBADF;
    return number == reactor_.pollable_descriptor() ? EINVAL : 0;  // made anew, it may have taken the number
  }
  void note_set(Player& player, Interest interest) {
    player.interest = interest;
    player.armed = true;
    player.stale = false;
    player.number_may_be_lost = false;
    player.muted = false;
    ++player.settings;
  }
  void note_gone(Player& player) {
    player.armed = false;
    player.muted = false;
    player.stale = false;
    player.number_may_be_lost = false;
    ++player.settings;
  }
  // Something was done to the file. A number that was closed may have come back as a peer's or a duplicate's.
  void touch(const File& file) {
    for (Player& player : players_) {
      const int number = player.number;
      if (!player.armed || (number != file.fd && number != file.peer && number != file.duplicate)) continue;
      player.touched = true;
      look_at_muted(player);
    }
  }
  void look_at_muted(Player& player) {
    if (!player.muted || player.stale) return;
    if (!stays(judge(player.number, player.interest), player.interest)) player.may_be_heard = true;
  }
  // A descriptor is closed without a word to the reactor.
  void note_closed(int number) {
    for (Player& player : players_) {
      if (!player.armed || player.number != number) continue;
      player.stale = true;
      player.told = 0;
      player.muted = false;
      player.touched = true;
    }
  }

  // ---- acts ----

  void act() {
    ++steps_;
    File& file = files_[below(files)];
    if (file.fd < 0) return open_file(file);
    Player& player = players_[below(players)];
    switch (below(10)) {
      case 0: return act_on_file(file);
      case 1:
      case 2:
      case 3: return act_as_peer(file);
      case 4:
      case 5: return use_file(file);
      default: return act_on_player(player, file);
    }
  }
  void open_file(File& file) {
    if (file.duplicate >= 0) {  // another number for what was closed, or the same
      file.fd = reopened(file.duplicate);
      note_closed(file.duplicate);
      close(file.duplicate);
    } else {
      note_closed(file.peer);
      close(file.peer);
      check(file.open(static_cast<Kind>(below(static_cast<std::size_t>(Kind::count)))),
            "a descriptor could not be made", nullptr, errno);
    }
    trace("opened", file);
  }
  // The number is not one whose stale registration may be of yet another file that lives on: the kernel would then have
  // two entries of that number, and nothing tells which of them an event is from.
  int reopened(int duplicate) {
    int fd = ::fcntl(duplicate, F_DUPFD_CLOEXEC, 0);
    while (is_stale(fd)) {
      const int next = ::fcntl(duplicate, F_DUPFD_CLOEXEC, fd + 1);
      ::close(fd);
      fd = next;
    }
    return fd;
  }
  bool is_stale(int number) const {
    for (const Player& player : players_) {
      if (player.armed && player.stale && player.number == number) return true;
    }
    return false;
  }
  void act_on_file(File& file) {
    if (file.owned || one_in(2)) return;
    if (one_in(3) && file.duplicate < 0) file.duplicate = ::fcntl(file.fd, F_DUPFD_CLOEXEC, 0);
    trace("closed", file);
    Player* const mine = player_of(file.fd);
    const unsigned how = below(3);
    if (mine != nullptr && how == 0) remove(*mine);  // as it should be
    note_closed(file.fd);
    close(file.fd);
    if (mine != nullptr && how == 1) forget(*mine);  // as it should be, where a library was first
  }
  Player* player_of(int number) {
    for (Player& player : players_) {
      if (player.armed && !player.is_source() && player.number == number) return &player;
    }
    return nullptr;
  }
  void act_as_peer(File& file) {
    trace("its peer acts", file);
    switch (below(12)) {
      case 0:
        touch(file);
        note_closed(file.peer);
        file.peer_closes(one_in(2));
        break;
      case 1: file.peer_shuts_down(one_in(3) ? SHUT_RD : SHUT_WR); break;
      case 2: file.peer_sends_urgent_byte(); break;
      case 3:
      case 4:
      case 5: file.peer_comes_again(); break;
      case 6:
      case 7:
      case 8: file.peer_reads(); break;
      default: file.peer_writes();
    }
    touch(file);
  }
  void use_file(File& file) {
    trace("it is used", file);
    switch (below(12)) {
      case 0: file.shuts_down(one_in(2) ? SHUT_RD : SHUT_WR); break;
      case 1: file.fills(); break;
      case 2:
      case 3: file.writes(); break;
      case 4:
      case 5: file.takes_error(); break;
      case 6:
      case 7: file.reads(); break;
      default: file.drains();
    }
    touch(file);
  }
  Interest any_interest() {
    static constexpr Interest interests[] = {
        Interest::none,  Interest::read,     Interest::read,
        Interest::read,  Interest::write,    Interest::read | Interest::write,
        Interest::write, Interest::priority, Interest::read | Interest::write | Interest::priority};
    return interests[below(sizeof interests / sizeof *interests)];
  }
  void act_on_player(Player& player, File& file) {
    if (player.is_source()) return act_on_source(player);
    if (!player.armed) {
      if (one_in(8)) try_old_name(player);
      if (file.fd >= 0 && !file.owned && one_in(3)) return open_source(player, file);
      return add(player, one_in(16) ? 1000 : file.fd, any_interest());
    }
    switch (below(8)) {
      case 0: return remove(player);
      case 1: {
        const int number = player.number;
        remove(player);
        return add(player, number, any_interest());
      }
      case 2:
        if (player.stale) return forget(player);
        return modify(player, player.interest);
      case 3: return modify(player, Interest::none);
      case 4: return modify(player, player.interest);
      default: return modify(player, any_interest());
    }
  }
  // A registration that is gone is not found.
  void try_old_name(Player& player) {
    const Registration old = player.registration;
    check_result(reactor_.modify(old, Interest::read), {ENOENT}, "modify() by an old name", player);
    check_result(reactor_.remove(old), {ENOENT}, "remove() by an old name", player);
    check_result(reactor_.forget(old), {ENOENT}, "forget() by an old name", player);
  }
  void add(Player& player, int number, Interest interest) {
    const bool is_full = reactor_.vacancies() == 0;
    player.number = number;
    const Result<Registration> added = reactor_.add(number, interest, player.handler());
    const int else_expected = answer_to(number);
    int answer = 0;
    if (is_full) {
      answer = check_result(added, {ENOBUFS}, "add() to a full table", player);
    } else {
      switch (holder_of(number, nullptr)) {
        case Holder::surely:
          answer = check_result(added, {EEXIST}, "add() of a number that another has", player);
          break;
        case Holder::maybe: answer = check_result(added, {EEXIST, else_expected}, "add()", player); break;
        default: answer = check_result(added, {else_expected}, "add()", player);
      }
    }
    if (answer != 0) return;
    player.registration = *added;
    player.added_in = turn_;
    note_set(player, interest);
  }
  void modify(Player& player, Interest interest) {
    const Result<void> modified = reactor_.modify(player.registration, interest);
    if (!player.stale) {
      check_result(modified, {0}, "modify()", player);
      return note_set(player, interest);
    }
    const int expected = answer_to(player.number);
    int answer = 0;
    if (expected != 0) {  // poll(2) takes what it had already, and tells of it
      answer = check_result(modified, {0, expected, EEXIST}, "modify() of a closed one", player);
    } else {
      switch (holder_of(player.number, &player)) {
        case Holder::none: answer = check_result(modified, {0}, "modify() of one that was opened anew", player); break;
        default: answer = check_result(modified, {0, EEXIST}, "modify() of one that may be another's", player);
      }
    }
    ++player.settings;
    if (answer != 0) player.number_may_be_lost = true;
    if (answer != 0) return;
    player.interest = interest;
    if (expected != 0) return;
    note_set(player, interest);
    player.touched = true;  // an event of what was closed may have been received in this turn
  }
  void remove(Player& player) {
    check_result(reactor_.remove(player.registration), {0}, "remove()", player);
    note_gone(player);
  }
  void forget(Player& player) {
    check_result(reactor_.forget(player.registration), {0}, "forget()", player);
    note_gone(player);
  }
  void open_source(Player& player, File& file) {
    mote::Fd fd(file.fd);
    player.number = file.fd;
    const bool is_full = reactor_.vacancies() == 0;
    const Result<void> opened = player.source.open(reactor_, std::move(fd));
    fd.release();
    const int answer = check_result(opened, {is_full ? ENOBUFS : 0}, "open() of a source", player);
    if (answer != 0) return;
    player.file = &file;
    file.owned = true;
    if (!one_in(4)) watch(player, any_interest());
  }
  void act_on_source(Player& player) {
    switch (below(8)) {
      case 0: return close_source(player);
      case 1: {
        const mote::Interest interest = player.interest;
        release_source(player);
        return one_in(2) ? add(player, player.number, interest) : void();
      }
      case 2: return watch(player, player.interest);
      case 3: return watch(player, Interest::none);
      default: return watch(player, any_interest());
    }
  }
  void watch(Player& player, Interest interest) {
    const Result<void> watched = player.source.watch(interest, player.handler());
    const bool was_armed = player.armed;
    int answer = 0;
    if (was_armed || holder_of(player.number, &player) == Holder::none) {
      answer = check_result(watched, {0}, "watch()", player);
    } else if (holder_of(player.number, &player) == Holder::maybe) {
      answer = check_result(watched, {0, EEXIST}, "watch()", player);
    } else {
      answer = check_result(watched, {EEXIST}, "watch() of a number that another has", player);
    }
    if (answer != 0) return;
    if (!was_armed) player.added_in = turn_;
    note_set(player, interest);
  }
  void close_source(Player& player) {
    File& file = *player.file;
    trace("close() of a source", player);
    if (one_in(3) && file.duplicate < 0) file.duplicate = ::fcntl(file.fd, F_DUPFD_CLOEXEC, 0);
    player.file = nullptr;
    file.owned = false;
    const int number = std::exchange(file.fd, -1);
    player.source.close();
    note_gone(player);
    check(!is_open(number), "a closed source left its descriptor open", &player);
    note_closed(number);  // that was added, too, while the source was not armed
  }
  void release_source(Player& player) {
    trace("release() of a source", player);
    mote::Fd fd = player.source.release();
    check(fd.get() == player.number, "release() gave another descriptor", &player, fd.get());
    player.file->owned = false;
    player.file = nullptr;
    fd.release();
    note_gone(player);
  }

  mote::Reactor& reactor_;
  const std::uint32_t capacity_;
  void (*const let_time_pass_)();
  const bool time_stands_still_;
  std::minstd_rand random_;
  const unsigned seed_;
  const bool traced_;
  bool busy_ = false;
  bool failed_ = false;
  char failure_[256] = {};
  std::uint64_t turn_ = 0, steps_ = 0, calls_ = 0, muted_ = 0, heard_again_ = 0;
  File files_[files];
  Player players_[players];
};

inline void Player::on(Readiness readiness) { world->called(*this, static_cast<unsigned>(readiness)); }

inline void World::called(Player& player, unsigned bits) {
  ++calls_;
  trace("called", player, static_cast<long>(bits));
  check(player.armed, "called, but not registered", &player, static_cast<long>(bits));
  if (failed_) return;
  const unsigned asked = asked_for(player.interest);
  check(bits != 0 && (bits & ~(asked | never_masked)) == 0, "called with what it does not ask for", &player,
        static_cast<long>(bits));
  if (player.stale) {
    if (bits == error) player.number_may_be_lost = true;
    if ((bits & asked) == 0) ++player.told;  // by the selector, by a rebuild, and of what has taken the number
    check(player.told <= 3, "told again and again of what it cannot help", &player, static_cast<long>(bits));
    if (busy_ && one_in(2)) act_on_player(player, files_[below(files)]);
    return;
  }
  check(player.called_in != turn_ || player.touched || player.settings != player.settings_when_due,
        "called twice in a turn", &player, static_cast<long>(bits));
  player.called_in = turn_;
  const unsigned seen = judge(player.number, player.interest);
  if (!player.touched) {
    check((bits & ~seen) == 0, "called with what is not there (what is, and the file's kind)", &player,
          static_cast<long>(bits | seen << 16 | static_cast<unsigned>(kind_of(player.number)) << 8));
  }
  if (player.muted) {
    look_at_muted(player);
    check(player.may_be_heard && !time_stands_still_, "called again for what stays, or before the pause was over",
          &player, static_cast<long>(bits));
    player.muted = false;
    ++heard_again_;
  }
  const unsigned settings = player.settings;
  for (unsigned i = busy_ ? below(3) : 0; i != 0 && !failed_; --i) {
    if (one_in(3)) {
      act_on_player(player, files_[below(files)]);
    } else {
      act();
    }
  }
  const bool is_unasked = (bits & asked) == 0;
  if (!is_unasked || !player.armed || player.stale || player.settings != settings) return;
  if (!stays(judge(player.number, player.interest), player.interest)) return;
  player.muted = true;
  player.may_be_heard = false;
  ++muted_;
}

// Writing to what has no reader is an error, not a signal.
class IgnoredBrokenPipes {
 public:
  IgnoredBrokenPipes() : before_(::signal(SIGPIPE, SIG_IGN)) {}
  IgnoredBrokenPipes(const IgnoredBrokenPipes&) = delete;
  IgnoredBrokenPipes& operator=(const IgnoredBrokenPipes&) = delete;
  ~IgnoredBrokenPipes() { ::signal(SIGPIPE, before_); }
 private:
  void (*before_)(int);
};

inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = ::getenv(variable);
  return text != nullptr ? ::strtoull(text, nullptr, 10) : otherwise;
}

// Worlds of the seeds from 1 on, until so many steps have been made.
template <class S>
void run_worlds(const char* program, const char* name, std::uint64_t most_steps, void (*let_time_pass)(),
                bool time_stands_still) {
  constexpr std::uint32_t capacity = 18;
  const IgnoredBrokenPipes ignored;
  const auto first = static_cast<unsigned>(number_from("MOTE_TEST_SEED", 1));
  const std::uint64_t steps = number_from("MOTE_TEST_STEPS", most_steps);
  const int descriptors = test::open_descriptors();
  unsigned seed = first;
  std::uint64_t done = 0, calls = 0, muted = 0, heard_again = 0;
  bool failed = false;
  while (!failed && done < steps) {
    std::string failure;
    {
      const auto loop = std::make_unique<test::Loop<S, capacity>>();
      World world({*loop, capacity, let_time_pass, time_stands_still}, seed);
      world.run(5000);
      failed = world.failed();
      failure = world.failure();
      done += world.steps();
      calls += world.calls();
      muted += world.muted();
      heard_again += world.heard_again();
    }
    const std::string again = "MOTE_TEST_SEED=" + std::to_string(seed) + " MOTE_TEST_STEPS=1 build/tests/" + program +
                              " --test-case='" + name + "'; with MOTE_TEST_TRACE=1 it tells each act";
    INFO(failure, "\nto see it again: ", again);
    CHECK_FALSE(failed);
    ++seed;
  }
  CHECK(test::open_descriptors() == descriptors);
  if (first == 1 && steps == most_steps && !failed) {  // it was a world worth judging
    CHECK(calls > done / 20);
    CHECK(muted > done / 2000);
    CHECK(heard_again > (seed - first) / 2);
  }
  MESSAGE("seeds ", first, " to ", seed - 1, ": ", done, " steps, ", calls, " calls; ", muted, " muted, ", heard_again,
          " heard again");
}

}  // namespace handlers

#endif  // MOTE_TESTS_HANDLERS_HPP
