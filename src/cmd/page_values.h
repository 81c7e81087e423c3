/* examples/page/values.yaml, built in: what `mobula up` deploys when it is given no values. */
#pragma once

#include <stddef.h>

extern const char page_values[];
extern const size_t page_values_bytes;
