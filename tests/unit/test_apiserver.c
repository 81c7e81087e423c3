/* The API server's handlers in process, on virtual time: names, conflicts, generations, finalizers, garbage,
 * patches, selectors, pages, watches, defaults, namespaces, definitions, permissions. */
#include "apiserver/auth.h"
#include "apiserver/internal.h"
#include "apiserver/watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/resource.h>

#define START ((time_ms)1795435200000LL) /* 2026-11-23T12:00:00Z */

struct fixture {
    struct loop *loop;
    struct apiserver *server;
    struct kube_api *api;
    struct arena *a;
    int rc;
    const struct val *answer;
    struct err err;
    bool answered;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct err err = ERR_INIT;
    f->loop = loop_new_sim(START, 1);
    f->a = arena_new();
    if (apiserver_new(f->loop, &(struct apiserver_config){0}, &f->server, &err) < 0)
        return -1;
    f->api = apiserver_api(f->server);
    loop_sim_run(f->loop, START + 10);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->api->ops->free(f->api);
    apiserver_free(f->server);
    loop_sim_run(f->loop, loop_wall_ms(f->loop) + 10);
    arena_free(f->a);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void settle(struct fixture *f)
{
    loop_sim_run(f->loop, loop_wall_ms(f->loop) + 100);
}

static const struct val *yaml(struct fixture *f, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(f->a, "test", str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", err.text, text);
    return v;
}

static void on_answer(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct fixture *f = ctx;
    assert_false(f->answered); /* exactly once */
    f->answered = true;
    f->rc = rc;
    f->answer = val_keep(f->a, answer);
    f->err = err ? *err : ERR_INIT;
}

static int call(struct fixture *f, struct kube_call c)
{
    f->answered = false;
    if (!c.group)
        c.group = "";
    if (!c.version)
        c.version = "v1";
    if (!c.ns.n && strcmp(c.plural, "namespaces") != 0 && strcmp(c.plural, "nodes") != 0 &&
        strcmp(c.plural, "customresourcedefinitions") != 0)
        c.ns = STR("default");
    kube_request(f->api, &c, on_answer, f);
    assert_false(f->answered); /* never from inside the call */
    for (int i = 0; i < 100 && !f->answered; i++)
        loop_turn(f->loop, 0);
    assert_true(f->answered);
    return f->rc;
}

static int create(struct fixture *f, const char *plural, const char *text)
{
    return call(f,
                (struct kube_call){.verb = KUBE_CREATE, .plural = plural, .body = yaml(f, text)});
}
static int get(struct fixture *f, const char *plural, const char *name)
{
    return call(f, (struct kube_call){.verb = KUBE_GET, .plural = plural, .name = str_of(name)});
}
static int replace(struct fixture *f, const char *plural, const char *name, const struct val *body)
{
    return call(f, (struct kube_call){
                       .verb = KUBE_REPLACE, .plural = plural, .name = str_of(name), .body = body});
}
static int delete_(struct fixture *f, const char *plural, const char *name, const char *options)
{
    return call(f, (struct kube_call){.verb = KUBE_DELETE,
                                      .plural = plural,
                                      .name = str_of(name),
                                      .body = options ? yaml(f, options) : NULL});
}
static int patch(struct fixture *f, const char *plural, const char *name, enum kube_patch_type type,
                 const char *text)
{
    return call(f, (struct kube_call){.verb = KUBE_PATCH,
                                      .plural = plural,
                                      .name = str_of(name),
                                      .patch_type = type,
                                      .body = yaml(f, text),
                                      .field_manager = STR("tester")});
}

static const char *text_at(struct fixture *f, const char *path)
{
    return val_as_c(val_path(f->answer, path));
}

#define POD "{metadata: {name: p}, spec: {containers: [{name: c, image: 'a:1'}]}}"

static void test_create_and_names(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "configmaps", "{metadata: {name: a}, data: {x: z}}"), 0);
    assert_string_equal(text_at(f, "kind"), "ConfigMap");
    assert_string_equal(text_at(f, "metadata.namespace"), "default");
    assert_string_equal(text_at(f, "metadata.creationTimestamp"), "2026-11-23T12:00:00Z");
    assert_int_equal(val_len(val_path(f->answer, "metadata.uid")), 36);
    assert_int_equal(create(f, "configmaps", "{metadata: {name: a}}"), -ERR_EXISTS);
    assert_string_equal(f->err.text, "configmaps \"a\" already exists");
    assert_int_equal(create(f, "configmaps", "{metadata: {generateName: gen-}}"), 0);
    assert_int_equal(strlen(text_at(f, "metadata.name")), 9);
    assert_int_equal(create(f, "configmaps", "{data: {}}"), -ERR_INVALID);
    assert_string_equal(f->err.text,
                        "ConfigMap \"\" is invalid: metadata.name: Required value: name or "
                        "generateName is required");
    assert_int_equal(create(f, "configmaps", "{metadata: {name: A_b}}"), -ERR_INVALID);
    assert_string_equal(f->err.field, "metadata.name");
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_CREATE,
                                                .plural = "configmaps",
                                                .ns = STR("nix"),
                                                .body = yaml(f, "{metadata: {name: a}}")}),
                     -ERR_NOT_FOUND);
    assert_string_equal(f->err.text, "namespaces \"nix\" not found");
    assert_int_equal(get(f, "configmaps", "none"), -ERR_NOT_FOUND);
    assert_string_equal(f->err.text, "configmaps \"none\" not found");
}

