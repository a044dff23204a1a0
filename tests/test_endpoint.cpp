// SPDX-License-Identifier: MIT
// Rooms: io/endpoint.hpp.
// Endpoints: parsed, printed, refused.
#include <string>

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
  CHECK(endpoint->family() == AF_INET);
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
  CHECK(endpoint->family() == AF_INET6);
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

TEST_CASE("endpoints: a scope whose interface has gone is left out when printed") {
  Endpoint endpoint = *Endpoint::parse("[fe80::1%lo]:80");
  sockaddr_in6 raw;
  ::memcpy(&raw, endpoint.address(), sizeof raw);
  raw.sin6_scope_id = 0x7ffffff0;
  ::memcpy(endpoint.address(), &raw, sizeof raw);
  CHECK(std::string(endpoint.text().c_str()) == "[fe80::1]:80");
}

TEST_CASE("endpoints: address and port apart") {
  CHECK(std::string(Endpoint::ip("192.0.2.1", 7)->text().c_str()) == "192.0.2.1:7");
  CHECK(std::string(Endpoint::ip("::1", 7)->text().c_str()) == "[::1]:7");
  for (const char* text : {"", "localhost", "192.0.2", "192.0.2.1.1", "192.0.2.256", "1", "[::1]", "::1::", "%lo", ":",
                           "192.0.2.1%lo", "12345:::", " 192.0.2.1", "192.0.2.1 "}) {
    CAPTURE(text);
    CHECK(error_of(Endpoint::ip(text, 80)) == EINVAL);
  }
}

TEST_CASE("endpoints: what is no numeric address with a port is EINVAL") {
  for (const char* text : {"",
                           ":",
                           "80",
                           "localhost:80",
                           "192.0.2.1",
                           "192.0.2.1:",
                           ":80",
                           "192.0.2.1:65536",
                           "192.0.2.1:99999999999999999",
                           "192.0.2.1:4294967376",
                           "192.0.2.1:-1",
                           "192.0.2.1:+1",
                           "192.0.2.1: 80",
                           "192.0.2.1:80 ",
                           "192.0.2.1:8o",
                           "::1:80",
                           "::1",
                           "[::1]",
                           "[::1]80",
                           "[::1]:",
                           "[::1:80",
                           "[]:80",
                           "[192.0.2.1:80",
                           "::1]:80",
                           "[::1]]:80",
                           "unix",
                           "unix:",
                           "UNIX:/x",
                           "/run/x"}) {
    CAPTURE(text);
    CHECK(reparsed(text) == refused(EINVAL));
  }
  CHECK(reparsed(std::string(500, '1') + ":80") == refused(EINVAL));
  CHECK(reparsed("[" + std::string(500, 'f') + "]:80") == refused(EINVAL));
  CHECK(reparsed("[" + std::string(500, 'f') + "%lo]:80") == refused(EINVAL));
  CHECK(error_of(Endpoint::ip(std::string(500, '1').c_str(), 1)) == EINVAL);
  CHECK(error_of(Endpoint::ip((std::string(46, ':') + "%lo").c_str(), 1)) == EINVAL);
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
  CHECK(path->family() == AF_UNIX);
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
