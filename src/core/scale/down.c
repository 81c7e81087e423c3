/* Scale-down: coming workers that are no longer wanted, workers past their idle time-out, drained ones
 * that are dead. Never below min; multi-host replicas are deleted whole or not at all. Read next: scale.c. */
#include "core/scale/decide.h"

/* The workers of one replica: one, or the hosts that share a replica name. */
struct part {
    VEC(size_t) workers;
    enum { PART_KEEP, PART_STUCK, PART_COMING, PART_IDLE, PART_GONE } what;
    int64_t age_ms; /* PART_IDLE: the shortest idle time; else the shortest time unwanted */
    time_ms created_at;
    struct str name;
    bool leaving; /* some of it is being drained by us */
};

struct down {
    struct decide *d;
    struct scale_plan *plan;
    VEC(struct part) parts;
};

static bool is_coming(const struct scale_worker *w)
{
    return w->state == SCALE_WORKER_COMING || w->state == SCALE_WORKER_STUCK;
}

static bool is_gone(const struct scale_worker *w)
{
    return w->state == SCALE_WORKER_DEAD && w->drain_sent;
}

static void part_judge(struct decide *d, struct part *part)
{
    size_t coming = 0, stuck = 0, idle = 0, gone = 0;
    part->age_ms = INT64_MAX;
    for (size_t i = 0; i < part->workers.n; i++) {
        size_t at = part->workers.items[i];
        const struct scale_worker *w = &d->world->workers[at];
        bool used = d->used[at];
        coming += is_coming(w) && !used;
        stuck += w->state == SCALE_WORKER_STUCK && !used;
        idle += w->state == SCALE_WORKER_ALIVE && w->idle && !used && !w->drain_sent;
        gone += is_gone(w);
        part->leaving = part->leaving || w->drain_sent;
        part->age_ms = MIN_OF(part->age_ms, is_coming(w) ? w->unwanted_ms : w->idle_ms);
        part->created_at = MAX_OF(part->created_at, w->created_at);
    }
    part->what = gone == part->workers.n     ? PART_GONE
                 : stuck == part->workers.n  ? PART_STUCK
                 : coming == part->workers.n ? PART_COMING
                 : idle == part->workers.n   ? PART_IDLE
                                             : PART_KEEP;
}

static struct part *part_of(struct down *down, const struct scale_worker *w, bool multi)
{
    for (size_t i = 0; multi && w->replica.n > 0 && i < down->parts.n; i++)
        if (str_eq(down->parts.items[i].name, w->replica))
            return &down->parts.items[i];
    struct part part = {.name = multi && w->replica.n > 0 ? w->replica : w->pod};
    vec_push(&down->parts, down->d->a, part);
    return &down->parts.items[down->parts.n - 1];
}

static int part_cmp(const void *pa, const void *pb)
{
    const struct part *a = pa, *b = pb;
    if (a->what != b->what)
        return a->what < b->what ? -1 : 1;
    if (a->what == PART_IDLE && a->age_ms != b->age_ms)
        return a->age_ms > b->age_ms ? -1 : 1;
    if (a->what != PART_IDLE && a->created_at != b->created_at)
        return a->created_at > b->created_at ? -1 : 1; /* the youngest coming one first */
    return str_cmp(a->name, b->name);
}

static void parts_read(struct down *down, size_t group)
{
    const struct scale_world *w = down->d->world;
    bool multi = w->groups[group].hosts > 1;
    down->parts.n = 0;
    for (size_t i = 0; i < w->n_workers; i++) {
        if (w->workers[i].group == group && w->workers[i].state != SCALE_WORKER_STOPPING) {
            struct part *part = part_of(down, &w->workers[i], multi);
            vec_push(&part->workers, down->d->a, i);
        }
    }
    for (size_t i = 0; i < down->parts.n; i++)
        part_judge(down->d, &down->parts.items[i]);
    if (down->parts.n == 0)
        return;
    qsort(down->parts.items, down->parts.n, sizeof(struct part), part_cmp);
}

