/* See scale_world.h. */
#include "scale_world.h"

#include <stdio.h>

struct scale_shape maker_shape(struct arena *a, const char *text)
{
    const struct val *amounts = val_empty_object();
    struct str rest = str_of(text), part;
    while (rest.n > 0 && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        ptrdiff_t at = str_rfind(part, ' ');
        double amount = 0;
        INVARIANT(at > 0 && str_to_double(str_sub(part, (size_t)at + 1, part.n), &amount));
        amounts = val_sets(a, amounts, str_sub(part, 0, (size_t)at), val_float(a, amount));
    }
    return scale_shape_of(a, amounts);
}

void maker_init(struct world_maker *m, struct arena *a)
{
    *m = (struct world_maker){.a = a};
    m->world = (struct scale_world){.known = true,
                                    .groups = m->groups,
                                    .workers = m->workers,
                                    .pending = m->pending,
                                    .gangs = m->gangs,
                                    .constraints = m->constraints};
}

struct scale_group *maker_group(struct world_maker *m, const char *name, const char *shape,
                                int32_t min, int32_t max, int32_t replicas)
{
    struct scale_group *g = &m->groups[m->world.n_groups++];
    *g = (struct scale_group){.name = str_of(name),
                              .shape = maker_shape(m->a, shape),
                              .min = min,
                              .max = max,
                              .replicas = replicas,
                              .hosts = 1,
                              .idle_timeout_ms = 60000};
    return g;
}

void maker_page(struct world_maker *m)
{
    maker_group(m, "cpuWG", "CPU 10, memory 68719476736", 1, 4, 1);
    maker_group(m, "one", "CPU 8, GPU 1, A100 1, memory 107374182400", 0, 2, 0);
    maker_group(m, "two", "CPU 15, GPU 2, A100 2, memory 214748364800", 0, 2, 0);
    maker_group(m, "four", "CPU 30, GPU 4, A100 4, memory 429496729600", 0, 2, 0);
    maker_group(m, "eight", "CPU 60, GPU 8, A100 8, full-worker 1, memory 858993459200", 0, 4, 0);
    m->workers[0] = (struct scale_worker){0};
    maker_worker(m, 0, SCALE_WORKER_ALIVE);
}

struct scale_worker *maker_worker(struct world_maker *m, size_t group,
                                  enum scale_worker_state state)
{
    struct scale_worker *w = &m->workers[m->world.n_workers];
    *w = (struct scale_worker){
        .pod = arena_strf(m->a, "%.*s-%03zu", STR_ARG(m->groups[group].name), m->world.n_workers),
        .group = group,
        .state = state,
        .idle = state == SCALE_WORKER_ALIVE,
        .total = m->groups[group].shape,
        .available = m->groups[group].shape,
    };
    m->world.n_workers++;
    return w;
}

void maker_ask(struct world_maker *m, int64_t count, const char *shape)
{
    m->pending[m->world.n_pending++] =
        (struct scale_request){.shape = maker_shape(m->a, shape), .count = count};
}

void maker_constraint(struct world_maker *m, int64_t count, const char *shape)
{
    m->constraints[m->world.n_constraints++] =
        (struct scale_request){.shape = maker_shape(m->a, shape), .count = count};
}

struct scale_gang *maker_gang(struct world_maker *m, enum scale_gang_kind kind, size_t bundles,
                              const char *shape)
{
    struct scale_gang *gang = &m->gangs[m->world.n_gangs++];
    *gang = (struct scale_gang){.kind = kind,
                                .bundles = arena_array_of(m->a, struct scale_request, bundles),
                                .n = bundles,
                                .detail = STR("pg")};
    for (size_t i = 0; i < bundles; i++)
        gang->bundles[i] = (struct scale_request){.shape = maker_shape(m->a, shape), .count = 1};
    return gang;
}

struct scale_plan maker_decide(struct world_maker *m)
{
    struct scale_plan plan = {0};
    struct err err = ERR_INIT;
    if (scale_decide(m->a, &m->world, 1000000, 1, &plan, &err) < 0) {
        fprintf(stderr, "scale_decide: %s\n", err.text);
        abort();
    }
    return plan;
}
