/* Greedy placing with repair: biggest items first, each into the tightest bin that runs, else comes,
 * else into the smallest group that fits; afterwards bins whose contents fit elsewhere are taken back
 * and bins that a smaller group could replace are replaced. Small cases are then searched (search.c). */
#include "core/scale/fit.h"

#define FIT_REPAIR_ROUNDS 4

static int64_t add_capped(int64_t x, int64_t y)
{
    int64_t sum;
    return __builtin_add_overflow(x, y, &sum) ? INT64_MAX : sum;
}

static int64_t mul_capped(int64_t x, int64_t y)
{
    int64_t product;
    return __builtin_mul_overflow(x, y, &product) ? INT64_MAX : product;
}

int64_t *fit_vector(struct fit *f)
{
    return arena_array_of(f->a, int64_t, MAX_OF(f->n_names, 1u));
}

static int64_t accel_sum(const struct fit *f, const int64_t *v)
{
    int64_t sum = 0;
    for (size_t r = 0; r < f->n_names; r++)
        sum = f->is_accel[r] ? add_capped(sum, v[r]) : sum;
    return sum;
}

bool fit_labels_match(const struct val *selector, const struct val *labels)
{
    for (size_t i = 0; i < val_len(selector); i++) {
        const struct val *term = val_at(selector, i);
        const struct val *values = val_get(term, "values");
        const struct val *label = val_gets(labels, val_as_str(val_get(term, "key")));
        bool in = false;
        for (size_t j = 0; label && j < val_len(values); j++)
            in = in || val_at(values, j) == label;
        if (in == str_is(val_as_str(val_get(term, "operator")), "NotIn"))
            return false;
    }
    return true;
}

static bool vector_fits(const struct fit *f, const int64_t *left, const int64_t *ask)
{
    for (size_t r = 0; r < f->n_names; r++)
        if (ask[r] > left[r])
            return false;
    return true;
}

bool fit_group_fits(const struct fit *f, const struct fit_group *group, const struct fit_item *item)
{
    return vector_fits(f, group->has, item->ask) && fit_labels_match(item->selector, group->labels);
}

bool fit_fits(const struct fit *f, const struct fit_bin *bin, const struct fit_item *item,
              const struct fit_job *job)
{
    return !bin->closed && (job->spread == 0 || bin->mark != job->spread) &&
           vector_fits(f, bin->left[job->layer], item->ask) &&
           (!item->selector || fit_labels_match(item->selector, bin->labels));
}

/* How many units of it the bin takes. */
static int64_t capacity(const struct fit *f, const struct fit_bin *bin, const struct fit_item *item,
                        const struct fit_job *job)
{
    int64_t times = INT64_MAX;
    for (size_t r = 0; r < f->n_names; r++)
        if (item->ask[r] > 0)
            times = MIN_OF(times, bin->left[job->layer][r] / item->ask[r]);
    return job->spread ? MIN_OF(times, 1) : times;
}

static void take(struct fit *f, const struct fit_job *job, struct fit_bin *bin, const int64_t *ask,
                 int64_t count)
{
    for (size_t r = 0; r < f->n_names; r++)
        bin->left[job->layer][r] -= ask[r] * (ask[r] ? count : 0);
}

void fit_put(struct fit *f, struct fit_job *job, size_t item, size_t bin, int64_t count)
{
    struct fit_bin *to = &f->bins.items[bin];
    take(f, job, to, job->items[item].ask, count);
    to->used = true;
    to->mark = job->spread ? job->spread : to->mark;
    job->left[item] -= count;
    vec_push(&f->puts, f->a, ((struct fit_put){job->items[item].id, bin, count}));
}

