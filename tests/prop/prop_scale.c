/* core/scale by properties: an exhaustive optimum on small cases, independence of order, bounds, and
 * that nothing busy is ever touched. */
#include "prop.h"
#include "scale_world.h"

/* --- the oracle: GPUs only, every way to place up to 7 tasks on nodes that are opened */

#define ORACLE_GROUPS 4
#define ORACLE_TASKS  7

struct oracle {
    int size[ORACLE_GROUPS], cap[ORACLE_GROUPS], opened[ORACLE_GROUPS];
    int task[ORACLE_TASKS];
    size_t n_groups, n_tasks, n_bins;
    int left[ORACLE_TASKS];
    int gpus, best;
};

static void oracle_place(struct oracle *o, size_t task)
{
    if (o->gpus >= o->best)
        return;
    if (task == o->n_tasks) {
        o->best = o->gpus;
        return;
    }
    for (size_t b = 0; b < o->n_bins; b++) {
        if (o->left[b] >= o->task[task]) {
            o->left[b] -= o->task[task];
            oracle_place(o, task + 1);
            o->left[b] += o->task[task];
        }
    }
    for (size_t g = 0; g < o->n_groups; g++) {
        if (o->opened[g] < o->cap[g] && o->size[g] >= o->task[task]) {
            o->opened[g]++;
            o->gpus += o->size[g];
            o->left[o->n_bins++] = o->size[g] - o->task[task];
            oracle_place(o, task + 1);
            o->n_bins--;
            o->gpus -= o->size[g];
            o->opened[g]--;
        }
    }
}

static int gpus_of(const struct world_maker *m, const struct scale_plan *plan)
{
    double sum = 0;
    for (size_t g = 0; g < m->world.n_groups; g++)
        sum += plan->targets[g].replicas * scale_shape_get(&m->groups[g].shape, "GPU");
    return (int)sum;
}

static bool all_served(const struct scale_plan *plan)
{
    for (size_t i = 0; i < plan->n_answers; i++)
        if (plan->answers[i].verdict >= SCALE_WAITS)
            return false;
    return true;
}

static bool never_more_gpus_than_the_optimum(struct prop *p)
{
    struct arena *a = arena_new();
    struct world_maker m;
    struct oracle o = {.best = INT32_MAX};
    maker_init(&m, a);
    o.n_groups = 1 + prop_below(p, ORACLE_GROUPS);
    for (size_t g = 0; g < o.n_groups; g++) {
        o.size[g] = (int)prop_range(p, 1, 8);
        o.cap[g] = (int)prop_range(p, 0, 3);
        maker_group(&m, arena_strf(a, "g%zu", g).p, arena_strf(a, "GPU %d", o.size[g]).p, 0,
                    o.cap[g], 0);
        prop_note(p, "group of %d GPUs, cap %d", o.size[g], o.cap[g]);
    }
    o.n_tasks = prop_below(p, ORACLE_TASKS + 1);
    for (size_t t = 0; t < o.n_tasks; t++) {
        o.task[t] = (int)prop_range(p, 1, 8);
        maker_ask(&m, 1, arena_strf(a, "GPU %d", o.task[t]).p);
        prop_note(p, "task of %d GPUs", o.task[t]);
    }
    oracle_place(&o, 0);
    struct scale_plan plan = maker_decide(&m);
    bool possible = o.best < INT32_MAX;
    int gpus = gpus_of(&m, &plan);
    prop_note(p, "optimum %d, ours %d, all served: %d", o.best, gpus, all_served(&plan));
    bool ok = possible ? all_served(&plan) && gpus == o.best : !all_served(&plan);
    arena_free(a);
    return ok;
}

/* --- random worlds */

static const char *const shapes[] = {
    "CPU 1",         "CPU 2",  "CPU 9",  "CPU 1, GPU 1", "GPU 2",        "CPU 4, GPU 4",
    "CPU 16, GPU 8", "GPU 16", "CPU 70", "GPU 0.5",      "CPU 1, odd 1", "memory 1000000000"};

