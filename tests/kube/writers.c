/* What our own components write, through a real kube-apiserver with KubeRay's own CRDs.
 *
 *     writers KUBECONFIG GOLDEN_DIR
 *
 * The node runs pods, then the operator brings up RayClusters of many shapes, both over the remote maker of
 * struct kube_api. A maker around it looks at each write: one that the server refuses fails the
 * test (but for conflicts and what is there or gone already), and so does a field that was sent
 * and did not come back. TAP. Run by ./written. */
#include "client/client.h"
#include "kube/pod_view.h"
#include "operator/operator.h"
#include "runtime/runtime.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define NS          "writers"

static struct loop *loop;
static struct arena *a;
static int number, failed;
static char self_exe[512];

static void check(bool ok, const char *name)
{
    printf("%s %d - %s\n", ok ? "ok" : "not ok", ++number, name);
    failed += !ok;
    fflush(stdout);
}

/* --- the maker that looks at each write */

struct recorder {
    struct kube_api api; /* first */
    struct kube_api *inner;
    const char *who;
    int writes, refused, pruned, events;
};

struct recorded {
    struct recorder *recorder;
    struct kube_call call; /* texts are constants or in the arena of the test */
    kube_done_fn done;
    void *ctx;
};

static const char *verb_name(enum kube_verb verb)
{
    static const char *const names[_KUBE_VERB_MAX] = {
        "get", "list", "create", "replace", "patch", "delete", "delete collection"};
    return names[verb];
}

/* Nothing that was sent may be missing in what came back. */
static bool is_kept(const struct val *sent, const struct val *got, struct str path,
                    struct str *ret_at)
{
    for (size_t i = 0; val_is(sent, VAL_OBJECT) && i < val_len(sent); i++) {
        struct str key = val_key_at(sent, i);
        const struct val *part = val_member_at(sent, i), *there = val_gets(got, key);
        struct str at = arena_strf(a, "%.*s.%.*s", STR_ARG(path), STR_ARG(key));
        bool nothing = val_is(part, VAL_NULL) || (val_type(part) != VAL_INT &&
                                                  val_type(part) != VAL_BOOL && val_len(part) == 0);
        if (!there && !nothing && part != val_bool(false) && part != val_int(a, 0)) {
            *ret_at = at;
            return false;
        }
        if (there && !is_kept(part, there, at, ret_at))
            return false;
    }
    for (size_t i = 0; val_is(sent, VAL_ARRAY) && i < val_len(sent); i++)
        if (i < val_len(got) && !is_kept(val_at(sent, i), val_at(got, i), path, ret_at))
            return false;
    return true;
}

static bool is_expected(enum err_code code)
{
    return code == ERR_CONFLICT || code == ERR_NOT_FOUND || code == ERR_EXISTS ||
           code == ERR_CANCELED;
}

static void look(const struct recorded *r, int rc, const struct val *answer, const struct err *err)
{
    struct recorder *recorder = r->recorder;
    const struct kube_call *c = &r->call;
    struct str at = STR("");
    if (c->verb == KUBE_GET || c->verb == KUBE_LIST)
        return;
    recorder->writes++;
    recorder->events += strcmp(c->plural, "events") == 0 && rc == 0;
    if (rc < 0 && !is_expected(err->code)) {
        recorder->refused++;
        printf("# %s: %s %s%s%s refused: %s %s\n#   %s\n", recorder->who, verb_name(c->verb),
               c->plural, c->subresource ? "/" : "", c->subresource ? c->subresource : "",
               err->field, err->text, c->body ? arena_c(a, val_json(a, c->body)) : "");
    }
    bool whole = c->verb == KUBE_CREATE || c->verb == KUBE_REPLACE ||
                 (c->verb == KUBE_PATCH && c->patch_type == KUBE_PATCH_MERGE);
    const struct val *sent = c->subresource && strcmp(c->subresource, "status") == 0
                                 ? val_obj(a, "status", val_get(c->body, "status"))
                                 : c->body;
    if (rc == 0 && whole && !str_is(kube_kind(answer), "Status") &&
        !is_kept(sent, answer, STR(""), &at)) {
        recorder->pruned++;
        printf("# %s: %s %s: %.*s was sent and is not there\n", recorder->who, verb_name(c->verb),
               c->plural, STR_ARG(at));
    }
}

