/* A world -> bins and items, and both ways of solving them. Read next: fit.h, scale.c. */
#include "core/scale/decide.h"

#include <math.h>

#define AMOUNT_MAX 9e13 /* in units of 1/10000 it still fits */

/* Ray gives every node one of each; a shape can always have it. */
static bool is_implicit(struct str name)
{
    return str_starts(name, STR("node:__internal_implicit_resource_"));
}

static bool is_accel(struct str name)
{
    static const char *const names[] = {"GPU", "TPU", "neuron_cores", "HPU", "NPU"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

/* --- names */

struct name_list {
    VEC(struct str) all;
};

static void names_add(struct arena *a, struct name_list *list, const struct scale_shape *shape)
{
    for (size_t i = 0; i < shape->n; i++) {
        bool known = false;
        for (size_t j = 0; j < list->all.n && !known; j++)
            known = str_eq(list->all.items[j], shape->items[i].name);
        if (!known && shape->items[i].amount > 0 && !is_implicit(shape->items[i].name))
            vec_push(&list->all, a, shape->items[i].name);
    }
}

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int names_read(struct decide *d, struct err *err)
{
    const struct scale_world *w = d->world;
    struct name_list list = {0};
    static const char *const always[] = {"CPU", "GPU", "TPU", "neuron_cores", "HPU", "NPU"};
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        vec_push(&list.all, d->a, str_of(always[i]));
    for (size_t i = 0; i < w->n_pending && list.all.n <= FIT_MAX_NAMES; i++)
        names_add(d->a, &list, &w->pending[i].shape);
    for (size_t i = 0; i < w->n_constraints && list.all.n <= FIT_MAX_NAMES; i++)
        names_add(d->a, &list, &w->constraints[i].shape);
    for (size_t i = 0; i < w->n_gangs && list.all.n <= FIT_MAX_NAMES; i++)
        for (size_t j = 0; j < w->gangs[i].n; j++)
            names_add(d->a, &list, &w->gangs[i].bundles[j].shape);
    if (list.all.n > FIT_MAX_NAMES) {
        return err_set(err, ERR_TOO_LARGE, "demand names more than %d different resources",
                       FIT_MAX_NAMES);
    }
    qsort(list.all.items, list.all.n, sizeof(struct str), name_cmp);
    d->fit.names = list.all.items;
    d->fit.n_names = list.all.n;
    d->fit.is_accel = arena_array_of(d->a, bool, list.all.n);
    for (size_t i = 0; i < list.all.n; i++) {
        d->fit.is_accel[i] = is_accel(list.all.items[i]);
        d->fit.cpu = str_is(list.all.items[i], "CPU") ? i : d->fit.cpu;
    }
    return 0;
}

static ptrdiff_t name_index(const struct fit *f, struct str name)
{
    const struct str *at = bsearch(&name, f->names, f->n_names, sizeof(name), name_cmp);
    return at ? at - f->names : -1;
}

static int vector_read(struct decide *d, const struct scale_shape *shape, const char *what,
                       int64_t **ret, struct err *err)
{
    int64_t *v = fit_vector(&d->fit);
    for (size_t i = 0; i < shape->n; i++) {
        double amount = shape->items[i].amount;
        struct str name = shape->items[i].name;
        ptrdiff_t at = name_index(&d->fit, name);
        if (!isfinite(amount) || amount < 0)
            return err_set(err, ERR_INVALID, "%s: %.*s cannot be %g", what, STR_ARG(name), amount);
        if (at >= 0)
            v[at] = (int64_t)(MIN_OF(amount, AMOUNT_MAX) * FIT_UNIT + 0.5);
    }
    *ret = v;
    return 0;
}

static int64_t accel_of(const struct fit *f, const int64_t *v)
{
    int64_t sum = 0;
    for (size_t r = 0; r < f->n_names; r++)
        sum += f->is_accel[r] ? v[r] : 0;
    return sum;
}

/* --- groups and workers */

static void groups_count(struct decide *d)
{
    const struct scale_world *w = d->world;
    for (size_t i = 0; i < w->n_workers; i++) {
        struct decide_group *g = &d->groups[w->workers[i].group];
        g->alive_pods += w->workers[i].state != SCALE_WORKER_STOPPING;
        g->stuck = g->stuck || w->workers[i].state == SCALE_WORKER_STUCK;
    }
}

static int groups_read(struct decide *d, struct err *err)
{
    const struct scale_world *w = d->world;
    struct fit *f = &d->fit;
    f->groups = arena_array_of(d->a, struct fit_group, MAX_OF(w->n_groups, 1u));
    f->n_groups = w->n_groups;
    groups_count(d);
    for (size_t g = 0; g < w->n_groups; g++) {
        const struct scale_group *from = &w->groups[g];
        struct decide_group *own = &d->groups[g];
        struct fit_group *to = &f->groups[g];
        char what[64];
        snprintf(what, sizeof(what), "group %.40s", from->name.p ? from->name.p : "");
        int rc = vector_read(d, &from->shape, what, &to->has, err);
        if (rc < 0)
            return rc;
        to->hosts = MAX_OF(from->hosts, 1);
        own->base = MIN_OF(MAX_OF(from->replicas, from->min), from->max);
        own->replicas = (own->alive_pods + to->hosts - 1) / to->hosts;
        own->missing = from->suspended ? 0 : MAX_OF(own->base - own->replicas, 0);
        own->missing = MIN_OF(own->missing, (int32_t)(SCALE_MAX_PODS / to->hosts));
        to->accel = accel_of(f, to->has);
        to->cpu = to->has[f->cpu];
        to->labels = from->labels;
        bool closed = from->suspended || own->stuck || from->shape.n == 0;
        to->room = closed ? 0 : MAX_OF(from->max - MAX_OF(own->base, own->replicas), 0);
    }
    return 0;
}

static void bin_add(struct decide *d, struct fit_bin bin, const int64_t *free_now,
                    const int64_t *total)
{
    const int64_t *layers[] = {free_now, total};
    for (int layer = 0; layer < _FIT_LAYER_MAX; layer++) {
        bin.left[layer] = fit_vector(&d->fit);
        memcpy(bin.left[layer], layers[layer], d->fit.n_names * sizeof(int64_t));
    }
    vec_push(&d->fit.bins, d->a, bin);
}

static int worker_bin(struct decide *d, size_t i, struct err *err)
{
    const struct scale_worker *w = &d->world->workers[i];
    const struct fit_group *group = &d->fit.groups[w->group];
    struct fit_bin bin = {.labels = w->labels ? w->labels : group->labels,
                          .group = (ptrdiff_t)w->group,
                          .worker = (ptrdiff_t)i,
                          .gpu = group->accel > 0};
    int64_t *free_now = group->has, *total = group->has;
    if (w->state == SCALE_WORKER_ALIVE && !w->drain_sent) {
        bin.kind = FIT_ALIVE;
        bin.busy = !w->idle;
        int rc = vector_read(d, &w->available, "a worker", &free_now, err);
        rc = rc < 0 ? rc : vector_read(d, &w->total, "a worker", &total, err);
        if (rc < 0)
            return rc;
        bin.gpu = accel_of(&d->fit, total) > 0;
    } else if (w->state == SCALE_WORKER_COMING) {
        bin.kind = FIT_COMING;
    } else {
        return 0;
    }
    d->bin_of[i] = (ptrdiff_t)d->fit.bins.n;
    bin_add(d, bin, free_now, total);
    return 0;
}

static int worker_cmp(const void *a, const void *b, void *ctx)
{
    const struct scale_worker *workers = ctx;
    return str_cmp(workers[*(const size_t *)a].pod, workers[*(const size_t *)b].pod);
}

static int bins_read(struct decide *d, struct err *err)
{
    const struct scale_world *w = d->world;
    int64_t *free_now = NULL, *total = NULL;
    int rc = vector_read(d, &w->head_available, "the head", &free_now, err);
    rc = rc < 0 ? rc : vector_read(d, &w->head_total, "the head", &total, err);
    if (rc < 0)
        return rc;
    struct fit_bin head = {.labels = w->head_labels,
                           .kind = FIT_HEAD,
                           .group = -1,
                           .worker = -1,
                           .busy = true,
                           .gpu = accel_of(&d->fit, total) > 0};
    bin_add(d, head, free_now, total);
    d->order = arena_array_of(d->a, size_t, MAX_OF(w->n_workers, 1u));
    for (size_t i = 0; i < w->n_workers; i++) {
        d->order[i] = i;
        d->bin_of[i] = -1;
    }
    qsort_r(d->order, w->n_workers, sizeof(size_t), worker_cmp, w->workers);
    for (size_t i = 0; i < w->n_workers && rc == 0; i++)
        rc = worker_bin(d, d->order[i], err);
    for (size_t g = 0; g < w->n_groups && rc == 0; g++) {
        const struct fit_group *group = &d->fit.groups[g];
        d->missing_first[g] = d->fit.bins.n;
        for (int32_t k = 0; k < d->groups[g].missing * group->hosts; k++) {
            struct fit_bin bin = {.labels = group->labels,
                                  .kind = FIT_COMING,
                                  .group = (ptrdiff_t)g,
                                  .worker = -1,
                                  .gpu = group->accel > 0};
            bin_add(d, bin, group->has, group->has);
        }
    }
    return rc;
}

/* --- items */

static void item_judge(struct decide *d, struct fit_item *item)
{
    const struct fit *f = &d->fit;
    struct fit_job any = {.layer = FIT_TOTAL};
    for (size_t g = 0; g < f->n_groups; g++) {
        bool open = d->world->groups[g].max > 0 && !d->world->groups[g].suspended;
        if (open && fit_group_fits(f, &f->groups[g], item)) {
            item->possible = true;
            item->avoid_gpu = item->avoid_gpu || (item->accel == 0 && f->groups[g].accel == 0);
        }
    }
    for (size_t b = 0; b < f->bins.n && !item->possible; b++)
        item->possible = fit_fits(f, &f->bins.items[b], item, &any);
}

static int items_read(struct decide *d, const struct scale_request *requests, size_t n,
                      const char *what, struct fit_job *job, struct err *err)
{
    struct fit_item *items = arena_array_of(d->a, struct fit_item, MAX_OF(n, 1u));
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct fit_item item = {.count = requests[i].count,
                                .selector = requests[i].label_selector,
                                .request = &requests[i]};
        int rc = vector_read(d, &requests[i].shape, what, &item.ask, err);
        if (rc < 0)
            return rc;
        item.accel = accel_of(&d->fit, item.ask);
        item_judge(d, &item);
        items[kept] = item;
        kept += item.count > 0;
    }
    job->items = items;
    job->n_items = fit_sort_items(&d->fit, items, kept);
    job->left = arena_array_of(d->a, int64_t, MAX_OF(job->n_items, 1u));
    for (size_t i = 0; i < job->n_items; i++) {
        items[i].id = d->ids++;
        job->left[i] = items[i].count;
    }
    return 0;
}

/* STRICT_PACK: one node takes the sum of all bundles. */
static struct scale_request pack_sum(struct decide *d, const struct scale_gang *gang)
{
    struct scale_request sum = {.count = 1};
    size_t most = 0;
    for (size_t i = 0; i < gang->n; i++)
        most += gang->bundles[i].shape.n;
    sum.shape.items = arena_array_of(d->a, struct scale_amount, MAX_OF(most, 1u));
    for (size_t i = 0; i < gang->n; i++) {
        const struct scale_shape *shape = &gang->bundles[i].shape;
        sum.label_selector =
            sum.label_selector ? sum.label_selector : gang->bundles[i].label_selector;
        for (size_t j = 0; j < shape->n; j++) {
            size_t at = 0;
            while (at < sum.shape.n && !str_eq(sum.shape.items[at].name, shape->items[j].name))
                at++;
            sum.shape.items[at].name = shape->items[j].name;
            sum.shape.items[at].amount += shape->items[j].amount;
            sum.shape.n = MAX_OF(sum.shape.n, at + 1);
        }
    }
    return sum;
}

static int gang_read(struct decide *d, const struct scale_gang *gang, struct decide_demand *ret,
                     struct err *err)
{
    struct scale_request *requests = gang->bundles;
    size_t n = gang->n;
    if (gang->kind == SCALE_GANG_STRICT_PACK) {
        requests = arena_new_of(d->a, struct scale_request);
        *requests = pack_sum(d, gang);
        n = 1;
    }
    *ret = (struct decide_demand){.source = SCALE_GANG, .gang = gang};
    if (gang->kind == SCALE_GANG_STRICT_SPREAD)
        ret->job.spread = ++d->fit.gangs;
    return items_read(d, requests, n, "a gang", &ret->job, err);
}

static int64_t gang_size(const struct decide_demand *g)
{
    int64_t sum = 0;
    for (size_t i = 0; i < g->job.n_items; i++)
        sum += g->job.items[i].accel * g->job.items[i].count;
    return sum;
}

static int64_t gang_cpu(const struct decide_demand *g, const struct fit *f)
{
    int64_t sum = 0;
    for (size_t i = 0; i < g->job.n_items; i++)
        sum += g->job.items[i].ask[f->cpu] * g->job.items[i].count;
    return sum;
}

/* Biggest first; then by content, so that the order given makes no difference. */
static int gang_cmp(const void *pa, const void *pb, void *ctx)
{
    const struct decide_demand *a = pa, *b = pb;
    const struct fit *f = ctx;
    int64_t x = gang_size(a), y = gang_size(b);
    if (x == y) {
        x = gang_cpu(a, f);
        y = gang_cpu(b, f);
    }
    if (x != y)
        return x > y ? -1 : 1;
    if (a->gang->kind != b->gang->kind || a->job.n_items != b->job.n_items) {
        return a->gang->kind != b->gang->kind    ? (int)b->gang->kind - (int)a->gang->kind
               : a->job.n_items > b->job.n_items ? -1
                                                 : 1;
    }
    for (size_t i = 0; i < a->job.n_items; i++) {
        for (size_t r = 0; r < f->n_names; r++) {
            int64_t p = a->job.items[i].ask[r], q = b->job.items[i].ask[r];
            if (p != q)
                return p > q ? -1 : 1;
        }
        if (a->job.items[i].count != b->job.items[i].count)
            return a->job.items[i].count > b->job.items[i].count ? -1 : 1;
    }
    return str_cmp(a->gang->detail, b->gang->detail);
}

static int demand_read(struct decide *d, struct err *err)
{
    const struct scale_world *w = d->world;
    int rc = items_read(d, w->pending, w->n_pending, "pending demand", &d->tasks.job, err);
    d->gangs = arena_array_of(d->a, struct decide_demand, MAX_OF(w->n_gangs, 1u));
    for (size_t i = 0; i < w->n_gangs && rc == 0; i++)
        rc = gang_read(d, &w->gangs[i], &d->gangs[i], err);
    if (rc == 0) {
        qsort_r(d->gangs, w->n_gangs, sizeof(d->gangs[0]), gang_cmp, &d->fit);
        rc = items_read(d, w->constraints, w->n_constraints, "request_resources",
                        &d->constraints.job, err);
    }
    d->constraints.source = SCALE_CONSTRAINT;
    d->constraints.job.layer = FIT_TOTAL;
    return rc;
}

int decide_read(struct decide *d, struct err *err)
{
    const struct scale_world *w = d->world;
    if (w->n_workers > SCALE_MAX_PODS || w->n_pending > SCALE_MAX_SHAPES ||
        w->n_gangs > SCALE_MAX_SHAPES || w->n_constraints > SCALE_MAX_SHAPES) {
        return err_set(err, ERR_TOO_LARGE,
                       "%zu workers, %zu shapes, %zu gangs: more than one cluster may have",
                       w->n_workers, w->n_pending + w->n_constraints, w->n_gangs);
    }
    for (size_t i = 0; i < w->n_workers; i++)
        if (w->workers[i].group >= w->n_groups)
            return err_set(err, ERR_BUG, "worker %.*s is in no group", STR_ARG(w->workers[i].pod));
    d->groups = arena_array_of(d->a, struct decide_group, MAX_OF(w->n_groups, 1u));
    d->missing_first = arena_array_of(d->a, size_t, MAX_OF(w->n_groups, 1u));
    d->bin_of = arena_array_of(d->a, ptrdiff_t, MAX_OF(w->n_workers, 1u));
    d->used = arena_array_of(d->a, bool, MAX_OF(w->n_workers, 1u));
    d->fit.a = d->a;
    int rc = names_read(d, err);
    rc = rc < 0 ? rc : groups_read(d, err);
    rc = rc < 0 ? rc : bins_read(d, err);
    return rc < 0 ? rc : demand_read(d, err);
}

/* --- solving: request_resources first or last, whichever costs less */

static void solve_gangs(struct decide *d)
{
    for (size_t i = 0; i < d->world->n_gangs; i++)
        d->gangs[i].served = fit_solve_all(&d->fit, &d->gangs[i].job);
}

static struct fit_cost solve_in_order(struct decide *d, bool constraints_first)
{
    if (constraints_first)
        fit_solve(&d->fit, &d->constraints.job);
    solve_gangs(d);
    fit_solve(&d->fit, &d->tasks.job);
    if (!constraints_first)
        fit_solve(&d->fit, &d->constraints.job);
    struct fit_cost cost = fit_job_cost(&d->fit, &d->tasks.job);
    struct fit_cost more = fit_job_cost(&d->fit, &d->constraints.job);
    cost.unserved += more.unserved;
    cost.unserved_accel += more.unserved_accel;
    for (size_t i = 0; i < d->world->n_gangs; i++) {
        cost.unserved_accel += d->gangs[i].served ? 0 : gang_size(&d->gangs[i]);
        cost.unserved += !d->gangs[i].served;
    }
    return cost;
}

void decide_solve(struct decide *d)
{
    bool demand = d->tasks.job.n_items > 0 || d->world->n_gangs > 0;
    struct fit start = {0};
    if (!demand || d->constraints.job.n_items == 0) {
        (void)solve_in_order(d, false);
        return;
    }
    start = fit_copy(&d->fit);
    struct fit_cost last = solve_in_order(d, false);
    d->fit = fit_copy(&start);
    struct fit_cost first = solve_in_order(d, true);
    if (fit_cost_cmp(&last, &first) <= 0) {
        d->fit = start;
        (void)solve_in_order(d, false);
    }
}
