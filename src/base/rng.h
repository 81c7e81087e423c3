/* Dice as a value: SplitMix64. The same seed gives the same throws, on every machine. */
#pragma once

#include "base/macro.h"

struct rng {
    uint64_t state;
};

uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* 0 <= x < bound; bound > 0; unbiased */
double rng_unit(struct rng *rng);                    /* 0 <= x < 1 */
/* n characters of the alphabet Kubernetes uses for generated names (bcdfghjklmnpqrstvwxz2456789),
 * NUL-ended: ret holds n + 1. Source: k8s.io/apimachinery util/rand. */
void rng_name(struct rng *rng, char *ret, size_t n);