static void recorded_done(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct recorded *r = ctx;
    look(r, rc, answer, err);
    r->done(r->ctx, rc, answer, err);
    val_unref(r->call.body);
    free(r);
}

static void recorder_request(struct kube_api *self, const struct kube_call *call, kube_done_fn done,
                             void *ctx)
{
    struct recorder *recorder = container_of(self, struct recorder, api);
    struct recorded *r = xcalloc(1, sizeof(*r));
    *r = (struct recorded){.recorder = recorder, .call = *call, .done = done, .ctx = ctx};
    r->call.body = val_ref(call->body);
    kube_request(recorder->inner, call, recorded_done, r);
}

static struct kube_watch *recorder_watch(struct kube_api *self, const struct kube_call *call,
                                         kube_event_fn event, kube_end_fn end, void *ctx)
{
    struct recorder *recorder = container_of(self, struct recorder, api);
    return recorder->inner->ops->watch(recorder->inner, call, event, end, ctx);
}

static void recorder_watch_free(struct kube_api *self, struct kube_watch *watch)
{
    struct recorder *recorder = container_of(self, struct recorder, api);
    recorder->inner->ops->watch_free(recorder->inner, watch);
}

static void recorder_free(struct kube_api *self)
{
}

static const struct kube_api_ops recorder_ops = {.request = recorder_request,
                                                 .watch = recorder_watch,
                                                 .watch_free = recorder_watch_free,
                                                 .free = recorder_free};

/* --- the test's own calls */

struct answer {
    bool done;
    int rc;
    const struct val *v;
    struct err err;
};

static void on_done(void *ctx, int rc, const struct val *v, const struct err *err)
{
    struct answer *got = ctx;
    *got = (struct answer){.done = true, .rc = rc, .v = val_keep(a, v)};
    if (rc < 0)
        got->err = *err;
}

static struct answer call(struct kube_api *api, struct kube_call c)
{
    struct answer got = {0};
    c.group = c.group ? c.group : "";
    c.version = c.version ? c.version : "v1";
    c.field_manager = STR("test");
    kube_request(api, &c, on_done, &got);
    for (int i = 0; i < 600 && !got.done; i++)
        loop_turn(loop, 50);
    return got;
}

static const struct val *list(struct kube_api *api, const char *group, const char *plural)
{
    struct answer got = call(
        api,
        (struct kube_call){.verb = KUBE_LIST, .group = group, .plural = plural, .ns = STR(NS)});
    return val_get(got.v, "items");
}

static const struct val *list_all(struct kube_api *api, const char *plural)
{
    return val_get(call(api, (struct kube_call){.verb = KUBE_LIST, .plural = plural}).v, "items");
}

static const struct val *json(const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "test", str_of(text), &v, &err) < 0) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return v;
}

static time_ms deadline;

static bool again(void)
{
    loop_turn(loop, 50);
    return loop_wall_ms(loop) < deadline;
}

/* --- the node */

static const struct {
    const char *name, *spec;
    const char *phase;
} pods[] = {
    {"runs",
     "{containers: [{name: a, image: x, command: [sleep, '1000'], ports: [{containerPort: 80}], "
     "readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}}], initContainers: [{name: i, "
     "image: x, command: ['true']}]}",
     "Running"},
    {"ends", "{restartPolicy: Never, containers: [{name: a, image: x, command: ['true']}]}",
     "Succeeded"},
    {"fails", "{restartPolicy: Never, containers: [{name: a, image: x, command: ['false']}]}",
     "Failed"},
    {"again", "{containers: [{name: a, image: x, command: [sh, -c, 'exit 3']}]}", "Running"},
    {"no-program", "{containers: [{name: a, image: x, command: [/no/such/program]}]}", NULL},
    {"no-place", "{containers: [{name: a, image: x, resources: {requests: {cpu: '1000'}}}]}",
     "Pending"},
    {"no-map",
     "{containers: [{name: a, image: x, command: [sleep, '9'], envFrom: [{configMapRef: {name: "
     "none}}]}]}",
     "Pending"},
};

