/* The whole operator with its own autoscaler against a toy API and a toy Ray on virtual time, from a
 * seed: tasks and gangs come at random, calls fail or lose their answers, watches break, pods crash
 * and hang, heads fall silent.
 *
 * Always: no worker on which something runs is deleted; never more pods in a group than its maximum.
 * Once the faults stop: every task has run, and every group is back at its minimum.
 *
 * sim_autoscaler [seeds [first seed [loud]]]; a failing seed is printed and replays. */
#include "kube/pod_view.h"
#include "kube/raycluster.h"
#include "operator/operator.h"
#include "toy_api.h"
#include "toy_ray.h"

#define START     1767225600000
#define FAULTS_MS 180000
#define SETTLE_MS 2400000
#define IDLE_S    10

static const struct {
    const char *name;
    int cpu, gpu, min, max;
} groups[] = {
    {"cpuWG", 4, 0, 1, 3}, {"one", 4, 1, 0, 2}, {"two", 8, 2, 0, 2}, {"eight", 32, 8, 0, 3}};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct loop *loop;
    struct toy *toy;
    struct toy_ray *ray;
    struct kube_api *api;
    struct operator_instance *op;
    bool failed, loud;
    size_t submitted, deleted;
};

static void broken(struct sim *s, const char *what, struct str name)
{
    printf("seed %llu at %lld ms: %s: %.*s\n", (unsigned long long)s->seed,
           (long long)(loop_wall_ms(s->loop) - START), what, STR_ARG(name));
    s->failed = true;
}

static int pods_of(struct sim *s, const char *group)
{
    struct arena *a = arena_new();
    struct toy_list pods = toy_all(s->toy, a, "pods");
    int n = 0;
    for (size_t i = 0; i < pods.n; i++) {
        n += str_is(kube_label(pods.items[i], RAY_LABEL_GROUP), group) &&
             !kube_is_deleting(pods.items[i]);
    }
    arena_free(a);
    return n;
}

static void on_write(void *ctx, enum kube_verb verb, const char *plural, const struct val *before,
                     const struct val *after)
{
    static const char *const verbs[_KUBE_VERB_MAX] = {[KUBE_CREATE] = "create",
                                                      [KUBE_REPLACE] = "replace",
                                                      [KUBE_PATCH] = "patch",
                                                      [KUBE_DELETE] = "delete"};
    struct sim *s = ctx;
    const struct val *any = after ? after : before;
    if (s->loud) {
        printf("%8lld %s %s %s\n", (long long)(loop_wall_ms(s->loop) - START), verbs[verb], plural,
               val_as_c(val_path(any, "metadata.name")));
    }
    if (strcmp(plural, "pods") != 0)
        return;
    bool worker = str_is(kube_label(any, RAY_LABEL_NODE_TYPE), "worker");
    if (verb == KUBE_DELETE && worker && pod_phase(before) == POD_RUNNING) {
        s->deleted++;
        if (toy_ray_is_busy(s->ray, kube_name(before)))
            broken(s, "deleted a busy worker", kube_name(before));
    }
    for (size_t g = 0; g < ARRAY_SIZE(groups) && verb == KUBE_CREATE; g++)
        if (pods_of(s, groups[g].name) > groups[g].max)
            broken(s, "more pods than the maximum", str_of(groups[g].name));
}

static const struct val *pod_template(struct arena *a, int cpu, int gpu)
{
    const struct val *limits =
        val_obj(a, "cpu", val_int(a, cpu), "nvidia.com/gpu", gpu ? val_int(a, gpu) : NULL);
    const struct val *container =
        val_obj(a, "name", val_text(a, "ray"), "image", val_text(a, "rayproject/ray:2.46.0"),
                "resources", val_obj(a, "limits", limits));
    return val_obj(a, "spec", val_obj(a, "containers", val_array(a, &container, 1)));
}

