/* Private to core/scale: one decision under way. Read next: scale.c. */
#pragma once

#include "core/scale/fit.h"

struct decide_group {
    int32_t alive_pods; /* workers that are not being deleted */
    int32_t replicas;   /* what they make, whole ones, rounded up */
    int32_t base;       /* spec.replicas within [min, max] */
    int32_t missing;    /* replicas whose pods are not there yet */
    int32_t leaving;    /* replicas that are drained or being drained by us */
    int32_t deleted;    /* replicas that this plan deletes */
    bool stuck;
};

struct decide_demand { /* one row of answers to give */
    enum scale_source source;
    struct fit_job job;
    bool served; /* gangs: all or nothing */
    const struct scale_gang *gang;
};

struct decide {
    struct arena *a;
    const struct scale_world *world;
    struct decide_group *groups;
    struct fit fit;
    size_t *order;     /* workers by pod name */
    ptrdiff_t *bin_of; /* per worker: its bin, or -1 */
    bool *used;        /* per worker: some demand needs it */
    struct decide_demand tasks, constraints;
    struct decide_demand *gangs;
    size_t *missing_first; /* per group: the first bin of the replicas that are missing */
    size_t ids;            /* item ids given out */
};

/* demand.c */
int decide_read(struct decide *d, struct err *err) MUST_USE;
void decide_solve(struct decide *d);
/* answers.c */
void decide_answer(struct decide *d, struct scale_plan *plan);
/* down.c */
void decide_down(struct decide *d, struct scale_plan *plan);