static bool phases_are_there(struct kube_api *api)
{
    const struct val *all = list(api, "", "pods");
    size_t good = 0;
    VAL_EACH_ITEM (pod, all) {
        for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
            bool status = val_path(pod, "status.conditions") != NULL;
            good += str_is(kube_name(pod), pods[i].name) && status &&
                    (!pods[i].phase || str_is(val_path_str(pod, "status.phase"), pods[i].phase));
        }
    }
    return good == ARRAY_SIZE(pods);
}

/* The node controller's part: a node that says it is ready loses the taint that it began with. */
static void play_node_controller(struct kube_api *api)
{
    const struct val *all = list_all(api, "nodes");
    VAL_EACH_ITEM (node, all) {
        if (val_len(val_path(node, "spec.taints")))
            call(api, (struct kube_call){.verb = KUBE_PATCH,
                                         .patch_type = KUBE_PATCH_MERGE,
                                         .plural = "nodes",
                                         .name = kube_name(node),
                                         .body = json("{spec: {taints: null}}")});
    }
}

static void on_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

static void remove_pods(struct kube_api *api)
{
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++)
        call(api, (struct kube_call){.verb = KUBE_DELETE,
                                     .plural = "pods",
                                     .ns = STR(NS),
                                     .name = str_of(pods[i].name),
                                     .body = json("{gracePeriodSeconds: 0}")});
}

static void check_recorder(const struct recorder *r, int least_events)
{
    printf("# %s: %d writes, %d events\n", r->who, r->writes, r->events);
    check(r->writes > 0 && r->refused == 0, arena_strf(a, "%s: nothing is refused", r->who).p);
    check(r->pruned == 0, arena_strf(a, "%s: nothing is pruned", r->who).p);
    check(r->events >= least_events, arena_strf(a, "%s: events arrive", r->who).p);
}

static void walk_node(struct kube_api *api, const char *dir)
{
    struct recorder recorder = {.api.ops = &recorder_ops, .inner = api, .who = "node"};
    static const struct recipe_row images[] = {{.name = "x", .is_host = true}};
    struct runtime_config config = {.dir = dir,
                                    .images = {.rows = images, .n_rows = 1},
                                    .cache_dir = "/nonexistent",
                                    .nodes = 1,
                                    .gpus = 2,
                                    .gpu_product = "Test",
                                    .cpu = "4",
                                    .memory = "1Gi",
                                    .self_exe = self_exe,
                                    .back_off_ms = 200};
    struct runtime *rt;
    struct err err = ERR_INIT;
    if (runtime_new(loop, &recorder.api, &config, &rt, &err) < 0) {
        printf("ok %d # SKIP the node cannot run here: %s\n", ++number, err.text);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
        const struct val *pod =
            val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Pod"), "metadata",
                    val_obj(a, "name", val_text(a, pods[i].name)), "spec", json(pods[i].spec));
        struct answer got = call(
            api,
            (struct kube_call){.verb = KUBE_CREATE, .plural = "pods", .ns = STR(NS), .body = pod});
        if (got.rc < 0)
            printf("# %s: %s\n", pods[i].name, got.err.text);
    }
    bool there;
    deadline = loop_wall_ms(loop) + PATIENCE_MS;
    while (!(there = phases_are_there(api)) && again())
        play_node_controller(api);
    check(there, "node: every pod has its status");
    const struct val *all = there ? NULL : list(api, "", "pods");
    VAL_EACH_ITEM (pod, all)
        printf("# %.*s on %.*s: %s\n", STR_ARG(kube_name(pod)),
               STR_ARG(val_path_str(pod, "spec.nodeName")),
               arena_c(a, val_json(a, val_get(pod, "status"))));
    remove_pods(api);
    for (int i = 0; i < 100; i++)
        loop_turn(loop, 20);
    bool stopped = false;
    runtime_stop(rt, on_stopped, &stopped);
    deadline = loop_wall_ms(loop) + PATIENCE_MS;
    while (!stopped && again())
        ;
    runtime_free(rt);
    loop_turn(loop, 200);
    check_recorder(&recorder, 5);
}

