/* See hash.h. */
#include "base/hash.h"

uint64_t hash_secret[2] = {0x6d6f62756c610000u, 0x7261790000000000u};

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotated(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotated(s->v1, 13) ^ s->v0;
    s->v0 = rotated(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotated(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotated(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotated(s->v1, 17) ^ s->v2;
    s->v2 = rotated(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash_keyed(struct str text)
{
    uint64_t k0 = hash_secret[0], k1 = hash_secret[1], last = (uint64_t)text.n << 56;
    struct sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                    k1 ^ 0x7465646279746573u};
    for (; text.n >= 8; text.p += 8, text.n -= 8) {
        uint64_t word;
        memcpy(&word, text.p, sizeof(word));
        sip_word(&s, word);
    }
    uint64_t tail = 0;
    if (text.n)
        memcpy(&tail, text.p, text.n);
    sip_word(&s, last | tail);
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
