// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Endpoint: the address of a socket.
#ifndef MOTE_IO_ENDPOINT_HPP
#define MOTE_IO_ENDPOINT_HPP

#include <arpa/inet.h>   // inet_pton, inet_ntop
#include <errno.h>       // errno and its names
#include <net/if.h>      // if_nametoindex, if_indextoname: scopes of IPv6 addresses
#include <netinet/in.h>  // sockaddr_in, sockaddr_in6
#include <stdio.h>       // snprintf
#include <string.h>      // memory and strings
#include <sys/socket.h>  // sockets
#include <sys/un.h>      // sockaddr_un

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// The family of an address, where no address is given yet.
enum class Family : int { none = AF_UNSPEC, ipv4 = AF_INET, ipv6 = AF_INET6, unix_domain = AF_UNIX };

// Where a socket is bound or connected: IPv4, IPv6 or Unix-domain. Always numeric: no name is ever looked up.
// Size on a 32-bit board: 116 bytes.
class Endpoint {
 public:
  // What text() returns: it holds every endpoint.
  struct Text {
    char data[128];
    const char* c_str() const { return data; }
  };
  static constexpr socklen_t capacity = sizeof(sockaddr_un);  // the longest address

  constexpr Endpoint() : unix_{} {}  // none: open(), connect() and send() refuse it with EAFNOSUPPORT

  // An IP address: "192.0.2.1", "2001:db8::1", "fe80::1%eth0". Behind '%' is the name of an interface, or else its
  // number, which need not be that of an interface that exists. The port is taken as a wide number, so that none is cut
  // down to another one on the way.
  // Errors, which Error::message() puts into words for whoever has typed it:
  //   ENOTSUP  it is no numeric address, but a name, say: names are not looked up.
  //   ERANGE   the port is negative, or above 65535.
  //   ENODEV   behind '%' is neither the name of an interface nor a number of 32 bits. Or the name cannot be looked up
  //            now, because that takes a descriptor, and there is none.
  static Result<Endpoint> ip(const char* address, std::int64_t port) {
    if (port < 0 || port > UINT16_MAX) return Error(detail::Reason::bad_port);
    const auto number = static_cast<std::uint16_t>(port);
    return make([=](Endpoint& endpoint) { return endpoint.set_ip(address, number); });
  }
  // A path, or after '@' an abstract name. A closed listener leaves its path behind: unlink() it before the next opens.
  // Errors, which Error::message() puts into words for whoever has typed it:
  //   EINVAL         it is empty.
  //   ENAMETOOLONG   it has more than 107 bytes.
  static Result<Endpoint> unix_path(const char* path) {
    return make([path](Endpoint& endpoint) { return endpoint.set_path(path); });
  }
  // Host and port in one text, as a user or a configuration gives them: "192.0.2.1:80", "[2001:db8::1]:80",
  // "unix:/run/x", "unix:@x". Brackets are allowed around IPv4, too. There is no default: to listen on all interfaces
  // is "0.0.0.0:80" or "[::]:80".
  // Errors, which Error::message() puts into words for whoever has typed it:
  //   EINVAL         it has none of these forms: it is empty, the port or the path is missing, or IPv6 has no brackets.
  //   ENOTSUP        the address is not numeric: see ip().
  //   ERANGE         the port is no number, or above 65535.
  //   ENODEV         of what is behind '%': see ip().
  //   ENAMETOOLONG   the path has more than 107 bytes.
  static Result<Endpoint> parse(const char* text) {
    return make([text](Endpoint& endpoint) { return endpoint.set(text); });
  }
  // Whether both name the same place. IP: the same family, address, port and scope; an IPv4 address is not the same as
  // the IPv6 one that it is mapped into, and flow labels do not count. Unix: the same path or abstract name, byte for
  // byte, though two paths may lead to one socket. Two that are none, or two unnamed Unix sockets, are equal.
  friend bool operator==(const Endpoint& a, const Endpoint& b) { return a.is_same(b); }
  friend bool operator!=(const Endpoint& a, const Endpoint& b) { return !a.is_same(b); }

