/* What fits where: bins (nodes that run, that come, that could be opened) and items (demand).
 *
 * Amounts are whole numbers of 1/10000 (Ray's own precision): no float decides. Each bin has two
 * layers: what is free now, and what it has in total (request_resources is held against totals).
 * Private to core/scale. Read next: fit.c, search.c (exact on small cases). */
#pragma once

#include "base/vec.h"
#include "core/scale/scale.h"

#define FIT_UNIT         10000
#define FIT_MAX_NAMES    1024
#define FIT_SEARCH_UNITS 24 /* above it greedy and repair only */
#define FIT_SEARCH_STEPS 20000

enum fit_layer { FIT_FREE, FIT_TOTAL, _FIT_LAYER_MAX };
enum fit_kind { FIT_HEAD, FIT_ALIVE, FIT_COMING, FIT_NEW };

struct fit_bin {
    int64_t *left[_FIT_LAYER_MAX];
    const struct val *labels;
    enum fit_kind kind;
    ptrdiff_t group;  /* -1: the head */
    ptrdiff_t worker; /* index into world.workers, or -1 */
    bool gpu;         /* brings accelerators */
    bool busy;        /* runs and is not idle */
    bool used;        /* something was put here */
    bool closed;      /* taken back */
    size_t mark;      /* the last gang that must not share */
};

struct fit_item {
    size_t id; /* over all jobs of one decision; contiguous within a job */
    int64_t *ask;
    int64_t accel;
    int64_t count;
    const struct val *selector;
    const struct scale_request *request;
    bool avoid_gpu; /* CPU-only, and some CPU group's shape fits it */
    bool possible;  /* some group's shape, or a node that runs, fits it */
};

struct fit_put {
    size_t item; /* fit_item.id */
    size_t bin;
    int64_t count;
};

struct fit_group {
    int64_t *has;
    int64_t accel;
    int64_t cpu;
    int32_t hosts;
    int32_t room; /* replicas that may still be opened */
    int32_t opened;
    const struct val *labels;
};

struct fit {
    struct arena *a;
    struct str *names;
    size_t n_names;
    size_t cpu; /* index of CPU */
    bool *is_accel;
    struct fit_group *groups;
    size_t n_groups;
    VEC(struct fit_bin) bins;
    VEC(struct fit_put) puts;
    size_t gangs; /* marks given out */
};

/* One solving: these items, on this layer, from these bins on. */
struct fit_job {
    struct fit_item *items;
    size_t n_items;
    int64_t *left; /* per item: not placed */
    enum fit_layer layer;
    size_t spread;               /* > 0: at most one unit a bin (a gang's mark) */
    size_t first_new, first_put; /* what this job has added */
};

int64_t *fit_vector(struct fit *f);
bool fit_fits(const struct fit *f, const struct fit_bin *bin, const struct fit_item *item,
              const struct fit_job *job);
bool fit_labels_match(const struct val *selector, const struct val *labels);
bool fit_group_fits(const struct fit *f, const struct fit_group *group,
                    const struct fit_item *item);
void fit_put(struct fit *f, struct fit_job *job, size_t item, size_t bin, int64_t count);
/* Opens one replica: hosts bins at the end. */
void fit_open(struct fit *f, size_t group);
/* Places what it can; job->left is the remainder. */
void fit_solve(struct fit *f, struct fit_job *job);
/* As fit_solve, but leaves nothing behind unless all fits; false then. */
bool fit_solve_all(struct fit *f, struct fit_job *job);
/* Sorted by size, biggest first; equal ones merged; independent of the input's order. */
size_t fit_sort_items(struct fit *f, struct fit_item *items, size_t n);
struct fit fit_copy(const struct fit *f);

/* What a solution costs: less is better, in this order. */
struct fit_cost {
    int64_t unserved_accel, unserved, accel, cpu, pods;
};
int fit_cost_cmp(const struct fit_cost *a, const struct fit_cost *b);
/* search.c: betters job's solution on small cases, `start` being the state before the job. */
void fit_search(struct fit *f, const struct fit *start, struct fit_job *job);
struct fit_cost fit_job_cost(const struct fit *f, const struct fit_job *job);
