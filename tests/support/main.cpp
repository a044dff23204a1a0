// SPDX-License-Identifier: MIT
// The test programs' main: doctest's own, with the `unity` reporter, and an error when no test was selected.
#define DOCTEST_CONFIG_IMPLEMENT
#include "unity_reporter.hpp"

#include <cstdio>

namespace {

// A misspelt filter selects nothing, which must not look like success.
struct Counter : doctest::IReporter {
  static inline bool ran_nothing = false;

  explicit Counter(const doctest::ContextOptions& /*options*/) {}
  void test_run_end(const doctest::TestRunStats& stats) override {
    ran_nothing = stats.numTestCasesPassingFilters == 0;
  }
  void report_query(const doctest::QueryData& /*query*/) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData& /*test*/) override {}
  void test_case_reenter(const doctest::TestCaseData& /*test*/) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& /*stats*/) override {}
  void test_case_exception(const doctest::TestCaseException& /*exception*/) override {}
  void subcase_start(const doctest::SubcaseSignature& /*subcase*/) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& /*assertion*/) override {}
  void log_message(const doctest::MessageData& /*message*/) override {}
  void test_case_skipped(const doctest::TestCaseData& /*test*/) override {}
};

REGISTER_LISTENER("counter", 1, Counter);

}  // namespace

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int result = context.run();
  if (Counter::ran_nothing) {
    std::fputs("no test case passes the filters\n", stderr);
    return 1;
  }
  return result;
}
