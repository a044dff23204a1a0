// SPDX-License-Identifier: MIT
// Rooms: base/timing_wheel.hpp.
// The timing wheel, compared with a model: a sorted set that is obviously right.
#include <cstdlib>
#include <limits>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "support/harness.hpp"

namespace {

using mote::detail::TimerNode;
using mote::detail::TimingWheel;

constexpr std::int64_t microsecond = 1'000, millisecond = 1'000'000, second = 1'000'000'000;
constexpr std::int64_t hour = 3600 * second, year = 8766 * hour;

struct Node : TimerNode {
  std::size_t number = 0;
};

// The wheel as a reactor uses it, beside its model.
class Bench {
 public:
  explicit Bench(std::size_t size) : nodes_(size) {
    for (std::size_t i = 0; i < size; ++i) nodes_[i].number = i;
  }
  ~Bench() {
    for (Node& node : nodes_) node.unlink();
  }

  std::int64_t now = 0;
  std::size_t size() const { return nodes_.size(); }
  bool armed(std::size_t i) const { return nodes_[i].linked(); }
  std::int64_t deadline(std::size_t i) const { return nodes_[i].deadline; }
  bool empty() const { return model_.empty(); }
  std::int64_t earliest() const { return std::get<0>(*model_.begin()); }

  void arm(std::size_t i, std::int64_t deadline) {
    cancel(i);
    nodes_[i].deadline = deadline;
    nodes_[i].order = static_cast<std::uint32_t>(++order_);
    wheel_.insert(nodes_[i], now);
    model_.insert({deadline, order_, i});
    entry_[i] = order_;
  }
  // As an idle timeout that is put off: only the deadline is changed, the node is left where it is.
  void put_off(std::size_t i, std::int64_t later) {
    model_.erase({nodes_[i].deadline, entry_[i], i});
    nodes_[i].deadline = later;
    nodes_[i].order = static_cast<std::uint32_t>(++order_);
    model_.insert({later, order_, i});
    entry_[i] = order_;
  }
  void cancel(std::size_t i) {
    if (!armed(i)) return;
    model_.erase({nodes_[i].deadline, entry_[i], i});
    wheel_.erase(nodes_[i]);
  }
  // Hands out all that is due, calling `during` after each; compares with the model.
  template <class During> bool expire(During&& during) {
    mote::detail::List<TimerNode> due;
    const std::uint64_t last = order_;  // what is armed from here on is not among them, even if due
    bool right = true;
    while (due.front() != nullptr || wheel_.expire(now, due)) {
      TimerNode* const node = due.front();
      const std::size_t i = static_cast<Node*>(node)->number;
      const auto expected = first_until(last);
      if (expected == model_.end() || std::get<0>(*expected) > now || std::get<2>(*expected) != i) right = false;
      cancel(i);
      during(i);
    }
    const auto left = first_until(last);
    if (left != model_.end() && std::get<0>(*left) <= now) right = false;
    wheel_.refresh();
    return right && agrees();
  }
  bool expire() {
    return expire([](std::size_t) {});
  }
  // Nothing may be due before next(): a loop that waits until then would be late.
  bool agrees() const {
    if (wheel_.count() != model_.size() || wheel_.empty() != model_.empty()) return false;
    return model_.empty() || wheel_.next() <= earliest();
  }
  std::int64_t next() const { return wheel_.next(); }
  std::uint64_t order() const { return order_; }
  TimingWheel& wheel() { return wheel_; }
 private:
  using Entry = std::tuple<std::int64_t, std::uint64_t, std::size_t>;
  std::set<Entry>::const_iterator first_until(std::uint64_t last) const {
    auto entry = model_.begin();
    while (entry != model_.end() && std::get<1>(*entry) > last) ++entry;
    return entry;
  }

