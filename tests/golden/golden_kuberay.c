/* What core/reconcile makes of a RayCluster against what a real KubeRay 1.6.2 made of it on a real
 * kube-apiserver (Ray's own autoscaler as sidecar).
 *
 * kuberay/NN.json: `cluster`, the `objects` it came to own with the API's defaults in them (namespace
 * NS, no uids, generated names as PREFIX-*), `status`, reasons of `events`. Plans are applied to a list
 * of objects until nothing more is planned, then compared as values: same content, same pointer. */
#include "core/reconcile/reconcile.h"

#include <dirent.h>

#define MAX_OBJECTS 64
#define MAX_PASSES  10
#define NOW         1767225600000

struct golden {
    struct arena *a;
    const struct val *doc;
    const struct val *cluster;
    const struct val *objects[MAX_OBJECTS]; /* ours, as created */
    size_t n;
    struct str events[MAX_OBJECTS];
    size_t n_events;
    bool failed;
};

/* Where two values part, path by path. */
static void show(struct arena *a, const char *path, const struct val *expected,
                 const struct val *found)
{
    if (expected == found)
        return;
    bool objects = val_is(expected, VAL_OBJECT) && val_is(found, VAL_OBJECT);
    bool arrays = val_is(expected, VAL_ARRAY) && val_is(found, VAL_ARRAY);
    const struct val *keys = objects ? val_merge(a, expected, found) : NULL;
    for (size_t i = 0; i < val_len(keys); i++) {
        struct str key = val_key_at(keys, i);
        show(a, arena_strf(a, "%s.%.*s", path, STR_ARG(key)).p, val_gets(expected, key),
             val_gets(found, key));
    }
    for (size_t i = 0; arrays && i < MAX_OF(val_len(expected), val_len(found)); i++)
        show(a, arena_strf(a, "%s[%zu]", path, i).p, val_at(expected, i), val_at(found, i));
    if (!objects && !arrays)
        printf("    %s: KubeRay %.*s, ours %.*s\n", path, STR_ARG(val_json(a, expected)),
               STR_ARG(val_json(a, found)));
}

static void fail(struct golden *g, const char *what, const struct val *expected,
                 const struct val *found)
{
    printf("  %s %.*s %.*s differs:\n", what, STR_ARG(kube_kind(expected)),
           STR_ARG(kube_name(expected)));
    show(g->a, "", expected, found);
    g->failed = true;
}

/* --- bringing both to one form */

/* Taken out on both sides: what the API server fills in. value NULL: whatever it is. */
struct filled {
    const char *key, *value; /* JSON */
};
static const struct filled in_pod_spec[] = {{"dnsPolicy", "\"ClusterFirst\""},
                                            {"enableServiceLinks", "true"},
                                            {"preemptionPolicy", NULL},
                                            {"priority", NULL}, /* the number is the class's */
                                            {"restartPolicy", "\"Always\""},
                                            {"schedulerName", "\"default-scheduler\""},
                                            {"serviceAccount", NULL},
                                            {"serviceAccountName", "\"default\""},
                                            {"terminationGracePeriodSeconds", "30"}};
static const struct filled in_container[] = {{"terminationMessagePath", "\"/dev/termination-log\""},
                                             {"terminationMessagePolicy", "\"File\""}};
static const struct filled in_probe[] = {{"successThreshold", "1"},
                                         {"timeoutSeconds", "1"},
                                         {"periodSeconds", "10"},
                                         {"failureThreshold", "3"}};
static const struct filled in_service[] = {{"clusterIPs", NULL},
                                           {"internalTrafficPolicy", "\"Cluster\""},
                                           {"externalTrafficPolicy", "\"Cluster\""},
                                           {"allocateLoadBalancerNodePorts", "true"},
                                           {"ipFamilies", NULL},
                                           {"ipFamilyPolicy", NULL},
                                           {"sessionAffinity", "\"None\""},
                                           {"type", "\"ClusterIP\""}};
static const struct filled in_port[] = {{"protocol", "\"TCP\""}, {"nodePort", NULL}};

static const struct val *without(struct arena *a, const struct val *object,
                                 const struct filled *table, size_t n)
{
    for (size_t i = 0; val_is(object, VAL_OBJECT) && i < n; i++)
        if (!table[i].value || str_is(val_json(a, val_get(object, table[i].key)), table[i].value))
            object = val_set(a, object, table[i].key, NULL);
    return object;
}
#define WITHOUT(a, object, table) without((a), (object), (table), ARRAY_SIZE(table))

