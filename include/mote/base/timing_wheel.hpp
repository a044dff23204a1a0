// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// TimingWheel: holds timers and hands out those that are due, in order. It reads no clock: the caller passes the time.
#ifndef MOTE_BASE_TIMING_WHEEL_HPP
#define MOTE_BASE_TIMING_WHEEL_HPP

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/list.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// An entry of a wheel: the base of a timer. Its owner keeps it alive while it is in the wheel.
struct TimerNode : ListNode {
  std::int64_t deadline = 0;  // ns
  std::uint32_t order = 0;    // of arming, counted by the owner of the wheel; it may wrap around

  // Earlier deadlines come first, equal ones in the order in which they were armed. The order is compared as a signed
  // difference, which is right as long as two timers are less than 2^31 armings apart.
  bool before(const TimerNode& other) const {
    if (deadline != other.deadline) return deadline < other.deadline;
    return static_cast<std::int32_t>(order - other.order) < 0;
  }
};

// A hierarchical timing wheel (Varghese and Lauck, 1987) that keeps the exact order. Arming and cancelling are O(1),
// and nothing is ever full. n timers that expire together are sorted with at most n * (8 + log2(n)) comparisons, and
// each of them has moved to a lower level at most once per level on its way.
// Size on a 32-bit board: 1,240 bytes.
//
// Time is cut into ticks of 512 ns. A tick's number, written in base 16, has a digit for each of 9 levels; each level
// has 16 lists, one for each value of its digit. `base_` is the tick up to which everything has been handed out. The
// level of a timer is that of the highest digit in which the tick of its deadline differs from base_, and its list is
// the deadline's digit there:
//
//     level             8        7       6       5       4       3        2        1       0
//     a list spans   37 min  2.3 min   8.6 s   0.54 s   34 ms   2.1 ms   131 us   8.2 us  512 ns
//
//     base_             0        0       0       1       2       3        4        5       6
//     deadline          0        0       0       1       2       3        4        5      [9]    level 0, list 9
//     deadline          0        0       0       1       2       3       [7]       0       0     level 2, list 7
//     deadline          0       [2]      0       0       0       0        0        8       1     level 7, list 2
//     deadline  1       0        0       0       0       0       0        0        0       0     overflow_list
//
// The 9 digits span 9.7 hours: a deadline that differs from base_ in a higher digit is in overflow_list. One that has
// passed is in the list of base_ itself, in level 0.
//
// So each timer of a lower level is due before each one of a higher level, and within a level the lists are due in
// their order: what comes next is in the first list that is not empty. When time reaches a list of a higher level,
// base_ moves to its beginning, and its timers differ from base_ only in lower digits: they move to lower levels.
//
// A timer may stand in an earlier list than its deadline belongs to, never in a later one. That is why an idle timeout
// is put off by changing its deadline alone: it moves when its list's time comes.
//
// To use it, once the time has come to next():
//
//     while (wheel.expire(now, due)) {
//       ...                               // erase() the first of `due` and let it fire, until `due` is empty
//     }
//     wheel.refresh();
class TimingWheel {
 public:
  bool empty() const { return count_ == 0; }
  std::uint32_t count() const { return count_; }

  // Nothing is due before it. Right after refresh() it is exact, or the beginning of a long list.
  std::int64_t next() const { return next_; }

  // The node must be in no list.
  void insert(TimerNode& node, std::int64_t now) {
    if (count_ == 0) base_ = tick_of(now);
    expect(node.deadline);
    const bool comes_after_those_firing = is_firing_ && node.deadline <= firing_until_;
    if (comes_after_those_firing) {
      lists_[postponed_list].push_back(node);
    } else {
      place(node);
    }
  }

  // A deadline without a node (the loop's pause of accepts). It counts in count() until forget(). refresh() does not
  // know of it: afterwards call forget() and expect() again.
  void expect(std::int64_t deadline) {
    if (count_ == 0 || deadline < next_) next_ = deadline;
    ++count_;
  }
  void forget() { --count_; }

  // The bit of its list may stay set: expire() and refresh() clear it when they come to the empty list.
  void erase(TimerNode& node) {
    node.unlink();
    --count_;
  }

  // Moves timers that are due at `now`, in order, to `due`, where they count until they are erased. It takes some lists
  // at a time, so that a timer fires while it is in the cache: call it with the same `now` until it returns false, and
  // empty `due` in between. What is armed meanwhile comes after all of these.
  bool expire(std::int64_t now, List<TimerNode>& due) {
    const std::uint64_t now_tick = tick_of(now);
    firing_until_ = now;
    due.ring();
    for (unsigned visited = 0; visited < lists_per_call || due.empty(); ++visited) {  // at least until one is found
      const unsigned list = first_occupied();
      if (list == no_list) break;
      const std::uint64_t start = start_of(list);
      if (start > now_tick) break;
      expire_list(list, start, now_tick, due);
      if (start == now_tick && list < lists_per_level) break;  // what is left in it is due later within this tick
    }
    if (!due.empty()) {
      is_firing_ = true;
      return true;
    }
    is_firing_ = false;
    if (now_tick > base_) base_ = now_tick;
    while (TimerNode* const node = lists_[postponed_list].pop_front()) place(*node);
    return false;
  }

