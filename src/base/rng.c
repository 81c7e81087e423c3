/* SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
#include "base/rng.h"

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    INVARIANT(bound > 0);
    uint64_t skip = -bound % bound; /* 2^64 mod bound: below it, throws would be biased */
    uint64_t x;

    do {
        x = rng_next(rng);
    } while (x < skip);
    return x % bound;
}

double rng_unit(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1.0p-53;
}

void rng_name(struct rng *rng, char *ret, size_t n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";

    for (size_t i = 0; i < n; i++)
        ret[i] = alphabet[rng_below(rng, sizeof(alphabet) - 1)];
    ret[n] = 0;
}