/* Without nulls, empty lists and empty objects, all the way down. */
static const struct val *dense(struct arena *a, const struct val *v)
{
    const struct val *out = val_is(v, VAL_ARRAY) ? val_empty_array() : val_empty_object();
    if (val_is(v, VAL_ARRAY))
        for (size_t i = 0; i < val_len(v); i++)
            out = val_append(a, out, dense(a, val_at(v, i)));
    else if (val_is(v, VAL_OBJECT))
        for (size_t i = 0; i < val_len(v); i++) {
            const struct val *item = dense(a, val_member_at(v, i));
            bool empty = (val_is(item, VAL_OBJECT) || val_is(item, VAL_ARRAY)) && !val_len(item);
            out = val_sets(a, out, val_key_at(v, i), empty || val_is(item, VAL_NULL) ? NULL : item);
        }
    else
        return v;
    return out;
}

static const struct val *canonical(struct arena *a, const struct val *amounts)
{
    struct err ignored;
    for (size_t i = 0; i < val_len(amounts); i++) {
        const struct val *text;
        if (quantity_canonical(a, val_member_at(amounts, i), &text, &ignored) == 0)
            amounts = val_sets(a, amounts, val_key_at(amounts, i), text);
    }
    return amounts;
}

/* A limit without a request is the request too. */
static const struct val *normal_resources(struct arena *a, const struct val *container)
{
    const struct val *limits = canonical(a, val_path(container, "resources.limits"));
    const struct val *requests = canonical(a, val_path(container, "resources.requests"));
    if (!limits)
        return container;
    const struct val *both = val_merge(a, limits, requests ? requests : val_empty_object());
    return val_set(a, container, "resources", val_obj(a, "limits", limits, "requests", both));
}

static const struct val *normal_env(struct arena *a, const struct val *env)
{
    for (size_t i = 0; i < val_len(env); i++)
        if (val_path(val_at(env, i), "valueFrom.fieldRef"))
            env = val_set_at(
                a, env, i, val_set_path(a, val_at(env, i), "valueFrom.fieldRef.apiVersion", NULL));
    return env;
}

static const struct val *normal_container(struct arena *a, const struct val *c)
{
    static const char *const probes[] = {"livenessProbe", "readinessProbe"};
    struct str image = val_as_str(val_get(c, "image"));
    ptrdiff_t colon = str_rfind(image, ':');
    bool latest = colon < 0 || str_is(str_sub(image, (size_t)colon + 1, image.n), "latest");
    const struct val *ports = val_get(c, "ports");
    if (str_is(val_as_str(val_get(c, "imagePullPolicy")), latest ? "Always" : "IfNotPresent"))
        c = val_set(a, c, "imagePullPolicy", NULL);
    for (size_t i = 0; i < val_len(ports); i++)
        ports = val_set_at(a, ports, i, WITHOUT(a, val_at(ports, i), in_port));
    c = val_set(a, c, "ports", ports);
    c = val_set(a, c, "env", normal_env(a, val_get(c, "env")));
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        const struct val *probe = WITHOUT(a, val_get(c, probes[i]), in_probe);
        if (val_get(probe, "httpGet"))
            probe = val_set_path(a, probe, "httpGet.scheme", NULL);
        c = val_set(a, c, probes[i], probe);
    }
    return WITHOUT(a, normal_resources(a, c), in_container);
}

/* The two that admission adds to every pod that does not tolerate everything. */
static const struct val *normal_tolerations(struct arena *a, const struct val *list)
{
    const struct val *out = val_empty_array();
    for (size_t i = 0; i < val_len(list); i++) {
        struct str key = val_as_str(val_get(val_at(list, i), "key"));
        if (!str_is(key, "node.kubernetes.io/not-ready") &&
            !str_is(key, "node.kubernetes.io/unreachable"))
            out = val_append(a, out, val_at(list, i));
    }
    return out;
}

