// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Descriptor numbers: which slot of the table holds which number.
#ifndef MOTE_REACTOR_DESCRIPTOR_NUMBERS_HPP
#define MOTE_REACTOR_DESCRIPTOR_NUMBERS_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/selector.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Members that every event needs. In a base of its own, in front of the scheduler: short instructions reach 124
// bytes on Thumb-2 and 127 on x86, so the words that are used most come first.
struct TableWords {
  Interest edges_ = Interest::none;  // edge_triggered, where the selector knows them
  std::uint32_t flags_ = 0;          // of LoopFlag
  Slot* slots_ = nullptr;
  Selector* selector_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t free_ = 0;      // the first free slot that has been used before; 0: none
  std::uint32_t fresh_ = 0;     // slots beyond this one have never been used
  std::uint32_t numbered_ = 0;  // slots that hold their number
};

// Which slot holds a descriptor's number: no other slot may arm the same one, until this one gives it back. These hold
// their number:
//   - A slot of Reactor::add(), from then to its release: its descriptor is not the reactor's, and may be closed by
//     somebody else. The number comes back, and no call by the old registration may touch a new one.
//   - A slot of a descriptor that is borrowed, for the same reason.
//   - Any slot that is not in the selector though it could be: it is always ready, or muted. (Not while a stream is
//     being connected, nor the wake-up descriptor's.)
// The others need not: each owns its descriptor, and where two have the same one, the selector says so.
//
// Slots that hold their number are found by it, in O(1) expected: each lies in a bucket, a list that is linked through
// its slots.
class DescriptorNumbers : protected TableWords {
 protected:
  constexpr DescriptorNumbers() = default;
  ~DescriptorNumbers() = default;

  std::uint32_t index_of(const Slot& slot) const { return static_cast<std::uint32_t>(&slot - slots_); }

  // Whether another slot holds its number. (The wake-up descriptor is known to nobody who could register it.)
  bool is_number_taken(const Slot& slot) const {
    if (numbered_ == 0 || &slot == slots_ || slot.is(Slot::numbered)) return false;
    return link_to(slot.fd) != 0;
  }
  void hold_number(Slot& slot) {
    if (&slot == slots_ || slot.is(Slot::connecting)) return;
    std::uint32_t& link = link_to(slot.fd);
    if (link != 0) return;  // this slot holds it already, or another one
    slot.set(Slot::numbered);
    slot.next = 0;
    link = index_of(slot);
    ++numbered_;
  }
  void give_number_back(Slot& slot) {
    if (!slot.is(Slot::numbered)) return;
    slot.clear(Slot::numbered);
    link_to(slot.fd) = slot.next;
    --numbered_;
  }
 private:
  // Returns the link to the slot that holds the number, or the last link of its bucket, which is 0.
  // Knuth, volume 3, section 6.4: multiplied, numbers that follow each other are spread out; the upper half of the
  // product with the capacity is a place in the table.
  [[gnu::noinline]] std::uint32_t& link_to(int fd) const {
    const std::uint32_t spread = static_cast<std::uint32_t>(fd) * 2654435769u;
    std::uint32_t* link = &slots_[1 + (std::uint64_t{spread} * capacity_ >> 32)].bucket;
    while (*link != 0 && slots_[*link].fd != fd) link = &slots_[*link].next;
    return *link;
  }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_DESCRIPTOR_NUMBERS_HPP
