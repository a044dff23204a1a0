// SPDX-License-Identifier: MIT
// What a program weighs that does nothing; with BENCH_LISTEN, that opens the listener which all servers open.
#ifdef BENCH_LISTEN
#include "common.hpp"
int main() { return bench::listen_anywhere() < 0; }
#else
int main() {}
#endif
