/* Property runs: record the choices of a failing run, then look for a smaller sequence that fails too.
 *
 * Shrinking tries, until nothing helps: cutting runs of choices out (long runs first), then lowering
 * single choices (to 0, by halves, by one). A choice that is cut off reads as 0, the simplest. */
#include "prop.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

#define SHRINK_MAX_TRIES 20000u
#define NOTES_MAX_BYTES  (64u << 10)

struct prop {
    uint64_t *choices;
    size_t n;
    size_t size;
    size_t at;      /* next choice, in a replay */
    bool is_replay; /* else choices are drawn and recorded */
    struct rng rng;
    struct buf *notes; /* NULL: not wanted */
};

static unsigned failures;

static void record(struct prop *p, uint64_t choice)
{
    if (p->n == p->size) {
        p->size = MAX_OF(p->size * 2, (size_t)64);
        p->choices = xrealloc(p->choices, p->size * sizeof(*p->choices));
    }
    p->choices[p->n++] = choice;
}

/* bound 0: any 64 bits. */
static uint64_t draw(struct prop *p, uint64_t bound)
{
    if (p->is_replay) {
        uint64_t choice = p->at < p->n ? p->choices[p->at] : 0;
        p->at++;
        return bound ? MIN_OF(choice, bound - 1) : choice;
    }
    uint64_t choice = bound ? rng_below(&p->rng, bound) : rng_next(&p->rng);
    record(p, choice);
    return choice;
}

uint64_t prop_below(struct prop *p, uint64_t bound)
{
    INVARIANT(bound > 0);
    return draw(p, bound);
}

int64_t prop_range(struct prop *p, int64_t low, int64_t high)
{
    INVARIANT(low <= high);
    uint64_t span = (uint64_t)high - (uint64_t)low;
    return (int64_t)((uint64_t)low + draw(p, span + 1)); /* the full range wraps to bound 0 */
}

bool prop_chance(struct prop *p, unsigned percent)
{
    return draw(p, 100) >= 100 - MIN_OF(percent, 100u);
}

void prop_note(struct prop *p, const char *format, ...)
{
    if (!p->notes)
        return;
    va_list args;
    va_start(args, format);
    buf_adds(p->notes, "    ");
    buf_addfv(p->notes, format, args);
    buf_addc(p->notes, '\n');
    va_end(args);
}

/* --- shrinking */

struct sequence {
    uint64_t *items;
    size_t n;
};

struct shrinker {
    bool (*property)(struct prop *);
    struct sequence best; /* fails */
    unsigned tries;
};

static bool still_fails(struct shrinker *s, const uint64_t *choices, size_t n)
{
    if (s->tries >= SHRINK_MAX_TRIES)
        return false;
    s->tries++;
    struct prop p = {.choices = (uint64_t *)(uintptr_t)choices, .n = n, .is_replay = true};
    return !s->property(&p);
}

static bool cut_runs(struct shrinker *s)
{
    bool improved = false;
    uint64_t *trial = xmalloc((s->best.n + 1) * sizeof(*trial));
    for (size_t run = s->best.n; run > 0; run /= 2) {
        for (size_t at = 0; at + run <= s->best.n;) {
            size_t n = s->best.n - run;
            memcpy(trial, s->best.items, at * sizeof(*trial));
            memcpy(trial + at, s->best.items + at + run, (n - at) * sizeof(*trial));
            if (!still_fails(s, trial, n)) {
                at += run;
                continue;
            }
            memcpy(s->best.items, trial, n * sizeof(*trial));
            s->best.n = n;
            improved = true;
        }
    }
    free(trial);
    return improved;
}

static bool lower_one(struct shrinker *s, size_t at)
{
    uint64_t old = s->best.items[at];
    const uint64_t lower[] = {0, old / 2, old - 1};
    for (size_t i = 0; old > 0 && i < ARRAY_SIZE(lower); i++) {
        s->best.items[at] = lower[i];
        if (still_fails(s, s->best.items, s->best.n))
            return true;
    }
    s->best.items[at] = old;
    return false;
}

static void shrink(struct shrinker *s)
{
    bool improved = true;
    while (improved && s->tries < SHRINK_MAX_TRIES) {
        improved = cut_runs(s);
        for (size_t i = 0; i < s->best.n; i++)
            while (lower_one(s, i))
                improved = true;
    }
}

/* --- running */

static void report(const char *name, uint64_t seed, bool (*property)(struct prop *),
                   const struct prop *failed)
{
    struct shrinker s = {.property = property};
    s.best.n = failed->n;
    s.best.items = xmalloc((failed->n + 1) * sizeof(*s.best.items));
    memcpy(s.best.items, failed->choices, failed->n * sizeof(*s.best.items));
    shrink(&s);
    struct buf notes = BUF_INIT(NOTES_MAX_BYTES);
    struct prop last = {.choices = s.best.items, .n = s.best.n, .is_replay = true, .notes = &notes};
    bool holds_now = property(&last);
    printf("%s: FAILED with MOBULA_SEED=%" PRIu64 ", %zu choices shrunk to %zu in %u tries%s\n%s",
           name, seed, failed->n, s.best.n, s.tries, holds_now ? " (not deterministic!)" : "",
           buf_c(&notes));
    buf_done(&notes);
    free(s.best.items);
}

static bool env_number(const char *name, uint64_t *ret)
{
    return str_to_u64(str_of(getenv(name)), ret);
}

void prop_run(const char *name, bool (*property)(struct prop *), unsigned runs)
{
    uint64_t seed = 0, count = runs;
    bool is_single = env_number("MOBULA_SEED", &seed);
    env_number("MOBULA_PROP_RUNS", &count);
    if (is_single)
        count = 1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t now = is_single ? seed : i + 1;
        struct prop p = {.rng = {.state = now}};
        bool holds = property(&p);
        if (!holds) {
            report(name, now, property, &p);
            failures++;
        }
        free(p.choices);
        if (!holds)
            return;
    }
    printf("%s: ok, %" PRIu64 " runs\n", name, count);
    fflush(stdout);
}

int prop_exit(void)
{
    return failures > 0 ? 1 : 0;
}
