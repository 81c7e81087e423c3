/* Text: `struct str` borrows bytes (pointer + length, not ended by NUL); `struct buf` grows them under a ceiling.
 *
 * Invariants: str.p may be NULL only with n == 0. buf.p is always NUL-ended once something was
 * written. A buf that hit its ceiling stays as it was and `failed` is set: check once at the end. */
#pragma once

#include "base/macro.h"
#include <stdarg.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NULL     ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, ((s).p ? (s).p : "")

static inline struct str str_of(const char *c_string)
{
    return c_string ? (struct str){c_string, strlen(c_string)} : STR_NULL;
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *c_string)
{
    return str_eq(a, str_of(c_string));
}
int str_cmp(struct str a, struct str b); /* bytewise, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_has(struct str s, struct str part);
ptrdiff_t str_find(struct str s, char c);                 /* index or -1 */
ptrdiff_t str_rfind(struct str s, char c);                /* index or -1 */
struct str str_sub(struct str s, size_t from, size_t to); /* clamped to s */
struct str str_trim(struct str s);                        /* ASCII white space at both ends */
/* Takes the part before `sep` off *rest (all of it when there is none); false once *rest is used up.
 * Start with *rest = text. "a,,b" gives a, "", b. */
bool str_split(struct str *rest, char sep, struct str *ret_part);
/* Whole text as a decimal number within the range; false otherwise. No sign for the unsigned one. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
bool str_to_double(struct str s, double *ret); /* C locale: setlocale is banned */
/* What a text that is known to be a number says; out of range: infinity. */
double str_c_to_double(const char *text);
uint64_t str_hash(struct str s);
/* Edit distance, for "did you mean"; cost bounded by a.n * b.n, both cut to 64. */
unsigned str_distance(struct str a, struct str b);

struct buf {
    char *p;
    size_t n;
    size_t size;
    size_t max_bytes; /* ceiling; what would pass it is refused */
    bool failed;
};

#define BUF_INIT(max) ((struct buf){.max_bytes = (max)})

void buf_done(struct buf *b); /* frees; usable with cleanup() */
/* Room for n more bytes (and a NUL): where they go, or NULL at the ceiling. The caller writes them, the NUL too, and
 * adds to b->n what it wrote. */
char *buf_room(struct buf *b, size_t n);
void buf_add(struct buf *b, struct str s);
void buf_adds(struct buf *b, const char *c_string);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_addfv(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);
void buf_cut(struct buf *b, size_t n); /* shortens to n bytes */
void buf_drop_front(struct buf *b, size_t n);
const char *buf_c(const struct buf *b); /* NUL-ended, never NULL */
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}
