// SPDX-License-Identifier: MIT
// io_uring as far as it goes, to know the physical limit: one accept and one receive for ever (multishot), receive buffers
// from a ring that the kernel takes them from, and one system call for all that is sent and waited for in a turn.
#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include "../support/common.hpp"

namespace {
constexpr unsigned buffers = 1024;  // a power of two
constexpr std::uint16_t none = 0xffff;
constexpr int group = 0;

enum Kind : std::uint64_t { accepting, signalled, receiving, sending };
struct Connection {
  int fd;
  bool receiving, closing;    // a receive is armed; no more will come
  std::uint16_t first, last;  // buffers that are to be sent, in order; the first is under way
};
io_uring ring;
io_uring_buf_ring* free_buffers;
char* bytes;
struct Filled {
  std::uint32_t size;
  std::uint16_t next;
} filled[buffers];
Connection connections[65536];

std::uint64_t tag(Kind kind, int fd) { return kind | static_cast<std::uint64_t>(fd) << 8; }
char* buffer(std::uint16_t i) { return bytes + std::size_t{i} * bench::buffer_size; }

io_uring_sqe* entry(Kind kind, int fd) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  while (sqe == nullptr) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  sqe->user_data = tag(kind, fd);
  return sqe;
}

void give_back(std::uint16_t i) {
  io_uring_buf_ring_add(free_buffers, buffer(i), bench::buffer_size, i, io_uring_buf_ring_mask(buffers), 0);
  io_uring_buf_ring_advance(free_buffers, 1);
}

void receive(Connection& c) {
  io_uring_sqe* const sqe = entry(receiving, c.fd);
  const std::uint64_t data = sqe->user_data;
  io_uring_prep_recv_multishot(sqe, c.fd, nullptr, 0, 0);
  sqe->user_data = data;
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = group;
  c.receiving = true;
}

void send_first(Connection& c) {
  io_uring_sqe* const sqe = entry(sending, c.fd);
  const std::uint64_t data = sqe->user_data;
  io_uring_prep_send(sqe, c.fd, buffer(c.first), filled[c.first].size, MSG_NOSIGNAL | MSG_WAITALL);
  sqe->user_data = data;
}

void accept_all(int listener) {
  io_uring_sqe* const sqe = entry(accepting, listener);
  const std::uint64_t data = sqe->user_data;
  io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = data;
}

void close_if_over(Connection& c) {
  if (c.closing && !c.receiving && c.first == none) close(c.fd);
}

void on_accepted(const io_uring_cqe& cqe, int listener) {
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) accept_all(listener);
  if (cqe.res < 0) return;
  Connection& c = connections[cqe.res];
  c = {cqe.res, false, false, none, none};
  receive(c);
}

void on_received(const io_uring_cqe& cqe, Connection& c) {
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) c.receiving = false;
  if (cqe.res > 0) {
    const auto i = static_cast<std::uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    filled[i] = {static_cast<std::uint32_t>(cqe.res), none};
    if (c.first == none) {
      c.first = i;
      c.last = i;
      send_first(c);
    } else {
      filled[c.last].next = i;
      c.last = i;
    }
  } else if (cqe.res != -ENOBUFS) {
    c.closing = true;
  }
  if (!c.receiving && !c.closing && c.first == none) receive(c);  // else when what is there has been sent
  close_if_over(c);
}

void on_sent(const io_uring_cqe& cqe, Connection& c) {
  const std::uint16_t done = c.first;
  if (cqe.res != static_cast<int>(filled[done].size)) {
    c.closing = true;
    shutdown(c.fd, SHUT_RDWR);
  }
  c.first = filled[done].next;
  give_back(done);
  if (c.first != none) send_first(c);
  else if (!c.receiving && !c.closing) receive(c);
  close_if_over(c);
}
void open_ring() {
  io_uring_params parameters;
  memset(&parameters, 0, sizeof parameters);
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  parameters.cq_entries = 16384;
  const int made = io_uring_queue_init_params(4096, &ring, &parameters);
  if (made < 0) bench::die("io_uring", -made);
}

void* map(std::size_t size) {
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) bench::die("mmap");
  return memory;
}

// Gives the kernel the buffers that it receives into.
void share_buffers() {
  bytes = static_cast<char*>(map(buffers * bench::buffer_size));
  free_buffers = static_cast<io_uring_buf_ring*>(map(buffers * sizeof(io_uring_buf)));
  io_uring_buf_reg registration;
  memset(&registration, 0, sizeof registration);
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(free_buffers);
  registration.ring_entries = buffers;
  registration.bgid = group;
  const int registered = io_uring_register_buf_ring(&ring, &registration, 0);
  if (registered < 0) bench::die("io_uring's ring of buffers", -registered);
  io_uring_buf_ring_init(free_buffers);
  for (std::uint16_t i = 0; i < buffers; ++i) give_back(i);
}
}  // namespace

int main() {
  const int listener = bench::listen_anywhere();
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, nullptr);
  const int signals = signalfd(-1, &terminate, SFD_CLOEXEC);
  open_ring();
  share_buffers();

  io_uring_sqe* const sqe = entry(signalled, signals);
  io_uring_prep_poll_add(sqe, signals, POLLIN);
  sqe->user_data = tag(signalled, signals);
  accept_all(listener);
  for (;;) {
    const int waited = io_uring_submit_and_wait(&ring, 1);
    if (waited < 0 && waited != -EINTR) bench::die("io_uring_enter", -waited);
    io_uring_cqe* cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
      ++count;
      const auto fd = static_cast<int>(cqe->user_data >> 8);
      switch (static_cast<Kind>(cqe->user_data & 0xff)) {
        case accepting: on_accepted(*cqe, fd); break;
        case receiving: on_received(*cqe, connections[fd]); break;
        case sending: on_sent(*cqe, connections[fd]); break;
        case signalled: return 0;
      }
    }
    io_uring_cq_advance(&ring, count);
  }
}