/* --- the operator */

/* Shapes beyond the golden ones: what makes warnings, refusals and suspended clusters. */
static const char *const more[] = {
    "{metadata: {name: bad_values, annotations: {a: b}}, spec: {}}",
    "{metadata: {name: twice}, spec: {headGroupSpec: {rayStartParams: {}, template: {spec: "
    "{containers: [{name: h, image: i}]}}}, workerGroupSpecs: ["
    "{groupName: g, replicas: 1, minReplicas: 0, maxReplicas: 1, rayStartParams: {}, template: "
    "{spec: {containers: [{name: w, image: i}]}}},"
    "{groupName: g, replicas: 1, minReplicas: 0, maxReplicas: 1, rayStartParams: {}, template: "
    "{spec: {containers: [{name: w, image: i}]}}}]}}",
    "{metadata: {name: suspended}, spec: {suspend: true, headGroupSpec: {rayStartParams: {}, "
    "template: {spec: {containers: [{name: h, image: i}]}}}}}",
    "{metadata: {name: no-account}, spec: {headGroupSpec: {rayStartParams: {}, template: {spec: "
    "{serviceAccountName: none, containers: [{name: h, image: i}]}}}}}",
    "{metadata: {name: scaled}, spec: {enableInTreeAutoscaling: true, rayVersion: 2.46.0, "
    "headGroupSpec: {rayStartParams: {}, template: {spec: {containers: [{name: h, image: i, "
    "resources: {limits: {cpu: 1500m, memory: 2Gi, nvidia.com/gpu: 1}}}]}}}, workerGroupSpecs: ["
    "{groupName: g, replicas: 2, minReplicas: 0, maxReplicas: 5, rayStartParams: {}, template: "
    "{spec: {containers: [{name: w, image: i}]}}}]}}",
};

static int create_cluster(struct kube_api *api, const struct val *cluster)
{
    cluster = val_set(a, val_set(a, cluster, "apiVersion", val_text(a, "ray.io/v1")), "kind",
                      val_text(a, "RayCluster"));
    cluster = val_set_path(a, cluster, "metadata.namespace", NULL);
    struct answer got = call(api, (struct kube_call){.verb = KUBE_CREATE,
                                                     .group = "ray.io",
                                                     .plural = "rayclusters",
                                                     .ns = STR(NS),
                                                     .body = cluster});
    if (got.rc < 0)
        printf("# %.*s is no cluster here: %s\n", STR_ARG(kube_name(cluster)), got.err.text);
    return got.rc < 0 ? 0 : 1;
}

static struct str read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    struct buf text = BUF_INIT(8u << 20);
    char part[4096];
    for (size_t n; f && (n = fread(part, 1, sizeof(part), f)) > 0;)
        buf_add(&text, (struct str){part, n});
    if (f)
        fclose(f);
    struct str s = arena_str(a, buf_str(&text));
    buf_done(&text);
    return s;
}

static int create_golden(struct kube_api *api, const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        const struct val *v;
        struct err err = ERR_INIT;
        if (!str_ends(str_of(e->d_name), STR(".json")) ||
            val_parse_json(a, read_file(arena_strf(a, "%s/%s", dir, e->d_name).p), &v, &err) < 0)
            continue;
        n += create_cluster(api, val_get(v, "cluster"));
    }
    if (d)
        closedir(d);
    return n;
}