  // Where an exception ends the firing: takes what is left in `due` back, to be handed out first, and refreshes.
  void put_back(List<TimerNode>& due) {
    is_firing_ = false;
    while (TimerNode* const node = due.pop_front()) place(*node);
    while (TimerNode* const node = lists_[postponed_list].pop_front()) place(*node);
    refresh();
  }

  // Finds the next deadline again. Exact if the first list is of level 0 or has at most limits::timers_per_scan timers;
  // else it is the time at which that list begins.
  void refresh() {
    next_ = INT64_MAX;
    for (;;) {
      const unsigned list = first_occupied();
      if (list == no_list) return;
      rescan(list);
      if (!lists_[list].empty()) return;
      clear_occupied(list);
    }
  }
 private:
  static constexpr unsigned tick_bits = 9;   // a tick is 2^9 ns
  static constexpr unsigned digit_bits = 4;  // of a tick's number: base 16
  static constexpr unsigned levels = 9;
  static constexpr unsigned lists_per_level = 1u << digit_bits;

  // The lists' numbers: 16 for each level, and two more. overflow_list stands where a tenth level would begin, and is
  // treated as that level's only list.
  static constexpr unsigned overflow_list = levels * lists_per_level;
  // postponed_list has what is armed while others fire, and is due already: it comes after these.
  static constexpr unsigned postponed_list = overflow_list + 1;
  static constexpr unsigned no_list = postponed_list + 1;

  static constexpr unsigned short_list = 8;      // so many timers are sorted by insertion
  static constexpr unsigned lists_per_call = 8;  // lists that one expire() empties; more until it has found a timer

  static TimerNode* timer(ListNode* node) { return List<TimerNode>::from(node); }

  static std::uint64_t tick_of(std::int64_t ns) { return ns < 0 ? 0 : static_cast<std::uint64_t>(ns) >> tick_bits; }
  static std::int64_t ns_of(std::uint64_t tick) { return static_cast<std::int64_t>(tick << tick_bits); }
  static unsigned level_of(unsigned list) { return list / lists_per_level; }
  static unsigned shift_of(unsigned level) { return level * digit_bits; }  // of the level's digit in a tick

  static std::uint64_t length_of(unsigned list) { return std::uint64_t{1} << shift_of(level_of(list)); }  // in ticks

  // The tick at which a list begins.
  std::uint64_t start_of(unsigned list) const {
    const unsigned shift = shift_of(level_of(list));
    const std::uint64_t digits = base_ >> shift;                      // of base_, from the list's level up
    if (list == overflow_list) return (digits + 1) << shift;          // the next round of the whole wheel
    const std::uint64_t higher = digits >> digit_bits << digit_bits;  // the list's own digit is zero
    return (higher | list % lists_per_level) << shift;
  }

  // The list in which a deadline belongs, as the table above shows.
  unsigned list_of(std::int64_t deadline) const {
    const std::uint64_t tick = tick_of(deadline) < base_ ? base_ : tick_of(deadline);
    const std::uint64_t difference = tick ^ base_;
    const unsigned highest_bit = 63u - static_cast<unsigned>(__builtin_clzll(difference | 1u));
    const unsigned level = highest_bit / digit_bits;
    if (level >= levels) return overflow_list;
    const unsigned digit = static_cast<unsigned>(tick >> shift_of(level)) % lists_per_level;
    return level * lists_per_level + digit;
  }

  void place(TimerNode& node) {
    const unsigned list = list_of(node.deadline);
    occupied_[level_of(list)] |= 1u << (list % lists_per_level);
    lists_[list].push_back(node);
  }

  void clear_occupied(unsigned list) { occupied_[level_of(list)] &= ~(1u << (list % lists_per_level)); }

  // The first list that may have timers; no_list if all are empty.
  unsigned first_occupied() const {
    for (unsigned level = 0; level <= levels; ++level) {
      if (occupied_[level] == 0) continue;
      return level * lists_per_level + static_cast<unsigned>(__builtin_ctz(occupied_[level]));
    }
    return no_list;
  }

  static bool is_long(const List<TimerNode>& list) {
    const ListNode* node = list.head_.next;
    for (unsigned left = short_list; left != 0 && node != &list.head_; --left) node = node->next;
    return node != &list.head_;
  }

  // Empties a list whose time, `start`, has come.
  void expire_list(unsigned list, std::uint64_t start, std::uint64_t now_tick, List<TimerNode>& due) {
    // Unsigned until the 1 is subtracted: the last list ends at 2^63 ns, which has no place in a std::int64_t.
    const auto last = static_cast<std::int64_t>(((start + length_of(list)) << tick_bits) - 1);
    clear_occupied(list);
    if (start > base_) base_ = list == overflow_list ? now_tick : start;
    // A timer whose deadline was moved beyond the list's end has to wait for the lists between, even if it is due.
    const std::int64_t until = last < firing_until_ ? last : firing_until_;
    // Of a long list nothing is taken yet: all of it moves to lower levels first, whose lists are short and need little
    // sorting.
    constexpr std::int64_t nothing = INT64_MIN;  // no timer is due by then
    const bool splits_only = list >= lists_per_level && is_long(lists_[list]);
    split_list(lists_[list], splits_only ? nothing : until, due);
  }

