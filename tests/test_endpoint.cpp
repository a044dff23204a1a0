// SPDX-License-Identifier: MIT
// Rooms: io/endpoint.hpp.
// Endpoints: parsed, printed, refused, compared.
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <string>

#include "support/child.hpp"
#include "support/harness.hpp"

using mote::Endpoint;
using test::error_of;

namespace {

// What parse() makes of a text, as text again; the errno value where it refuses.
std::string reparsed(const std::string& text) {
  const mote::Result<Endpoint> endpoint = Endpoint::parse(text.c_str());
  return endpoint ? endpoint->text().c_str() : "errno " + std::to_string(endpoint.error().code());
}

std::string refused(int error) { return "errno " + std::to_string(error); }

}  // namespace

TEST_CASE("endpoints: IPv4 is parsed and printed back") {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "192.0.2.1:8000"}) {
    CHECK(reparsed(text) == text);
  }
  const mote::Result<Endpoint> endpoint = Endpoint::parse("192.0.2.1:8000");
  REQUIRE(endpoint);
  CHECK(endpoint->family() == mote::Family::ipv4);
  CHECK(endpoint->port() == 8000);
  CHECK(endpoint->size() == sizeof(sockaddr_in));
  sockaddr_in raw;
  ::memcpy(&raw, endpoint->address(), sizeof raw);
  CHECK(raw.sin_addr.s_addr == htonl(0xc0000201));
  CHECK(raw.sin_port == htons(8000));
}

TEST_CASE("endpoints: IPv6 is parsed and printed back, in its shortest form") {
  for (const char* text : {"[::]:0", "[::1]:80", "[2001:db8::1]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
                           "[::ffff:192.0.2.1]:80"}) {
    CHECK(reparsed(text) == text);
  }
  CHECK(reparsed("[2001:0DB8:0:0:0:0:0:1]:080") == "[2001:db8::1]:80");
  const mote::Result<Endpoint> endpoint = Endpoint::parse("[2001:db8::1]:443");
  REQUIRE(endpoint);
  CHECK(endpoint->family() == mote::Family::ipv6);
  CHECK(endpoint->port() == 443);
  CHECK(endpoint->size() == sizeof(sockaddr_in6));
}

TEST_CASE("endpoints: scoped IPv6 names its interface") {
  CHECK(reparsed("[fe80::1%lo]:80") == "[fe80::1%lo]:80");
  const mote::Result<Endpoint> endpoint = Endpoint::ip("fe80::1%lo", 80);
  REQUIRE(endpoint);
  sockaddr_in6 raw;
  ::memcpy(&raw, endpoint->address(), sizeof raw);
  CHECK(raw.sin6_scope_id == ::if_nametoindex("lo"));
  CHECK(reparsed("[fe80::1%no-such-thing]:80") == refused(ENODEV));
  CHECK(reparsed("[fe80::1%]:80") == refused(ENODEV));
  CHECK(error_of(Endpoint::ip("fe80::1%no-such-thing", 80)) == ENODEV);
}

TEST_CASE("endpoints: a scope whose interface has gone is printed as its number, which is parsed again") {
  Endpoint endpoint = *Endpoint::parse("[fe80::1%lo]:80");
  sockaddr_in6 raw;
  ::memcpy(&raw, endpoint.address(), sizeof raw);
  raw.sin6_scope_id = 0x7ffffff0;
  ::memcpy(endpoint.address(), &raw, sizeof raw);
  CHECK(std::string(endpoint.text().c_str()) == "[fe80::1%2147483632]:80");
  CHECK(reparsed("[fe80::1%2147483632]:80") == "[fe80::1%2147483632]:80");
}