static void test_conflict_and_generation(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        call(f,
             (struct kube_call){
                 .verb = KUBE_CREATE,
                 .group = "ray.io",
                 .plural = "rayclusters",
                 .body = yaml(f, "{metadata: {name: r}, spec: {headGroupSpec: "
                                 "{template: {spec: {containers: [{name: h}]}}}, workerGroupSpecs: "
                                 "[{groupName: g, template: {}}]}}")}),
        0);
    assert_int_equal(val_path_int(f->answer, "spec.workerGroupSpecs[0].replicas", -1), 0);
    assert_int_equal(val_path_int(f->answer, "spec.workerGroupSpecs[0].maxReplicas", 0),
                     2147483647);
    assert_int_equal(kube_generation(f->answer), 1);
    const struct val *first = f->answer;
    struct kube_call put = {
        .verb = KUBE_REPLACE, .group = "ray.io", .plural = "rayclusters", .name = STR("r")};
    put.body = val_set_path(f->a, first, "metadata.labels", yaml(f, "{a: b}"));
    assert_int_equal(call(f, put), 0);
    assert_int_equal(kube_generation(f->answer), 1);
    assert_int_equal(call(f, put), -ERR_CONFLICT); /* the version is old now */
    assert_non_null(strstr(f->err.text, "the object has been modified"));
    struct kube_call status = {.verb = KUBE_PATCH,
                               .group = "ray.io",
                               .plural = "rayclusters",
                               .name = STR("r"),
                               .subresource = "status",
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = yaml(f, "{spec: {rayVersion: x}, status: {state: ready}}")};
    assert_int_equal(call(f, status), 0);
    assert_string_equal(text_at(f, "status.state"), "ready");
    assert_null(val_path(f->answer, "spec.rayVersion"));
    assert_int_equal(kube_generation(f->answer), 1);
    status.subresource = NULL;
    status.body = yaml(f, "{spec: {rayVersion: '2.46.0'}, status: {state: changed}}");
    assert_int_equal(call(f, status), 0);
    assert_string_equal(text_at(f, "status.state"), "ready");
    assert_int_equal(kube_generation(f->answer), 2);
    struct str before = kube_resource_version(f->answer);
    assert_int_equal(call(f, status), 0); /* changes nothing: no new version */
    assert_true(str_eq(before, kube_resource_version(f->answer)));
    /* the Ray autoscaler replaces a member that is not there */
    status.patch_type = KUBE_PATCH_JSON;
    status.body = yaml(f, "[{op: replace, path: /spec/workerGroupSpecs/0/scaleStrategy, value: "
                          "{workersToDelete: [w]}}]");
    assert_int_equal(call(f, status), 0);
    put.verb = KUBE_GET;
    put.version = "v1alpha1";
    assert_int_equal(call(f, put), 0);
    assert_string_equal(text_at(f, "apiVersion"), "ray.io/v1alpha1");
}

static void test_finalizers(void **state)
{
    struct fixture *f = *state;
    create(f, "configmaps", "{metadata: {name: a, finalizers: [x.org/f]}}");
    assert_int_equal(delete_(f, "configmaps", "a", NULL), 0);
    assert_true(kube_is_deleting(f->answer));
    assert_int_equal(get(f, "configmaps", "a"), 0);
    const struct val *more =
        val_set_path(f->a, f->answer, "metadata.finalizers", yaml(f, "[x.org/f, x.org/g]"));
    assert_int_equal(replace(f, "configmaps", "a", more), -ERR_INVALID);
    assert_int_equal(
        patch(f, "configmaps", "a", KUBE_PATCH_MERGE, "{metadata: {finalizers: null}}"), 0);
    assert_int_equal(get(f, "configmaps", "a"), -ERR_NOT_FOUND);
    create(f, "configmaps", "{metadata: {name: b}}");
    assert_int_equal(delete_(f, "configmaps", "b", "{preconditions: {uid: other}}"), -ERR_CONFLICT);
    assert_int_equal(delete_(f, "configmaps", "b", "{dryRun: [All]}"), 0);
    assert_int_equal(get(f, "configmaps", "b"), 0);
}