static void part_delete(struct down *down, const struct part *part)
{
    for (size_t i = 0; i < part->workers.n; i++)
        down->plan->deletes[down->plan->n_deletes++] = part->workers.items[i];
}

static void part_drain(struct down *down, const struct part *part, struct str reason)
{
    for (size_t i = 0; i < part->workers.n; i++) {
        down->plan->drains[down->plan->n_drains++] =
            (struct scale_drain){part->workers.items[i], reason};
    }
}

static void check_again(struct scale_plan *plan, int64_t in_ms)
{
    if (plan->check_again_ms < 0 || in_ms < plan->check_again_ms)
        plan->check_again_ms = in_ms;
}

/* Replicas that were requested, have no pod yet, and are no longer wanted. */
static int32_t missing_unwanted(const struct decide *d, size_t group)
{
    const struct decide_group *own = &d->groups[group];
    int32_t hosts = d->fit.groups[group].hosts, unwanted = 0;
    for (int32_t k = 0; k < own->missing; k++) {
        bool used = false;
        for (int32_t h = 0; h < hosts; h++) {
            used =
                used || d->fit.bins.items[d->missing_first[group] + (size_t)(k * hosts + h)].used;
        }
        unwanted += !used;
    }
    return unwanted;
}

static void group_down(struct down *down, size_t group)
{
    struct decide *d = down->d;
    const struct scale_group *spec = &d->world->groups[group];
    struct decide_group *own = &d->groups[group];
    int32_t total = MAX_OF(own->base, own->replicas); /* with the missing ones */
    int32_t surplus = MAX_OF(own->replicas - own->base, 0);
    int32_t staying = total, leaving = 0;
    struct str reason =
        arena_strf(d->a, "idle for more than %llds", (long long)(spec->idle_timeout_ms / 1000));
    parts_read(down, group);
    for (size_t i = 0; i < down->parts.n; i++)
        leaving += down->parts.items[i].leaving;
    staying -= leaving;
    surplus = MAX_OF(surplus - leaving, 0);
    int32_t cancelled =
        MIN_OF(missing_unwanted(d, group), MAX_OF(staying - MAX_OF(spec->min, spec->held), 0));
    own->deleted += cancelled;
    staying -= cancelled;
    for (size_t i = 0; i < down->parts.n; i++) {
        const struct part *part = &down->parts.items[i];
        bool coming = part->what == PART_STUCK || part->what == PART_COMING;
        int32_t floor = coming && surplus == 0 ? MAX_OF(spec->min, spec->held) : spec->min;
        int64_t wait_ms = coming ? SCALE_CANCEL_AFTER_MS : surplus > 0 ? 0 : spec->idle_timeout_ms;
        if (part->what == PART_GONE) {
            part_delete(down, part);
            own->deleted++;
            continue;
        }
        if (part->what == PART_KEEP || staying <= floor)
            continue;
        if (part->age_ms < wait_ms) {
            check_again(down->plan, wait_ms - part->age_ms);
            continue;
        }
        if (coming) {
            part_delete(down, part);
            own->deleted++;
        } else {
            part_drain(down, part, surplus > 0 ? STR("more than replicas asks for") : reason);
        }
        staying--;
        surplus -= surplus > 0;
    }
}

void decide_down(struct decide *d, struct scale_plan *plan)
{
    const struct scale_world *w = d->world;
    struct down down = {.d = d, .plan = plan};
    plan->drains = arena_array_of(d->a, struct scale_drain, MAX_OF(w->n_workers, 1u));
    plan->deletes = arena_array_of(d->a, size_t, MAX_OF(w->n_workers, 1u));
    plan->unwanted = arena_array_of(d->a, bool, MAX_OF(w->n_workers, 1u));
    for (size_t i = 0; i < w->n_workers; i++)
        plan->unwanted[i] = is_coming(&w->workers[i]) && !d->used[i];
    for (size_t g = 0; g < w->n_groups; g++)
        if (!w->groups[g].suspended)
            group_down(&down, g);
}
