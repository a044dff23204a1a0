// SPDX-License-Identifier: MIT
// Rooms: base/delegate.hpp, base/bytes.hpp.
// The types that refer to what is not theirs: callables and bytes.
#include <functional>
#include <string>
#include <vector>

#include "support/harness.hpp"

using mote::Delegate;
using test::MoveOnly;

namespace {

int add(int a, int b) { return a + b; }

struct Lamp {
  int blinks = 0;
  void blink() { ++blinks; }
  int level(int by) const { return blinks + by; }
  int operator()() { return ++blinks; }
};

}  // namespace

TEST_CASE("bytes: are viewed in arrays, containers, strings and other views") {
  char text[6] = "hello";
  const mote::ByteSpan whole(text);
  CHECK(whole.size() == 6);
  CHECK(whole[1] == 'e');
  std::array<std::uint8_t, 4> array{1, 2, 3, 4};
  mote::ByteSpan span(array);
  span[0] = 9;
  CHECK(array[0] == 9);
  const std::array<std::byte, 3> constant{};
  CHECK(mote::ByteView(constant).size() == 3);
  const std::string string = "mote";
  CHECK(mote::ByteView(string).size() == 4);
  std::vector<signed char> vector{1, 2};
  CHECK(mote::ByteSpan(vector).size() == 2);
  const mote::ByteView view = span;
  CHECK(view.data() == array.data());
  CHECK(view.size() == 4);
  CHECK(mote::bytes_of("abc").size() == 3);
  CHECK(mote::bytes_of("").empty());
  CHECK(mote::ByteView().empty());
  CHECK(mote::ByteView().data() == nullptr);
}

TEST_CASE("bytes: shrink from the front, and the bytes stay") {
  const char text[] = {'a', 'b', 'c'};
  mote::ByteView view(text);
  view.drop_front(2);
  REQUIRE(view.size() == 1);
  CHECK(view[0] == 'c');
  view.drop_front(0);
  CHECK(view.size() == 1);
  view.drop_front(1);
  CHECK(view.empty());
  CHECK(text[0] == 'a');
  int sum = 0;
  for (const unsigned char byte : mote::ByteView(text)) sum += byte;
  CHECK(sum == 'a' + 'b' + 'c');
}

TEST_CASE("bytes: what is constant is not made writable, and wide elements are not bytes") {
  CHECK_FALSE(std::is_constructible<mote::ByteSpan, const std::string&>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteSpan, const char(&)[4]>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteSpan, mote::ByteView>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteView, int(&)[4]>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteView, std::vector<int>&>::value);
}

TEST_CASE("delegate: is empty at first") {
  const Delegate<void()> empty;
  CHECK_FALSE(empty);
  CHECK(sizeof empty == 2 * sizeof(void*));
}

TEST_CASE("delegate: calls lambdas, members and functions, with the object it was bound to") {
  int seen = 0;
  auto lambda = [&](int n) {
    seen += n;
    return seen;
  };
  const Delegate<int(int)> of_lambda(lambda);
  REQUIRE(of_lambda);
  CHECK(of_lambda(4) == 4);
  CHECK(of_lambda(5) == 9);
  CHECK(seen == 9);

  Lamp lamp;
  const auto of_member = Delegate<void()>::of<&Lamp::blink>(lamp);
  of_member();
  of_member();
  CHECK(lamp.blinks == 2);
  CHECK(Delegate<int(int)>::of<&Lamp::level>(lamp)(3) == 5);
  const auto of_function = Delegate<int(int, int)>::of<&add>();
  CHECK(of_function(2, 3) == 5);
  int context = 1;
  const auto add_to = [](void* sum, int n) {
    *static_cast<int*>(sum) += n;
    return *static_cast<int*>(sum);
  };
  const Delegate<int(int)> of_context(add_to, &context);
  CHECK(of_context(6) == 7);
  CHECK(context == 7);
}

TEST_CASE("delegate: a copy calls the same object") {
  Lamp lamp;
  const auto first = Delegate<void()>::of<&Lamp::blink>(lamp);
  const Delegate<void()> second = first;
  Delegate<void()> third;
  third = second;
  third();
  CHECK(lamp.blinks == 1);
}