  // Finds the earliest deadline of a list. Timers whose deadlines were put off move to the list where they belong now.
  void rescan(unsigned index) {
    List<TimerNode>& list = lists_[index];
    std::uint32_t left = index < lists_per_level ? UINT32_MAX : limits::timers_per_scan;
    TimerNode* node = list.front();
    while (node != nullptr) {
      if (left == 0) {
        next_ = ns_of(start_of(index));
        return;
      }
      --left;
      TimerNode* const following = list.after(*node);
      if (list_of(node->deadline) != index) {
        node->unlink();
        place(*node);
      } else if (node->deadline < next_) {
        next_ = node->deadline;
      }
      node = following;
    }
  }

  // ---- Sorting ----
  //
  // A list's timers are in the order in which they came, which often is nearly that of their deadlines. Each is
  // inserted into the current run, from the run's end and past 8 others at most. Where it would have to go further, the
  // run is cut and another one begins. Cut runs are merged bottom-up, as in merge sort.

  // Runs that have been cut: singly linked, each ended by null. They are kept as a binary number: where bit i of
  // `count` is set, merged[i] is a run that has been merged of 2^i runs. Adding one is adding 1, and each carry is a
  // merge. So no more than 32 pointers are needed, and each timer is merged log2(count) times at most.
  struct CutRuns {
    std::uint32_t count = 0;
    ListNode* merged[32];

    void add(ListNode* run) {
      unsigned i = 0;
      for (; (count >> i & 1u) != 0; ++i) run = merge(merged[i], run);
      merged[i] = run;
      ++count;
    }

    // Merges all of them, and one more, into a single run.
    ListNode* merge_all(ListNode* run) const {
      for (unsigned i = 0; count >> i != 0; ++i) {
        if ((count >> i & 1u) != 0) run = merge(merged[i], run);
      }
      return run;
    }
  };

  // Empties a list. What is due by `until` moves to `due`, in order, behind what is there already; the rest moves to
  // its list as seen from base_. Not inlined: inside of expire() it would make that 60 bytes larger on ARM, for want of
  // registers.
  [[gnu::noinline]] void split_list(List<TimerNode>& list, std::int64_t until, List<TimerNode>& due) {
    ListNode* const before_run = due.head_.prev;  // the current run is what follows it in `due`
    CutRuns runs;
    ListNode* const end = &list.head_;
    ListNode* following = end->next;
    end->prev = end;
    end->next = end;
    while (following != end) {
      TimerNode& node = *timer(following);
      following = std::exchange(node.next, nullptr);
      if (node.deadline > until) {
        place(node);
        continue;
      }
      ListNode* position = position_in_run(node, due, before_run);
      if (position == nullptr) {
        runs.add(cut_run(due, before_run));
        position = before_run;
      }
      due.insert_after(*position, node);
    }
    if (runs.count == 0) return;
    ListNode* const last_run = cut_run(due, before_run);
    append_run(due, runs.merge_all(last_run));
  }

  // Returns the node of the current run, or `before_run`, behind which a timer belongs. Null where more than 8 would
  // have to be passed to find out.
  static ListNode* position_in_run(const TimerNode& node, const List<TimerNode>& due, ListNode* before_run) {
    ListNode* position = due.head_.prev;
    for (unsigned left = short_list; left != 0; --left) {
      if (position == before_run || !node.before(*timer(position))) return position;
      position = position->prev;
    }
    return nullptr;
  }

  // Takes what follows `before_run` out of `due`.
  static ListNode* cut_run(List<TimerNode>& due, ListNode* before_run) {
    ListNode* const run = before_run->next;
    due.head_.prev->next = nullptr;
    due.head_.prev = before_run;
    before_run->next = &due.head_;
    return run;
  }

  static void append_run(List<TimerNode>& due, ListNode* run) {
    while (run != nullptr) {
      TimerNode& node = *timer(run);
      run = std::exchange(node.next, nullptr);
      due.push_back(node);
    }
  }

  // Merges two runs that are not empty.
  static ListNode* merge(ListNode* a, ListNode* b) {
    ListNode head;
    ListNode* tail = &head;
    while (a != nullptr) {
      if (timer(b)->before(*timer(a))) std::swap(a, b);
      tail->next = a;
      tail = a;
      a = a->next;
    }
    tail->next = b;
    return head.next;
  }

  std::uint64_t base_ = 0;  // in ticks: nothing before it is left in the wheel
  std::int64_t next_ = 0;
  std::int64_t firing_until_ = 0;            // `now` of the last expire(): what fires is due at that time
  std::uint32_t occupied_[levels + 1] = {};  // a bit for each list of a level that may have timers
  std::uint32_t count_ = 0;
  bool is_firing_ = false;
  List<TimerNode> lists_[postponed_list + 1];
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_TIMING_WHEEL_HPP