void fit_open(struct fit *f, size_t group)
{
    struct fit_group *g = &f->groups[group];
    for (int32_t h = 0; h < g->hosts; h++) {
        struct fit_bin bin = {.labels = g->labels,
                              .kind = FIT_NEW,
                              .group = (ptrdiff_t)group,
                              .worker = -1,
                              .gpu = g->accel > 0};
        for (int layer = 0; layer < _FIT_LAYER_MAX; layer++) {
            bin.left[layer] = fit_vector(f);
            memcpy(bin.left[layer], g->has, f->n_names * sizeof(int64_t));
        }
        vec_push(&f->bins, f->a, bin);
    }
    g->room--;
    g->opened++;
}

/* --- greedy */

struct rank {
    int64_t key[4];
};

static bool rank_less(const struct rank *a, const struct rank *b)
{
    for (size_t i = 0; i < ARRAY_SIZE(a->key); i++)
        if (a->key[i] != b->key[i])
            return a->key[i] < b->key[i];
    return false;
}

static struct rank bin_rank(const struct fit *f, const struct fit_bin *bin,
                            const struct fit_item *item, const struct fit_job *job)
{
    const int64_t *left = bin->left[job->layer];
    bool idle = job->layer == FIT_TOTAL && bin->kind == FIT_ALIVE && !bin->busy;
    return (struct rank){{item->avoid_gpu && bin->gpu, bin->kind * 2 + idle,
                          accel_sum(f, left) - item->accel, left[f->cpu]}};
}

/* CPU-only work must not hold a GPU worker that is not there yet. */
static bool bin_allowed(const struct fit_bin *bin, const struct fit_item *item, bool last_resort)
{
    return last_resort || !item->avoid_gpu || !bin->gpu || bin->kind <= FIT_ALIVE;
}

static ptrdiff_t best_bin(const struct fit *f, const struct fit_job *job,
                          const struct fit_item *item, bool last_resort)
{
    ptrdiff_t best = -1;
    struct rank best_rank = {{0}};
    for (size_t b = 0; b < f->bins.n; b++) {
        const struct fit_bin *bin = &f->bins.items[b];
        if (!bin_allowed(bin, item, last_resort) || !fit_fits(f, bin, item, job))
            continue;
        struct rank rank = bin_rank(f, bin, item, job);
        if (best < 0 || rank_less(&rank, &best_rank)) {
            best = (ptrdiff_t)b;
            best_rank = rank;
        }
    }
    return best;
}

static bool group_open_allowed(const struct fit *f, const struct fit_group *group,
                               const struct fit_item *item)
{
    return group->room > 0 && f->bins.n + (size_t)group->hosts <= SCALE_MAX_PODS &&
           !(item->avoid_gpu && group->accel > 0) && fit_group_fits(f, group, item);
}

static ptrdiff_t best_group(const struct fit *f, const struct fit_item *item)
{
    ptrdiff_t best = -1;
    struct rank best_rank = {{0}};
    for (size_t g = 0; g < f->n_groups; g++) {
        const struct fit_group *group = &f->groups[g];
        if (!group_open_allowed(f, group, item))
            continue;
        struct rank rank = {{mul_capped(group->accel, group->hosts),
                             mul_capped(group->cpu, group->hosts), group->hosts, (int64_t)g}};
        if (best < 0 || rank_less(&rank, &best_rank)) {
            best = (ptrdiff_t)g;
            best_rank = rank;
        }
    }
    return best;
}

static void fill_bins(struct fit *f, struct fit_job *job, size_t i, bool last_resort)
{
    const struct fit_item *item = &job->items[i];
    while (job->left[i] > 0) {
        ptrdiff_t b = best_bin(f, job, item, last_resort);
        if (b < 0)
            return;
        int64_t room = capacity(f, &f->bins.items[b], item, job);
        fit_put(f, job, i, (size_t)b, MIN_OF(room, job->left[i]));
    }
}