TEST_CASE("delegate: takes arguments that can only be moved, and const objects") {
  int seen = 0;
  auto take = [&](MoveOnly moved) { seen = moved.value; };
  const Delegate<void(MoveOnly)> delegate(take);
  delegate(MoveOnly(12));
  CHECK(seen == 12);
  const auto constant = [](int n) { return n + 1; };
  CHECK(Delegate<int(int)>(constant)(1) == 2);
}

TEST_CASE("delegate: is not made of a temporary with captures, which would dangle") {
  int seen = 0;
  auto lambda = [&] { ++seen; };
  auto changing = [seen]() mutable { ++seen; };
  CHECK(std::is_constructible<Delegate<void()>, decltype(lambda)&>::value);
  CHECK(std::is_constructible<Delegate<void()>, const decltype(lambda)&>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, decltype(lambda)>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, const decltype(lambda)>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, decltype(changing)>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, std::function<void()>>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, int>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, void (*)(int)>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void(int)>, decltype(lambda)&>::value);
}

TEST_CASE("delegate: takes plain functions and temporary lambdas without captures") {
  const Delegate<int(int, int)> plain = add;
  CHECK(plain(2, 3) == 5);
  const Delegate<long(short, int)> converting = &add;
  CHECK(converting(2, 4) == 6);
  static int seen;
  seen = 0;
  const auto call = [](Delegate<void(int)> delegate) { delegate(4); };
  call([](int n) { seen += n; });
  CHECK(seen == 4);
  call([](auto n) { seen += n; });
  CHECK(seen == 8);
  call(
      [](long n) mutable noexcept { return seen += static_cast<int>(n); });  // converts what it takes, drops the result
  CHECK(seen == 12);
  const Delegate<void(MoveOnly)> moving = [](MoveOnly moved) { seen = moved.value; };
  moving(MoveOnly(7));
  CHECK(seen == 7);
}

TEST_CASE("delegate: what named objects, members and functions return is dropped where it returns nothing") {
  Lamp lamp;
  int seen = 0;
  auto lambda = [&seen](int n) { return seen += n; };
  const Delegate<void(int)> of_lambda = lambda;
  of_lambda(3);
  CHECK(seen == 3);
  const Delegate<void()> of_object = lamp;
  of_object();
  CHECK(lamp.blinks == 1);
  Delegate<void()>::of<&Lamp::operator()>(lamp)();
  CHECK(lamp.blinks == 2);
  Delegate<void(int)>::of<&Lamp::level>(lamp)(1);
  Delegate<void(int, int)>::of<&add>()(1, 2);
  const Delegate<int(int)> other = lambda;
  const Delegate<void(int)> of_other = other;  // another delegate is an object as any
  of_other(4);
  CHECK(seen == 7);
}

TEST_CASE("delegate: takes temporary generic lambdas without captures, whatever they return") {
  static int seen;
  seen = 0;
  const Delegate<void()> none = [](auto...) { return ++seen; };
  none();
  CHECK(seen == 1);
  const Delegate<void(int)> dropping = [](auto n) { return seen += n; };
  dropping(4);
  CHECK(seen == 5);
  const Delegate<long(int, short)> converting = [](auto... n) { return (0 + ... + n); };
  CHECK(converting(2, 3) == 5);
  const Delegate<int&()> referring = [](auto...) -> int& { return seen; };
  CHECK(&referring() == &seen);
  int here = 0;
  auto capturing = [&here](auto... n) { here += (0 + ... + n); };
  CHECK_FALSE(std::is_constructible<Delegate<void(int)>, decltype(capturing)>::value);
  CHECK(std::is_constructible<Delegate<void(int)>, decltype(capturing)&>::value);
}

TEST_CASE("delegate: of a null function is empty") {
  int (*none)(int, int) = nullptr;
  CHECK_FALSE(Delegate<int(int, int)>(none));
  none = add;
  CHECK(Delegate<int(int, int)>(none));
}
