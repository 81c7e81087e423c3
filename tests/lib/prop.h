/* Property tests: a property draws choices from a seeded sequence; a failing sequence is shrunk by
 * shortening and lowering its choices, and printed with its seed.
 *
 *     static bool prop_sorted(struct prop *p) { size_t n = prop_below(p, 20); ...; return ok; }
 *     int main(int argc, char **argv) { PROP(prop_sorted, 10000); return prop_exit(); }
 *
 * MOBULA_SEED=N replays one seed; MOBULA_PROP_RUNS=N changes the number of runs. */
#pragma once

#include "base/rng.h"

struct prop;
uint64_t prop_below(struct prop *p, uint64_t bound); /* 0 <= x < bound; shrinks towards 0 */
int64_t prop_range(struct prop *p, int64_t low, int64_t high); /* inclusive; shrinks towards low */
bool prop_chance(struct prop *p, unsigned percent);            /* shrinks towards false */
void prop_note(struct prop *p, const char *format, ...)
    PRINTF_LIKE(2, 3); /* kept for the failure's report */
void prop_run(const char *name, bool (*property)(struct prop *), unsigned runs);
int prop_exit(void); /* 0 when all held; prints one line a property */
#define PROP(fn, runs) prop_run(#fn, fn, runs)