static void open_for(struct fit *f, struct fit_job *job, size_t i)
{
    const struct fit_item *item = &job->items[i];
    while (job->left[i] > 0) {
        ptrdiff_t g = best_group(f, item);
        if (g < 0)
            return;
        size_t first = f->bins.n;
        fit_open(f, (size_t)g);
        for (size_t b = first; b < f->bins.n && job->left[i] > 0; b++) {
            int64_t room = capacity(f, &f->bins.items[b], item, job);
            fit_put(f, job, i, b, MIN_OF(room, job->left[i]));
        }
    }
}

/* --- repair: only bins and puts of this job */

static bool is_movable(const struct fit *f, const struct fit_bin *bin)
{
    return bin->kind == FIT_NEW && !bin->closed && f->groups[bin->group].hosts == 1;
}

static struct fit_item *item_of_put(const struct fit_job *job, const struct fit_put *put)
{
    return &job->items[put->item - job->items[0].id];
}

static bool move_put(struct fit *f, struct fit_job *job, size_t p)
{
    struct fit_put put = f->puts.items[p];
    const struct fit_item *item = item_of_put(job, &put);
    for (size_t b = 0; b < f->bins.n && put.count > 0; b++) {
        struct fit_bin *bin = &f->bins.items[b];
        if (b == put.bin || !bin_allowed(bin, item, false) || !fit_fits(f, bin, item, job))
            continue;
        int64_t n = MIN_OF(capacity(f, bin, item, job), put.count);
        take(f, job, bin, item->ask, n);
        bin->used = true;
        put.count -= n;
        vec_push(&f->puts, f->a, ((struct fit_put){put.item, b, n}));
    }
    return put.count == 0;
}

/* All that is in bin b goes elsewhere and the bin is taken back, or nothing changes. */
static bool evacuate(struct fit *f, struct fit_job *job, size_t b)
{
    size_t before = f->puts.n;
    bool moved = true;
    for (size_t p = job->first_put; p < before && moved; p++)
        if (f->puts.items[p].bin == b && f->puts.items[p].count > 0)
            moved = move_put(f, job, p);
    if (!moved) {
        for (size_t p = before; p < f->puts.n; p++) {
            const struct fit_put *put = &f->puts.items[p];
            take(f, job, &f->bins.items[put->bin], item_of_put(job, put)->ask, -put->count);
        }
        f->puts.n = before;
        return false;
    }
    for (size_t p = job->first_put; p < before; p++)
        if (f->puts.items[p].bin == b)
            f->puts.items[p].count = 0;
    struct fit_bin *bin = &f->bins.items[b];
    bin->closed = true;
    bin->used = false;
    f->groups[bin->group].opened--;
    f->groups[bin->group].room++;
    return true;
}

static bool contents_fit(const struct fit *f, const struct fit_job *job, size_t b,
                         const struct fit_group *group)
{
    const struct fit_bin *bin = &f->bins.items[b];
    const struct fit_group *now = &f->groups[bin->group];
    for (size_t r = 0; r < f->n_names; r++)
        if (now->has[r] - bin->left[job->layer][r] > group->has[r])
            return false;
    for (size_t p = job->first_put; p < f->puts.n; p++) {
        const struct fit_put *put = &f->puts.items[p];
        if (put->bin == b && put->count > 0 &&
            (!fit_labels_match(item_of_put(job, put)->selector, group->labels) ||
             (item_of_put(job, put)->avoid_gpu && group->accel > 0)))
            return false;
    }
    return true;
}

static bool is_smaller(const struct fit_group *a, const struct fit_group *b)
{
    return a->accel != b->accel ? a->accel < b->accel : a->cpu < b->cpu;
}

