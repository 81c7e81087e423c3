/* A toy Ray on virtual time, in place of src/ray: the gcs_* functions answer from it. It runs tasks
 * and gangs on the pods that the toy API says are running, as Ray would, and keeps count of what a
 * real user would be angry about. One cluster. Link this instead of dep_ray's own ray.c. */
#pragma once

#include "base/rng.h"
#include "ray/ray.h"
#include "toy_api.h"

struct toy_ray;

struct toy_ray_faults {
    unsigned silent; /* percent of calls that fail */
    int64_t call_ms; /* an answer takes 1 .. call_ms */
    int64_t join_ms; /* a running pod joins after 1 .. join_ms */
};

struct toy_ray *toy_ray_new(struct loop *loop, struct toy *toy, uint64_t seed);
struct toy_ray *toy_ray_free(struct toy_ray *ray);
void toy_ray_set_faults(struct toy_ray *ray, const struct toy_ray_faults *faults);
/* What a pod of this group brings. */
void toy_ray_group(struct toy_ray *ray, const char *group, double cpu, double gpu);
/* A task, or a gang of n bundles on distinct nodes, that runs for a while once it has its place. */
void toy_ray_submit(struct toy_ray *ray, size_t bundles, double cpu, double gpu, int64_t runs_ms);
size_t toy_ray_waiting(const struct toy_ray *ray);
size_t toy_ray_finished(const struct toy_ray *ray);
/* True while a task runs on this pod and Ray still counts on it. */
bool toy_ray_is_busy(const struct toy_ray *ray, struct str pod);
int64_t toy_ray_last_report_ms(const struct toy_ray *ray); /* version of the last report, 0: none */
