/* The operator against a toy API on virtual time, from a seed: users edit, calls fail or lose their
 * answers, watches break, pods crash, hang and get lost, the operator is killed and started anew.
 *
 * Always: no pod of another owner is deleted; unless the operator was killed, never two heads and
 * never more pods in a group than its maximum. Once the faults stop: what the specs ask for is there,
 * and after that nothing more is written.
 *
 * sim_operator [seeds [first seed [loud]]]; a failing seed is printed and replays. */
#include "base/rng.h"
#include "operator/operator.h"
#include "kube/pod_view.h"
#include "kube/raycluster.h"
#include "toy_api.h"

#define START       1767225600000
#define FAULTS_MS   120000
#define SETTLE_MS   1500000 /* strikes of up to 5 min and heads that hang must be over */
#define QUIET_MS    900000
#define MAX_CLUSTER 3

struct sim {
    uint64_t seed;
    struct rng rng;
    struct loop *loop;
    struct toy *toy;
    struct kube_api *api;
    struct operator_instance *op;
    bool killed, failed, quiet, loud;
};

static void broken(struct sim *s, const char *what, struct str name)
{
    printf("seed %llu at %lld ms: %s: %.*s\n", (unsigned long long)s->seed,
           (long long)(loop_wall_ms(s->loop) - START), what, STR_ARG(name));
    s->failed = true;
}

/* --- what must always hold, seen from the store */

static int64_t alive(struct sim *s, const struct val *like)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct toy_list pods = toy_all(s->toy, a, "pods");
    struct str owner = val_as_str(val_get(kube_controller_of(like), "uid"));
    int64_t n = 0;
    for (size_t i = 0; i < pods.n; i++)
        n += kube_is_owned_by(pods.items[i], owner) && !kube_is_deleting(pods.items[i]) &&
             str_eq(kube_label(pods.items[i], RAY_LABEL_GROUP), kube_label(like, RAY_LABEL_GROUP));
    return n;
}

/* The largest maximum that the group had lately: a create may be on its way while the user lowers it. */
static void check_create(struct sim *s, const struct val *pod)
{
    bool head = str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head");
    if (s->killed)
        return;
    if (head && alive(s, pod) > 1)
        broken(s, "two heads", kube_name(pod));
    if (!head && alive(s, pod) > 6)
        broken(s, "more workers than any maximum", kube_name(pod));
}

static void on_write(void *ctx, enum kube_verb verb, const char *plural, const struct val *before,
                     const struct val *after)
{
    static const char *const verbs[_KUBE_VERB_MAX] = {[KUBE_CREATE] = "create",
                                                      [KUBE_REPLACE] = "replace",
                                                      [KUBE_PATCH] = "patch",
                                                      [KUBE_DELETE] = "delete"};
    struct sim *s = ctx;
    if (s->loud)
        printf("%8lld %s %s %s\n", (long long)(loop_wall_ms(s->loop) - START), verbs[verb], plural,
               val_as_c(val_path(after ? after : before, "metadata.name")));
    if (s->quiet)
        broken(s, "a write although nothing changed", str_of(plural));
    if (strcmp(plural, "pods") != 0)
        return;
    if (verb == KUBE_DELETE &&
        !str_is(val_as_str(val_get(kube_controller_of(before), "kind")), "RayCluster"))
        broken(s, "deleted a pod that is not ours", kube_name(before));
    if (verb == KUBE_CREATE)
        check_create(s, after);
}

/* --- users */

static const struct val *pod_template(struct arena *a)
{
    const struct val *container = val_obj(
        a, "name", val_text(a, "ray"), "image", val_text(a, "rayproject/ray:2.46.0"), "resources",
        val_obj(a, "limits", val_obj(a, "cpu", val_int(a, 1), "memory", val_text(a, "1Gi"))));
    return val_obj(a, "spec", val_obj(a, "containers", val_array(a, &container, 1)));
}