static void test_pods_die_in_two_steps(void **state)
{
    struct fixture *f = *state;
    create(f, "pods", POD);
    assert_string_equal(text_at(f, "status.phase"), "Pending");
    assert_string_equal(text_at(f, "status.qosClass"), "BestEffort");
    assert_int_equal(delete_(f, "pods", "p", NULL), 0); /* nobody has it: at once */
    assert_int_equal(get(f, "pods", "p"), -ERR_NOT_FOUND);
    create(f, "pods", POD);
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_CREATE,
                                                .plural = "pods",
                                                .name = STR("p"),
                                                .subresource = "binding",
                                                .body = yaml(f, "{target: {name: n1}}")}),
                     0);
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_CREATE,
                                                .plural = "pods",
                                                .name = STR("p"),
                                                .subresource = "binding",
                                                .body = yaml(f, "{target: {name: n2}}")}),
                     -ERR_CONFLICT);
    assert_int_equal(delete_(f, "pods", "p", NULL), 0);
    assert_int_equal(val_path_int(f->answer, "metadata.deletionGracePeriodSeconds", 0), 30);
    assert_string_equal(text_at(f, "metadata.deletionTimestamp"), "2026-11-23T12:00:30Z");
    assert_int_equal(delete_(f, "pods", "p", "{gracePeriodSeconds: 60}"), 0); /* never longer */
    assert_int_equal(val_path_int(f->answer, "metadata.deletionGracePeriodSeconds", 0), 30);
    assert_int_equal(delete_(f, "pods", "p", "{gracePeriodSeconds: 0}"), 0);
    assert_int_equal(get(f, "pods", "p"), -ERR_NOT_FOUND);
}

static void test_pod_defaults_and_rules(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        create(
            f, "pods",
            "{metadata: {name: p}, spec: {nodeSelector: {}, containers: [{name: c, image: a, env: "
            "null, resources: {limits: {cpu: 4, memory: 2048Mi}}, livenessProbe: {httpGet: "
            "{port: 1}}, ports: [{containerPort: 1}]}]}}"),
        0);
    static const struct {
        const char *path, *text;
    } wanted[] = {{"spec.restartPolicy", "Always"},
                  {"spec.dnsPolicy", "ClusterFirst"},
                  {"spec.schedulerName", "default-scheduler"},
                  {"spec.serviceAccountName", "default"},
                  {"spec.containers[0].imagePullPolicy", "Always"},
                  {"spec.containers[0].resources.requests.cpu", "4"},
                  {"spec.containers[0].resources.limits.memory", "2Gi"},
                  {"spec.containers[0].livenessProbe.httpGet.scheme", "HTTP"},
                  {"spec.containers[0].ports[0].protocol", "TCP"},
                  {"status.qosClass", "Guaranteed"}};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        assert_string_equal(text_at(f, wanted[i].path), wanted[i].text);
    assert_int_equal(val_path_int(f->answer, "spec.terminationGracePeriodSeconds", 0), 30);
    assert_int_equal(val_path_int(f->answer, "spec.tolerations[1].tolerationSeconds", 0), 300);
    assert_null(val_path(f->answer, "spec.nodeSelector"));
    assert_null(val_path(f->answer, "spec.containers[0].env"));
    assert_int_equal(
        patch(f, "pods", "p", KUBE_PATCH_STRATEGIC, "{spec: {containers: [{name: c, image: b}]}}"),
        0);
    assert_string_equal(text_at(f, "spec.containers[0].image"), "b");
    assert_int_equal(patch(f, "pods", "p", KUBE_PATCH_MERGE, "{spec: {nodeName: nn}}"),
                     -ERR_INVALID);
    assert_non_null(strstr(f->err.text, "pod updates may not change fields other than"));
    assert_int_equal(create(f, "pods", "{metadata: {name: q}, spec: {containers: []}}"),
                     -ERR_INVALID);
    assert_string_equal(f->err.text, "Pod \"q\" is invalid: spec.containers: Required value");
    assert_int_equal(
        create(f, "pods",
               "{metadata: {name: q}, spec: {serviceAccountName: nix, containers: [{name: "
               "c, image: a}]}}"),
        -ERR_FORBIDDEN);
    assert_int_equal(
        create(f, "pods", "{metadata: {name: q}, spec: {priority: high, containers: [{name: c}]}}"),
        -ERR_BAD_REQUEST);
    assert_non_null(strstr(f->err.text, "json: cannot unmarshal string into Go struct field"));
}

