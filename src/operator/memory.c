/* What the operator remembers about a cluster between passes: back-off per group, pods whose creation
 * got no answer, the last failure, what was said already. All of it may be lost. */
#include "base/vec.h"
#include "operator/internal.h"

#define STRIKE_FORGIVEN_MS 600000
#define EXPECTED_MAX       10000

struct cluster_memory *memory_of(struct operator_instance *op, struct str key)
{
    struct cluster_memory *m = map_get(&op->memory, key);
    if (m)
        return m;
    m = xcalloc(1, sizeof(*m));
    m->event_tokens = OPERATOR_EVENT_BURST;
    map_set(&op->memory, key, m);
    return m;
}

static void memory_free(struct cluster_memory *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_groups; i++)
        free(m->groups[i].group);
    for (size_t i = 0; i < m->n_expected; i++) {
        free(m->expected[i].group);
        free(m->expected[i].name);
    }
    free(m->groups);
    free(m->expected);
    free(m);
}

void memory_forget(struct operator_instance *op, struct str key)
{
    memory_free(map_remove(&op->memory, key));
}

void memory_done(struct operator_instance *op)
{
    size_t cursor = 0;
    void *m;
    while (map_next(&op->memory, &cursor, NULL, &m))
        memory_free(m);
    map_done(&op->memory);
}

static char *copy(struct str s)
{
    char *text = xcalloc(1, s.n + 1);
    if (s.n)
        memcpy(text, s.p, s.n);
    return text;
}

void memory_strike(struct cluster_memory *m, struct str group, time_ms now, int64_t first_ms,
                   int64_t max_ms)
{
    struct group_memory *g = NULL;
    for (size_t i = 0; i < m->n_groups && !g; i++)
        if (str_is(group, m->groups[i].group))
            g = &m->groups[i];
    if (!g) {
        m->groups = vec_grow(NULL, m->groups, m->n_groups, &m->groups_size, sizeof(*m->groups));
        g = &m->groups[m->n_groups++];
        *g = (struct group_memory){.group = copy(group)};
    }
    if (now - g->last_strike > STRIKE_FORGIVEN_MS)
        g->strikes = 0;
    if (g->strikes && g->last_strike == now)
        return; /* many pods of one pass are one strike */
    g->not_before = now + MIN_OF(max_ms, first_ms << MIN_OF(g->strikes, 20));
    g->last_strike = now;
    g->strikes++;
}

void memory_expect(struct cluster_memory *m, struct str group, struct str name, time_ms until)
{
    if (m->n_expected >= EXPECTED_MAX)
        return;
    m->expected =
        vec_grow(NULL, m->expected, m->n_expected, &m->expected_size, sizeof(*m->expected));
    m->expected[m->n_expected++] = (struct expected_pod){copy(group), copy(name), until};
}

void memory_tidy(struct cluster_memory *m, time_ms now)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_expected; i++) {
        if (m->expected[i].until > now) {
            m->expected[kept++] = m->expected[i];
            continue;
        }
        free(m->expected[i].group);
        free(m->expected[i].name);
    }
    m->n_expected = kept;
}

static bool was_said(struct cluster_memory *m, uint64_t hash, time_ms now)
{
    for (size_t i = 0; i < OPERATOR_MAX_SAID; i++)
        if (m->said[i].hash == hash && now - m->said[i].at < OPERATOR_SAID_MS)
            return true;
    m->said[m->next_said] = (struct said){hash, now};
    m->next_said = (m->next_said + 1) % OPERATOR_MAX_SAID;
    return false;
}

bool memory_may_say(struct cluster_memory *m, bool warning, const char *reason, struct str note,
                    time_ms now)
{
    if (warning && was_said(m, str_hash(str_of(reason)) * 31 + str_hash(note), now))
        return false;
    if (m->event_tokens < OPERATOR_EVENT_BURST && now - m->event_at >= OPERATOR_EVENT_EVERY_MS) {
        int64_t more = (now - m->event_at) / OPERATOR_EVENT_EVERY_MS;
        m->event_tokens = MIN_OF(OPERATOR_EVENT_BURST, m->event_tokens + more);
        m->event_at = now;
    }
    if (m->event_tokens <= 0)
        return false;
    if (m->event_tokens == OPERATOR_EVENT_BURST)
        m->event_at = now;
    m->event_tokens--;
    return true;
}
