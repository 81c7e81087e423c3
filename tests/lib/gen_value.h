/* Random values and texts for property tests: small trees of few keys, so that content repeats, and
 * strings that have hurt printers and readers before. Shrinks towards null, "" and empty containers. */
#pragma once

#include "prop.h"
#include "value/value.h"

struct str gen_text(struct prop *p, struct arena *a);
struct str gen_key(struct prop *p, struct arena *a);
const struct val *gen_scalar(struct prop *p, struct arena *a);
const struct val *gen_value(struct prop *p, struct arena *a, unsigned depth);
/* An object; without nulls anywhere when asked so (a merge patch cannot say null). */
const struct val *gen_object(struct prop *p, struct arena *a, unsigned depth, bool nulls);
