/* Small worlds for tests of core/scale: groups, workers and demand written in one line each. */
#pragma once

#include "core/scale/scale.h"

struct world_maker {
    struct arena *a;
    struct scale_world world;
    struct scale_group groups[16];
    struct scale_worker workers[256];
    struct scale_request pending[64], constraints[64];
    struct scale_gang gangs[16];
};

/* "CPU 2, GPU 1, A100 1" */
struct scale_shape maker_shape(struct arena *a, const char *text);
void maker_init(struct world_maker *m, struct arena *a);
/* The page's groups: cpuWG (CPU 10) and GPU groups of 1, 2, 4, 8 with caps 2, 2, 2, 4. */
void maker_page(struct world_maker *m);
struct scale_group *maker_group(struct world_maker *m, const char *name, const char *shape,
                                int32_t min, int32_t max, int32_t replicas);
/* A worker with all free (available = total = the group's shape). */
struct scale_worker *maker_worker(struct world_maker *m, size_t group,
                                  enum scale_worker_state state);
void maker_ask(struct world_maker *m, int64_t count, const char *shape);
void maker_constraint(struct world_maker *m, int64_t count, const char *shape);
struct scale_gang *maker_gang(struct world_maker *m, enum scale_gang_kind kind, size_t bundles,
                              const char *shape);
/* Decides; fails the process on an error. */
struct scale_plan maker_decide(struct world_maker *m);