static const struct val *random_group(struct sim *s, struct arena *a, int i)
{
    int64_t hosts = rng_below(&s->rng, 4) == 0 ? 2 : 1;
    return val_obj(a, "groupName", val_textf(a, "G%d", i), "replicas",
                   val_int(a, (int64_t)rng_below(&s->rng, 5)), "minReplicas", val_int(a, 0),
                   "maxReplicas", val_int(a, hosts == 2 ? 3 : 6), "numOfHosts", val_int(a, hosts),
                   "template", pod_template(a));
}

static const struct val *random_cluster(struct sim *s, struct arena *a, const char *name)
{
    const struct val *groups = val_empty_array();
    size_t n = rng_below(&s->rng, 4);
    for (size_t i = 0; i < n; i++)
        groups = val_append(a, groups, random_group(s, a, (int)i));
    const struct val *head =
        val_obj(a, "rayStartParams", val_empty_object(), "template", pod_template(a));
    return val_obj(
        a, "apiVersion", val_text(a, "ray.io/v1"), "kind", val_text(a, "RayCluster"), "metadata",
        val_obj(a, "name", val_text(a, name), "namespace", val_text(a, "ns"), "generation",
                val_int(a, 1)),
        "spec",
        val_obj(a, "headGroupSpec", head, "workerGroupSpecs", groups, "enableInTreeAutoscaling",
                val_bool(rng_below(&s->rng, 3) == 0), "rayVersion", val_text(a, "2.46.0")));
}

static const struct val *edited(struct sim *s, struct arena *a, const struct val *cluster)
{
    const struct val *groups = val_path(cluster, "spec.workerGroupSpecs");
    struct toy_list pods = toy_all(s->toy, a, "pods");
    size_t n = val_len(groups), i = n ? rng_below(&s->rng, n) : 0;
    int64_t generation = kube_generation(cluster) + 1;
    switch (rng_below(&s->rng, 6)) {
    case 0:
        groups = n ? val_remove_at(a, groups, i) : groups;
        break;
    case 1:
        groups = val_append(a, val_is(groups, VAL_ARRAY) ? groups : val_empty_array(),
                            random_group(s, a, (int)(10 + generation)));
        break;
    case 2:
        cluster = val_set_path(a, cluster, "spec.suspend", val_bool(rng_below(&s->rng, 2)));
        break;
    case 3: /* some pod's name, maybe another cluster's */
        if (n && pods.n) {
            const struct val *name =
                val_string(a, kube_name(pods.items[rng_below(&s->rng, pods.n)]));
            groups = val_set_at(a, groups, i,
                                val_set_path(a, val_at(groups, i), "scaleStrategy.workersToDelete",
                                             val_array(a, &name, 1)));
        }
        break;
    default:
        if (n)
            groups = val_set_at(a, groups, i,
                                val_set(a, val_at(groups, i), "replicas",
                                        val_int(a, (int64_t)rng_below(&s->rng, 5))));
    }
    cluster =
        val_set_path(a, cluster, "spec.workerGroupSpecs", groups ? groups : val_empty_array());
    return val_set_path(a, cluster, "metadata.generation", val_int(a, generation));
}

static void foreign_pod(struct sim *s, struct arena *a)
{
    const struct val *labels = val_obj(a, RAY_LABEL_CLUSTER, val_text(a, "c0"), RAY_LABEL_NODE_TYPE,
                                       val_text(a, "worker"), RAY_LABEL_GROUP, val_text(a, "G0"));
    const struct val *metadata =
        val_obj(a, "name", val_textf(a, "foreign-%u", (unsigned)rng_below(&s->rng, 9)), "namespace",
                val_text(a, "ns"), "labels", labels);
    toy_put(s->toy, "pods",
            val_obj(a, "kind", val_text(a, "Pod"), "metadata", metadata, "spec", pod_template(a)));
}