/* `twins`: two of them have one name. */
static const struct val *group_list(struct sim *s, struct arena *a, bool twins)
{
    const struct val *list = val_empty_array();
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        const char *name = twins && g == 2 ? groups[1].name : groups[g].name;
        list = val_append(a, list,
                          val_obj(a, "groupName", val_text(a, name), "replicas",
                                  val_int(a, groups[g].min), "minReplicas",
                                  val_int(a, groups[g].min), "maxReplicas",
                                  val_int(a, groups[g].max), "numOfHosts", val_int(a, 1),
                                  "template", pod_template(a, groups[g].cpu, groups[g].gpu)));
        toy_ray_group(s->ray, groups[g].name, groups[g].cpu, groups[g].gpu);
    }
    return list;
}

static void put_cluster(struct sim *s)
{
    struct arena *a = arena_new();
    const struct val *list = group_list(s, a, false);
    const struct val *head = val_obj(a, "rayStartParams", val_obj(a, "num-cpus", val_text(a, "0")),
                                     "template", pod_template(a, 1, 0));
    toy_put(s->toy, "rayclusters",
            val_obj(a, "apiVersion", val_text(a, "ray.io/v1"), "kind", val_text(a, "RayCluster"),
                    "metadata",
                    val_obj(a, "name", val_text(a, "c"), "namespace", val_text(a, "ns"),
                            "generation", val_int(a, 1)),
                    "spec",
                    val_obj(a, "headGroupSpec", head, "workerGroupSpecs", list,
                            "enableInTreeAutoscaling", val_bool(true), "autoscalerOptions",
                            val_obj(a, "idleTimeoutSeconds", val_int(a, IDLE_S)), "rayVersion",
                            val_text(a, "2.46.0"))));
    arena_free(a);
}

static void submit(struct sim *s)
{
    static const double gpus[] = {0, 0, 1, 1, 2, 4, 8, 0.5};
    double gpu = gpus[rng_below(&s->rng, ARRAY_SIZE(gpus))];
    size_t bundles = gpu == 8 && rng_below(&s->rng, 2) ? 2 : 1;
    size_t times = 1 + rng_below(&s->rng, 3);
    for (size_t i = 0; i < times; i++) {
        toy_ray_submit(s->ray, bundles, 1, gpu, 100 + (int64_t)rng_below(&s->rng, 15000));
        s->submitted += bundles;
    }
}

static void check_end(struct sim *s)
{
    if (toy_ray_waiting(s->ray) > 0)
        broken(s, "tasks have not run", STR("at the end"));
    if (toy_ray_finished(s->ray) != s->submitted)
        broken(s, "tasks are lost", STR("at the end"));
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
        if (pods_of(s, groups[g].name) != groups[g].min)
            broken(s, "not back at its minimum", str_of(groups[g].name));
    const struct val *cluster = toy_get(s->toy, "rayclusters", "ns", "c");
    const struct val *list = val_path(cluster, "spec.workerGroupSpecs");
    for (size_t g = 0; g < val_len(list); g++) {
        const struct val *strategy = val_get(val_at(list, g), "scaleStrategy");
        VAL_EACH_ITEM (name, val_get(strategy, "workersToDelete"))
            if (!toy_get(s->toy, "pods", "ns", val_as_c(name))) /* one that hangs may stay */
                broken(s, "workersToDelete was not cleared", val_as_str(name));
    }
    if (toy_ray_last_report_ms(s->ray) == 0)
        broken(s, "nothing was reported", STR("ray status"));
}