/* Another, smaller group's pod in place of bin b. */
static bool shrink(struct fit *f, struct fit_job *job, size_t b)
{
    struct fit_bin *bin = &f->bins.items[b];
    struct fit_group *now = &f->groups[bin->group];
    ptrdiff_t best = -1;
    for (size_t g = 0; g < f->n_groups; g++) {
        struct fit_group *group = &f->groups[g];
        if (group->room > 0 && group->hosts == 1 && is_smaller(group, now) &&
            (best < 0 || is_smaller(group, &f->groups[best])) && contents_fit(f, job, b, group))
            best = (ptrdiff_t)g;
    }
    if (best < 0)
        return false;
    struct fit_group *to = &f->groups[best];
    for (size_t r = 0; r < f->n_names; r++)
        for (int layer = 0; layer < _FIT_LAYER_MAX; layer++)
            bin->left[layer][r] += to->has[r] - now->has[r];
    now->opened--;
    now->room++;
    to->opened++;
    to->room--;
    bin->group = best;
    bin->labels = to->labels;
    bin->gpu = to->accel > 0;
    return true;
}

static bool repair_pass(struct fit *f, struct fit_job *job)
{
    bool changed = false;
    for (size_t n = f->bins.n; n > job->first_new; n--)
        if (is_movable(f, &f->bins.items[n - 1]) && f->bins.items[n - 1].mark == 0)
            changed = evacuate(f, job, n - 1) || shrink(f, job, n - 1) || changed;
    return changed;
}

static void repair(struct fit *f, struct fit_job *job)
{
    if (job->spread || f->bins.n - job->first_new > 2000)
        return;
    for (int round = 0; round < FIT_REPAIR_ROUNDS && repair_pass(f, job); round++) {
    }
}

/* --- solving */