  std::vector<Node> nodes_;
  std::vector<std::uint64_t> entry_ = std::vector<std::uint64_t>(nodes_.size());
  TimingWheel wheel_;
  std::set<Entry> model_;
  std::uint64_t order_ = 0xffff8000;  // the wheel's 32 bits wrap around on the way
};

std::uint64_t seed() {
  const char* const given = std::getenv("MOTE_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

}  // namespace

TEST_CASE("timer wheel: is empty at first, and all zero bits") {
  const TimingWheel wheel;
  alignas(TimingWheel) const unsigned char zeros[sizeof(TimingWheel)] = {};
  CHECK(::memcmp(static_cast<const void*>(&wheel), zeros, sizeof wheel) == 0);
  CHECK(wheel.empty());
  CHECK(wheel.count() == 0);
}

TEST_CASE("timer wheel: equal deadlines come in arming order, at every distance") {
  for (const std::int64_t distance :
       {std::int64_t{0}, microsecond, millisecond, 40 * millisecond, second, 40 * second, hour, 12 * hour, year}) {
    INFO("distance " << distance);
    Bench bench(100);
    bench.now = 5 * hour + 12345;
    const std::int64_t deadline = bench.now + distance;
    for (std::size_t i = 0; i < bench.size(); ++i) bench.arm((i * 37) % bench.size(), deadline);
    std::vector<std::size_t> fired;
    bench.now = deadline;
    CHECK(bench.expire([&](std::size_t i) { fired.push_back(i); }));
    REQUIRE(fired.size() == bench.size());
    bool ordered = true;
    for (std::size_t i = 0; i < fired.size(); ++i) ordered = ordered && fired[i] == (i * 37) % bench.size();
    CHECK(ordered);
  }
}

TEST_CASE("timer wheel: nothing comes a nanosecond early, and all comes in time") {
  for (const std::int64_t distance : {std::int64_t{1}, microsecond, millisecond, second, hour, 10 * hour, 40 * year}) {
    INFO("distance " << distance);
    Bench bench(1);
    bench.now = 3 * second + 17;
    const std::int64_t deadline = bench.now + distance;
    bench.arm(0, deadline);
    bench.now = deadline - 1;
    CHECK(bench.expire());
    CHECK(bench.armed(0));
    bench.now = deadline;
    CHECK(bench.expire());
    CHECK_FALSE(bench.armed(0));
  }
}

TEST_CASE("timer wheel: one that waits until next() needs few wake-ups, however far the deadline") {
  for (const std::int64_t distance : {second, hour, 10 * hour, 30 * 24 * hour}) {
    INFO("distance " << distance);
    Bench bench(1);
    bench.now = 7 * hour;
    bench.arm(0, bench.now + distance);
    bench.wheel().refresh();
    int wakeups = 0;
    const std::int64_t most = 5 + distance / (9 * hour);  // one per turn of the wheel, one per level
    while (bench.armed(0)) {
      const bool waits = bench.next() > bench.now;
      if (waits) bench.now = bench.next();
      if (!waits || !bench.expire() || ++wakeups > most) break;
    }
    CHECK_FALSE(bench.armed(0));
  }
}

TEST_CASE("timer wheel: a deadline at the end of time, or before its beginning") {
  Bench bench(4);
  bench.now = second;
  bench.arm(0, std::numeric_limits<std::int64_t>::max());
  bench.arm(1, -5);
  bench.arm(2, std::numeric_limits<std::int64_t>::min());
  bench.arm(3, 0);
  std::vector<std::size_t> fired;
  CHECK(bench.expire([&](std::size_t i) { fired.push_back(i); }));
  CHECK(fired == std::vector<std::size_t>{2, 1, 3});
  CHECK(bench.armed(0));
  bench.now = 200 * year;
  CHECK(bench.expire());
  CHECK(bench.armed(0));
}

TEST_CASE("timer wheel: a deadline put off comes in the order of its new value after a time jump") {
  for (const std::int64_t unit :
       {10 * microsecond, millisecond, 33 * millisecond, second, 40 * second, hour, 12 * hour}) {
    INFO("unit " << unit);
    Bench bench(5);
    bench.now = 100 * hour;
    const std::int64_t base = bench.now;
    bench.arm(0, base + 10 * unit);
    bench.arm(1, base + 12 * unit);
    bench.arm(2, base + 16 * unit);
    bench.arm(3, base + 17 * unit);
    bench.arm(4, base + 90 * unit);
    bench.put_off(0, base + 16 * unit);
    bench.put_off(1, base + 14 * unit);
    std::vector<std::size_t> fired;
    bench.now = base + 100 * unit;
    CHECK(bench.expire([&](std::size_t i) { fired.push_back(i); }));
    CHECK(fired == std::vector<std::size_t>{1, 2, 0, 3, 4});
  }
}

// The loop waits until next(). Should that not be ahead of it, it does not wait at all, again and again.
TEST_CASE("timer wheel: a crowd that is due within one tick is waited for without a spin") {
  for (const std::int64_t ahead : {100 * microsecond, 500 * microsecond, 3 * millisecond, 70 * millisecond}) {
    INFO("ahead " << ahead);
    Bench bench(200);
    bench.now = second;
    for (std::size_t i = 0; i < bench.size(); ++i) bench.arm(i, bench.now + ahead);
    int wakeups = 0;
    bool spins = false;
    while (!bench.empty() && !spins && ++wakeups < 10) {
      bench.wheel().refresh();
      spins = bench.next() <= bench.now;
      bench.now = bench.next();
      if (!bench.expire()) break;
    }
    CHECK_FALSE(spins);
    CHECK(bench.empty());
  }
}

// The finest lists are 512 ns wide: what falls into one of them is sorted, whichever way it was armed or put off.
TEST_CASE("timer wheel: a crowd within one tick comes in order, however it was armed") {
  constexpr std::size_t size = 3000;
  constexpr std::int64_t begin = 512'000'000, width = 512;
  std::mt19937_64 random(7);
  for (const int how : {0, 1, 2, 3, 4, 5}) {
    INFO("way " << how);
    Bench bench(size);
    bench.now = begin - 1;
    for (std::size_t i = 0; i < size; ++i) {
      const auto place = static_cast<std::int64_t>(i);
      const std::int64_t upwards = place * width / std::int64_t{size};
      const std::int64_t deadlines[] = {upwards,
                                        width - 1 - upwards,
                                        static_cast<std::int64_t>(random() % 512),
                                        place % 9 * 60,  // each before the last eight, again and again
                                        480 - place % 9 * 60,
                                        i % 2 == 0 ? upwards : width - 1 - upwards};
      bench.arm(i, begin + deadlines[how]);
    }
    for (std::size_t i = size; i-- > 0;)  // to the same time, which makes it the latest in order
      if (i % 3 == 0) bench.put_off(i, bench.deadline(i));
    bench.now = begin + width / 2;
    CHECK(bench.expire());
    CHECK_FALSE(bench.empty());
    bench.now = begin + width - 1;
    CHECK(bench.expire());
    CHECK(bench.empty());
  }
}

TEST_CASE("timer wheel: crowds of every width, put off and cancelled in part, against a sorted model") {
  const std::uint64_t chosen = seed();
  MESSAGE("MOTE_TEST_SEED=" << chosen);
  std::mt19937_64 random(chosen);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  for (const std::int64_t width : {std::int64_t{1}, std::int64_t{300}, 5 * microsecond, 100 * microsecond, millisecond,
                                   33 * millisecond, second, 60 * second, hour, 30 * hour}) {
    for (const std::int64_t part : {1, 3, 20}) {  // of the width at a time
      INFO("seed " << chosen << ", width " << width << ", part " << part);
      Bench bench(1500);
      bench.now = below(2 * year);
      for (std::size_t i = 0; i < bench.size(); ++i) bench.arm(i, bench.now + 1 + below(width));
      bool right = true;
      int left = 300;
      for (; right && !bench.empty() && left != 0; --left) {
        for (int i = 0; i < 20; ++i) {
          const auto node = static_cast<std::size_t>(below(1500));
          if (below(3) == 0) bench.cancel(node);
          else if (bench.armed(node) && bench.deadline(node) > bench.now)
            bench.put_off(node, bench.deadline(node) + below(width));
        }
        if (below(2) == 0 && bench.next() > bench.now) bench.now = bench.next();
        else bench.now += below(width / part + 1);
        right = bench.expire([&](std::size_t i) {
          if (below(8) == 0) bench.arm(i, bench.now + below(width));
          if (below(8) == 0) bench.cancel(static_cast<std::size_t>(below(1500)));
        });
      }
      CHECK(right);
    }
  }
}

TEST_CASE("timer wheel: a due timer may be cancelled, and others armed, while the due ones are handed out") {
  Bench bench(6);
  bench.now = second;
  for (std::size_t i = 0; i < 4; ++i) bench.arm(i, second + static_cast<std::int64_t>(i));
  bench.now = 2 * second;
  std::vector<std::size_t> fired;
  CHECK(bench.expire([&](std::size_t i) {
    fired.push_back(i);
    if (i == 0) bench.cancel(1);
    if (i == 2) bench.arm(4, second);      // due, but not one of those that were
    if (i == 2) bench.arm(2, 3 * second);  // itself again
    if (i == 2) bench.arm(3, 3 * second);  // another that was due
  }));
  CHECK(fired == std::vector<std::size_t>{0, 2});
  CHECK(bench.expire([&](std::size_t i) { fired.push_back(i); }));
  bench.now = 3 * second;
  CHECK(bench.expire([&](std::size_t i) { fired.push_back(i); }));
  CHECK(fired == std::vector<std::size_t>{0, 2, 4, 2, 3});
  CHECK(bench.empty());
}

TEST_CASE("timer wheel: taken apart, it gives every armed timer") {
  Bench bench(50);
  bench.now = second;
  for (std::size_t i = 0; i < bench.size(); ++i) bench.arm(i, bench.now + (std::int64_t{1} << (i + 10)));
  mote::detail::List<TimerNode> all;
  std::size_t found = 0;
  while (all.front() != nullptr || bench.wheel().expire(INT64_MAX, all)) {
    bench.cancel(static_cast<Node*>(all.front())->number);
    if (++found > bench.size()) break;
  }
  CHECK(found == bench.size());
  CHECK(bench.wheel().empty());
}

// 2^20 operations, each compared with the model.
TEST_CASE("timers: 100,000 random arm/cancel/advance operations against a sorted model") {
  constexpr int operations = 1 << 20;
  const std::uint64_t chosen = seed();
  MESSAGE("MOTE_TEST_SEED=" << chosen);
  std::mt19937_64 random(chosen);
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  // As many near distances as far ones, and many that are equal.
  const auto distance = [&]() -> std::int64_t {
    const std::int64_t unit =
        std::array<std::int64_t, 8>{1, microsecond, millisecond, 33 * millisecond, second, 60 * second, hour, 40 * hour}
            [static_cast<std::size_t>(below(8))];
    return unit * below(20) + (below(2) == 0 ? 0 : below(static_cast<std::uint64_t>(unit)));
  };

  int done = 0;
  std::uint64_t fired = 0, jumps = 0;
  while (done < operations) {
    Bench bench(static_cast<std::size_t>(1 + below(300)));
    bench.now = below(3) == 0 ? 0 : below(static_cast<std::uint64_t>(2 * year));
    const auto any = [&] { return static_cast<std::size_t>(below(bench.size())); };
    const auto arm = [&](std::size_t i) {
      const std::int64_t kind = below(40);
      const std::size_t other = any();
      std::int64_t deadline = bench.now + distance();
      if (kind == 0) deadline = std::numeric_limits<std::int64_t>::max() - below(3);
      else if (kind == 1) deadline = -below(static_cast<std::uint64_t>(hour));
      else if (kind == 2) deadline = bench.now - below(static_cast<std::uint64_t>(second));
      else if (kind < 12 && bench.armed(other)) deadline = bench.deadline(other);
      bench.arm(i, deadline);
    };
    for (int i = 0; i < operations / 16; ++i) {
      const std::int64_t kind = below(100);
      bool differs = false;
      const std::size_t chosen_node = any();
      if (kind < 45) {
        arm(chosen_node);
      } else if (kind < 65) {
        if (bench.armed(chosen_node) && bench.deadline(chosen_node) > bench.now) {
          const std::int64_t later = bench.now + distance();
          if (later >= bench.deadline(chosen_node)) bench.put_off(chosen_node, later);
        }
      } else if (kind < 78) {
        bench.cancel(chosen_node);
      } else {
        if (kind < 88 && !bench.empty() && bench.next() > bench.now && bench.next() < 200 * year) {
          bench.now = bench.next();  // as a loop waits
        } else if (kind < 99) {
          bench.now += distance() / 4;
        } else {
          bench.now += below(static_cast<std::uint64_t>(90 * hour));  // the process was stopped
          ++jumps;
        }
        const bool right = bench.expire([&](std::size_t) {
          ++fired;
          const std::int64_t then = below(8);
          if (then == 0) arm(any());
          if (then == 1) bench.cancel(any());
        });
        differs = !right;
      }
      if (differs || !bench.agrees()) {
        FAIL("differs from the model at operation " << done << ", seed " << chosen);
        return;
      }
      ++done;
    }
  }
  CHECK(fired > static_cast<std::uint64_t>(operations) / 20);
  CHECK(jumps > 100);
}
