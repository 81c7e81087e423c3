/* Work grows with the size of what a client sends, not with its square: each row does the same with N and with 4 N
 * parts, and the steps that were counted (base/pace.h) grow by little more than four times. Steps, not
 * time: the same on every machine. And no request keeps the loop for more than a slice. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "apiserver/auth.h"
#include "apiserver/internal.h"
#include "base/pace.h"
#include "kube/kube.h"

#define N          1000
#define MAX_GROWTH 5.5 /* of the steps, from N to 4 N: n log n is below it */
#define START      ((time_ms)1795435200000LL)

static struct loop *loop;
static struct apiserver *server;

static int set_up(void **state)
{
    struct err err = ERR_INIT;
    loop = loop_new_sim(START, 1);
    int rc = apiserver_new(loop, &(struct apiserver_config){0}, &server, &err);
    loop_sim_run(loop, START + 10);
    return rc;
}

static int tear_down(void **state)
{
    apiserver_free(server);
    loop_sim_run(loop, loop_wall_ms(loop) + 10);
    loop_free(loop);
    return 0;
}

/* --- texts: `format` takes the index, once or twice */

static struct str repeat(struct arena *a, size_t n, const char *before, const char *format,
                         const char *between, const char *after)
{
    struct buf text cleanup(buf_done) = BUF_INIT(64 << 20);
    buf_adds(&text, before);
    for (size_t i = 0; i < n; i++) {
        char part[256];
        const char *at = format;
        for (size_t k = 0; k < sizeof(part) && *at;) { /* every # is the index */
            int added = *at == '#' ? snprintf(part + k, sizeof(part) - k, "%zu", i)
                                   : snprintf(part + k, sizeof(part) - k, "%c", *at);
            k += (size_t)added;
            at++;
        }
        buf_addf(&text, "%s%s", i ? between : "", part);
    }
    buf_adds(&text, after);
    return arena_str(a, buf_str(&text));
}

static const struct val *json(struct arena *a, struct str text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(a, text, &v, &err) < 0)
        fail_msg("%s: %.200s", err.text, text.p);
    return v;
}

static const struct val *json_of(struct arena *a, size_t n, const char *before, const char *format,
                                 const char *after)
{
    return json(a, repeat(a, n, before, format, ",", after));
}

/* --- rows: what is prepared does not count, only what `run` does */

struct work {
    struct arena *a;
    size_t n;
    struct str text;
    const struct val *base, *change;
    struct api_request rq;
    int64_t steps;
};

static void run_json(struct work *w)
{
    const struct val *v;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_json(w->a, w->text, &v, &err), 0);
    struct val_texts repeats;
    val_json_repeats(w->a, w->text, &repeats);
    (void)val_json(w->a, v);
}

static void run_yaml(struct work *w)
{
    const struct val *v;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_yaml(w->a, "text", w->text, &v, &err), 0);
    struct buf out cleanup(buf_done) = BUF_INIT(64 << 20);
    val_print_yaml(v, &out);
}

static void run_strategic(struct work *w)
{
    const struct val *v;
    struct err err = ERR_INIT;
    const struct val_merge_schema *schema = kube_merge_schema_for(STR(""), STR("Pod"));
    if (val_patch_strategic(w->a, w->base, w->change, schema, &v, &err) < 0)
        fail_msg("%s", err.text);
    assert_ptr_not_equal(v, w->base);
}

static void run_operations(struct work *w)
{
    const struct val *v;
    struct err err = ERR_INIT;
    if (val_patch_json(w->a, w->base, w->change, &v, &err) < 0)
        fail_msg("%s", err.text);
}

static void run_merge(struct work *w)
{
    const struct val *v = val_patch_merge(w->a, w->base, w->change);
    (void)val_diff_merge(w->a, w->base, v);
    (void)val_merge(w->a, w->base, w->change);
    assert_ptr_not_equal(v, w->base);
}