static const struct val *normal_pod_spec(struct arena *a, const struct val *spec)
{
    static const char *const lists[] = {"containers", "initContainers"};
    const struct val *volumes = val_get(spec, "volumes");
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
        const struct val *list = val_get(spec, lists[k]);
        for (size_t i = 0; i < val_len(list); i++)
            list = val_set_at(a, list, i, normal_container(a, val_at(list, i)));
        spec = val_set(a, spec, lists[k], list);
    }
    for (size_t i = 0; i < val_len(volumes); i++) {
        const struct val *empty = canonical(a, val_path(val_at(volumes, i), "emptyDir"));
        if (val_len(empty))
            volumes = val_set_at(a, volumes, i, val_set(a, val_at(volumes, i), "emptyDir", empty));
    }
    spec = val_set(a, spec, "volumes", volumes);
    spec = val_set(a, spec, "tolerations", normal_tolerations(a, val_get(spec, "tolerations")));
    return WITHOUT(a, spec, in_pod_spec);
}

static const struct val *mask_at(struct arena *a, const struct val *object, const char *map_path,
                                 const char *key, const char *text)
{
    const struct val *map = val_path(object, map_path);
    if (!val_get(map, key))
        return object;
    return val_set_path(a, object, map_path, val_set(a, map, key, val_text(a, text)));
}

/* KubeRay's order of a user's service ports is a Go map's. */
static const struct val *ports_by_name(struct arena *a, const struct val *ports)
{
    const struct val *by_name = NULL;
    const struct val *sorted = val_empty_array();
    for (size_t i = 0; i < val_len(ports); i++) {
        const struct val *port = WITHOUT(a, val_at(ports, i), in_port);
        if (!val_get(port, "targetPort"))
            port = val_set(a, port, "targetPort", val_get(port, "port"));
        by_name = val_sets(a, by_name, val_as_str(val_get(port, "name")), port);
    }
    for (size_t i = 0; i < val_len(by_name); i++)
        sorted = val_append(a, sorted, val_member_at(by_name, i));
    return sorted;
}

static const struct val *normal(struct golden *g, const struct val *object)
{
    struct arena *a = g->a;
    struct str generate = val_path_str(object, "metadata.generateName");
    const struct val *spec = val_get(object, "spec");
    object = val_set_path(a, object, "metadata.ownerReferences[0].uid", NULL);
    object = val_set_path(a, object, "metadata.uid", NULL);
    if (generate.n)
        object = val_set_path(a, object, "metadata.name", val_textf(a, "%.*s*", STR_ARG(generate)));
    object =
        mask_at(a, object, "metadata.annotations", "ray.io/upgrade-strategy-recreate-hash", "HASH");
    object = mask_at(a, object, "metadata.labels", "ray.io/worker-group-replica-name", "GROUP-*");
    if (str_is(kube_kind(object), "Service")) {
        spec = WITHOUT(a, spec, in_service);
        object = val_set(a, object, "spec",
                         val_set(a, spec, "ports", ports_by_name(a, val_get(spec, "ports"))));
    }
    if (str_is(kube_kind(object), "Pod"))
        object = val_set(a, object, "spec", normal_pod_spec(a, spec));
    return dense(a, val_set(a, object, "status", NULL));
}

/* --- the toy world: a list of objects */

static void collect(struct golden *g, const char *kind, const struct val **ret, size_t *ret_n)
{
    *ret_n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (str_is(kube_kind(g->objects[i]), kind))
            ret[(*ret_n)++] = g->objects[i];
}

static const struct val *first(struct golden *g, const char *kind)
{
    for (size_t i = 0; i < g->n; i++)
        if (str_is(kube_kind(g->objects[i]), kind))
            return g->objects[i];
    return NULL;
}

static void note_event(struct golden *g, struct str reason)
{
    for (size_t i = 0; i < g->n_events; i++)
        if (str_eq(g->events[i], reason))
            return;
    if (g->n_events < MAX_OBJECTS)
        g->events[g->n_events++] = reason;
}

static const struct val *with_server_fields(struct golden *g, const struct val *object)
{
    struct arena *a = g->a;
    if (!kube_name(object).n)
        object = val_set_path(
            a, object, "metadata.name",
            val_textf(a, "%.*s%zu", STR_ARG(val_path_str(object, "metadata.generateName")), g->n));
    return val_set_path(a, object, "metadata.uid", val_textf(a, "uid-%zu", g->n));
}

