/* Exact on small cases: depth-first over "this unit goes into that bin, opens that group, or waits",
 * pruned by the best found so far and by the accelerators that are still to be served. A ceiling on
 * steps makes it a better greedy where a case is too big. Deterministic. */
#include "core/scale/fit.h"

struct search {
    struct fit f; /* our own copy: changed and undone */
    const struct fit_job *job;
    size_t *item_of; /* per unit */
    size_t n_units;
    ptrdiff_t *choice; /* per unit: bin, or -1 */
    size_t *opens;     /* groups opened so far, in order */
    size_t n_opens, max_opens;
    int64_t unserved_accel, unserved, accel;
    int64_t *accel_rest; /* per unit: of it and all later ones */
    struct fit_cost best;
    ptrdiff_t *best_choice;
    size_t *best_opens;
    size_t n_best_opens;
    bool found;
    int steps;
};

static int64_t free_accel(const struct search *s)
{
    int64_t sum = 0;
    for (size_t b = 0; b < s->f.bins.n; b++) {
        for (size_t r = 0; r < s->f.n_names; r++) {
            if (s->f.is_accel[r]) {
                sum += MIN_OF(s->f.bins.items[b].left[s->job->layer][r],
                              INT32_MAX * (int64_t)FIT_UNIT);
            }
        }
    }
    return sum;
}

static bool is_hopeless(const struct search *s, size_t unit)
{
    const struct fit_cost *best = &s->best;
    if (s->unserved_accel != best->unserved_accel)
        return s->unserved_accel > best->unserved_accel;
    if (s->unserved != best->unserved)
        return s->unserved > best->unserved;
    int64_t rest = unit < s->n_units ? s->accel_rest[unit] - free_accel(s) : 0;
    return s->accel + MAX_OF(rest, 0) >= best->accel;
}

static void keep_best(struct search *s)
{
    s->best = (struct fit_cost){
        .unserved_accel = s->unserved_accel, .unserved = s->unserved, .accel = s->accel};
    memcpy(s->best_choice, s->choice, s->n_units * sizeof(*s->choice));
    memcpy(s->best_opens, s->opens, s->n_opens * sizeof(*s->opens));
    s->n_best_opens = s->n_opens;
    s->found = true;
}

static void shift(struct search *s, size_t bin, const struct fit_item *item, int64_t sign)
{
    int64_t *left = s->f.bins.items[bin].left[s->job->layer];
    for (size_t r = 0; r < s->f.n_names; r++)
        left[r] -= sign * item->ask[r];
}

static bool same_bin(const struct search *s, size_t a, size_t b)
{
    const struct fit_bin *x = &s->f.bins.items[a], *y = &s->f.bins.items[b];
    return x->labels == y->labels && x->mark == y->mark && x->closed == y->closed &&
           memcmp(x->left[s->job->layer], y->left[s->job->layer], s->f.n_names * sizeof(int64_t)) ==
               0;
}

static void visit(struct search *s, size_t unit);

static void try_bin(struct search *s, size_t unit, size_t bin)
{
    const struct fit_item *item = &s->job->items[s->item_of[unit]];
    size_t mark = s->f.bins.items[bin].mark;
    shift(s, bin, item, 1);
    s->f.bins.items[bin].mark = s->job->spread ? s->job->spread : mark;
    s->choice[unit] = (ptrdiff_t)bin;
    visit(s, unit + 1);
    s->f.bins.items[bin].mark = mark;
    shift(s, bin, item, -1);
}

/* Units of one item are alike: they take bins in rising order, which tries each multiset once. */
static size_t first_bin(const struct search *s, size_t unit)
{
    bool alike = unit > 0 && s->item_of[unit] == s->item_of[unit - 1];
    return alike && s->choice[unit - 1] >= 0 ? (size_t)s->choice[unit - 1] : 0;
}

static void try_bins(struct search *s, size_t unit)
{
    const struct fit_item *item = &s->job->items[s->item_of[unit]];
    size_t first = first_bin(s, unit);
    for (size_t b = first; b < s->f.bins.n; b++) {
        bool seen = false;
        for (size_t c = first; c < b && !seen; c++)
            seen = same_bin(s, b, c);
        if (!seen && fit_fits(&s->f, &s->f.bins.items[b], item, s->job))
            try_bin(s, unit, b);
    }
}

