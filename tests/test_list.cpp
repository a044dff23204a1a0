// SPDX-License-Identifier: MIT
// Rooms: base/list.hpp.
// The intrusive list.
#include <vector>

#include "support/harness.hpp"

namespace {

struct Item : mote::detail::ListNode {
  explicit Item(int n) : number(n) {}
  int number;
};
using ItemList = mote::detail::List<Item>;

std::vector<int> numbers(ItemList& list) {
  std::vector<int> found;
  for (Item* item = list.front(); item != nullptr; item = list.after(*item)) found.push_back(item->number);
  return found;
}

}  // namespace

TEST_CASE("list: is empty at first, and all zero bits") {
  ItemList list;
  alignas(ItemList) const unsigned char zeros[sizeof(ItemList)] = {};
  CHECK(::memcmp(static_cast<const void*>(&list), zeros, sizeof list) == 0);
  CHECK(list.empty());
  CHECK(list.front() == nullptr);
  CHECK(list.pop_front() == nullptr);
}

TEST_CASE("list: keeps the order in which nodes were pushed") {
  ItemList list;
  Item one(1), two(2), three(3);
  list.push_back(two);
  list.push_back(three);
  list.push_front(one);
  CHECK(numbers(list) == std::vector<int>{1, 2, 3});
  CHECK(list.pop_front() == &one);
  CHECK_FALSE(one.linked());
  CHECK(list.pop_front() == &two);
  CHECK(list.pop_front() == &three);
  CHECK(list.empty());
  list.push_back(one);  // a list that has been emptied is as good as new
  CHECK(numbers(list) == std::vector<int>{1});
  one.unlink();
}

TEST_CASE("list: a node leaves from anywhere, and leaving twice is harmless") {
  ItemList list;
  Item one(1), two(2), three(3);
  list.push_back(one);
  list.push_back(two);
  list.push_back(three);
  two.unlink();
  CHECK_FALSE(two.linked());
  CHECK(numbers(list) == std::vector<int>{1, 3});
  two.unlink();
  CHECK(numbers(list) == std::vector<int>{1, 3});
  three.unlink();
  one.unlink();
  CHECK(list.empty());
}

TEST_CASE("list: takes all of another's nodes in order, and leaves that empty and usable") {
  ItemList from, to, never_used;
  Item one(1), two(2), three(3);
  to.append_all(never_used);
  CHECK(to.empty());
  from.push_back(one);
  from.push_back(two);
  to.append_all(from);
  CHECK(from.empty());
  CHECK(numbers(to) == std::vector<int>{1, 2});
  from.push_back(three);
  CHECK(numbers(from) == std::vector<int>{3});
  one.unlink();
  two.unlink();
  CHECK(to.empty());
  to.append_all(from);
  CHECK(numbers(to) == std::vector<int>{3});
  three.unlink();
}
