/* pull.sh, built in: what makes a Ray environment. Ended by NUL. */
#pragma once

#include <stddef.h>

extern const char pull_script[];
extern const size_t pull_script_bytes;
