/* See toy_ray.h. */
#include "toy_ray.h"

#include "base/vec.h"
#include "kube/pod_view.h"
#include "kube/raycluster.h"

#define STEP_MS       50
#define DEAD_AFTER_MS 200 /* an accepted drain */

struct toy_node {
    char pod[128];
    char group[64];
    char id[32];
    double cpu, gpu, cpu_left, gpu_left;
    time_ms joins_at, idle_since, dies_at; /* dies_at 0: not draining */
    bool head, dead;
    size_t running;
};

struct toy_task { /* one bundle */
    size_t gang;
    double cpu, gpu;
    int64_t runs_ms;
    ptrdiff_t node; /* -1: waits */
    time_ms ends_at;
    bool spread;
};

struct toy_ray {
    struct loop *loop;
    struct toy *toy;
    struct rng rng;
    struct toy_ray_faults faults;
    struct loop_timer *timer;
    VEC(struct toy_node) nodes;
    VEC(struct toy_task) tasks;
    struct {
        const char *name;
        double cpu, gpu;
    } groups[16];
    size_t n_groups, gangs, finished;
    bool head_up;
    int64_t report_version;
};

struct gcs {
    struct toy_ray *ray;
    struct gcs_pending *pending;
};

static struct toy_ray *the_ray; /* gcs_new has no other way to find it */

/* --- nodes follow pods */

static struct toy_node *node_of(struct toy_ray *ray, struct str pod)
{
    for (size_t i = 0; i < ray->nodes.n; i++)
        if (str_is(pod, ray->nodes.items[i].pod))
            return &ray->nodes.items[i];
    return NULL;
}

static void node_add(struct toy_ray *ray, const struct val *pod, bool head, time_ms now)
{
    struct toy_node node = {.head = head};
    struct str group = kube_label(pod, RAY_LABEL_GROUP);
    snprintf(node.pod, sizeof(node.pod), "%.*s", STR_ARG(kube_name(pod)));
    snprintf(node.group, sizeof(node.group), "%.*s", STR_ARG(group));
    snprintf(node.id, sizeof(node.id), "%028zu", ray->nodes.n);
    for (size_t g = 0; g < ray->n_groups; g++) {
        if (str_is(group, ray->groups[g].name)) {
            node.cpu = node.cpu_left = ray->groups[g].cpu;
            node.gpu = node.gpu_left = ray->groups[g].gpu;
        }
    }
    node.joins_at =
        now + 1 + (int64_t)rng_below(&ray->rng, (uint64_t)MAX_OF(ray->faults.join_ms, 1));
    node.idle_since = node.joins_at;
    vec_push(&ray->nodes, NULL, node);
}

static void node_die(struct toy_ray *ray, size_t n)
{
    ray->nodes.items[n].dead = true;
    for (size_t t = 0; t < ray->tasks.n; t++) /* Ray runs them again elsewhere */
        if (ray->tasks.items[t].node == (ptrdiff_t)n)
            ray->tasks.items[t].node = -1;
    ray->nodes.items[n].running = 0;
}

static void follow_pods(struct toy_ray *ray, time_ms now)
{
    struct arena *a = arena_new();
    struct toy_list pods = toy_all(ray->toy, a, "pods");
    ray->head_up = false;
    for (size_t i = 0; i < pods.n; i++) {
        const struct val *pod = pods.items[i];
        bool head = str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head");
        bool runs = pod_phase(pod) == POD_RUNNING && !kube_is_deleting(pod);
        ray->head_up = ray->head_up || (head && runs);
        if (runs && !node_of(ray, kube_name(pod)))
            node_add(ray, pod, head, now);
    }
    for (size_t n = 0; n < ray->nodes.n; n++) {
        struct toy_node *node = &ray->nodes.items[n];
        bool alive = false;
        for (size_t i = 0; i < pods.n && !alive; i++) {
            alive = str_is(kube_name(pods.items[i]), node->pod) &&
                    pod_phase(pods.items[i]) == POD_RUNNING && !kube_is_deleting(pods.items[i]);
        }
        if (!node->dead && (!alive || (node->dies_at && now >= node->dies_at)))
            node_die(ray, n);
    }
    arena_free(a);
}