static bool run_seed(uint64_t seed, bool loud)
{
    struct sim s = {.seed = seed, .rng = {seed}, .loud = loud};
    struct toy_faults none = {.call_ms = 5, .watch_ms = 5}, faults = none;
    struct toy_ray_faults ray_none = {.call_ms = 5, .join_ms = 1000}, ray_faults = ray_none;
    struct operator_config config = {.autoscaler = OPERATOR_AUTOSCALER_NATIVE};
    struct err err = ERR_INIT;
    s.loop = loop_new_sim(START, seed);
    s.toy = toy_new(s.loop, seed ^ 0x9e3779b97f4a7c15u);
    s.ray = toy_ray_new(s.loop, s.toy, seed + 17);
    toy_on_write(s.toy, on_write, &s);
    if (seed % 4) {
        faults = (struct toy_faults){.refuse = (unsigned)rng_below(&s.rng, 20),
                                     .lose = (unsigned)rng_below(&s.rng, 15),
                                     .drop_watch = (unsigned)rng_below(&s.rng, 15),
                                     .gone = (unsigned)rng_below(&s.rng, 20),
                                     .stuck_pod = (unsigned)rng_below(&s.rng, 10),
                                     .crash_pod = (unsigned)rng_below(&s.rng, 10),
                                     .call_ms = (int64_t)rng_below(&s.rng, 300),
                                     .watch_ms = (int64_t)rng_below(&s.rng, 2000)};
        ray_faults = (struct toy_ray_faults){.silent = (unsigned)rng_below(&s.rng, 40),
                                             .call_ms = (int64_t)rng_below(&s.rng, 1500),
                                             .join_ms = (int64_t)rng_below(&s.rng, 20000)};
    }
    toy_set_faults(s.toy, &faults);
    toy_ray_set_faults(s.ray, &ray_faults);
    put_cluster(&s);
    s.api = toy_api(s.toy);
    if (operator_new(s.loop, s.api, &config, &s.op, &err) < 0) {
        broken(&s, "operator_new", str_of(err.text));
        return false;
    }
    time_ms now = START;
    while (now < START + FAULTS_MS && !s.failed) {
        now += (time_ms)rng_below(&s.rng, 12000);
        loop_sim_run(s.loop, now);
        submit(&s);
    }
    toy_set_faults(s.toy, &none);
    toy_ray_set_faults(s.ray, &ray_none);
    for (time_ms end = now + SETTLE_MS; now < end && !s.failed; now += 10000)
        loop_sim_run(s.loop, now);
    if (!s.failed)
        check_end(&s);
    if (loud) {
        printf("seed %llu: %zu bundles, %zu running workers deleted\n", (unsigned long long)seed,
               s.submitted, s.deleted);
    }
    s.op = operator_free(s.op);
    loop_sim_run(s.loop, now + 20000); /* answers that are still on their way */
    toy_ray_free(s.ray);
    toy_free(s.toy);
    kube_api_free(s.api);
    loop_free(s.loop);
    return !s.failed;
}

static void on_patched(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    if (rc < 0)
        broken(ctx, "the patch", str_of(err->text));
}

/* The owner of a pod cannot be determined: nothing is scaled, and the view says why. */
static bool twins_freeze(void)
{
    struct sim s = {.rng = {1}};
    struct toy_faults none = {.call_ms = 5, .watch_ms = 5};
    struct toy_ray_faults ray_none = {.call_ms = 5, .join_ms = 1000};
    struct operator_config config = {.autoscaler = OPERATOR_AUTOSCALER_NATIVE};
    struct err err = ERR_INIT;
    s.loop = loop_new_sim(START, 1);
    s.toy = toy_new(s.loop, 1);
    s.ray = toy_ray_new(s.loop, s.toy, 1);
    toy_set_faults(s.toy, &none);
    toy_ray_set_faults(s.ray, &ray_none);
    put_cluster(&s);
    s.api = toy_api(s.toy);
    if (operator_new(s.loop, s.api, &config, &s.op, &err) < 0) {
        broken(&s, "operator_new", str_of(err.text));
        return false;
    }
    loop_sim_run(s.loop, START + 10000);
    struct arena *a = arena_new();
    struct kube_call twins = {
        .verb = KUBE_PATCH,
        .group = "ray.io",
        .version = "v1",
        .plural = "rayclusters",
        .ns = STR("ns"),
        .name = STR("c"),
        .patch_type = KUBE_PATCH_MERGE,
        .body = val_obj(a, "spec", val_obj(a, "workerGroupSpecs", group_list(&s, a, true)))};
    kube_request(s.api, &twins, on_patched, &s);
    loop_sim_run(s.loop, START + 11000);
    toy_ray_submit(s.ray, 1, 1, 8, 1000);
    loop_sim_run(s.loop, START + 60000);
    const struct val *view = operator_autoscaler_view(s.op, a, STR("ns"), STR("c"));
    if (!str_has(val_path_str(view, "ray.error"), STR("one is the name of")))
        broken(&s, "the view does not tell of twins", val_path_str(view, "ray.error"));
    const struct val *cluster = toy_get(s.toy, "rayclusters", "ns", "c");
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        const struct val *group = val_at(val_path(cluster, "spec.workerGroupSpecs"), g);
        if (val_path_int(group, "replicas", -1) != groups[g].min)
            broken(&s, "scaled among twins", str_of(groups[g].name));
    }
    arena_free(a);
    s.op = operator_free(s.op);
    loop_sim_run(s.loop, START + 80000);
    toy_ray_free(s.ray);
    toy_free(s.toy);
    kube_api_free(s.api);
    loop_free(s.loop);
    return !s.failed;
}

