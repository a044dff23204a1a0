// SPDX-License-Identifier: MIT
// A doctest reporter that prints in the format of the Unity test harness, for the tools that read it from a
// serial console. Selected with --reporters=unity. One line per test case,
//
//     file:line:name:PASS
//     file:line:name:FAIL: message      (file and line of the first assertion that failed)
//     file:line:name:IGNORE             (decorated with doctest::skip)
//
// then a blank line, a separator, "N Tests N Failures N Ignored " and OK or FAIL.
//
// To be included by the one file that implements doctest: it asks that implementation for its filters.
#pragma once

#include <doctest/doctest.h>

#include <ostream>
#include <sstream>
#include <string>
#include <vector>

namespace unity {

class Reporter : public doctest::IReporter {
 public:
  explicit Reporter(const doctest::ContextOptions& options) : out_(*options.cout) {}

  void test_run_end(const doctest::TestRunStats& /*stats*/) override {
    out_ << "\n-----------------------\n"
         << tests_ << " Tests " << failures_ << " Failures " << ignored_ << " Ignored \n"
         << (failures_ == 0 ? "OK\n" : "FAIL\n");
    out_.flush();
  }

  void test_case_start(const doctest::TestCaseData& test) override {
    test_ = &test;
    subcases_.clear();
    file_.clear();
    message_.clear();
  }

  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    ++tests_;
    if (stats.testCaseSuccess) {
      print(test_->m_file.c_str(), static_cast<int>(test_->m_line), "PASS");
      return;
    }
    ++failures_;
    if (message_.empty()) note(test_->m_file.c_str(), static_cast<int>(test_->m_line), reason(stats.failure_flags));
    print(file_.c_str(), line_, "FAIL: " + message_);
  }

  void test_case_skipped(const doctest::TestCaseData& test) override {
    if (!test.m_skip || !selected(test)) return;
    ++tests_;
    ++ignored_;
    test_ = &test;
    print(test.m_file.c_str(), static_cast<int>(test.m_line), "IGNORE");
  }

  void test_case_exception(const doctest::TestCaseException& exception) override {
    note(test_->m_file.c_str(), static_cast<int>(test_->m_line), exception.error_string.c_str());
  }

  void log_assert(const doctest::AssertData& assertion) override {
    if (!assertion.m_failed || (assertion.m_at & doctest::assertType::is_warn) != 0) return;
    std::string text = doctest::assertString(assertion.m_at);
    text = text + "( " + assertion.m_expr + " )";
    if (assertion.m_decomp.size() != 0) text = text + " values: " + assertion.m_decomp.c_str();
    note(assertion.m_file, assertion.m_line, text);
  }

  void log_message(const doctest::MessageData& message) override {
    if ((message.m_severity & doctest::assertType::is_warn) != 0) return;
    note(message.m_file, message.m_line, message.m_string.c_str());
  }

  void subcase_start(const doctest::SubcaseSignature& subcase) override {
    subcases_.emplace_back(subcase.m_name.c_str());
  }
  void subcase_end() override { subcases_.pop_back(); }

  void report_query(const doctest::QueryData& /*query*/) override {}
  void test_run_start() override {}
  void test_case_reenter(const doctest::TestCaseData& /*test*/) override {}
 private:
  // Keeps the first failure, with the subcases and the INFO lines in which it happened.
  void note(const char* file, int line, std::string text) {
    if (!message_.empty()) return;
    for (const std::string& subcase : subcases_) text += "; in " + subcase;
    const int contexts = get_num_active_contexts();
    for (int i = 0; i < contexts; ++i) {
      std::ostringstream context;
      get_active_contexts()[i]->stringify(&context);
      text += "; " + context.str();
    }
    file_ = file;
    line_ = line;
    message_ = text;
  }

  void print(const char* file, int line, const std::string& result) {
    out_ << doctest::skipPathFromFilename(file) << ':' << line << ':' << name() << ':' << one_line(result) << '\n';
    out_.flush();  // the lines before a crash are worth the most
  }

  // Readers split a line at colons, so a name must have none; those of templates do.
  std::string name() const {
    std::string text = one_line(test_->m_name);
    std::size_t at = text.find(':');
    while (at != std::string::npos) {
      text.replace(at, text.compare(at, 2, "::") == 0 ? 2 : 1, ".");
      at = text.find(':', at);
    }
    return text;
  }

  static std::string one_line(std::string text) {
    std::size_t at = text.find('\n');
    while (at != std::string::npos) {
      text.replace(at, 1, "\\n");
      at = text.find('\n', at + 2);
    }
    return text;
  }

  static const char* reason(int flags) {
    using Reason = doctest::TestCaseFailureReason::Enum;
    if ((flags & Reason::Timeout) != 0) return "took longer than its time-out";
    if ((flags & Reason::ShouldHaveFailedButDidnt) != 0) return "should have failed, but did not";
    if ((flags & Reason::DidntFailExactlyNumTimes) != 0) return "did not fail as often as expected";
    return "failed";
  }

  // doctest reports a test as skipped for its decorator and for the user's filters alike. Only the former is
  // an ignored test; one that is decorated and filtered out is none.
  static bool selected(const doctest::TestCaseData& test) {
    const auto& state = *doctest::detail::g_cs;
    const auto matches = [&state](const char* text, std::size_t filter, bool when_empty) {
      return doctest::matchesAny(text, state.filters[filter], when_empty, state.case_sensitive);
    };
    return matches(test.m_file.c_str(), 0, true) && !matches(test.m_file.c_str(), 1, false) &&
           matches(test.m_test_suite, 2, true) && !matches(test.m_test_suite, 3, false) &&
           matches(test.m_name, 4, true) && !matches(test.m_name, 5, false);
  }

  std::ostream& out_;
  const doctest::TestCaseData* test_ = nullptr;
  std::vector<std::string> subcases_;
  std::string file_;  // the first failure of the current test
  int line_ = 0;
  std::string message_;
  int tests_ = 0;
  int failures_ = 0;
  int ignored_ = 0;
};

REGISTER_REPORTER("unity", 1, unity::Reporter);

}  // namespace unity
