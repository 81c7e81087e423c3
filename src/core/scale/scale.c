/* The decision: read the world, solve the demand, then see what may go.
 *
 * Invariants of a plan: min <= target <= max (unless the group is suspended: untouched); a worker that
 * is not idle is in neither drains nor deletes; a worker is deleted only when it is drained and dead,
 * or was never needed and never joined. Read next: demand.c, fit.c, down.c, answers.c. */
#include "core/scale/decide.h"

static void mark_used(struct decide *d)
{
    for (size_t i = 0; i < d->world->n_workers; i++)
        d->used[i] = d->bin_of[i] >= 0 && d->fit.bins.items[d->bin_of[i]].used;
}

/* What nothing else serves may still hope for pods that cannot be placed yet: those stay. */
static void hope_for(struct decide *d, struct fit *hope, const struct decide_demand *demand)
{
    struct fit_job job = demand->job;
    job.items = arena_array_of(d->a, struct fit_item, MAX_OF(job.n_items, 1u));
    job.left = arena_array_of(d->a, int64_t, MAX_OF(job.n_items, 1u));
    job.n_items = 0;
    bool whole = demand->source == SCALE_GANG;
    for (size_t i = 0; i < demand->job.n_items; i++) {
        struct fit_item item = demand->job.items[i];
        item.count = whole ? item.count : demand->job.left[i];
        job.items[job.n_items] = item;
        job.n_items += item.count > 0 && !(whole && demand->served);
    }
    if (job.n_items > 0)
        fit_solve(hope, &job);
}

static void mark_stuck(struct decide *d)
{
    const struct scale_world *w = d->world;
    struct fit hope = fit_copy(&d->fit);
    hope.bins.n = 0;
    hope.puts.n = 0;
    for (size_t g = 0; g < hope.n_groups; g++)
        hope.groups[g].room = 0;
    for (size_t i = 0; i < w->n_workers; i++) {
        size_t at = d->order[i];
        if (w->workers[at].state == SCALE_WORKER_STUCK) {
            hope.groups[w->workers[at].group].room++;
            fit_open(&hope, w->workers[at].group);
            hope.bins.items[hope.bins.n - 1].worker = (ptrdiff_t)at;
        }
    }
    if (hope.bins.n == 0)
        return;
    for (size_t i = 0; i < w->n_gangs; i++)
        hope_for(d, &hope, &d->gangs[i]);
    hope_for(d, &hope, &d->tasks);
    hope_for(d, &hope, &d->constraints);
    for (size_t b = 0; b < hope.bins.n; b++)
        if (hope.bins.items[b].worker >= 0 && hope.bins.items[b].used)
            d->used[hope.bins.items[b].worker] = true;
}

/* Conservative: what is coming stays within the number of nodes that run. */
static int64_t launch_budget(const struct decide *d)
{
    int64_t running = 1, coming = 0;
    if (d->world->upscaling != 2)
        return INT64_MAX;
    for (size_t b = 0; b < d->fit.bins.n; b++) {
        running += d->fit.bins.items[b].kind == FIT_ALIVE;
        coming += d->fit.bins.items[b].kind == FIT_COMING;
    }
    return MAX_OF(running - coming, 0);
}

static void targets_set(struct decide *d, struct scale_plan *plan)
{
    int64_t budget = launch_budget(d);
    for (size_t g = 0; g < d->world->n_groups; g++) {
        const struct scale_group *spec = &d->world->groups[g];
        const struct decide_group *own = &d->groups[g];
        struct scale_target *target = &plan->targets[g];
        if (spec->suspended) {
            target->replicas = spec->replicas;
            continue;
        }
        int32_t hosts = d->fit.groups[g].hosts;
        int32_t open = (int32_t)MIN_OF(d->fit.groups[g].opened, budget / hosts);
        budget -= budget == INT64_MAX ? 0 : (int64_t)open * hosts;
        int32_t wanted = MAX_OF(own->base, own->replicas) - own->deleted + open;
        wanted = open > 0 ? wanted : MIN_OF(wanted, own->base);
        target->replicas = MIN_OF(MAX_OF(wanted, spec->min), spec->max);
        target->launching = MAX_OF(target->replicas - own->base, 0);
    }
}

static struct scale_plan frozen(struct arena *a, const struct scale_world *w)
{
    struct scale_plan plan = {.check_again_ms = -1};
    plan.targets = arena_array_of(a, struct scale_target, MAX_OF(w->n_groups, 1u));
    plan.unwanted = arena_array_of(a, bool, MAX_OF(w->n_workers, 1u));
    for (size_t g = 0; g < w->n_groups; g++)
        plan.targets[g].replicas = w->groups[g].replicas;
    return plan;
}

int scale_decide(struct arena *a, const struct scale_world *world, time_ms now, uint64_t seed,
                 struct scale_plan *ret, struct err *err)
{
    struct decide d = {.a = a, .world = world};
    struct scale_plan plan = frozen(a, world);
    if (!world->known) {
        *ret = plan;
        return 0;
    }
    for (size_t g = 0; g < world->n_groups; g++) {
        const struct scale_group *group = &world->groups[g];
        if (group->min < 0 || group->max < group->min) {
            return err_set(err, ERR_INVALID, "group %.*s: minReplicas %d, maxReplicas %d",
                           STR_ARG(group->name), (int)group->min, (int)group->max);
        }
    }
    int rc = decide_read(&d, err);
    if (rc < 0)
        return rc;
    decide_solve(&d);
    mark_used(&d);
    mark_stuck(&d);
    decide_down(&d, &plan);
    targets_set(&d, &plan);
    decide_answer(&d, &plan);
    *ret = plan;
    return 0;
}