/* --- tasks */

static bool takes(const struct toy_node *node, const struct toy_task *task, time_ms now)
{
    return !node->dead && !node->dies_at && now >= node->joins_at && node->cpu_left >= task->cpu &&
           node->gpu_left >= task->gpu;
}

static ptrdiff_t place(const struct toy_ray *ray, const struct toy_task *task, time_ms now,
                       const bool *taken)
{
    ptrdiff_t best = -1;
    for (size_t n = 0; n < ray->nodes.n; n++) {
        const struct toy_node *node = &ray->nodes.items[n];
        if (taken[n] || !takes(node, task, now))
            continue;
        if (best < 0 || node->gpu_left < ray->nodes.items[best].gpu_left)
            best = (ptrdiff_t)n;
    }
    return best;
}

static void start(struct toy_ray *ray, struct toy_task *task, size_t n, time_ms now)
{
    struct toy_node *node = &ray->nodes.items[n];
    node->cpu_left -= task->cpu;
    node->gpu_left -= task->gpu;
    node->running++;
    task->node = (ptrdiff_t)n;
    task->ends_at = now + task->runs_ms;
}

static void start_gang(struct toy_ray *ray, size_t first, size_t end, time_ms now)
{
    bool *taken = xcalloc(ray->nodes.n + 1, sizeof(bool));
    ptrdiff_t *places = xcalloc(end - first, sizeof(ptrdiff_t));
    bool whole = true;
    for (size_t t = first; t < end && whole; t++) {
        if (ray->tasks.items[t].node >= 0) {
            whole = false; /* some of it still runs; a lost bundle waits for the rest to end */
            break;
        }
        places[t - first] = place(ray, &ray->tasks.items[t], now, taken);
        whole = places[t - first] >= 0;
        if (whole)
            taken[places[t - first]] = true;
    }
    for (size_t t = first; t < end && whole; t++)
        start(ray, &ray->tasks.items[t], (size_t)places[t - first], now);
    free(taken);
    free(places);
}

static void finish_tasks(struct toy_ray *ray, time_ms now)
{
    for (size_t t = 0; t < ray->tasks.n;) {
        struct toy_task *task = &ray->tasks.items[t];
        if (task->node < 0 || now < task->ends_at) {
            t++;
            continue;
        }
        struct toy_node *node = &ray->nodes.items[task->node];
        node->cpu_left += task->cpu;
        node->gpu_left += task->gpu;
        node->running--;
        node->idle_since = now;
        ray->finished++;
        vec_remove(&ray->tasks, t);
    }
}

static void step(void *ctx)
{
    struct toy_ray *ray = ctx;
    time_ms now = loop_wall_ms(ray->loop);
    follow_pods(ray, now);
    finish_tasks(ray, now);
    for (size_t t = 0; t < ray->tasks.n;) {
        size_t end = t + 1;
        while (end < ray->tasks.n && ray->tasks.items[end].gang == ray->tasks.items[t].gang)
            end++;
        start_gang(ray, t, end, now);
        t = end;
    }
}

void toy_ray_submit(struct toy_ray *ray, size_t bundles, double cpu, double gpu, int64_t runs_ms)
{
    ray->gangs++;
    for (size_t i = 0; i < bundles; i++) {
        struct toy_task task = {.gang = ray->gangs,
                                .cpu = cpu,
                                .gpu = gpu,
                                .runs_ms = runs_ms,
                                .node = -1,
                                .spread = bundles > 1};
        vec_push(&ray->tasks, NULL, task);
    }
}

/* --- the service */

enum asked { ASKED_STATE, ASKED_DRAIN, ASKED_REPORT };

struct gcs_pending {
    struct gcs *gcs;
    struct gcs_pending *next, **prev;
    struct loop_timer *timer;
    enum asked what;
    gcs_state_fn state;
    gcs_drain_fn drain;
    gcs_done_fn done;
    void *ctx;
    char node_id[32];
    int64_t version;
};

