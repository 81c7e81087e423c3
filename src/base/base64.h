/* Base64 (RFC 4648) as Go's encoding/base64 reads and writes it, since every Kubernetes client does: CR and
 * LF are skipped, nothing else; unused bits of the last digit are ignored. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

enum base64_form {
    BASE64_STANDARD, /* "+/", padded */
    BASE64_URL,      /* "-_", without padding */
};

/* NUL-ended, in the arena. */
struct str base64_encode(struct arena *a, struct str bytes, enum base64_form form);
/* False: not of that form; *ret is untouched then. *ret is NUL-ended, in the arena. */
bool base64_decode(struct arena *a, struct str text, enum base64_form form, struct str *ret);