static void run_selector(struct work *w)
{
    const struct kube_selector *selector;
    struct err err = ERR_INIT;
    if (kube_selector_parse(w->a, w->text, &selector, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < w->n; i++)
        assert_true(kube_selector_matches(selector, w->base));
}

static void prepare(struct work *w, const char *before, const char *format, const char *between,
                    const char *after)
{
    w->text = repeat(w->a, w->n, before, format, between, after);
}

static void json_list(struct work *w)
{
    prepare(w, "[", "{\"a\":#,\"b\":[\"#\",1.5]}", ",", "]");
}
static void json_keys(struct work *w)
{
    prepare(w, "{", "\"k#\":#", ",", "}");
}
static void json_same_keys(struct work *w)
{
    prepare(w, "{", "\"k\":#", ",", "}");
}
static void yaml_map(struct work *w)
{
    prepare(w, "", "k#: [a, #, {b: c#}]\n", "", "");
}
static void yaml_merges(struct work *w)
{
    prepare(w, "x: &x {a: 1}\ny:\n", "- {<<: *x, b: #}\n", "", "");
}

#define FINALIZERS "{\"metadata\":{\"finalizers\":["
#define VOLUMES    "{\"spec\":{\"volumes\":["
static void strategic_finalizers(struct work *w)
{
    w->base = json_of(w->a, w->n, FINALIZERS, "\"a/#\"", "]}}");
    w->change = json_of(w->a, w->n, FINALIZERS, "\"b/#\"", "]}}");
}
static void strategic_order(struct work *w)
{
    w->base = json_of(w->a, w->n, FINALIZERS, "\"#\"", "]}}");
    w->change = json_of(w->a, 2 * w->n, "{\"metadata\":{\"$setElementOrder/finalizers\":[",
                        "\"#1\"", "],\"finalizers\":[\"x\"]}}");
}
static void strategic_delete_from(struct work *w)
{
    w->base = json_of(w->a, w->n, FINALIZERS, "\"#\"", "]}}");
    w->change = json_of(w->a, w->n, "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[",
                        "\"#1\"", "]}}");
}
static void strategic_delete_fields(struct work *w)
{
    w->base = json_of(w->a, w->n, "{\"data\":{", "\"k#\":[#]", "}}");
    w->change = json_of(w->a, w->n, "{\"data\":{", "\"$deleteFromPrimitiveList/k#\":[#]", "}}");
}
static void strategic_volumes(struct work *w)
{
    w->base = json_of(w->a, w->n, VOLUMES, "{\"name\":\"v#\",\"emptyDir\":{}}", "]}}");
    w->change = json_of(w->a, 2 * w->n, VOLUMES, "{\"name\":\"v#\",\"secret\":{}}", "]}}");
}
static void strategic_volumes_gone(struct work *w)
{
    w->base = json_of(w->a, w->n, VOLUMES, "{\"name\":\"v#\",\"emptyDir\":{}}", "]}}");
    w->change = json_of(w->a, w->n, VOLUMES, "{\"name\":\"v#\",\"$patch\":\"delete\"}", "]}}");
}
static void strategic_retain(struct work *w)
{
    w->base = json_of(w->a, w->n, "{\"data\":{", "\"k#\":1", "}}");
    w->change = json_of(w->a, w->n, "{\"data\":{\"$retainKeys\":[", "\"k#1\"", "]}}");
}
static void operations(struct work *w, const char *format)
{
    struct val_member members[] = {{STR("list"), json_of(w->a, 5 * w->n, "[", "#", "]")},
                                   {STR("map"), json_of(w->a, 5 * w->n, "{", "\"k#\":#", "}")},
                                   {STR("small"), val_empty_object()}};
    w->base = val_object(w->a, members, ARRAY_SIZE(members));
    w->change = json_of(w->a, w->n, "[", format, "]");
}
static void insert_first(struct work *w)
{
    operations(w, "{\"op\":\"add\",\"path\":\"/list/0\",\"value\":#}");
}
static void append_last(struct work *w)
{
    operations(w, "{\"op\":\"add\",\"path\":\"/list/-\",\"value\":#}");
}
static void remove_first(struct work *w)
{
    operations(w, "{\"op\":\"remove\",\"path\":\"/list/0\"}");
}
static void add_keys(struct work *w)
{
    operations(w, "{\"op\":\"add\",\"path\":\"/map/x#\",\"value\":#}");
}
static void copy_in(struct work *w)
{
    operations(w, "{\"op\":\"copy\",\"from\":\"/small\",\"path\":\"/map/x#\"}");
}
static void move_keys(struct work *w)
{
    operations(w, "{\"op\":\"move\",\"from\":\"/map/k#\",\"path\":\"/map/y#\"}");
}
static void merge_keys(struct work *w)
{
    w->base = json_of(w->a, w->n, "{\"data\":{", "\"k#\":1", "}}");
    w->change = json_of(w->a, w->n, "{\"data\":{", "\"k#1\":2", "}}");
}
static void selector_values(struct work *w)
{
    prepare(w, "a in (", "v#", ",", ")");
    w->base = json(w->a, STR("{\"a\":\"v0\"}"));
}

/* --- requests, as the handler takes them */

static void request(struct work *w, enum api_verb verb, const char *group, const char *plural,
                    struct str name)
{
    struct api_user *user = arena_new_of(w->a, struct api_user);
    auth_admin(user);
    w->rq = (struct api_request){
        .server = server,
        .arena = w->a,
        .user = user,
        .verb = verb,
        .resource = resources_find(&server->resources, str_of(group), STR("v1"), str_of(plural)),
        .ns = STR("default"),
        .name = name,
        .now = START};
    assert_non_null(w->rq.resource);
}

static void run_request(struct work *w)
{
    w->rq.body = w->change;
    api_handle(&w->rq);
    if (w->rq.status >= 300)
        fail_msg("%d: %.300s", w->rq.status, val_as_c(val_get(w->rq.answer, "message")));
}

static void create(struct work *w, const char *plural, const char *before, const char *format,
                   const char *after)
{
    request(w, API_CREATE, "", plural, STR_NULL);
    w->rq.dry_run = true;
    w->rq.params[w->rq.params_n++] = (struct api_param){STR("dryRun"), STR("All")};
    w->change = json_of(w->a, w->n, before, format, after);
}

#define POD       "{\"metadata\":{\"name\":\"p\"},\"spec\":{"
#define CONTAINER POD "\"containers\":[{\"name\":\"c\",\"image\":\"i\","
static void pod_volumes(struct work *w)
{
    create(w, "pods", POD "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"volumes\":[",
           "{\"name\":\"v#\"}", "]}}");
}
static void pod_containers(struct work *w)
{
    create(w, "pods", POD "\"containers\":[", "{\"name\":\"c#\",\"image\":\"i\"}", "]}}");
}
static void pod_mounts(struct work *w)
{
    create(w, "pods", CONTAINER "\"volumeMounts\":[", "{\"name\":\"v\",\"mountPath\":\"/m#\"}",
           "]}],\"volumes\":[{\"name\":\"v\"}]}}");
}
static void pod_ports(struct work *w)
{
    create(w, "pods", CONTAINER "\"ports\":[", "{\"name\":\"p#\",\"containerPort\":1}", "]}]}}");
}
static void pod_env(struct work *w)
{
    create(w, "pods", CONTAINER "\"env\":[", "{\"name\":\"E#\",\"value\":\"\"}", "]}]}}");
}
static void pod_tolerations(struct work *w)
{
    create(w, "pods", POD "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"tolerations\":[",
           "{\"key\":\"k#\",\"operator\":\"Exists\"}", "]}}");
}
static void service_ports(struct work *w)
{
    create(w, "services", "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[",
           "{\"name\":\"p#\",\"port\":1#}", "]}}");
}
static void many_finalizers(struct work *w)
{
    create(w, "configmaps", "{\"metadata\":{\"name\":\"c\",\"finalizers\":[", "\"a.b/f#\"", "]}}");
}
static void many_owners(struct work *w)
{
    create(w, "configmaps", "{\"metadata\":{\"name\":\"c\",\"ownerReferences\":[",
           "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"n\",\"uid\":\"u#\"}", "]}}");
}
static void many_labels(struct work *w)
{
    create(w, "configmaps", "{\"metadata\":{\"name\":\"c\",\"labels\":{", "\"k#\":\"v\"", "}}}");
}

static const struct row {
    const char *name;
    void (*prepare)(struct work *w);
    void (*run)(struct work *w);
    unsigned shrink; /* N is divided by it: services have 5 digits for a port */
} rows[] = {
    {"JSON: a list", json_list, run_json, 1},
    {"JSON: keys", json_keys, run_json, 1},
    {"JSON: one key again", json_same_keys, run_json, 1},
    {"YAML: a map", yaml_map, run_yaml, 1},
    {"YAML: merge keys", yaml_merges, run_yaml, 1},
    {"strategic: finalizers", strategic_finalizers, run_strategic, 1},
    {"strategic: order", strategic_order, run_strategic, 1},
    {"strategic: delete from a list", strategic_delete_from, run_strategic, 1},
    {"strategic: delete from many lists", strategic_delete_fields, run_strategic, 1},
    {"strategic: volumes", strategic_volumes, run_strategic, 1},
    {"strategic: volumes deleted", strategic_volumes_gone, run_strategic, 1},
    {"strategic: retained keys", strategic_retain, run_strategic, 1},
    {"JSON patch: insert first", insert_first, run_operations, 1},
    {"JSON patch: append", append_last, run_operations, 1},
    {"JSON patch: remove first", remove_first, run_operations, 1},
    {"JSON patch: add keys", add_keys, run_operations, 1},
    {"JSON patch: copy", copy_in, run_operations, 1},
    {"JSON patch: move", move_keys, run_operations, 1},
    {"merge patch: keys", merge_keys, run_merge, 1},
    {"selector: values", selector_values, run_selector, 1},
    {"Pod: volumes", pod_volumes, run_request, 1},
    {"Pod: containers", pod_containers, run_request, 1},
    {"Pod: mounts", pod_mounts, run_request, 1},
    {"Pod: ports", pod_ports, run_request, 1},
    {"Pod: env", pod_env, run_request, 1},
    {"Pod: tolerations", pod_tolerations, run_request, 1},
    {"Service: ports", service_ports, run_request, 4},
    {"ConfigMap: finalizers", many_finalizers, run_request, 1},
    {"ConfigMap: owners", many_owners, run_request, 1},
    {"ConfigMap: labels", many_labels, run_request, 1},
};

static int64_t steps_of(const struct row *row, size_t n)
{
    struct work w = {.a = arena_new(), .n = n};
    row->prepare(&w);
    int64_t before = pace.left;
    row->run(&w);
    int64_t steps = before - pace.left;
    arena_free(w.a);
    return steps;
}

static void steps_grow_with_the_input(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t n = N / rows[i].shrink;
        int64_t few = steps_of(&rows[i], n), many = steps_of(&rows[i], 4 * n);
        double growth = (double)many / (double)few;
        if (few < (int64_t)n / 2)
            fail_msg("%s: %lld steps for %zu parts: they are not counted", rows[i].name,
                     (long long)few, n);
        if (growth > MAX_GROWTH)
            fail_msg("%s: %lld steps for %zu parts, %lld for %zu: %.1f times", rows[i].name,
                     (long long)few, n, (long long)many, 4 * n, growth);
    }
}

/* --- the same as tasks: pauses come in time */

static void run_work(void *ctx)
{
    struct work *w = ctx;
    run_request(w);
}

static void requests_pause_in_time(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].run != run_request)
            continue;
        struct work w = {.a = arena_new(), .n = 8 * N / rows[i].shrink};
        rows[i].prepare(&w);
        tasks_run(server->tasks, true, run_work, &w);
        loop_sim_run(loop, loop_wall_ms(loop) + 1000);
        assert_int_equal(tasks_count(server->tasks), 0);
        if (tasks_longest_slice(server->tasks) > 2 * PACE_SLICE_STEPS)
            fail_msg("%s: a slice of %lld steps", rows[i].name,
                     (long long)tasks_longest_slice(server->tasks));
        arena_free(w.a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_grow_with_the_input),
                                       cmocka_unit_test(requests_pause_in_time)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