static void test_garbage(void **state)
{
    struct fixture *f = *state;
    create(f, "configmaps", "{metadata: {name: owner}}");
    struct str uid = kube_uid(f->answer);
    const struct val *owner = val_array(
        f->a,
        (const struct val *[]){kube_owner_ref(
            f->a, val_set(f->a, val_set(f->a, f->answer, "kind", val_text(f->a, "ConfigMap")),
                          "apiVersion", val_text(f->a, "v1")))},
        1);
    static const char *const names[] = {"one", "two"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *body = val_set_path(f->a, yaml(f, "{metadata: {}}"), "metadata.name",
                                              val_text(f->a, names[i]));
        body = val_set_path(f->a, body, "metadata.ownerReferences", owner);
        call(f, (struct kube_call){.verb = KUBE_CREATE, .plural = "secrets", .body = body});
        assert_int_equal(f->rc, 0);
    }
    settle(f);
    assert_int_equal(get(f, "secrets", "one"), 0); /* its owner lives */
    assert_int_equal(delete_(f, "configmaps", "owner", NULL), 0);
    settle(f);
    assert_int_equal(get(f, "secrets", "one"), -ERR_NOT_FOUND);
    assert_int_equal(get(f, "secrets", "two"), -ERR_NOT_FOUND);
    /* an owner that never was */
    call(f, (struct kube_call){
                .verb = KUBE_CREATE,
                .plural = "secrets",
                .body = yaml(f, "{metadata: {name: lost, ownerReferences: [{apiVersion: v1, kind: "
                                "Pod, name: x, uid: never}]}}")});
    settle(f);
    assert_int_equal(get(f, "secrets", "lost"), -ERR_NOT_FOUND);
    assert_true(uid.n > 0);
}

static void test_foreground_and_orphan(void **state)
{
    struct fixture *f = *state;
    static const char *const policies[] = {"Foreground", "Orphan"};
    for (size_t i = 0; i < 2; i++) {
        create(f, "configmaps", "{metadata: {name: owner}}");
        const struct val *ref =
            val_array(f->a, (const struct val *[]){kube_owner_ref(f->a, f->answer)}, 1);
        const struct val *body =
            val_set_path(f->a, yaml(f, "{metadata: {name: child, finalizers: [x.org/slow]}}"),
                         "metadata.ownerReferences", ref);
        call(f, (struct kube_call){.verb = KUBE_CREATE, .plural = "secrets", .body = body});
        const char *options = arena_strf(f->a, "{propagationPolicy: %s}", policies[i]).p;
        assert_int_equal(delete_(f, "configmaps", "owner", options), 0);
        settle(f);
        bool foreground = i == 0;
        assert_int_equal(get(f, "configmaps", "owner"), foreground ? 0 : -ERR_NOT_FOUND);
        assert_int_equal(get(f, "secrets", "child"), 0);
        assert_int_equal(kube_is_deleting(f->answer), foreground);
        assert_int_equal(val_len(val_path(f->answer, "metadata.ownerReferences")), foreground);
        patch(f, "secrets", "child", KUBE_PATCH_MERGE, "{metadata: {finalizers: null}}");
        settle(f);
        assert_int_equal(get(f, "configmaps", "owner"), -ERR_NOT_FOUND);
        assert_int_equal(get(f, "secrets", "child"), foreground ? -ERR_NOT_FOUND : 0);
        delete_(f, "secrets", "child", NULL);
    }
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        create(
            f, "secrets",
            arena_strf(f->a, "{metadata: {name: s%d, labels: {num: '%d', odd: '%d'}}}", i, i, i % 2)
                .p);
    struct kube_call list = {
        .verb = KUBE_LIST, .plural = "secrets", .label_selector = STR("odd=1,num in (1,2,3)")};
    assert_int_equal(call(f, list), 0);
    assert_int_equal(val_len(val_get(f->answer, "items")), 2);
    assert_string_equal(text_at(f, "kind"), "SecretList");
    list = (struct kube_call){
        .verb = KUBE_LIST, .plural = "secrets", .field_selector = STR("metadata.name!=s0")};
    assert_int_equal(call(f, list), 0);
    assert_int_equal(val_len(val_get(f->answer, "items")), 4);
    list.field_selector = STR("spec.x=1");
    assert_int_equal(call(f, list), -ERR_BAD_REQUEST);
    size_t seen = 0;
    list = (struct kube_call){.verb = KUBE_LIST, .plural = "secrets", .limit = 2};
    do {
        assert_int_equal(call(f, list), 0);
        seen += val_len(val_get(f->answer, "items"));
        list.continue_token = val_path_str(f->answer, "metadata.continue");
    } while (list.continue_token.n);
    assert_int_equal(seen, 5);
    struct kube_call all = {
        .verb = KUBE_DELETE_COLLECTION, .plural = "secrets", .label_selector = STR("odd=0")};
    assert_int_equal(call(f, all), 0);
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_LIST, .plural = "secrets"}), 0);
    assert_int_equal(val_len(val_get(f->answer, "items")), 2);
}

/* --- watches */

struct seen {
    struct fixture *f;
    char text[512];
    const struct val *last;
    int end_rc;
    bool ended;
};

static void on_event(void *ctx, enum kube_event event, const struct val *object)
{
    static const char letters[] = "AMDBE";
    struct seen *s = ctx;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof(s->text) - n, "%c:%.*s ", letters[event],
             STR_ARG(kube_name(object)));
    s->last = val_keep(s->f->a, object);
}

static void on_end(void *ctx, int rc, const struct err *err)
{
    struct seen *s = ctx;
    s->ended = true;
    s->end_rc = rc;
}