/* One pass; true when something was done. */
static bool one_pass(struct golden *g)
{
    const struct val *pods[MAX_OBJECTS], *services[MAX_OBJECTS];
    struct world world = {.cluster = g->cluster,
                          .pods = pods,
                          .services = services,
                          .account = first(g, "ServiceAccount"),
                          .role = first(g, "Role"),
                          .binding = first(g, "RoleBinding"),
                          .ingress = first(g, "Ingress"),
                          .auth_secret = first(g, "Secret"),
                          .fresh_token = STR("token")};
    struct render_options options = {.autoscaler = RENDER_AUTOSCALER_RAY,
                                     .cluster_domain = STR("cluster.local"),
                                     .version = STR("v1.6.2")};
    struct plan plan;
    struct err err;
    bool changed = false;
    collect(g, "Pod", pods, &world.n_pods);
    collect(g, "Service", services, &world.n_services);
    if (reconcile_cluster(g->a, &world, NOW, 42, &options, &plan, &err) < 0) {
        printf("  reconcile: %s\n", err.text);
        g->failed = true;
        return false;
    }
    for (size_t i = 0; i < plan.n; i++) {
        const struct plan_action *action = &plan.items[i];
        changed = changed || action->verb != PLAN_EVENT;
        if (action->verb == PLAN_CREATE && g->n < MAX_OBJECTS)
            g->objects[g->n++] = with_server_fields(g, action->object);
        if (action->verb == PLAN_STATUS)
            g->cluster = action->object;
        if (action->verb == PLAN_EVENT || action->done_reason)
            note_event(g, action->verb == PLAN_EVENT ? action->name : str_of(action->done_reason));
        if (action->verb == PLAN_DELETE || action->verb == PLAN_PATCH) {
            printf("  planned to change %.*s: %.*s\n", STR_ARG(action->name), STR_ARG(action->why));
            g->failed = true;
        }
    }
    return changed;
}

static void settle(struct golden *g)
{
    for (int i = 0; i < MAX_PASSES; i++)
        if (!one_pass(g))
            return;
    printf("  no fixpoint after %d passes\n", MAX_PASSES);
    g->failed = true;
}

/* --- comparing */

static void compare_objects(struct golden *g)
{
    const struct val *expected = val_get(g->doc, "objects");
    const struct val *ours[MAX_OBJECTS];
    bool used[MAX_OBJECTS] = {false};
    for (size_t i = 0; i < g->n; i++)
        ours[i] = normal(g, g->objects[i]);
    for (size_t i = 0; i < val_len(expected); i++) {
        const struct val *want = normal(g, val_at(expected, i)), *near = NULL;
        bool found = false;
        for (size_t k = 0; k < g->n && !found; k++)
            if (!used[k] && ours[k] == want)
                found = used[k] = true;
        for (size_t k = 0; k < g->n && !found; k++)
            if (!used[k] && str_eq(kube_kind(ours[k]), kube_kind(want)) &&
                str_eq(kube_name(ours[k]), kube_name(want)))
                near = ours[k];
        if (!found)
            fail(g, "object", want, near);
    }
    if (g->n != val_len(expected)) {
        printf("  %zu objects, KubeRay made %zu\n", g->n, val_len(expected));
        g->failed = true;
    }
}

static const struct val *pod_status(struct arena *a, bool running, bool ready)
{
    const struct val *condition =
        val_obj(a, "type", val_text(a, "Ready"), "status", val_text(a, ready ? "True" : "False"));
    return val_obj(a, "phase", val_text(a, running ? "Running" : "Pending"), "conditions",
                   running ? val_array(a, &condition, 1) : NULL, "podIP",
                   running ? val_text(a, "10.0.0.1") : NULL);
}

/* The pods and ports come to the state that they had when the golden status was taken. */
static void advance_world(struct golden *g, const struct val *status)
{
    struct arena *a = g->a;
    int64_t running = val_path_int(status, "availableWorkerReplicas", 0);
    int64_t ready = val_path_int(status, "readyWorkerReplicas", 0);
    bool head = kube_condition_is(val_get(status, "conditions"), "HeadPodReady", "True");
    for (size_t i = 0; i < g->n; i++) {
        const struct val *object = g->objects[i];
        if (str_is(kube_kind(object), "Pod")) {
            bool is_head = str_is(kube_label(object, RAY_LABEL_NODE_TYPE), "head");
            bool runs = is_head ? head : running-- > 0, is_ready = is_head ? head : ready-- > 0;
            g->objects[i] = val_set(a, object, "status", pod_status(a, runs, is_ready));
        }
        const struct val *ports = val_path(object, "spec.ports");
        for (size_t k = 0; str_is(kube_kind(object), "Service") && k < val_len(ports); k++) {
            const struct val *port = val_at(ports, k);
            int64_t target = val_as_int(val_get(port, "targetPort"), 0), node = 0;
            (void)str_to_i64(val_as_str(val_gets(val_get(status, "endpoints"),
                                                 val_as_str(val_get(port, "name")))),
                             &node);
            if (node && node != target && !str_is(val_path_str(object, "spec.type"), "ClusterIP"))
                ports = val_set_at(a, ports, k, val_set(a, port, "nodePort", val_int(a, node)));
        }
        if (val_len(ports))
            g->objects[i] = val_set_path(a, g->objects[i], "spec.ports", ports);
    }
}