static struct ray_resources resources(struct arena *a, double cpu, double gpu)
{
    struct ray_resources r = {.items = arena_array_of(a, struct ray_amount, 2)};
    if (cpu > 0)
        r.items[r.n++] = (struct ray_amount){STR("CPU"), cpu};
    if (gpu > 0)
        r.items[r.n++] = (struct ray_amount){STR("GPU"), gpu};
    return r;
}

static struct ray_node node_state(struct arena *a, const struct toy_node *node, time_ms now)
{
    bool idle = node->running == 0;
    return (struct ray_node){
        .node_id = str_of(node->id),
        .instance_id = str_of(node->pod),
        .node_type = str_of(node->group),
        .status = node->dead      ? RAY_NODE_DEAD
                  : node->dies_at ? RAY_NODE_DRAINING
                  : idle          ? RAY_NODE_IDLE
                                  : RAY_NODE_RUNNING,
        .idle_ms = idle ? now - node->idle_since : 0,
        .total = resources(a, node->cpu, node->gpu),
        .available = resources(a, node->cpu_left, node->gpu_left),
    };
}

static struct ray_state state_of(struct toy_ray *ray, struct arena *a, time_ms now)
{
    struct ray_state s = {.version = now, .session_name = STR("toy")};
    s.nodes = arena_array_of(a, struct ray_node, ray->nodes.n + 1);
    s.pending = arena_array_of(a, struct ray_request, ray->tasks.n + 1);
    s.gangs = arena_array_of(a, struct ray_gang, ray->tasks.n + 1);
    for (size_t n = 0; n < ray->nodes.n; n++)
        if (now >= ray->nodes.items[n].joins_at)
            s.nodes[s.n_nodes++] = node_state(a, &ray->nodes.items[n], now);
    for (size_t t = 0; t < ray->tasks.n; t++) {
        const struct toy_task *task = &ray->tasks.items[t];
        struct ray_request request = {.shape = resources(a, task->cpu, task->gpu), .count = 1};
        if (task->node >= 0)
            continue;
        if (!task->spread) {
            s.pending[s.n_pending++] = request;
            continue;
        }
        bool same = t > 0 && ray->tasks.items[t - 1].gang == task->gang &&
                    ray->tasks.items[t - 1].node < 0 && s.n_gangs > 0;
        struct ray_gang *gang = same ? &s.gangs[s.n_gangs - 1] : &s.gangs[s.n_gangs++];
        if (!same) {
            gang->kind = RAY_GANG_STRICT_SPREAD;
            gang->bundles = arena_array_of(a, struct ray_request, ray->tasks.n + 1);
        }
        gang->bundles[gang->n++] = request;
    }
    return s;
}

static void pending_done(struct gcs_pending *p)
{
    *p->prev = p->next;
    if (p->next)
        p->next->prev = p->prev;
    loop_timer_free(p->timer);
    free(p);
}

static void give(struct gcs_pending p, int rc, const struct err *err)
{
    struct toy_ray *ray = p.gcs->ray;
    time_ms now = loop_wall_ms(ray->loop);
    if (p.what == ASKED_STATE) {
        struct arena *a = arena_new();
        struct ray_state state = state_of(ray, a, now);
        p.state(p.ctx, rc, rc == 0 ? &state : NULL, err);
        arena_free(a);
    } else if (p.what == ASKED_REPORT) {
        ray->report_version =
            rc == 0 ? MAX_OF(ray->report_version, p.version) : ray->report_version;
        p.done(p.ctx, rc, err);
    } else {
        bool accepted = true; /* an unknown node, too */
        for (size_t n = 0; n < ray->nodes.n && rc == 0; n++) {
            struct toy_node *node = &ray->nodes.items[n];
            if (strcmp(node->id, p.node_id) == 0 && !node->dead) {
                accepted = node->running == 0;
                node->dies_at = accepted ? now + DEAD_AFTER_MS : 0;
            }
        }
        p.drain(p.ctx, rc, rc == 0 && accepted, STR("no longer idle"), err);
    }
}

static void answer(void *ctx)
{
    struct gcs_pending *p = ctx, copy = *p;
    struct toy_ray *ray = p->gcs->ray;
    struct err err = ERR_INIT;
    p->timer = NULL;
    pending_done(p);
    if (!ray->head_up || rng_below(&ray->rng, 100) < ray->faults.silent) {
        err_set(&err, ERR_UNAVAILABLE, "the toy head does not answer");
        give(copy, -ERR_UNAVAILABLE, &err);
        return;
    }
    give(copy, 0, NULL);
}