static void test_watch(void **state)
{
    struct fixture *f = *state;
    struct seen s = {.f = f};
    create(f, "secrets", "{metadata: {name: a, labels: {in: 'yes'}}}");
    struct str since = arena_str(f->a, kube_resource_version(f->answer));
    struct kube_call c = {.group = "",
                          .version = "v1",
                          .plural = "secrets",
                          .ns = STR("default"),
                          .label_selector = STR("in=yes")};
    struct kube_watch *w = f->api->ops->watch(f->api, &c, on_event, on_end, &s);
    assert_string_equal(s.text, "");
    settle(f);
    assert_string_equal(s.text, "A:a ");
    create(f, "secrets", "{metadata: {name: b}}");
    patch(f, "secrets", "b", KUBE_PATCH_MERGE, "{metadata: {labels: {in: 'yes'}}}"); /* enters */
    patch(f, "secrets", "a", KUBE_PATCH_MERGE, "{metadata: {labels: {x: z}}}");
    patch(f, "secrets", "a", KUBE_PATCH_MERGE, "{metadata: {labels: {in: 'no'}}}"); /* leaves */
    delete_(f, "secrets", "b", NULL);
    settle(f);
    assert_string_equal(s.text, "A:a A:b M:a D:a D:b ");
    f->api->ops->watch_free(f->api, w);
    struct seen later = {.f = f};
    c.resource_version = since;
    w = f->api->ops->watch(f->api, &c, on_event, on_end, &later);
    settle(f);
    assert_string_equal(later.text, "A:b M:a D:a D:b ");
    f->api->ops->watch_free(f->api, w);
    get(f, "secrets", "a");
    struct seen shared = {.f = f};
    c.resource_version = STR_NULL;
    c.label_selector = STR_NULL;
    w = f->api->ops->watch(f->api, &c, on_event, on_end, &shared);
    settle(f);
    assert_ptr_equal(shared.last, f->answer); /* the very value that the store holds */
    f->api->ops->watch_free(f->api, w);
}

static void test_watch_too_old(void **state)
{
    struct fixture *f = *state;
    struct seen s = {.f = f};
    for (int i = 0; i < STORE_HISTORY_DEFAULT + 10; i++) {
        struct err err = ERR_INIT;
        assert_int_equal(store_put(f->server->store, "t", STR_NULL, STR("x"), val_int(f->a, i),
                                   STORE_TAKES_ROOM, &err),
                         0);
        if (i % 1000 == 0)
            settle(f);
    }
    settle(f);
    struct kube_call c = {
        .group = "", .version = "v1", .plural = "secrets", .resource_version = STR("1")};
    struct kube_watch *w = f->api->ops->watch(f->api, &c, on_event, on_end, &s);
    settle(f);
    assert_true(s.ended);
    assert_int_equal(s.end_rc, -ERR_GONE);
    assert_int_equal(val_path_int(s.last, "code", 0), 410);
    f->api->ops->watch_free(f->api, w);
}

static void free_it(void *ctx, enum kube_event event, const struct val *object)
{
    struct kube_watch **w = ctx;
    struct kube_watch *mine = *w;
    *w = NULL;
    (void)mine;
}

static void count_canceled(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    assert_int_equal(rc, -ERR_CANCELED);
    assert_int_equal(err->code, ERR_CANCELED);
    ++*(int *)ctx;
}

/* One that has not run yet and one that waits for the disk: each is answered once, and nobody later. */
static void test_freed_api_answers_its_calls(void **state)
{
    struct fixture *f = *state;
    struct kube_api *other = apiserver_api(f->server);
    struct kube_call list = {.verb = KUBE_LIST, .group = "", .version = "v1", .plural = "pods"};
    struct kube_call made = {.verb = KUBE_CREATE,
                             .group = "",
                             .version = "v1",
                             .plural = "configmaps",
                             .ns = STR("default"),
                             .body = yaml(f, "{metadata: {name: late}}")};
    struct kube_watch *w = NULL;
    int canceled = 0;
    kube_request(other, &made, count_canceled, &canceled);
    loop_turn(f->loop, 0);
    kube_request(other, &list, count_canceled, &canceled);
    w = other->ops->watch(other, &list, free_it, on_end, &w);
    assert_non_null(w);
    assert_int_equal(canceled, 0);
    other->ops->free(other);
    assert_int_equal(canceled, 2);
    settle(f);
    assert_int_equal(canceled, 2);
    assert_int_equal(get(f, "configmaps", "late"), 0); /* it was under way */
}

/* --- namespaces, definitions */

