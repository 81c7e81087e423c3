/* UTF-8 at the edges (RFC 3629): text from processes and users may be broken, text inside values never is. */
#pragma once

#include "base/str.h"

/* Bytes of the character at i; 0 when it is broken. */
size_t utf8_step(struct str s, size_t i);
bool utf8_is_clean(struct str s);
/* At most max_bytes of it, whole characters. */
struct str utf8_cut(struct str s, size_t max_bytes);
/* With U+FFFD in place of each broken byte, as Go's encoders write it. */
void utf8_add_clean(struct str s, struct buf *out);
