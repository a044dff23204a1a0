// SPDX-License-Identifier: MIT
// A pipeline of two tasks: one reads samples, a number a line; the other sums them up and writes a line for every so
// many. The channel between them is bounded: when the output is slow the reader waits, and so does the program that
// feeds it, such as `seq 10000000` when the output is a pager. A signal ends the reading: what has been read is still
// summed up and written.
//
// Try:
//   $ seq 100 | ./pipeline --every 50
//   50 samples, 1 to 50, mean 25.5
//   50 samples, 51 to 100, mean 75.5
//   pipeline: samples read: 100, written: 100
//   $ mkfifo samples; ./pipeline --every 3 --timeout 1 samples &
//   pipeline: no sample for 1 s
//   $ seq 4 >samples
//   3 samples, 1 to 3, mean 2
//   $ kill %1; rm samples
//   1 sample, 4 to 4, mean 4
//   pipeline: stopped; samples read: 4, written: 4

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mote.hpp>

struct Config : mote::Config {
  static constexpr std::size_t descriptors = 2;  // the input and the output
};
static mote::StaticReactor<Config> reactor;
static mote::Channel<double, 16> samples;  // read, and not yet summed up
static mote::TaskGroup<2> stages;          // both tasks: tells how each of them ends
static mote::TaskRef reader_task;
static std::uint64_t samples_read;
static std::uint64_t samples_written;

static void stop_reading() { reader_task.cancel(); }  // what it has read already still goes through

// ---- the producer -------------------------------------------------------------------------------------------

struct Reader : mote::StateMachine {
  static constexpr const char* name = "read the input";
  mote::Stream input;
  mote::LineReader<128> lines;
  mote::Result<mote::ByteView> line;
  std::uint64_t number;
  double sample;
  mote::Result<void> sent;

  explicit Reader(mote::Stream&& stream) : input(std::move(stream)), number(0), sample(0) {}
  ~Reader() { samples.close(); }  // however the task ends: the other one takes what is left, and ends too

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(line, lines.read_line(input));
      ++number;
      if (!line && line.error() == EMSGSIZE) {
        fprintf(stderr, "pipeline: line %ju is too long\n", std::uintmax_t{number});
      } else if (!line) {
        return line.error() == ENODATA ? mote::done() : mote::failed(line.error());
      } else if (!parse()) {
        fprintf(stderr, "pipeline: line %ju is no number\n", std::uintmax_t{number});
      } else {
        ++samples_read;
        // Waits while the channel is full. Shielded from cancellation, so that a sample that has been read is not lost.
        // It ends all the same: the other task either goes on receiving or closes the channel.
        MOTE_AWAIT(sent, mote::shield(samples.send(sample)));
        if (!sent) return mote::done();  // the other task has failed, and has said so
      }
    }
    MOTE_END();
  }

  bool parse() {
    char text[128];  // a LineReader<N> gives N - 1 bytes at most
    memcpy(text, line->data(), line->size());
    text[line->size()] = '\0';
    char* end = nullptr;
    sample = strtod(text, &end);
    return end != text && end[strspn(end, " \t")] == '\0' && strlen(text) == line->size() && isfinite(sample);
  }
};
static mote::TaskPool<Reader, 1> readers;

// ---- the consumer -------------------------------------------------------------------------------------------

struct Writer : mote::StateMachine {
  static constexpr const char* name = "write the output";
  mote::Stream output;
  unsigned every;
  mote::Duration patience;
  mote::TaskTimer timer;
  mote::Result<double> sample;
  unsigned count;
  double least;
  double most;
  double sum;
  char text[128];
  mote::ByteView unwritten;
  mote::Result<void> written;

  Writer(mote::Stream&& stream, unsigned samples_a_line, mote::Duration limit)
      : output(std::move(stream)), every(samples_a_line), patience(limit), count(0) {}
  ~Writer() {  // when it has failed, nobody needs more samples
    samples.close();
    stop_reading();
  }

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(sample, mote::with_timeout(timer, patience, samples.receive()));
      if (!sample && sample.error() == ETIMEDOUT) {
        fprintf(stderr, "pipeline: no sample for %g s\n", std::chrono::duration<double>(patience).count());
        continue;  // after a time-out the task waits for nothing, and the channel is as it was
      }
      if (sample) add(*sample);
      if (count == every || (!sample && count != 0)) {
        unwritten = summary();
        MOTE_AWAIT(written, output.write_all(unwritten));
        if (!written) return mote::failed(written.error());
        samples_written += count;
        count = 0;
      }
      if (!sample) return sample.error() == ENODATA ? mote::done() : mote::failed(sample.error());
    }
    MOTE_END();
  }

  void add(double value) {
    if (count == 0) {
      least = value;
      most = value;
      sum = 0;
    }
    if (value < least) least = value;
    if (value > most) most = value;
    sum += value;
    ++count;
  }
  mote::ByteView summary() {
    const char* const plural = count == 1 ? "" : "s";
    const int size =
        snprintf(text, sizeof text, "%u sample%s, %g to %g, mean %g\n", count, plural, least, most, sum / count);
    return {text, static_cast<std::size_t>(size)};
  }
};
static mote::TaskPool<Writer, 1> writers;

