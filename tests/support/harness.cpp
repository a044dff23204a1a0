// SPDX-License-Identifier: MIT
// Parts of the harness that are compiled once: see harness.hpp.
#include "harness.hpp"

#include <dirent.h>

namespace test {

int open_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  REQUIRE(directory != nullptr);
  int count = -1;  // the directory's own
  while (const dirent* const entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(directory);
  return count;
}

}  // namespace test