int fit_cost_cmp(const struct fit_cost *a, const struct fit_cost *b)
{
    const int64_t x[] = {a->unserved_accel, a->unserved, a->accel, a->cpu, a->pods};
    const int64_t y[] = {b->unserved_accel, b->unserved, b->accel, b->cpu, b->pods};
    for (size_t i = 0; i < ARRAY_SIZE(x); i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

struct fit_cost fit_job_cost(const struct fit *f, const struct fit_job *job)
{
    struct fit_cost cost = {0};
    for (size_t i = 0; i < job->n_items; i++) {
        if (job->items[i].possible) {
            cost.unserved = add_capped(cost.unserved, job->left[i]);
            cost.unserved_accel =
                add_capped(cost.unserved_accel, mul_capped(job->items[i].accel, job->left[i]));
        }
    }
    for (size_t g = 0; g < f->n_groups; g++) {
        int64_t pods = (int64_t)f->groups[g].opened * f->groups[g].hosts;
        cost.accel = add_capped(cost.accel, mul_capped(f->groups[g].accel, pods));
        cost.cpu = add_capped(cost.cpu, mul_capped(f->groups[g].cpu, pods));
        cost.pods += pods;
    }
    return cost;
}

/* The fewest accelerators that any solution must open: a bound, to know when greedy is right. */
static int64_t accel_bound(const struct fit *f, const struct fit_job *job)
{
    int64_t asked = 0, free_now = 0;
    for (size_t i = 0; i < job->n_items; i++)
        asked = add_capped(asked, mul_capped(job->items[i].accel, job->items[i].count));
    for (size_t b = 0; b < f->bins.n; b++)
        free_now = add_capped(free_now, accel_sum(f, f->bins.items[b].left[job->layer]));
    return MAX_OF(asked - free_now, 0);
}

static int64_t accel_opened(const struct fit *f)
{
    int64_t sum = 0;
    for (size_t g = 0; g < f->n_groups; g++) {
        sum = add_capped(
            sum, mul_capped(f->groups[g].accel, (int64_t)f->groups[g].opened * f->groups[g].hosts));
    }
    return sum;
}

static void solve_hard(struct fit *f, struct fit_job *job)
{
    struct fit_job hard = *job;
    int64_t units = 0;
    hard.n_items = 0;
    while (hard.n_items < job->n_items && !job->items[hard.n_items].avoid_gpu)
        units = add_capped(units, job->items[hard.n_items++].count);
    int64_t bound = add_capped(accel_bound(f, &hard), accel_opened(f));
    struct fit start = {0};
    bool small =
        units <= FIT_SEARCH_UNITS && f->bins.n <= 200 && f->n_groups <= 16 && f->n_names <= 32;
    if (small)
        start = fit_copy(f);
    for (size_t i = 0; i < hard.n_items; i++) {
        fill_bins(f, &hard, i, false);
        open_for(f, &hard, i);
    }
    repair(f, &hard);
    struct fit_cost cost = fit_job_cost(f, &hard);
    if (small && (cost.unserved > 0 || cost.accel > bound))
        fit_search(f, &start, &hard);
}

void fit_solve(struct fit *f, struct fit_job *job)
{
    job->first_new = f->bins.n;
    job->first_put = f->puts.n;
    for (size_t i = 0; i < job->n_items; i++)
        job->left[i] = job->items[i].count;
    solve_hard(f, job);
    struct fit_job soft = *job;
    soft.first_new = f->bins.n;
    soft.first_put = f->puts.n;
    for (size_t i = 0; i < job->n_items; i++) {
        if (job->items[i].avoid_gpu) {
            fill_bins(f, &soft, i, false);
            open_for(f, &soft, i);
        }
    }
    repair(f, &soft);
    for (size_t i = 0; i < job->n_items; i++)
        fill_bins(f, &soft, i, true);
}

struct fit fit_copy(const struct fit *f)
{
    struct fit to = *f;
    to.groups = arena_array_of(f->a, struct fit_group, MAX_OF(f->n_groups, 1u));
    memcpy(to.groups, f->groups, f->n_groups * sizeof(*f->groups));
    to.bins.items = NULL;
    to.bins.n = to.bins.size = 0;
    to.puts.items = NULL;
    to.puts.n = to.puts.size = 0;
    for (size_t b = 0; b < f->bins.n; b++) {
        struct fit_bin bin = f->bins.items[b];
        for (int layer = 0; layer < _FIT_LAYER_MAX; layer++) {
            bin.left[layer] = fit_vector(&to);
            memcpy(bin.left[layer], f->bins.items[b].left[layer], f->n_names * sizeof(int64_t));
        }
        vec_push(&to.bins, to.a, bin);
    }
    for (size_t p = 0; p < f->puts.n; p++)
        vec_push(&to.puts, to.a, f->puts.items[p]);
    return to;
}

bool fit_solve_all(struct fit *f, struct fit_job *job)
{
    struct fit attempt = fit_copy(f);
    fit_solve(&attempt, job);
    for (size_t i = 0; i < job->n_items; i++)
        if (job->left[i] > 0)
            return false;
    *f = attempt;
    return true;
}

/* --- items */

static int item_cmp(const void *pa, const void *pb, void *ctx)
{
    const struct fit_item *a = pa, *b = pb;
    const struct fit *f = ctx;
    if (a->avoid_gpu != b->avoid_gpu)
        return a->avoid_gpu ? 1 : -1;
    if (a->accel != b->accel)
        return a->accel > b->accel ? -1 : 1;
    if (a->ask[f->cpu] != b->ask[f->cpu])
        return a->ask[f->cpu] > b->ask[f->cpu] ? -1 : 1;
    for (size_t r = 0; r < f->n_names; r++)
        if (a->ask[r] != b->ask[r])
            return a->ask[r] > b->ask[r] ? -1 : 1;
    if (a->selector != b->selector)
        return str_cmp(val_json(f->a, a->selector), val_json(f->a, b->selector));
    return 0;
}

size_t fit_sort_items(struct fit *f, struct fit_item *items, size_t n)
{
    size_t kept = 0;
    qsort_r(items, n, sizeof(items[0]), item_cmp, f);
    for (size_t i = 0; i < n; i++)
        if (kept > 0 && item_cmp(&items[kept - 1], &items[i], f) == 0)
            items[kept - 1].count = add_capped(items[kept - 1].count, items[i].count);
        else
            items[kept++] = items[i];
    return kept;
}