static void user_acts(struct sim *s)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct toy_list pods = toy_all(s->toy, a, "pods");
    const char *name = arena_strf(a, "c%u", (unsigned)rng_below(&s->rng, MAX_CLUSTER)).p;
    const struct val *cluster = toy_get(s->toy, "rayclusters", "ns", name);
    unsigned what = (unsigned)rng_below(&s->rng, 20);
    if (!cluster && what < 16) {
        toy_put(s->toy, "rayclusters", random_cluster(s, a, name));
    } else if (what < 11) {
        toy_put(s->toy, "rayclusters",
                cluster ? edited(s, a, cluster) : random_cluster(s, a, name));
    } else if (what < 15 && pods.n) {
        const struct val *pod = pods.items[rng_below(&s->rng, pods.n)];
        toy_delete(s->toy, "pods", "ns", val_as_c(val_path(pod, "metadata.name")));
    } else if (what < 17) {
        toy_delete(s->toy, "rayclusters", "ns", name);
    } else {
        foreign_pod(s, a);
    }
}

/* --- what must hold in the end */

static void check_group(struct sim *s, struct toy_list pods, const struct raycluster *rc,
                        const struct ray_group *group)
{
    int64_t ready = 0, wanted = (int64_t)ray_group_wanted(group) * group->hosts;
    for (size_t i = 0; i < pods.n; i++) {
        const struct val *pod = pods.items[i];
        ready += kube_is_owned_by(pod, rc->uid) &&
                 str_eq(kube_label(pod, RAY_LABEL_GROUP), group->name) &&
                 pod_is_running_and_ready(pod) && !kube_is_deleting(pod);
    }
    if (rc->suspend ? ready != 0 : rc->autoscaling ? ready < wanted : ready != wanted)
        broken(s, "a group did not come to its size", group->name);
}

static void check_end(struct sim *s)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct toy_list clusters = toy_all(s->toy, a, "rayclusters"), pods = toy_all(s->toy, a, "pods");
    for (size_t i = 0; i < clusters.n; i++) {
        struct raycluster rc;
        struct err err;
        int64_t heads = 0, orphans = 0;
        if (raycluster_read(a, clusters.items[i], &rc, &err) < 0) {
            broken(s, "cannot be read", kube_name(clusters.items[i]));
            continue;
        }
        for (size_t k = 0; k < pods.n; k++) {
            bool ours = kube_is_owned_by(pods.items[k], rc.uid) && !kube_is_deleting(pods.items[k]);
            bool known = str_is(kube_label(pods.items[k], RAY_LABEL_NODE_TYPE), "head");
            heads += ours && known && pod_is_running_and_ready(pods.items[k]);
            for (size_t g = 0; g < rc.n_groups; g++)
                known =
                    known || str_eq(kube_label(pods.items[k], RAY_LABEL_GROUP), rc.groups[g].name);
            orphans += ours && !known;
        }
        if (heads != (rc.suspend ? 0 : 1))
            broken(s, "not one ready head", rc.name);
        for (size_t k = 0; s->loud && k < pods.n; k++)
            printf("  %.*s\n", STR_ARG(val_json(a, val_set(a, pods.items[k], "spec", NULL))));
        if (s->loud)
            printf("  %.*s\n", STR_ARG(val_json(a, clusters.items[i])));
        if (orphans)
            broken(s, "pods of a removed group live on", rc.name);
        for (size_t g = 0; g < rc.n_groups; g++)
            check_group(s, pods, &rc, &rc.groups[g]);
        if (!toy_get(s->toy, "services", "ns", raycluster_head_service(a, &rc).p))
            broken(s, "no head service", rc.name);
        bool told =
            kube_condition_is(val_path(rc.object, "status.conditions"), "RayClusterReady", "True");
        if (told == rc.suspend)
            broken(s, "condition RayClusterReady does not tell the truth", rc.name);
    }
}