  // In the form that parse() takes, which makes the same endpoint of it; "-" for none, as of the peer of an unbound
  // Unix socket. (Of addresses that others have bound, two kinds are not made again: a path of 108 bytes, and an
  // abstract name with NULs in it, which ends at the first one here.) A scope is printed as its interface's name, or as
  // its number where there is no such interface, or not any more.
  Text text() const {
    Text result{};
    if (family() == Family::ipv4 || family() == Family::ipv6) {
      print_ip(result);
    } else if (family() == Family::unix_domain && size_ > path_offset) {
      print_path(result);
    } else {
      result.data[0] = '-';
    }
    return result;
  }
  Family family() const { return static_cast<Family>(any_.sa_family); }  // as an int: AF_INET and so on
  // Only of an IP address.
  std::uint16_t port() const { return ntohs(family() == Family::ipv6 ? v6_.sin6_port : v4_.sin_port); }

  // For system calls. One that writes an address here is followed by resize() with the size that it tells.
  const sockaddr* address() const { return &any_; }
  sockaddr* address() { return &any_; }
  socklen_t size() const { return size_; }
  void resize(socklen_t size) { size_ = size < capacity ? size : capacity; }
 private:
  static constexpr socklen_t path_offset = offsetof(sockaddr_un, sun_path);

  // Of what is refused nothing is left: a program that uses it unchecked, without assertions, is refused by the kernel,
  // and does not listen on all interfaces, say.
  template <class Set> static Result<Endpoint> make(Set set) {
    return Result<Endpoint>::in_place([set](Endpoint& endpoint) {
      const Result<void> done = set(endpoint);
      if (!done) endpoint = Endpoint();
      return done;
    });
  }

  Result<void> set_ip(const char* address, std::uint16_t port) {
    v4_.sin_family = AF_INET;
    v4_.sin_port = htons(port);
    size_ = sizeof v4_;
    if (::inet_pton(AF_INET, address, &v4_.sin_addr) == 1) return {};
    return set_ipv6(address, port);
  }
  Result<void> set_ipv6(const char* address, std::uint16_t port) {
    char without_scope[INET6_ADDRSTRLEN] = {};
    const char* const scope = ::strchr(address, '%');
    if (scope != nullptr) {
      const auto length = static_cast<std::size_t>(scope - address);
      if (length >= sizeof without_scope) return Error(detail::Reason::not_numeric);
      ::memcpy(without_scope, address, length);
    }
    v6_.sin6_family = AF_INET6;
    v6_.sin6_port = htons(port);
    v6_.sin6_flowinfo = 0;  // the attempt at IPv4 may have written here
    size_ = sizeof v6_;
    if (::inet_pton(AF_INET6, scope != nullptr ? without_scope : address, &v6_.sin6_addr) != 1)
      return Error(detail::Reason::not_numeric);
    return scope != nullptr ? set_scope(scope + 1) : Result<void>();
  }
  // An interface may have a name of digits, so the name is tried first.
  Result<void> set_scope(const char* scope) {
    std::uint32_t index = 0;
    // Not a longer name, which some C libraries cut instead of refusing it.
    if (::strlen(scope) < IF_NAMESIZE) index = ::if_nametoindex(scope);
    if (index == 0 && !parse_number(scope, UINT32_MAX, index)) return Error(detail::Reason::no_such_interface);
    v6_.sin6_scope_id = index;
    return {};
  }
  Result<void> set_path(const char* path) {
    const std::size_t length = ::strlen(path);
    if (length == 0) return Error(detail::Reason::not_an_address);
    if (length >= sizeof unix_.sun_path) return Error(detail::Reason::path_too_long);
    unix_.sun_family = AF_UNIX;
    ::memcpy(unix_.sun_path, path, length + 1);
    // An abstract name begins with a NUL and is as long as its size says; a path ends with a NUL, which counts.
    const bool abstract = path[0] == '@';
    if (abstract) unix_.sun_path[0] = '\0';
    size_ = static_cast<socklen_t>(path_offset + length + (abstract ? 0 : 1));
    return {};
  }
  Result<void> set(const char* text) {
    if (::strncmp(text, "unix:", 5) == 0) return set_path(text + 5);
    const bool brackets = text[0] == '[';
    const char* const begin = text + (brackets ? 1 : 0);
    // The last bracket: the name of an interface may have one in it.
    const char* const end = brackets ? ::strrchr(begin, ']') : ::strchr(begin, ':');
    if (end == nullptr || end == begin) return Error(detail::Reason::not_an_address);
    const char* const colon = brackets ? end + 1 : end;
    if (colon[0] != ':' || colon[1] == '\0') return Error(detail::Reason::not_an_address);
    if (!brackets && ::strchr(colon + 1, ':') != nullptr)
      return Error(detail::Reason::not_an_address);  // IPv6 without its brackets
    char address[INET6_ADDRSTRLEN + IF_NAMESIZE] = {};
    if (end - begin >= static_cast<std::ptrdiff_t>(sizeof address)) return Error(detail::Reason::not_numeric);
    ::memcpy(address, begin, static_cast<std::size_t>(end - begin));
    std::uint32_t port = 0;
    if (!parse_number(colon + 1, UINT16_MAX, port)) return Error(detail::Reason::bad_port);
    return set_ip(address, static_cast<std::uint16_t>(port));
  }
  // Whether it is a decimal number, of digits alone, up to `most`.
  static bool parse_number(const char* text, std::uint32_t most, std::uint32_t& number) {
    if (*text == '\0') return false;
    std::uint64_t value = 0;
    for (; *text != '\0'; ++text) {
      if (*text < '0' || *text > '9') return false;
      value = value * 10 + static_cast<std::uint32_t>(*text - '0');
      if (value > most) return false;
    }
    number = static_cast<std::uint32_t>(value);
    return true;
  }

