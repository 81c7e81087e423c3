/* Patterns of schemas: what Go's regexp takes (RE2 syntax), matched by PCRE2 within limits. Private to src/apiserver.
 * Read next: pattern.c, pattern_syntax.c, docs/decisions/0005-patterns-by-pcre2.md. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* One match never takes longer: some 10 ms, then the answer is PATTERN_STOPPED. */
#define PATTERN_MAX_STEPS    400000
#define PATTERN_FEW_STEPS    1000 /* what takes more is counted as a slice of its own */
#define PATTERN_MAX_HEAP_KIB (16u << 10)
#define PATTERN_MAX_DEPTH    100000
#define PATTERN_MAX_NESTING  100 /* groups in groups */
#define PATTERN_MAX_REPEAT   1000
#define PATTERN_MAX_BYTES    (64u << 10)
#define PATTERN_MAX_CACHED   1024

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_STOPPED };

/* What was compiled, by its text. */
struct patterns *patterns_new(void);
struct patterns *patterns_free(struct patterns *patterns); /* NULL allowed */
/* ERR_INVALID with Go's sentence: "error parsing regexp: missing closing ): `(`". */
int pattern_check(struct arena *a, struct str pattern, struct err *err) MUST_USE;
/* A pattern that does not compile matches nothing. */
enum pattern_result pattern_match(struct patterns *patterns, struct str pattern, struct str text);

/* pattern_syntax.c: the same pattern as PCRE2 reads it, or Go's refusal. */
int pattern_translate(struct arena *a, struct str pattern, struct str *ret,
                      struct err *err) MUST_USE;
