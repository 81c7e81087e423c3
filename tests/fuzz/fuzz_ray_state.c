/* A head's reply -> ray_state, and DrainNode's reply: any bytes are read or refused, never believed.
 * What was read obeys the promises of ray.h: amounts finite and not negative, counts positive, names
 * sorted, no placement group's resources. */
#include "ray/internal.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_resources(const struct ray_resources *r)
{
    for (size_t i = 0; i < r->n; i++) {
        INVARIANT(isfinite(r->items[i].amount) && r->items[i].amount >= 0);
        INVARIANT(!ray_is_group_resource(r->items[i].name));
        INVARIANT(i == 0 || str_cmp(r->items[i - 1].name, r->items[i].name) < 0);
    }
}

static void check_requests(const struct ray_request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        INVARIANT(requests[i].count > 0);
        check_resources(&requests[i].shape);
    }
}

static void check_state(const struct ray_state *s)
{
    for (size_t i = 0; i < s->n_nodes; i++) {
        INVARIANT(s->nodes[i].idle_ms >= 0);
        check_resources(&s->nodes[i].total);
        check_resources(&s->nodes[i].available);
    }
    check_requests(s->pending, s->n_pending);
    check_requests(s->constraints, s->n_constraints);
    for (size_t i = 0; i < s->n_gangs; i++) {
        INVARIANT(s->gangs[i].n > 0);
        check_requests(s->gangs[i].bundles, s->gangs[i].n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str bytes = {(const char *)data, size};
    struct ray_state state = {0};
    struct err err = ERR_INIT;
    bool accepted = false;
    struct str rejection = STR_NULL;
    if (ray_state_decode(a, bytes, &state, &err) == 0)
        check_state(&state);
    else
        INVARIANT(err.code == ERR_CORRUPT && err.text[0] != '\0');
    if (ray_drain_decode(a, bytes, &accepted, &rejection, &err) < 0)
        INVARIANT(!accepted && rejection.n == 0);
    arena_free(a);
    return 0;
}
