// SPDX-License-Identifier: MIT
// What process_reporter.py runs: it knows these lines' numbers. Not one of the suites: one test fails on purpose.
#include <doctest/doctest.h>

TEST_CASE("a test passes") { CHECK(1 + 1 == 2); }

TEST_CASE("a test fails in its second subcase") {
  const int four = 4;
  INFO("while it sleeps");
  SUBCASE("first") { CHECK(four == 4); }
  SUBCASE("second") {
    CHECK(four == 5);
    CHECK(four == 6);
  }
}

TEST_CASE("a test is skipped" * doctest::skip()) { CHECK(false); }

TEST_CASE("name: with a colon") { WARN(1 == 2); }

TEST_CASE("a test should have failed" * doctest::should_fail()) { CHECK(true); }