  // Field by field: what system calls leave in the bytes between them is not part of the address.
  bool is_same(const Endpoint& other) const {
    if (family() != other.family()) return false;
    switch (family()) {
      case Family::none: return true;
      case Family::ipv4: return v4_.sin_port == other.v4_.sin_port && v4_.sin_addr.s_addr == other.v4_.sin_addr.s_addr;
      case Family::ipv6:
        return v6_.sin6_port == other.v6_.sin6_port && v6_.sin6_scope_id == other.v6_.sin6_scope_id &&
               ::memcmp(&v6_.sin6_addr, &other.v6_.sin6_addr, sizeof v6_.sin6_addr) == 0;
      case Family::unix_domain:
      default: {  // and what somebody else's call has written here
        const std::size_t length = name_length();
        return length == other.name_length() && ::memcmp(unix_.sun_path, other.unix_.sun_path, length) == 0;
      }
    }
  }
  // How many bytes of a Unix name count: an abstract one is as long as its size says, and may have NULs in it. A path
  // ends at a NUL, which the kernel counts or not, or at the end of the space.
  std::size_t name_length() const {
    const std::size_t size = size_ > path_offset ? size_ - path_offset : 0;
    const bool is_path = family() == Family::unix_domain && size != 0 && unix_.sun_path[0] != '\0';
    return is_path ? ::strnlen(unix_.sun_path, size) : size;
  }

  void print_ip(Text& text) const {
    const bool ipv6 = family() == Family::ipv6;
    const void* const bytes = ipv6 ? static_cast<const void*>(&v6_.sin6_addr) : &v4_.sin_addr;
    char host[INET6_ADDRSTRLEN] = "";
    char scope[1 + IF_NAMESIZE] = "";  // '%' and the interface's name or number
    ::inet_ntop(any_.sa_family, bytes, host, sizeof host);
    if (ipv6 && v6_.sin6_scope_id != 0) print_scope(scope);
    ::snprintf(text.data, sizeof text.data, ipv6 ? "[%s%s]:%u" : "%s%s:%u", host, scope, unsigned{port()});
  }
  void print_scope(char (&scope)[1 + IF_NAMESIZE]) const {
    scope[0] = '%';
    if (::if_indextoname(v6_.sin6_scope_id, scope + 1) != nullptr) return;
    ::snprintf(scope + 1, IF_NAMESIZE, "%u", unsigned{v6_.sin6_scope_id});
  }
  void print_path(Text& text) const {
    ::memcpy(text.data, "unix:", 5);
    ::memcpy(text.data + 5, unix_.sun_path, size_ - path_offset);
    if (unix_.sun_path[0] == '\0') text.data[5] = '@';
  }

  union {
    sockaddr any_;
    sockaddr_in v4_;
    sockaddr_in6 v6_;
    sockaddr_un unix_;
  };
  socklen_t size_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_ENDPOINT_HPP