static struct gcs_pending *ask(struct gcs *gcs, enum asked what, void *ctx)
{
    struct gcs_pending *p = xcalloc(1, sizeof(*p));
    struct toy_ray *ray = gcs->ray;
    *p = (struct gcs_pending){
        .gcs = gcs, .what = what, .ctx = ctx, .next = gcs->pending, .prev = &gcs->pending};
    if (p->next)
        p->next->prev = &p->next;
    gcs->pending = p;
    p->timer = loop_after(
        ray->loop, 1 + (int64_t)rng_below(&ray->rng, (uint64_t)MAX_OF(ray->faults.call_ms, 1)),
        answer, p);
    return p;
}

void gcs_get_state(struct gcs *gcs, int64_t timeout_ms, gcs_state_fn done, void *ctx)
{
    ask(gcs, ASKED_STATE, ctx)->state = done;
}

void gcs_drain_idle(struct gcs *gcs, struct str node_id, const char *message, gcs_drain_fn done,
                    void *ctx)
{
    struct gcs_pending *p = ask(gcs, ASKED_DRAIN, ctx);
    p->drain = done;
    snprintf(p->node_id, sizeof(p->node_id), "%.*s", STR_ARG(node_id));
}

void gcs_report_state(struct gcs *gcs, const struct ray_report *report, gcs_done_fn done, void *ctx)
{
    struct gcs_pending *p = ask(gcs, ASKED_REPORT, ctx);
    p->done = done;
    p->version = report->version;
}

struct gcs *gcs_new(struct loop *loop, const char *ip, int port, const char *token_or_null)
{
    struct gcs *gcs = xcalloc(1, sizeof(*gcs));
    gcs->ray = the_ray;
    return gcs;
}

struct gcs *gcs_free(struct gcs *gcs)
{
    struct err err = ERR_INIT;
    if (!gcs)
        return NULL;
    err_set(&err, ERR_CANCELED, "closed");
    while (gcs->pending) {
        struct gcs_pending copy = *gcs->pending;
        pending_done(gcs->pending);
        give(copy, -ERR_CANCELED, &err);
    }
    free(gcs);
    return NULL;
}

/* --- life */

struct toy_ray *toy_ray_new(struct loop *loop, struct toy *toy, uint64_t seed)
{
    struct toy_ray *ray = xcalloc(1, sizeof(*ray));
    ray->loop = loop;
    ray->toy = toy;
    ray->rng.state = seed;
    ray->faults = (struct toy_ray_faults){.call_ms = 5, .join_ms = 1000};
    ray->timer = loop_every(loop, STEP_MS, step, ray);
    the_ray = ray;
    return ray;
}

struct toy_ray *toy_ray_free(struct toy_ray *ray)
{
    loop_timer_free(ray->timer);
    vec_done(&ray->nodes);
    vec_done(&ray->tasks);
    free(ray);
    the_ray = NULL;
    return NULL;
}

void toy_ray_set_faults(struct toy_ray *ray, const struct toy_ray_faults *faults)
{
    ray->faults = *faults;
}

void toy_ray_group(struct toy_ray *ray, const char *group, double cpu, double gpu)
{
    ray->groups[ray->n_groups].name = group;
    ray->groups[ray->n_groups].cpu = cpu;
    ray->groups[ray->n_groups++].gpu = gpu;
}

size_t toy_ray_waiting(const struct toy_ray *ray)
{
    return ray->tasks.n;
}

size_t toy_ray_finished(const struct toy_ray *ray)
{
    return ray->finished;
}

bool toy_ray_is_busy(const struct toy_ray *ray, struct str pod)
{
    for (size_t n = 0; n < ray->nodes.n; n++) {
        const struct toy_node *node = &ray->nodes.items[n];
        if (str_is(pod, node->pod))
            return !node->dead && node->running > 0;
    }
    return false;
}

int64_t toy_ray_last_report_ms(const struct toy_ray *ray)
{
    return ray->report_version;
}
