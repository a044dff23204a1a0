// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The name of a type as text, made by the compiler.
#ifndef MOTE_TASK_TYPE_NAME_HPP
#define MOTE_TASK_TYPE_NAME_HPP

#include <cstddef>  // size_t, ptrdiff_t

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What compilers make of `spelling<T>()`, for a class in an anonymous namespace and for one that is local to a
// function:
//
//   g++     constexpr const char* mote::v0_1::detail::spelling() [with T = app::{anonymous}::Echo]
//           ... [with T = run(int)::Echo; other = ...]
//   clang   const char *mote::detail::spelling() [T = app::(anonymous namespace)::Echo], and [T = Echo]
//
// The name is what follows the `=`, without anonymous namespaces and without functions: "app::Echo" and "Echo".
template <class T> constexpr const char* spelling() { return __PRETTY_FUNCTION__; }

struct TypeNameReader {
  const char* at;                 // what is to be read next
  int depth = 0;                  // brackets of all kinds that are open
  const char* end_of_signs = at;  // what is before it is no bracket, but part of a literal or of an operator's name

  constexpr bool sees(const char* part) const {
    std::size_t i = 0;
    while (part[i] != '\0' && at[i] == part[i]) ++i;
    return part[i] == '\0';
  }
  static constexpr bool is_of_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  constexpr bool is_at_end() const { return *at == '\0' || (depth == 0 && (*at == ']' || *at == ';')); }
  constexpr bool is_at_scope() const { return depth == 0 && sees("::"); }
  // Behind an operator's signs that are brackets elsewhere: <, <<, <=>, >, >>, ->. `operator<>` is `operator<` and then
  // a bracket.
  static constexpr const char* end_of_operator(const char* signs) {
    if (signs[0] == '-' && signs[1] == '>') return signs + 2;
    if (signs[0] == '<' && signs[1] == '=' && signs[2] == '>') return signs + 3;
    if (signs[0] != '<' && signs[0] != '>') return signs;
    return signs + (signs[1] == signs[0] ? 2 : 1);
  }
  // Behind a literal as '<', or behind `operator<`; or `at` itself where neither begins here.
  constexpr const char* end_of_literal_or_operator() const {
    const char* end = at;
    if (*at == '\'' || *at == '"') {
      for (++end; *end != '\0' && *end != *at; ++end) {
        if (*end == '\\' && end[1] != '\0') ++end;
      }
      if (*end != '\0') ++end;
    } else if (sees("operator") && !is_of_word(at[-1])) {  // there is a '=' and a space before the name
      end = end_of_operator(at + sizeof "operator" - 1);
    }
    return end;
  }
  constexpr void advance() {
    if (at >= end_of_signs) end_of_signs = end_of_literal_or_operator();
    if (at < end_of_signs) {
      ++at;
      return;
    }
    if (*at == '<' || *at == '(' || *at == '[' || *at == '{') ++depth;
    if (*at == '>' || *at == ')' || *at == ']' || *at == '}') --depth;
    ++at;
  }
  constexpr bool skip(const char* part) {
    if (!sees(part)) return false;
    for (; *part != '\0'; ++part) ++at;
    return true;
  }
  constexpr bool skip_anonymous() {
    return skip("{anonymous}::") || skip("(anonymous namespace)::") || skip("<unnamed>::");
  }
};

// Where the name begins: after the last function that the class is local to.
constexpr const char* begin_of_type_name(const char* spelt) {
  while (*spelt != '=') ++spelt;
  TypeNameReader reader{spelt + 2};
  const char* begin = reader.at;
  bool is_function = false;  // what has been read since the last `::`
  while (!reader.is_at_end()) {
    if (reader.skip_anonymous()) continue;
    if (reader.is_at_scope()) {
      if (is_function) begin = reader.at + 2;
      is_function = false;
    }
    const bool is_lambda = reader.depth == 0 && reader.sees("<lambda");
    is_function = is_function || is_lambda || (reader.depth == 0 && *reader.at == '(');
    reader.advance();
  }
  return begin;
}
// Calls put(character) for each character of the name.
template <class Put> constexpr void read_type_name(const char* spelt, Put put) {
  TypeNameReader reader{begin_of_type_name(spelt)};
  while (!reader.is_at_end()) {
    if (reader.skip_anonymous()) continue;
    put(*reader.at);
    reader.advance();
  }
}
constexpr std::size_t type_name_length(const char* spelt) {
  std::size_t length = 0;
  read_type_name(spelt, [&length](char) { ++length; });
  return length;
}

template <class T> struct TypeName {
  char text[type_name_length(spelling<T>()) + 1] = {};
  constexpr TypeName() {
    std::size_t length = 0;
    read_type_name(spelling<T>(), [this, &length](char character) {
      text[length] = character;
      ++length;
    });
  }
};
template <class T> inline constexpr TypeName<T> type_name{};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TYPE_NAME_HPP