static void draw_workers(struct prop *p, struct world_maker *m)
{
    size_t n = prop_below(p, 12);
    for (size_t i = 0; i < n; i++) {
        size_t g = prop_below(p, m->world.n_groups);
        struct scale_worker *w =
            maker_worker(m, g, (enum scale_worker_state)prop_below(p, SCALE_WORKER_STUCK + 1));
        w->idle = w->state == SCALE_WORKER_ALIVE && prop_chance(p, 50);
        w->idle_ms = w->idle ? prop_range(p, 0, 120000) : 0;
        w->unwanted_ms = prop_range(p, 0, 4000);
        w->drain_sent = prop_chance(p, 20);
        prop_note(p, "worker %s state %d idle %d %d drain %d", w->pod.p, (int)w->state, w->idle,
                  (int)w->idle_ms, w->drain_sent);
        if (!w->idle)
            w->available = maker_shape(m->a, prop_chance(p, 50) ? "CPU 1" : "GPU 1");
        m->groups[g].replicas += prop_chance(p, 80);
    }
    for (size_t g = 0; g < m->world.n_groups; g++) {
        m->groups[g].replicas =
            MIN_OF(MAX_OF(m->groups[g].replicas, m->groups[g].min), m->groups[g].max);
        m->groups[g].held = (int32_t)prop_below(p, 3);
    }
}

static void draw_demand(struct prop *p, struct world_maker *m)
{
    size_t n = prop_below(p, 8);
    for (size_t i = 0; i < n; i++) {
        int64_t count = prop_range(p, 1, 5);
        const char *shape = shapes[prop_below(p, ARRAY_SIZE(shapes))];
        maker_ask(m, count, shape);
        prop_note(p, "%d tasks of %s", (int)count, shape);
    }
    n = prop_below(p, 3);
    for (size_t i = 0; i < n; i++) {
        enum scale_gang_kind kind = (enum scale_gang_kind)prop_below(p, 3);
        size_t bundles = 1 + prop_below(p, 4);
        const char *shape = shapes[prop_below(p, ARRAY_SIZE(shapes))];
        maker_gang(m, kind, bundles, shape);
        prop_note(p, "gang of kind %d: %zu of %s", (int)kind, bundles, shape);
    }
    n = prop_below(p, 3);
    for (size_t i = 0; i < n; i++) {
        int64_t count = prop_range(p, 1, 4);
        const char *shape = shapes[prop_below(p, ARRAY_SIZE(shapes))];
        maker_constraint(m, count, shape);
        prop_note(p, "request_resources %d of %s", (int)count, shape);
    }
}

static void draw_world(struct prop *p, struct world_maker *m, struct arena *a)
{
    maker_init(m, a);
    maker_page(m);
    m->world.n_workers = 0;
    for (size_t g = 0; g < m->world.n_groups; g++) {
        m->groups[g].max = (int32_t)prop_range(p, 0, 5);
        m->groups[g].min = (int32_t)prop_range(p, 0, m->groups[g].max);
        m->groups[g].replicas = m->groups[g].min;
        m->groups[g].suspended = prop_chance(p, 5);
    }
    draw_workers(p, m);
    draw_demand(p, m);
    m->world.upscaling = (int)prop_below(p, 3);
}

static bool delete_is_allowed(const struct scale_worker *w)
{
    bool gone = w->state == SCALE_WORKER_DEAD && w->drain_sent;
    bool coming = w->state == SCALE_WORKER_COMING || w->state == SCALE_WORKER_STUCK;
    return gone || (coming && w->unwanted_ms >= SCALE_CANCEL_AFTER_MS);
}

static bool within_bounds_and_busy_untouched(struct prop *p)
{
    struct arena *a = arena_new();
    struct world_maker m;
    bool ok = true;
    int32_t leaving[16] = {0}, pods[16] = {0};
    draw_world(p, &m, a);
    struct scale_plan plan = maker_decide(&m);
    for (size_t g = 0; g < m.world.n_groups; g++) {
        int32_t n = plan.targets[g].replicas;
        ok = ok && (m.groups[g].suspended ? n == m.groups[g].replicas
                                          : n >= m.groups[g].min && n <= m.groups[g].max);
    }
    for (size_t i = 0; i < plan.n_drains; i++) {
        const struct scale_worker *w = &m.workers[plan.drains[i].worker];
        ok = ok && w->state == SCALE_WORKER_ALIVE && w->idle && !w->drain_sent;
        leaving[w->group]++;
    }
    for (size_t i = 0; i < plan.n_deletes; i++) {
        const struct scale_worker *w = &m.workers[plan.deletes[i]];
        ok = ok && delete_is_allowed(w);
        leaving[w->group] += w->state != SCALE_WORKER_DEAD;
    }
    for (size_t i = 0; i < m.world.n_workers; i++) {
        const struct scale_worker *w = &m.workers[i];
        pods[w->group] += w->state != SCALE_WORKER_STOPPING && !w->drain_sent;
    }
    for (size_t g = 0; g < m.world.n_groups; g++) { /* what we ask to go leaves min behind */
        ok = ok && (leaving[g] == 0 ||
                    MAX_OF(pods[g], m.groups[g].replicas) - leaving[g] >= m.groups[g].min);
    }
    arena_free(a);
    return ok;
}