// ---- the program --------------------------------------------------------------------------------------------

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "pipeline: cannot %s%s: %s\n", what, about, error.message());
  return 1;
}

static void print_failure(const mote::Task& task, mote::Outcome outcome) {
  if (outcome.kind == mote::Outcome::Kind::failed) fail(task.name(), "", outcome.error);
}

static const char usage[] =
    "usage: pipeline [--every SAMPLES] [--timeout SECONDS] [FILE]\n"
    "FILE is standard input if it is not given; a named pipe is read until a signal ends that\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "pipeline: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

// A named pipe is opened for writing, too: so it does not end when those who write into it leave, and others may come.
static mote::Fd open_file(const char* path) {
  struct stat status;
  const bool is_fifo = stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
  return mote::Fd(open(path, (is_fifo ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

static unsigned parse_count(const char* text) {
  const std::size_t digits = strspn(text, "0123456789");
  const bool is_number = digits != 0 && digits <= 6 && text[digits] == '\0';
  if (!is_number || atoi(text) == 0) refuse(text, "the number of samples in a line is 1 to 999999");
  return static_cast<unsigned>(atoi(text));
}

static mote::Duration parse_seconds(const char* text) {
  char* end = nullptr;
  const double seconds = strtod(text, &end);
  // strtod() alone would also take "inf" and "0x1p3".
  const bool is_number = end != text && *end == '\0' && text[strspn(text, "0123456789.")] == '\0';
  if (!is_number || seconds < 1e-3 || seconds > 1e9) refuse(text, "the timeout is a number of seconds, from 0.001 on");
  return mote::Duration(static_cast<std::int64_t>(seconds * 1e9));
}

struct Options {
  unsigned every;
  mote::Duration timeout;
  const char* path;  // null: standard input
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {{"every", required_argument, nullptr, 'e'},
                          {"timeout", required_argument, nullptr, 't'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  const char* every = "10";
  const char* timeout = "10";
  for (;;) {
    const int name = getopt_long(argc, argv, "h", names, nullptr);
    if (name == -1) break;
    if (name == 'e') {
      every = optarg;
    } else if (name == 't') {
      timeout = optarg;
    } else if (name == 'h') {
      exit_with_usage(stdout, 0);
    } else {  // what getopt_long() has complained of
      exit_with_usage(stderr, 2);
    }
  }
  if (optind + 1 < argc) refuse(argv[optind + 1], "one argument too many");
  const char* const path = optind < argc ? argv[optind] : nullptr;
  return {parse_count(every), parse_seconds(timeout), path};
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);

  // Before anything else is opened: the next descriptor to be opened would take the number of one that is closed.
  const char* const input_name = options.path != nullptr ? options.path : "standard input";
  mote::Fd file = options.path != nullptr ? open_file(options.path) : mote::Fd(STDIN_FILENO);
  if (!file || !is_open(file.get())) return fail("read ", input_name, errno);
  if (!is_open(STDOUT_FILENO)) return fail("write to ", "standard output", errno);

  mote::Stream input;
  mote::Stream output;
  mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open ", "the reactor", opened.error());
  opened = input.open(reactor, std::move(file));
  if (!opened) return fail("read ", input_name, opened.error());
  opened = output.open(reactor, mote::Fd(STDOUT_FILENO));
  if (!opened) return fail("write to ", "standard output", opened.error());
  signal(SIGPIPE, SIG_IGN);  // a closed output is an error of write_all(), like any other

  stages.on_end(print_failure);
  mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(2));
  graceful.on_begin(stop_reading);
  opened = graceful.open();
  if (!opened) return fail("handle ", "signals", opened.error());
  // Neither can fail: each is the first of its pool.
  reader_task = *stages.spawn(readers, reactor, std::move(input));
  static_cast<void>(stages.spawn(writers, reactor, std::move(output), options.every, options.timeout));
  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run ", "the reactor", report.error());
  fprintf(stderr, "pipeline: %ssamples read: %ju, written: %ju\n", report->signal != 0 ? "stopped; " : "",
          std::uintmax_t{samples_read}, std::uintmax_t{samples_written});
  return stages.failures() != 0 || samples_written != samples_read ? 1 : 0;
}