static void test_namespaces(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "namespaces", "{metadata: {name: nn}}"), 0);
    assert_string_equal(text_at(f, "status.phase"), "Active");
    settle(f);
    struct kube_call c = {
        .verb = KUBE_GET, .plural = "serviceaccounts", .ns = STR("nn"), .name = STR("default")};
    assert_int_equal(call(f, c), 0);
    call(f, (struct kube_call){.verb = KUBE_CREATE,
                               .plural = "secrets",
                               .ns = STR("nn"),
                               .body = yaml(f, "{metadata: {name: s, finalizers: [x.org/f]}}")});
    assert_int_equal(delete_(f, "namespaces", "nn", NULL), 0);
    assert_string_equal(text_at(f, "status.phase"), "Terminating");
    settle(f);
    assert_int_equal(get(f, "namespaces", "nn"), 0); /* something in it has not let go */
    call(f, (struct kube_call){.verb = KUBE_CREATE,
                               .plural = "secrets",
                               .ns = STR("nn"),
                               .body = yaml(f, "{metadata: {name: t}}")});
    assert_int_equal(f->rc, -ERR_FORBIDDEN);
    call(f, (struct kube_call){.verb = KUBE_PATCH,
                               .plural = "secrets",
                               .ns = STR("nn"),
                               .name = STR("s"),
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = yaml(f, "{metadata: {finalizers: null}}")});
    settle(f);
    assert_int_equal(get(f, "namespaces", "nn"), -ERR_NOT_FOUND);
    assert_int_equal(delete_(f, "namespaces", "default", NULL), -ERR_FORBIDDEN);
}

static const char thing_crd[] =
    "{metadata: {name: things.x.org}, spec: {group: x.org, scope: Namespaced, names: {kind: Thing, "
    "plural: things}, "
    "versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: "
    "{openAPIV3Schema: "
    "{type: object, properties: {spec: {type: object, required: [num], properties: {num: {type: "
    "integer, minimum: 1, "
    "maximum: 9}, color: {type: string, enum: [red, green], default: red}, code: {type: string, "
    "pattern: "
    "'^[a-z]+$'}, any: {x-kubernetes-int-or-string: true}, free: {type: object, "
    "x-kubernetes-preserve-unknown-fields: true}}}, status: {type: object, "
    "x-kubernetes-preserve-unknown-fields: true}}}}}]}}";

static int thing(struct fixture *f, const char *spec)
{
    const char *text = arena_strf(f->a, "{metadata: {generateName: t}, spec: %s}", spec).p;
    return call(
        f, (struct kube_call){
               .verb = KUBE_CREATE, .group = "x.org", .plural = "things", .body = yaml(f, text)});
}

static void test_definitions(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(thing(f, "{num: 1}"), -ERR_NOT_FOUND);
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_CREATE,
                                                .group = "apiextensions.k8s.io",
                                                .plural = "customresourcedefinitions",
                                                .body = yaml(f, thing_crd)}),
                     0);
    assert_string_equal(text_at(f, "spec.names.listKind"), "ThingList");
    assert_int_equal(thing(f, "{num: 3, extra: 1, free: {kept: 1}, any: '5%'}"), 0);
    assert_string_equal(text_at(f, "spec.color"), "red");
    assert_null(val_path(f->answer, "spec.extra"));
    assert_int_equal(val_path_int(f->answer, "spec.free.kept", 0), 1);
    static const char *const wrong[] = {"{}",
                                        "{num: 0}",
                                        "{num: 10}",
                                        "{num: one}",
                                        "{num: 1, color: blue}",
                                        "{num: 1, code: A}",
                                        "{num: 1, any: true}",
                                        "[]"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(thing(f, wrong[i]), -ERR_INVALID);
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_DELETE,
                                                .group = "apiextensions.k8s.io",
                                                .plural = "customresourcedefinitions",
                                                .name = STR("things.x.org")}),
                     0);
    settle(f);
    assert_int_equal(thing(f, "{num: 1}"), -ERR_NOT_FOUND);
    assert_int_equal(store_count(f->server->store, "x.org/things"), 0);
}

static void test_apply(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(patch(f, "configmaps", "c", KUBE_PATCH_APPLY,
                           "{apiVersion: v1, kind: ConfigMap, data: {a: '1', b: '2'}}"),
                     0);
    assert_int_equal(patch(f, "configmaps", "c", KUBE_PATCH_MERGE, "{data: {other: x}}"), 0);
    assert_int_equal(patch(f, "configmaps", "c", KUBE_PATCH_APPLY,
                           "{apiVersion: v1, kind: ConfigMap, data: {a: '3'}}"),
                     0);
    assert_string_equal(text_at(f, "data.a"), "3");
    assert_null(val_path(f->answer, "data.b")); /* given up */
    assert_string_equal(text_at(f, "data.other"), "x");
    struct kube_call second = {.verb = KUBE_PATCH,
                               .plural = "configmaps",
                               .name = STR("c"),
                               .patch_type = KUBE_PATCH_APPLY,
                               .field_manager = STR("second"),
                               .body =
                                   yaml(f, "{apiVersion: v1, kind: ConfigMap, data: {a: '4'}}")};
    assert_int_equal(call(f, second), -ERR_CONFLICT);
    assert_string_equal(f->err.text,
                        "Apply failed with 1 conflict: conflict with \"tester\": .data.a");
    second.force = true;
    assert_int_equal(call(f, second), 0);
    assert_string_equal(text_at(f, "data.a"), "4");
    assert_int_equal(val_len(val_path(f->answer, "metadata.managedFields")),
                     2); /* and data.other */
}