/* The kubelet's part: pods run, are ready, or have something to say that is no condition's reason. */
static void play_kubelet(struct kube_api *api)
{
    const struct val *all = list(api, "", "pods");
    VAL_EACH_ITEM (pod, all) {
        bool bad = val_hash(val_get(pod, "metadata")) % 5 == 0;
        if (val_path(pod, "status.podIP"))
            continue;
        const struct val *status =
            json(bad ? "{status: {phase: Pending, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], "
                       "conditions: [{type: Ready, status: 'False', reason: '9 odd reasons!'}]}}"
                     : "{status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], "
                       "conditions: [{type: Ready, status: 'True'}]}}");
        call(api, (struct kube_call){.verb = KUBE_PATCH,
                                     .patch_type = KUBE_PATCH_MERGE,
                                     .plural = "pods",
                                     .subresource = "status",
                                     .ns = STR(NS),
                                     .name = kube_name(pod),
                                     .body = status});
    }
}

static size_t count_with(struct kube_api *api, const char *condition)
{
    const struct val *all = list(api, "ray.io", "rayclusters");
    size_t n = 0;
    VAL_EACH_ITEM (cluster, all) {
        const struct val *conditions = val_path(cluster, "status.conditions");
        n += condition ? kube_condition_is(conditions, condition, "True") : val_len(conditions) > 0;
    }
    return n;
}

static void walk_operator(struct kube_api *api, const char *golden)
{
    struct recorder recorder = {.api.ops = &recorder_ops, .inner = api, .who = "operator"};
    struct operator_config config = {.autoscaler = OPERATOR_AUTOSCALER_NATIVE,
                                     .cluster_domain = "cluster.local",
                                     .watch_namespace = NS};
    struct operator_instance *op;
    struct err err = ERR_INIT;
    size_t clusters = (size_t)create_golden(api, golden);
    check(clusters >= 15, "the golden clusters are taken by KubeRay's CRD");
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        clusters += (size_t)create_cluster(api, json(more[i]));
    if (operator_new(loop, &recorder.api, &config, &op, &err) < 0) {
        check(false, err.text);
        return;
    }
    deadline = loop_wall_ms(loop) + PATIENCE_MS;
    while ((count_with(api, NULL) < clusters || count_with(api, "RayClusterReady") < 5) && again())
        play_kubelet(api);
    printf("# %zu of %zu clusters have conditions, %zu are ready, %zu invalid\n",
           count_with(api, NULL), clusters, count_with(api, "RayClusterReady"),
           count_with(api, "RayClusterSpecInvalid"));
    check(count_with(api, NULL) == clusters, "operator: every cluster has a status");
    check(count_with(api, "RayClusterReady") >= 5, "operator: clusters become ready");
    check(val_len(list(api, "events.k8s.io", "events")) >= clusters,
          "operator: events are there to be read");
    operator_free(op);
    for (int i = 0; i < 50; i++)
        loop_turn(loop, 20);
    check_recorder(&recorder, (int)clusters);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/mobula-writers-XXXXXX";
    struct kube_api *api;
    struct err err = ERR_INIT;
    if (argc > 1 && strcmp(argv[1], "pod-init") == 0)
        return runtime_pod_init(argc, argv);
    if (argc != 3 || !mkdtemp(dir))
        return 2;
    ssize_t n = readlink("/proc/self/exe", self_exe, sizeof(self_exe) - 1);
    self_exe[n < 0 ? 0 : n] = '\0';
    a = arena_new();
    loop = loop_new_uv();
    if (kube_api_remote(loop, argv[1], &api, &err) < 0) {
        printf("Bail out! %s\n", err.text);
        return 1;
    }
    call(api, (struct kube_call){
                  .verb = KUBE_CREATE,
                  .plural = "namespaces",
                  .body = json("{apiVersion: v1, kind: Namespace, metadata: {name: " NS "}}")});
    walk_node(api, dir);
    walk_operator(api, argv[2]);
    kube_api_free(api);
    loop_turn(loop, 0);
    loop_free(loop);
    arena_free(a);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("1..%d\n", number);
    return failed > 0;
}