static void compare_status(struct golden *g)
{
    static const char *const ours_only[] = {"head", "lastUpdateTime", "observedGeneration",
                                            "stateTransitionTimes", "conditions"};
    const struct val *want = val_get(g->doc, "status"), *have;
    if (!want)
        return;
    advance_world(g, want);
    settle(g);
    have = val_get(g->cluster, "status");
    const struct val *conditions = val_get(want, "conditions");
    for (size_t i = 0; i < val_len(conditions); i++) {
        const struct val *c = val_at(conditions, i);
        const struct val *found =
            kube_condition(val_get(have, "conditions"), val_as_c(val_get(c, "type")));
        if (val_get(found, "status") != val_get(c, "status") ||
            val_get(found, "reason") != val_get(c, "reason"))
            fail(g, "condition", c, found);
    }
    want = val_set(g->a, want, "conditions", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(ours_only); i++)
        have = val_set(g->a, have, ours_only[i], NULL);
    if (want != have)
        fail(g, "status", want, have);
}

/* Every event of KubeRay's is there; on top we say why a serve service cannot be made. */
static void compare_events(struct golden *g)
{
    const struct val *events = val_get(g->doc, "events");
    for (size_t k = 0; k < g->n_events && events; k++) {
        bool known = str_is(g->events[k], "FailedToCreateService");
        for (size_t i = 0; i < val_len(events); i++)
            known = known || str_eq(g->events[k], val_as_str(val_at(val_at(events, i), 1)));
        if (!known)
            fail(g, "event", NULL, val_string(g->a, g->events[k]));
    }
    for (size_t i = 0; i < val_len(events); i++) {
        bool found = false;
        for (size_t k = 0; k < g->n_events; k++)
            found = found || str_eq(g->events[k], val_as_str(val_at(val_at(events, i), 1)));
        if (!found)
            fail(g, "event", val_at(events, i), NULL);
    }
}

static struct str golden_uid(const struct val *doc)
{
    const struct val *objects = val_get(doc, "objects");
    for (size_t i = 0; i < val_len(objects); i++) {
        struct str space = kube_annotation(val_at(objects, i), "ray.io/external-storage-namespace");
        if (space.n)
            return space;
    }
    return STR("cluster-uid");
}

static bool check_case(const char *dir, const char *name)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct golden g = {.a = a};
    struct err err = ERR_INIT;
    struct str path = arena_strf(a, "%s/%s", dir, name);
    char *text = arena_alloc(a, 1 << 20);
    FILE *file = fopen(path.p, "re");
    size_t n = file ? fread(text, 1, 1 << 20, file) : 0;
    if (file)
        fclose(file);
    if (val_parse_json(a, (struct str){text, n}, &g.doc, &err) < 0) {
        printf("%s: %s\n", name, err.text);
        return false;
    }
    g.cluster = val_set_path(a, val_get(g.doc, "cluster"), "metadata.namespace", val_text(a, "NS"));
    g.cluster = val_set_path(a, g.cluster, "metadata.uid", val_string(a, golden_uid(g.doc)));
    g.cluster = val_set_path(a, g.cluster, "metadata.generation", val_int(a, 1));
    settle(&g);
    compare_objects(&g);
    compare_status(&g);
    compare_events(&g);
    printf("%s: %s\n", name, g.failed ? "DIFFERS" : "equal");
    return !g.failed;
}

int main(int argc, char **argv)
{
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    int cases = 0, bad = 0;
    while (dir && (entry = readdir(dir)))
        if (str_ends(str_of(entry->d_name), STR(".json")) &&
            (argc < 3 || strcmp(argv[2], entry->d_name) == 0)) {
            cases++;
            bad += !check_case(argv[1], entry->d_name);
        }
    if (dir)
        closedir(dir);
    printf("%d cases, %d differ\n", cases, bad);
    return cases == 0 || bad ? 1 : 0;
}