static void test_services(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "services", "{metadata: {name: s}, spec: {ports: [{port: 80}]}}"),
                     0);
    struct str ip = arena_str(f->a, val_path_str(f->answer, "spec.clusterIP"));
    assert_true(str_starts(ip, STR("10.96.")));
    assert_int_equal(val_path_int(f->answer, "spec.ports[0].targetPort", 0), 80);
    const struct val *without = val_set_path(f->a, f->answer, "spec.clusterIP", NULL);
    assert_int_equal(
        replace(f, "services", "s", val_set_path(f->a, without, "spec.clusterIPs", NULL)), 0);
    assert_string_equal(text_at(f, "spec.clusterIP"), arena_c(f->a, ip));
    assert_int_equal(create(f, "services",
                            arena_strf(f->a,
                                       "{metadata: {name: t}, spec: {clusterIP: %s, ports: "
                                       "[{port: 80}]}}",
                                       ip.p)
                                .p),
                     -ERR_INVALID);
    assert_int_equal(create(f, "services",
                            "{metadata: {name: h}, spec: {clusterIP: None, ports: [{port: 80}]}}"),
                     0);
    assert_string_equal(text_at(f, "spec.clusterIPs[0]"), "None");
}

static void test_permissions(void **state)
{
    struct fixture *f = *state;
    struct str account = STR("system:serviceaccount:default:bob");
    struct api_user bob = {
        .name = account, .groups = {STR("system:serviceaccounts")}, .groups_n = 1};
    assert_false(authorize_ask(f->server, &bob, "get", STR(""), STR("pods"), STR_NULL,
                               STR("default"), STR("x")));
    call(f, (struct kube_call){
                .verb = KUBE_CREATE,
                .group = "rbac.authorization.k8s.io",
                .plural = "roles",
                .body = yaml(f, "{metadata: {name: r}, rules: [{apiGroups: [''], resources: [pods, "
                                "pods/log], verbs: [get], resourceNames: []}]}")});
    call(f, (struct kube_call){
                .verb = KUBE_CREATE,
                .group = "rbac.authorization.k8s.io",
                .plural = "rolebindings",
                .body = yaml(f, "{metadata: {name: b}, roleRef: {kind: Role, name: r}, subjects: "
                                "[{kind: ServiceAccount, name: bob, namespace: default}]}")});
    assert_int_equal(f->rc, 0);
    static const struct {
        const char *verb, *resource, *sub, *ns;
        bool allowed;
    } asked[] = {{"get", "pods", "", "default", true},
                 {"get", "pods", "log", "default", true},
                 {"get", "pods", "exec", "default", false},
                 {"list", "pods", "", "default", false},
                 {"get", "pods", "", "kube-system", false},
                 {"get", "secrets", "", "default", false},
                 {"get", "pods", "", "", false}};
    for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
        assert_int_equal(authorize_ask(f->server, &bob, asked[i].verb, STR(""),
                                       str_of(asked[i].resource), str_of(asked[i].sub),
                                       str_of(asked[i].ns), STR("x")),
                         asked[i].allowed);
}

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    struct api_user user;
    struct str token = apiserver_token(f->server, f->a, STR("default"), STR("default"));
    struct str bearer = arena_strf(f->a, "Bearer %.*s", STR_ARG(token));
    assert_true(auth_user(f->server, f->a, NULL, bearer, &user));
    assert_true(str_is(user.name, "system:serviceaccount:default:default"));
    assert_false(user.is_admin);
    struct str changed = arena_str(f->a, bearer);
    ((char *)changed.p)[changed.n - 1] ^= 1;
    assert_false(auth_user(f->server, f->a, NULL, changed, &user));
    assert_false(auth_user(f->server, f->a, NULL, STR("Bearer "), &user));
    assert_false(auth_user(f->server, f->a, NULL, STR_NULL, &user));
    delete_(f, "serviceaccounts", "default", NULL);
    settle(f); /* made anew, with another uid */
    assert_int_equal(get(f, "serviceaccounts", "default"), 0);
    assert_false(auth_user(f->server, f->a, NULL, bearer, &user));
}