TEST_CASE("endpoints: a scope is also a number of 32 bits, and nothing else") {
  const auto scope_of = [](const char* text) -> long long {
    const mote::Result<Endpoint> endpoint = Endpoint::ip(text, 80);
    if (!endpoint) return -endpoint.error().code();
    sockaddr_in6 raw;
    ::memcpy(&raw, endpoint->address(), sizeof raw);
    return raw.sin6_scope_id;
  };
  CHECK(scope_of("fe80::1%3") == 3);
  CHECK(scope_of("fe80::1%0") == 0);
  CHECK(scope_of("fe80::1%0003") == 3);
  CHECK(scope_of("fe80::1%00000000000000000000003") == 3);  // longer than any interface's name
  CHECK(scope_of("fe80::1%4294967295") == 4294967295);
  for (const char* scope : {"", "4294967296", "18446744073709551619", "99999999999999999999999999", "-1", "+1", " 1",
                            "1 ", "0x1", "1.", "lo0123456789abcdef", "%", "1%"}) {
    CAPTURE(scope);
    CHECK(scope_of((std::string("fe80::1%") + scope).c_str()) == -ENODEV);
  }
}

namespace {

std::uint32_t random_number() {
  static std::uint32_t state = 2463534242u;  // xorshift
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

Endpoint random_ip() {
  Endpoint endpoint;
  const auto port = static_cast<std::uint16_t>(random_number());
  if (random_number() % 4 == 0) {
    sockaddr_in raw{};
    raw.sin_family = AF_INET;
    raw.sin_port = htons(port);
    raw.sin_addr.s_addr = random_number();
    ::memcpy(endpoint.address(), &raw, sizeof raw);
    endpoint.resize(sizeof raw);
    return endpoint;
  }
  sockaddr_in6 raw{};
  raw.sin6_family = AF_INET6;
  raw.sin6_port = htons(port);
  const std::uint32_t zeros = random_number();  // runs of them are printed shorter
  for (int i = 0; i < 16; ++i) {
    if ((zeros >> i & 1u) != 0) raw.sin6_addr.s6_addr[i] = static_cast<std::uint8_t>(random_number());
  }
  const std::uint32_t scopes[] = {0, 1, 2, 3, 10, UINT32_MAX, random_number(), random_number() >> 16};
  raw.sin6_scope_id = scopes[random_number() % 8];
  ::memcpy(endpoint.address(), &raw, sizeof raw);
  endpoint.resize(sizeof raw);
  return endpoint;
}
Endpoint random_name() {
  std::string name;
  const std::size_t size = 1 + random_number() % 107;
  while (name.size() < size) name += static_cast<char>(1 + random_number() % 255);
  return *Endpoint::unix_path(name.c_str());
}
bool same(const Endpoint& a, const Endpoint& b) {
  return a.size() == b.size() && ::memcmp(a.address(), b.address(), a.size()) == 0;
}
int differing_when_reparsed(int count) {
  int differing = 0;
  for (int i = 0; i < count; ++i) {
    const Endpoint endpoint = i % 4 == 0 ? random_name() : random_ip();
    const Endpoint::Text text = endpoint.text();
    const mote::Result<Endpoint> again = Endpoint::parse(text.c_str());
    if (!again || !same(endpoint, *again)) ++differing;
  }
  return differing;
}

// In a namespace of its own, where lo is the only interface, and has that name. -1: it cannot be made here.
int differing_with_interface(const char* name) {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return -1;
  const mote::Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  ::strncpy(request.ifr_name, "lo", IF_NAMESIZE - 1);
  ::strncpy(request.ifr_newname, name, IF_NAMESIZE - 1);
  if (::ioctl(any.get(), SIOCSIFNAME, &request) != 0) return -1;
  if (::if_nametoindex(name) != 1) return -1;
  const mote::Result<Endpoint> named = Endpoint::ip((std::string("fe80::1%") + name).c_str(), 80);
  const bool printed = named && std::string(named->text().c_str()) == std::string("[fe80::1%") + name + "]:80";
  return (printed ? 0 : 1) + differing_when_reparsed(200);
}

}  // namespace

TEST_CASE("endpoints: what is printed is parsed as the same endpoint, whichever it is") {
  CHECK(differing_when_reparsed(20'000) == 0);
}

TEST_CASE("endpoints: scopes are printed and parsed whatever name their interface has: digits, brackets, any bytes") {
  for (const char* name :
       {"eth0", "78", "a]b", "]80", "a-b.c@d", "[x]", "0x1", "99999999999", "\xc3\xa4", "abcdefghijklmno"}) {
    CAPTURE(name);
    test::Child child([name] { return 1 + differing_with_interface(name); });
    const int status = child.join();
    if (status == 0) MESSAGE("left out: no network namespace, or no such name");
    else CHECK(status == 1);
  }
}

TEST_CASE("endpoints: address and port apart") {
  CHECK(std::string(Endpoint::ip("192.0.2.1", 7)->text().c_str()) == "192.0.2.1:7");
  CHECK(std::string(Endpoint::ip("::1", 7)->text().c_str()) == "[::1]:7");
  for (const char* text : {"", "localhost", "192.0.2", "192.0.2.1.1", "192.0.2.256", "1", "[::1]", "::1::", "%lo", ":",
                           "192.0.2.1%lo", "12345:::", " 192.0.2.1", "192.0.2.1 "}) {
    CAPTURE(text);
    CHECK(error_of(Endpoint::ip(text, 80)) == ENOTSUP);
  }
}

TEST_CASE("endpoints: a number that is no port is ERANGE, and is not cut down to one") {
  for (const std::int64_t port : {std::int64_t{-1}, std::int64_t{-65456}, std::int64_t{65536}, std::int64_t{65536 + 80},
                                  (std::int64_t{1} << 32) + 80, INT64_MIN, INT64_MIN + 80, INT64_MAX}) {
    CAPTURE(port);
    for (const char* address : {"192.0.2.1", "::1"}) CHECK(error_of(Endpoint::ip(address, port)) == ERANGE);
  }
  for (const int port : {0, 1, 80, 65535}) {
    CAPTURE(port);
    for (const char* address : {"192.0.2.1", "::1"}) CHECK(Endpoint::ip(address, port)->port() == port);
  }
}

TEST_CASE("endpoints: what has none of the forms is EINVAL") {
  for (const char* text : {"",
                           ":",
                           "80",
                           "localhost",
                           "192.0.2.1",
                           "192.0.2.1:",
                           ":80",
                           "::1:80",
                           "::1",
                           "[::1]",
                           "[::1]80",
                           "[::1]:",
                           "[::1:80",
                           "[]:80",
                           "[192.0.2.1:80",
                           "::1]:80",
                           "[",
                           "[]",
                           "unix",
                           "unix:",
                           "/run/x",
                           "http://192.0.2.1:80",
                           "192.0.2.1:80:90"}) {
    CAPTURE(text);
    CHECK(reparsed(text) == refused(EINVAL));
  }
}

TEST_CASE("endpoints: a port that is no number up to 65535 is ERANGE") {
  for (const char* port :
       {"65536", "99999999999999999", "4294967376", "-1", "+1", " 80", "80 ", "8o", "http", "0x50"}) {
    CAPTURE(port);
    CHECK(reparsed(std::string("192.0.2.1:") + port) == refused(ERANGE));
    CHECK(reparsed(std::string("[::1]:") + port) == refused(ERANGE));
  }
}

TEST_CASE("endpoints: a name, and what else is no numeric address, is ENOTSUP") {
  const std::string longer_than_any(500, 'f');
  for (const std::string& host :
       {std::string("localhost"), std::string("example.org"), std::string("192.0.2"), std::string("192.0.2.256"),
        std::string("*"), std::string("192.0.2.1%lo"), std::string(500, '1'), longer_than_any}) {
    CAPTURE(host);
    CHECK(reparsed(host + ":80") == refused(ENOTSUP));
    CHECK(reparsed("[" + host + "]:80") == refused(ENOTSUP));
    CHECK(error_of(Endpoint::ip(host.c_str(), 80)) == ENOTSUP);
  }
  CHECK(reparsed("[::1]]:80") == refused(ENOTSUP));
  CHECK(reparsed("[" + longer_than_any + "%lo]:80") == refused(ENOTSUP));
  CHECK(error_of(Endpoint::ip((std::string(46, ':') + "%lo").c_str(), 1)) == ENOTSUP);
}

TEST_CASE("endpoints: why a text is refused is explained in words") {
  const auto why = [](const std::string& text) { return std::string(Endpoint::parse(text.c_str()).error().message()); };
  const auto has = [](const std::string& words, const char* part) { return words.find(part) != std::string::npos; };
  CHECK(has(why("localhost:80"), "numeric addresses only, such as 127.0.0.1 or ::1"));
  CHECK(has(why(std::string(300, 'x') + ".example.org:80"), "numeric addresses only"));
  CHECK(has(why("127.0.0.1"), "ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000, nor unix:PATH"));
  CHECK(has(why("::1:80"), "[::1]:8000"));
  CHECK(has(why(""), "ADDRESS:PORT"));
  CHECK(has(why("127.0.0.1:65536"), "port is not a number from 0 to 65535"));
  CHECK(has(why("[fe80::1%no-such-thing]:80"), "no such network interface"));
  CHECK(has(why("unix:/" + std::string(107, 'a')), "more than 107 bytes"));
  CHECK(std::string(Endpoint::ip("127.0.0.1", -1).error().message()) == why("127.0.0.1:65536"));
}

TEST_CASE("endpoints: the longest IPv6 address is taken, with the longest name of an interface refused by its name") {
  const std::string longest = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";  // INET6_ADDRSTRLEN - 1
  REQUIRE(longest.size() == INET6_ADDRSTRLEN - 1);
  CHECK(Endpoint::ip(longest.c_str(), 1));
  CHECK(Endpoint::parse(("[" + longest + "]:65535").c_str()));
  CHECK(reparsed("[" + longest + "%" + std::string(IF_NAMESIZE - 1, 'z') + "]:65535") == refused(ENODEV));
}

TEST_CASE("endpoints: Unix path and abstract names are parsed and printed back") {
  for (const char* text : {"unix:/run/x", "unix:x", "unix:@x", "unix:@", "unix:@/a b:c", "unix:/with:colon]"}) {
    CHECK(reparsed(text) == text);
  }
  const mote::Result<Endpoint> path = Endpoint::unix_path("/run/x");
  REQUIRE(path);
  CHECK(path->family() == mote::Family::unix_domain);
  CHECK(path->size() == offsetof(sockaddr_un, sun_path) + 7);  // the terminating zero belongs to a path,
  const mote::Result<Endpoint> abstract = Endpoint::unix_path("@x");
  REQUIRE(abstract);
  CHECK(abstract->size() == offsetof(sockaddr_un, sun_path) + 2);  // but would be part of an abstract name
  sockaddr_un raw{};
  ::memcpy(&raw, abstract->address(), abstract->size());
  CHECK(raw.sun_path[0] == '\0');
  CHECK(raw.sun_path[1] == 'x');
}

TEST_CASE("endpoints: Unix socket path too long") {
  const std::string most(107, 'a');
  CHECK(reparsed("unix:" + most) == "unix:" + most);
  CHECK(reparsed("unix:" + most + "a") == refused(ENAMETOOLONG));
  CHECK(error_of(Endpoint::unix_path((most + "a").c_str())) == ENAMETOOLONG);
  CHECK(error_of(Endpoint::unix_path(std::string(5000, 'a').c_str())) == ENAMETOOLONG);
  CHECK(reparsed("unix:@" + std::string(106, 'a')) == "unix:@" + std::string(106, 'a'));
  CHECK(reparsed("unix:@" + std::string(107, 'a')) == refused(ENAMETOOLONG));
  CHECK(error_of(Endpoint::unix_path("")) == EINVAL);
}

TEST_CASE("endpoints: a name of the full 108 bytes, as the kernel may give it, is printed whole") {
  Endpoint endpoint;
  sockaddr_un raw{};
  raw.sun_family = AF_UNIX;
  ::memset(raw.sun_path, 'a', sizeof raw.sun_path);
  ::memcpy(endpoint.address(), &raw, sizeof raw);
  endpoint.resize(sizeof raw);
  CHECK(std::string(endpoint.text().c_str()) == "unix:" + std::string(108, 'a'));
}

TEST_CASE("endpoints: none is printed as a dash, and a size is kept within what there is") {
  CHECK(std::string(Endpoint().text().c_str()) == "-");
  Endpoint unnamed;  // a Unix socket that is not bound
  unnamed.address()->sa_family = AF_UNIX;
  unnamed.resize(sizeof(sa_family_t));
  CHECK(std::string(unnamed.text().c_str()) == "-");
  unnamed.resize(100000);
  CHECK(unnamed.size() == Endpoint::capacity);
}

TEST_CASE("endpoints: copies are independent") {
  Endpoint a = *Endpoint::parse("192.0.2.1:80");
  const Endpoint b = a;
  a = *Endpoint::parse("unix:/run/x");
  CHECK(std::string(a.text().c_str()) == "unix:/run/x");
  CHECK(std::string(b.text().c_str()) == "192.0.2.1:80");
}

// ---------------------------------------------------------------------------------------------------------- comparing

namespace {

bool equal(const Endpoint& a, const Endpoint& b) {
  CHECK((a == b) == (b == a));
  CHECK((a != b) == !(a == b));
  return a == b;
}
bool equal(const char* a, const char* b) { return equal(*Endpoint::parse(a), *Endpoint::parse(b)); }

// As a system call writes one that fills bytes which are no part of the address with anything.
template <class Raw> Endpoint written(const Raw& raw, socklen_t size = sizeof(Raw)) {
  Endpoint endpoint;
  ::memset(static_cast<void*>(endpoint.address()), 0xa5, Endpoint::capacity);
  ::memcpy(static_cast<void*>(endpoint.address()), &raw, size);
  endpoint.resize(size);
  return endpoint;
}

}  // namespace

TEST_CASE("endpoints: equal are those of the same family, address, port and scope") {
  CHECK(equal("192.0.2.1:80", "192.0.2.1:80"));
  CHECK(equal("192.0.2.1:80", "[192.0.2.1]:080"));
  CHECK(equal("[2001:DB8:0::1]:80", "[2001:db8::1]:80"));
  CHECK(equal("[fe80::1%3]:80", "[fe80::1%03]:80"));
  CHECK(equal("[fe80::1%0]:80", "[fe80::1]:80"));
  CHECK_FALSE(equal("192.0.2.1:80", "192.0.2.1:81"));
  CHECK_FALSE(equal("192.0.2.1:80", "192.0.2.2:80"));
  CHECK_FALSE(equal("[2001:db8::1]:80", "[2001:db8::1]:81"));
  CHECK_FALSE(equal("[2001:db8::1]:80", "[2001:db8::2]:80"));
  CHECK_FALSE(equal("[fe80::1%3]:80", "[fe80::1%4]:80"));
  CHECK_FALSE(equal("[fe80::1%3]:80", "[fe80::1]:80"));
  CHECK_FALSE(equal("192.0.2.1:80", "[::ffff:192.0.2.1]:80"));
  CHECK_FALSE(equal("0.0.0.0:80", "[::]:80"));
  CHECK_FALSE(equal("192.0.2.1:80", "unix:/run/x"));
}

TEST_CASE("endpoints: what system calls leave in padding, behind the address and as flow label does not count") {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(80);
  four.sin_addr.s_addr = htonl(0xc0000201);
  ::memset(four.sin_zero, 0x5a, sizeof four.sin_zero);
  CHECK(equal(written(four), *Endpoint::parse("192.0.2.1:80")));
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(80);
  six.sin6_addr.s6_addr[15] = 1;
  six.sin6_flowinfo = 0x12345;
  CHECK(equal(written(six), *Endpoint::parse("[::1]:80")));
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  ::memcpy(path.sun_path, "/run/x", 6);
  const socklen_t offset = offsetof(sockaddr_un, sun_path);
  for (const socklen_t size :
       {offset + 7, offset + 20, socklen_t{sizeof path}}) {  // with its NUL, and with more of them
    CHECK(equal(written(path, size), *Endpoint::unix_path("/run/x")));
  }
  CHECK(equal(written(path, offset + 6), *Endpoint::unix_path("/run/x")));  // without
  CHECK_FALSE(equal(written(path, offset + 5), *Endpoint::unix_path("/run/x")));
}

TEST_CASE("endpoints: Unix names are equal byte for byte, abstract ones with all their NULs") {
  CHECK(equal("unix:/run/x", "unix:/run/x"));
  CHECK_FALSE(equal("unix:/run/x", "unix:/run/y"));
  CHECK_FALSE(equal("unix:/run/x", "unix:/run/xy"));
  CHECK_FALSE(equal("unix:/run/x", "unix:/run//x"));
  CHECK(equal("unix:@x", "unix:@x"));
  CHECK_FALSE(equal("unix:@x", "unix:@xy"));
  CHECK_FALSE(equal("unix:@x", "unix:x"));
  sockaddr_un abstract{};
  abstract.sun_family = AF_UNIX;
  abstract.sun_path[1] = 'x';
  const socklen_t offset = offsetof(sockaddr_un, sun_path);
  CHECK(equal(written(abstract, offset + 2), *Endpoint::unix_path("@x")));
  CHECK_FALSE(equal(written(abstract, offset + 3), *Endpoint::unix_path("@x")));  // a NUL is one more byte of it
  CHECK(equal(written(abstract, offset + 3), written(abstract, offset + 3)));
  sockaddr_un other = abstract;
  other.sun_path[3] = 'y';
  CHECK_FALSE(equal(written(abstract, offset + 4), written(other, offset + 4)));
  ::memset(abstract.sun_path, 'a', sizeof abstract.sun_path);
  CHECK(equal(written(abstract), written(abstract)));  // a path of the full 108 bytes, without a NUL
  CHECK_FALSE(equal(written(abstract), *Endpoint::unix_path(std::string(107, 'a').c_str())));
}

TEST_CASE("endpoints: none is equal to none alone, and unnamed Unix sockets to each other") {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  CHECK(equal(Endpoint(), Endpoint()));
  CHECK(equal(written(sockaddr{}), Endpoint()));  // of which the kernel has said the size
  CHECK(equal(written(unnamed, sizeof(sa_family_t)), written(unnamed, sizeof(sa_family_t))));
  CHECK_FALSE(equal(written(unnamed, sizeof(sa_family_t)), Endpoint()));
  CHECK_FALSE(equal(written(unnamed, sizeof(sa_family_t)), *Endpoint::unix_path("@x")));
  CHECK_FALSE(equal(Endpoint(), *Endpoint::parse("0.0.0.0:0")));
}

TEST_CASE("endpoints: what the kernel tells of a socket is equal to what it was bound to") {
  for (const std::string& text : {std::string("127.0.0.1:0"), "unix:@mote-test-equal-" + std::to_string(::getpid())}) {
    CAPTURE(text);
    Endpoint bound = *Endpoint::parse(text.c_str());
    const mote::Fd socket(::socket(static_cast<int>(bound.family()), SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(socket.get(), bound.address(), bound.size()) == 0);
    Endpoint told;
    socklen_t size = Endpoint::capacity;
    ::memset(static_cast<void*>(told.address()), 0xa5, size);
    REQUIRE(::getsockname(socket.get(), told.address(), &size) == 0);
    told.resize(size);
    if (bound.family() == mote::Family::ipv4) bound = *Endpoint::ip("127.0.0.1", told.port());
    CHECK(equal(told, bound));
  }
}

TEST_CASE("endpoints: a table of peers finds each by its address, whichever it is") {
  const char* const texts[] = {"192.0.2.1:80", "192.0.2.1:81", "[::1]:80", "[fe80::1%3]:80", "unix:/run/x", "unix:@x"};
  Endpoint peers[6];
  for (std::size_t i = 0; i < 6; ++i) peers[i] = *Endpoint::parse(texts[i]);
  for (std::size_t i = 0; i < 6; ++i) {
    const Endpoint* const found = std::find(std::begin(peers), std::end(peers), *Endpoint::parse(texts[i]));
    CHECK(found == &peers[i]);
  }
  for (int i = 0; i < 2000; ++i) {  // and one that has been printed and parsed is the same
    const Endpoint endpoint = i % 4 == 0 ? random_name() : random_ip();
    CHECK(endpoint == *Endpoint::parse(endpoint.text().c_str()));
  }
}