/* A time-out that the operator was started with holds for a cluster that says another one, and still
 * does when the cluster is applied again. */
static bool idle_timeout_holds(void)
{
    struct sim s = {.rng = {1}};
    struct toy_faults none = {.call_ms = 5, .watch_ms = 5};
    struct toy_ray_faults ray_none = {.call_ms = 5, .join_ms = 1000};
    struct operator_config config = {.autoscaler = OPERATOR_AUTOSCALER_NATIVE, .idle_timeout_s = 2};
    struct err err = ERR_INIT;
    s.loop = loop_new_sim(START, 1);
    s.toy = toy_new(s.loop, 1);
    s.ray = toy_ray_new(s.loop, s.toy, 1);
    toy_set_faults(s.toy, &none);
    toy_ray_set_faults(s.ray, &ray_none);
    put_cluster(&s);
    s.api = toy_api(s.toy);
    if (operator_new(s.loop, s.api, &config, &s.op, &err) < 0) {
        broken(&s, "operator_new", str_of(err.text));
        return false;
    }
    loop_sim_run(s.loop, START + 10000);
    struct arena *a = arena_new();
    for (int i = 1; i <= 2; i++) {
        struct kube_call again = {
            .verb = KUBE_PATCH,
            .group = "ray.io",
            .version = "v1",
            .plural = "rayclusters",
            .ns = STR("ns"),
            .name = STR("c"),
            .patch_type = KUBE_PATCH_MERGE,
            .body = val_obj(a, "spec",
                            val_obj(a, "autoscalerOptions",
                                    val_obj(a, "idleTimeoutSeconds", val_int(a, 600 * i))))};
        kube_request(s.api, &again, on_patched, &s);
        toy_ray_submit(s.ray, 1, 1, 8, 1000);
        loop_sim_run(s.loop, START + 10000 + i * 30000);
        if (toy_ray_waiting(s.ray) > 0 || toy_ray_finished(s.ray) != (size_t)i)
            broken(&s, "the task did not run", STR("idle time-out"));
        for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
            if (pods_of(&s, groups[g].name) != groups[g].min)
                broken(&s, "still there after the operator's time-out", str_of(groups[g].name));
    }
    arena_free(a);
    s.op = operator_free(s.op);
    loop_sim_run(s.loop, START + 120000);
    toy_ray_free(s.ray);
    toy_free(s.toy);
    kube_api_free(s.api);
    loop_free(s.loop);
    return !s.failed;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 100, first = 1, bad = 0;
    if (argc > 1)
        (void)str_to_u64(str_of(argv[1]), &seeds);
    if (argc > 2)
        (void)str_to_u64(str_of(argv[2]), &first);
    bad += !twins_freeze();
    bad += !idle_timeout_holds();
    for (uint64_t seed = first; seed < first + seeds && bad < 5; seed++)
        bad += !run_seed(seed, argc > 3);
    printf("%llu seeds, %llu broken\n", (unsigned long long)seeds, (unsigned long long)bad);
    return bad > 0;
}