/* workersToDelete stays listed for ever otherwise: the autoscaler's part of the contract. */
static void clear_lists(struct sim *s)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct toy_list clusters = toy_all(s->toy, a, "rayclusters");
    for (size_t i = 0; i < clusters.n; i++) {
        const struct val *groups = val_path(clusters.items[i], "spec.workerGroupSpecs");
        for (size_t k = 0; k < val_len(groups); k++)
            groups = val_set_at(a, groups, k, val_set(a, val_at(groups, k), "scaleStrategy", NULL));
        toy_put(s->toy, "rayclusters",
                val_set_path(a, clusters.items[i], "spec.workerGroupSpecs", groups));
    }
}

/* --- one story */

static void start_operator(struct sim *s)
{
    struct operator_config config = {.autoscaler = OPERATOR_AUTOSCALER_RAY};
    struct err err;
    s->api = toy_api(s->toy);
    if (operator_new(s->loop, s->api, &config, &s->op, &err) < 0)
        broken(s, "operator_new", str_of(err.text));
}

static void stop_operator(struct sim *s)
{
    s->op = operator_free(s->op);
}

static bool run_seed(uint64_t seed, bool loud)
{
    struct sim s = {.seed = seed, .rng = {seed}, .loud = loud};
    struct toy_faults none = {.call_ms = 5, .watch_ms = 5}, faults = none;
    s.loop = loop_new_sim(START, seed);
    s.toy = toy_new(s.loop, seed ^ 0x9e3779b97f4a7c15u);
    toy_on_write(s.toy, on_write, &s);
    if (seed % 4) {
        faults = (struct toy_faults){.refuse = (unsigned)rng_below(&s.rng, 30),
                                     .lose = (unsigned)rng_below(&s.rng, 20),
                                     .drop_watch = (unsigned)rng_below(&s.rng, 20),
                                     .gone = (unsigned)rng_below(&s.rng, 30),
                                     .stuck_pod = (unsigned)rng_below(&s.rng, 20),
                                     .crash_pod = (unsigned)rng_below(&s.rng, 20),
                                     .call_ms = (int64_t)rng_below(&s.rng, 300),
                                     .watch_ms = (int64_t)rng_below(&s.rng, 3000)};
    }
    bool kills = seed % 8 == 3;
    toy_set_faults(s.toy, &faults);
    start_operator(&s);
    struct kube_api *apis[64];
    size_t n_apis = 0;
    time_ms now = START;
    while (now < START + FAULTS_MS && !s.failed) {
        now += (time_ms)rng_below(&s.rng, 4000);
        loop_sim_run(s.loop, now);
        user_acts(&s);
        if (kills && n_apis < 60 && rng_below(&s.rng, 6) == 0) {
            s.killed = true;
            stop_operator(&s);
            apis[n_apis++] = s.api;
            start_operator(&s);
        }
    }
    toy_set_faults(s.toy, &none);
    clear_lists(&s);
    loop_sim_run(s.loop, now + SETTLE_MS);
    if (!s.failed)
        check_end(&s);
    s.quiet = true;
    loop_sim_run(s.loop, now + SETTLE_MS + QUIET_MS);
    stop_operator(&s);
    loop_sim_run(s.loop,
                 now + SETTLE_MS + QUIET_MS + 10000); /* answers that are still on their way */
    toy_free(s.toy);
    kube_api_free(s.api);
    for (size_t i = 0; i < n_apis; i++)
        kube_api_free(apis[i]);
    loop_free(s.loop);
    return !s.failed;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 300, first = 1, bad = 0;
    if (argc > 1)
        (void)str_to_u64(str_of(argv[1]), &seeds);
    if (argc > 2)
        (void)str_to_u64(str_of(argv[2]), &first);
    for (uint64_t seed = first; seed < first + seeds; seed++)
        bad += !run_seed(seed, argc > 3);
    printf("%llu seeds, %llu failed\n", (unsigned long long)seeds, (unsigned long long)bad);
    return bad ? 1 : 0;
}
