/* Why: for each demand, what serves it or what stands in its way. Read next: scale.c. */
#include "core/scale/decide.h"

struct tally { /* per item id */
    int64_t now, starting;
    ptrdiff_t group; /* of the first one that starts */
};

struct answers {
    struct decide *d;
    struct tally *tallies;
    VEC(struct scale_answer) all;
};

static struct scale_request request_of(struct decide *d, const struct fit_item *item, int64_t count)
{
    struct scale_request request = *item->request;
    request.count = count;
    return request;
}

static struct str why_starting(struct decide *d, const struct tally *tally)
{
    if (tally->group < 0)
        return STR("a worker is starting");
    return arena_strf(d->a, "a worker of group %.*s is starting",
                      STR_ARG(d->world->groups[tally->group].name));
}

/* The first resource of which no group has enough. */
static struct str why_infeasible(struct decide *d, const struct fit_item *item)
{
    const struct fit *f = &d->fit;
    for (size_t r = 0; r < f->n_names; r++) {
        int64_t most = 0;
        for (size_t g = 0; g < f->n_groups; g++)
            most = d->world->groups[g].max > 0 ? MAX_OF(most, f->groups[g].has[r]) : most;
        if (item->ask[r] > most) {
            return arena_strf(d->a, "asks %.*s %.10g on one node, the largest group has %.10g",
                              STR_ARG(f->names[r]), (double)item->ask[r] / FIT_UNIT,
                              (double)most / FIT_UNIT);
        }
    }
    if (val_len(item->selector) > 0)
        return STR("no group that is large enough has the labels asked for");
    return STR("no group has all of its resources at once");
}

static void why_add(struct buf *out, const char *format, struct str name, int32_t n)
{
    buf_adds(out, out->n ? "; " : "");
    buf_addf(out, format, STR_ARG(name), (int)n);
}

static struct str why_waits(struct decide *d, const struct fit_item *item)
{
    struct buf out cleanup(buf_done) = BUF_INIT(2048);
    for (size_t g = 0; g < d->fit.n_groups; g++) {
        const struct scale_group *group = &d->world->groups[g];
        if (!fit_group_fits(&d->fit, &d->fit.groups[g], item) ||
            (item->avoid_gpu && d->fit.groups[g].accel > 0))
            continue;
        why_add(&out,
                group->suspended            ? "group %.*s is suspended"
                : d->groups[g].stuck        ? "a pod of group %.*s cannot be placed on any node"
                : d->fit.groups[g].room > 0 ? "group %.*s has room but not for all of it"
                                            : "group %.*s is at its maximum %d",
                group->name, group->max);
    }
    return out.n ? arena_str(d->a, buf_str(&out)) : STR("only nodes that are busy can serve it");
}

static void answer_add(struct answers *s, enum scale_source source, enum scale_verdict verdict,
                       struct scale_request request, struct str why)
{
    vec_push(&s->all, s->d->a, ((struct scale_answer){source, verdict, request, why}));
}

static void answer_items(struct answers *s, const struct decide_demand *demand)
{
    struct decide *d = s->d;
    for (size_t i = 0; i < demand->job.n_items; i++) {
        const struct fit_item *item = &demand->job.items[i];
        const struct tally *tally = &s->tallies[item->id];
        int64_t over = demand->job.left[i];
        if (tally->now > 0) {
            answer_add(s, demand->source, SCALE_FITS_NOW, request_of(d, item, tally->now),
                       STR("a running node has room"));
        }
        if (tally->starting > 0) {
            answer_add(s, demand->source, SCALE_STARTING, request_of(d, item, tally->starting),
                       why_starting(d, tally));
        }
        if (over > 0) {
            answer_add(s, demand->source, item->possible ? SCALE_WAITS : SCALE_INFEASIBLE,
                       request_of(d, item, over),
                       item->possible ? why_waits(d, item) : why_infeasible(d, item));
        }
    }
}

/* On an empty cluster with every group at its maximum, would it fit? */
static bool gang_possible(struct decide *d, const struct decide_demand *gang)
{
    struct fit empty = fit_copy(&d->fit);
    struct fit_job job = gang->job;
    empty.bins.n = 1; /* the head */
    memcpy(empty.bins.items[0].left[FIT_FREE], empty.bins.items[0].left[FIT_TOTAL],
           empty.n_names * sizeof(int64_t));
    empty.puts.n = 0;
    for (size_t g = 0; g < empty.n_groups; g++) {
        const struct scale_group *group = &d->world->groups[g];
        empty.groups[g].opened = 0;
        empty.groups[g].room = group->suspended ? 0 : group->max;
    }
    job.left = arena_array_of(d->a, int64_t, MAX_OF(job.n_items, 1u));
    return fit_solve_all(&empty, &job);
}

static void answer_gang(struct answers *s, const struct decide_demand *demand)
{
    struct decide *d = s->d;
    const char *where = demand->gang->kind == SCALE_GANG_STRICT_SPREAD ? " on distinct nodes"
                        : demand->gang->kind == SCALE_GANG_STRICT_PACK ? " on one node"
                                                                       : "";
    const struct fit_item *worst = &demand->job.items[0];
    const struct tally *starting = NULL;
    bool possible = true;
    for (size_t i = 0; i < demand->job.n_items; i++) {
        const struct fit_item *item = &demand->job.items[i];
        worst = item->possible ? worst : item;
        possible = possible && item->possible;
        starting = s->tallies[item->id].starting > 0 ? &s->tallies[item->id] : starting;
    }
    if (demand->job.n_items == 0)
        return;
    struct scale_request request = request_of(d, worst, (int64_t)demand->gang->n);
    if (demand->served) {
        answer_add(s, SCALE_GANG, starting ? SCALE_STARTING : SCALE_FITS_NOW, request,
                   starting ? why_starting(d, starting) : STR("running nodes have room"));
        return;
    }
    struct str why = possible ? why_waits(d, worst) : why_infeasible(d, worst);
    if (possible && !gang_possible(d, demand)) {
        possible = false;
        why = STR("the groups at their maxima have no room for it");
    }
    answer_add(s, SCALE_GANG, possible ? SCALE_WAITS : SCALE_INFEASIBLE, request,
               arena_strf(d->a, "%zu bundles%s: %.*s", demand->gang->n, where, STR_ARG(why)));
}

void decide_answer(struct decide *d, struct scale_plan *plan)
{
    struct answers s = {.d = d, .tallies = arena_array_of(d->a, struct tally, d->ids + 1)};
    for (size_t p = 0; p < d->fit.puts.n; p++) {
        const struct fit_put *put = &d->fit.puts.items[p];
        const struct fit_bin *bin = &d->fit.bins.items[put->bin];
        struct tally *tally = &s.tallies[put->item];
        if (bin->kind <= FIT_ALIVE) {
            tally->now += put->count;
        } else if (put->count > 0) {
            tally->group = tally->starting == 0 ? bin->group : tally->group;
            tally->starting += put->count;
        }
    }
    for (size_t i = 0; i < d->world->n_gangs; i++)
        answer_gang(&s, &d->gangs[i]);
    answer_items(&s, &d->tasks);
    answer_items(&s, &d->constraints);
    plan->answers = s.all.items;
    plan->n_answers = s.all.n;
}