static void try_groups(struct search *s, size_t unit)
{
    const struct fit_item *item = &s->job->items[s->item_of[unit]];
    for (size_t g = 0; g < s->f.n_groups; g++) {
        struct fit_group *group = &s->f.groups[g];
        if (group->room <= 0 || s->n_opens == s->max_opens || !fit_group_fits(&s->f, group, item))
            continue;
        size_t bins = s->f.bins.n;
        fit_open(&s->f, g);
        s->opens[s->n_opens++] = g;
        s->accel += group->accel * group->hosts;
        try_bin(s, unit, bins);
        s->accel -= group->accel * group->hosts;
        s->n_opens--;
        s->f.bins.n = bins;
        group->room++;
        group->opened--;
    }
}

static void try_waiting(struct search *s, size_t unit)
{
    int64_t accel = s->job->items[s->item_of[unit]].accel;
    size_t end = unit + 1; /* all alike units wait, too */
    while (end < s->n_units && s->item_of[end] == s->item_of[unit])
        end++;
    for (size_t u = unit; u < end; u++)
        s->choice[u] = -1;
    s->unserved += (int64_t)(end - unit);
    s->unserved_accel += accel * (int64_t)(end - unit);
    visit(s, end);
    s->unserved -= (int64_t)(end - unit);
    s->unserved_accel -= accel * (int64_t)(end - unit);
}

static void visit(struct search *s, size_t unit)
{
    if (++s->steps > FIT_SEARCH_STEPS || is_hopeless(s, unit))
        return;
    if (unit == s->n_units) {
        keep_best(s);
        return;
    }
    try_bins(s, unit);
    try_groups(s, unit);
    try_waiting(s, unit);
}

static int64_t opened_accel(const struct fit *f)
{
    int64_t sum = 0;
    for (size_t g = 0; g < f->n_groups; g++)
        sum += f->groups[g].accel * f->groups[g].opened * f->groups[g].hosts;
    return sum;
}

static void units_of(struct search *s, const struct fit_job *job)
{
    for (size_t i = 0; i < job->n_items; i++)
        for (int64_t k = 0; job->items[i].possible && k < job->items[i].count; k++)
            s->item_of[s->n_units++] = i;
    for (size_t u = s->n_units; u-- > 0;) {
        s->accel_rest[u] =
            job->items[s->item_of[u]].accel + (u + 1 < s->n_units ? s->accel_rest[u + 1] : 0);
    }
}

static void apply_best(struct search *s, struct fit *f, const struct fit *start,
                       struct fit_job *job)
{
    *f = fit_copy(start);
    for (size_t i = 0; i < job->n_items; i++)
        job->left[i] = job->items[i].count;
    for (size_t i = 0; i < s->n_best_opens; i++)
        fit_open(f, s->best_opens[i]);
    for (size_t u = 0; u < s->n_units; u++)
        if (s->best_choice[u] >= 0)
            fit_put(f, job, s->item_of[u], (size_t)s->best_choice[u], 1);
}

void fit_search(struct fit *f, const struct fit *start, struct fit_job *job)
{
    struct search s = {.f = fit_copy(start), .job = job, .max_opens = FIT_SEARCH_UNITS};
    s.item_of = arena_array_of(f->a, size_t, FIT_SEARCH_UNITS + 1);
    s.choice = arena_array_of(f->a, ptrdiff_t, FIT_SEARCH_UNITS + 1);
    s.best_choice = arena_array_of(f->a, ptrdiff_t, FIT_SEARCH_UNITS + 1);
    s.opens = arena_array_of(f->a, size_t, FIT_SEARCH_UNITS + 1);
    s.best_opens = arena_array_of(f->a, size_t, FIT_SEARCH_UNITS + 1);
    s.accel_rest = arena_array_of(f->a, int64_t, FIT_SEARCH_UNITS + 1);
    units_of(&s, job);
    s.accel = opened_accel(&s.f);
    s.best = fit_job_cost(f, job);
    visit(&s, 0);
    if (s.found)
        apply_best(&s, f, start, job);
}