static bool same_plan(const struct world_maker *x, const struct scale_plan *p,
                      const struct world_maker *y, const struct scale_plan *q)
{
    bool same = p->n_drains == q->n_drains && p->n_deletes == q->n_deletes;
    for (size_t g = 0; g < x->world.n_groups; g++)
        same = same && p->targets[g].replicas == q->targets[g].replicas;
    for (size_t i = 0; same && i < p->n_drains; i++) {
        bool found = false;
        for (size_t j = 0; j < q->n_drains; j++) {
            found = found || str_eq(x->workers[p->drains[i].worker].pod,
                                    y->workers[q->drains[j].worker].pod);
        }
        same = found;
    }
    return same;
}

#define SHUFFLE(p, items, n)                                                                       \
    for (size_t i_ = (n); i_ > 1; i_--) {                                                          \
        size_t j_ = prop_below((p), i_);                                                           \
        __typeof__((items)[0]) swap_ = (items)[i_ - 1];                                            \
        (items)[i_ - 1] = (items)[j_];                                                             \
        (items)[j_] = swap_;                                                                       \
    }

static bool order_makes_no_difference(struct prop *p)
{
    struct arena *a = arena_new();
    struct world_maker x, y;
    draw_world(p, &x, a);
    y = x;
    y.world.groups = y.groups;
    y.world.workers = y.workers;
    y.world.pending = y.pending;
    y.world.gangs = y.gangs;
    y.world.constraints = y.constraints;
    SHUFFLE(p, y.workers, y.world.n_workers);
    SHUFFLE(p, y.pending, y.world.n_pending);
    SHUFFLE(p, y.gangs, y.world.n_gangs);
    SHUFFLE(p, y.constraints, y.world.n_constraints);
    struct scale_plan plan_x = maker_decide(&x), plan_y = maker_decide(&y);
    for (size_t g = 0; g < x.world.n_groups; g++) {
        prop_note(p, "group %zu (%d..%d, %d): %d or %d", g, x.groups[g].min, x.groups[g].max,
                  x.groups[g].replicas, plan_x.targets[g].replicas, plan_y.targets[g].replicas);
    }
    prop_note(p, "drains %zu or %zu, deletes %zu or %zu", plan_x.n_drains, plan_y.n_drains,
              plan_x.n_deletes, plan_y.n_deletes);
    bool ok = same_plan(&x, &plan_x, &y, &plan_y);
    arena_free(a);
    return ok;
}

/* On an empty page: one more task never means fewer GPUs. */
static bool more_demand_never_fewer_gpus(struct prop *p)
{
    struct arena *a = arena_new();
    struct world_maker m;
    bool ok = true;
    int before = 0;
    maker_init(&m, a);
    maker_page(&m);
    size_t n = prop_below(p, 9);
    for (size_t i = 0; i < n && ok; i++) {
        maker_ask(&m, 1, arena_strf(a, "CPU 1, GPU %d", 1 << prop_below(p, 4)).p);
        struct scale_plan plan = maker_decide(&m);
        int gpus = gpus_of(&m, &plan);
        ok = gpus >= before;
        before = gpus;
    }
    arena_free(a);
    return ok;
}

/* Once what was decided has come and serves all, the same demand asks for nothing more. */
static bool decisions_settle(struct prop *p)
{
    struct arena *a = arena_new();
    struct world_maker m;
    bool ok = true;
    maker_init(&m, a);
    maker_page(&m);
    draw_demand(p, &m);
    struct scale_plan plan = maker_decide(&m);
    for (size_t g = 0; g < m.world.n_groups; g++) {
        for (int32_t k = m.groups[g].replicas; k < plan.targets[g].replicas; k++)
            maker_worker(&m, g, SCALE_WORKER_COMING);
        m.groups[g].replicas = plan.targets[g].replicas;
    }
    struct scale_plan next = maker_decide(&m);
    bool settled = all_served(&plan);
    for (size_t g = 0; g < m.world.n_groups; g++) {
        prop_note(p, "group %zu: %d then %d", g, plan.targets[g].replicas,
                  next.targets[g].replicas);
        ok = ok && (!settled || next.targets[g].replicas == plan.targets[g].replicas);
    }
    for (size_t i = 0; i < m.world.n_workers; i++)
        ok = ok && !(settled && next.unwanted[i]);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv)
{
    PROP(never_more_gpus_than_the_optimum, 20000);
    PROP(within_bounds_and_busy_untouched, 20000);
    PROP(order_makes_no_difference, 10000);
    PROP(more_demand_never_fewer_gpus, 5000);
    PROP(decisions_settle, 10000);
    return prop_exit();
}
