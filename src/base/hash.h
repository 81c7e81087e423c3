/* Hashes for tables whose keys outsiders choose: keyed, so that nobody can prepare keys that fall together.
 *
 * SipHash-1-3 (Aumasson, Bernstein 2012), which the languages use for their dictionaries. The secret is set once, before
 * anything was hashed; tests leave it at its constant. Where a hash is kept or shown, str_hash is the one:
 * it is the same in every process. */
#pragma once

#include "base/str.h"

extern uint64_t hash_secret[2]; /* set by main, before anything else */

uint64_t hash_keyed(struct str s);