static void test_events_have_two_forms(void **state)
{
    struct fixture *f = *state;
    create(f, "events",
           "{metadata: {name: e}, involvedObject: {kind: Pod, name: p, namespace: default}, "
           "message: m, "
           "reason: R, type: Normal, source: {component: c}}");
    assert_int_equal(f->rc, 0);
    assert_int_equal(call(f, (struct kube_call){.verb = KUBE_GET,
                                                .group = "events.k8s.io",
                                                .plural = "events",
                                                .name = STR("e")}),
                     0);
    assert_string_equal(text_at(f, "note"), "m");
    assert_string_equal(text_at(f, "regarding.name"), "p");
    assert_int_equal(
        call(f, (struct kube_call){.verb = KUBE_LIST,
                                   .plural = "events",
                                   .field_selector = STR("involvedObject.name=p,type=Normal")}),
        0);
    assert_int_equal(val_len(val_get(f->answer, "items")), 1);
}

static void test_events_go_after_an_hour(void **state)
{
    struct fixture *f = *state;
    create(f, "events",
           "{metadata: {name: e}, involvedObject: {kind: Pod, name: p, namespace: default}}");
    loop_sim_run(f->loop, loop_wall_ms(f->loop) + 58 * 60000);
    assert_int_equal(get(f, "events", "e"), 0);
    patch(f, "events", "e", KUBE_PATCH_MERGE,
          "{lastTimestamp: '2026-11-23T12:58:00Z'}"); /* seen again */
    loop_sim_run(f->loop, loop_wall_ms(f->loop) + 50 * 60000);
    assert_int_equal(get(f, "events", "e"), 0);
    loop_sim_run(f->loop, loop_wall_ms(f->loop) + 20 * 60000);
    assert_int_equal(get(f, "events", "e"), -ERR_NOT_FOUND);
}

static void test_claims_in_use_stay(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "persistentvolumeclaims",
                            "{metadata: {name: c}, spec: {accessModes: [ReadWriteMany], "
                            "resources: {requests: {storage: 1Gi}}}}"),
                     0);
    create(f, "pods",
           "{metadata: {name: p}, spec: {containers: [{name: a, image: b}], volumes: [{name: v, "
           "persistentVolumeClaim: {claimName: c}}]}}");
    assert_int_equal(delete_(f, "persistentvolumeclaims", "c", NULL), 0);
    settle(f);
    assert_int_equal(get(f, "persistentvolumeclaims", "c"), 0);
    assert_int_equal(delete_(f, "pods", "p", NULL), 0);
    settle(f);
    assert_int_equal(get(f, "persistentvolumeclaims", "c"), -ERR_NOT_FOUND);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* What takes memory by the square of a body's parts would need gigabytes here. */
static void test_memory_grows_with_the_body_only(void **state)
{
    struct fixture *f = *state;
    enum { PARTS = 20000, PEAK_KIB = 1 << 20 };
    const struct val *data[] = {NULL, NULL};
    for (size_t k = 0; k < ARRAY_SIZE(data); k++) {
        struct val_member *members = arena_array_of(f->a, struct val_member, PARTS);
        for (size_t i = 0; i < PARTS; i++)
            members[i] = (struct val_member){arena_strf(f->a, "key-%05zu", i), val_int(f->a, 1)};
        for (size_t i = 0; k == 1 && i < PARTS; i++)
            members[i].value = val_text(f->a, "x");
        data[k] = val_object(f->a, members, PARTS);
    }
    long before = peak_kib();
    const struct val *unknown = val_merge(
        f->a, data[0], yaml(f, "{apiVersion: v1, kind: ConfigMap, metadata: {name: many}}"));
    const struct val *config = val_obj(f->a, "apiVersion", val_text(f->a, "v1"), "kind",
                                       val_text(f->a, "ConfigMap"), "data", data[1]);
    struct kube_call c = {.verb = KUBE_CREATE, .plural = "configmaps", .body = unknown};
    assert_int_equal(call(f, c), 0);
    assert_null(val_get(f->answer, "key-00001"));
    static const enum kube_patch_type types[] = {KUBE_PATCH_STRATEGIC, KUBE_PATCH_APPLY};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        c = (struct kube_call){.verb = KUBE_PATCH,
                               .plural = "configmaps",
                               .name = STR("many"),
                               .patch_type = types[i],
                               .field_manager = STR("m"),
                               .body = config};
        assert_int_equal(call(f, c), 0);
        assert_ptr_equal(val_get(f->answer, "data"), data[1]);
    }
    assert_true(peak_kib() - before < PEAK_KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_create_and_names),
        CASE(test_conflict_and_generation),
        CASE(test_finalizers),
        CASE(test_pods_die_in_two_steps),
        CASE(test_pod_defaults_and_rules),
        CASE(test_garbage),
        CASE(test_foreground_and_orphan),
        CASE(test_lists),
        CASE(test_memory_grows_with_the_body_only),
        CASE(test_watch),
        CASE(test_watch_too_old),
        CASE(test_freed_api_answers_its_calls),
        CASE(test_namespaces),
        CASE(test_definitions),
        CASE(test_apply),
        CASE(test_services),
        CASE(test_permissions),
        CASE(test_tokens),
        CASE(test_events_have_two_forms),
        CASE(test_events_go_after_an_hour),
        CASE(test_claims_in_use_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
