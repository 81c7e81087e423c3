/* The runtime's pure parts: wire protocol, environments, images, probes, hosts files, state table. */
#include "runtime/pod.h"
#include "runtime/recipe.h"
#include "runtime/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct arena *a;

static int setup(void **state)
{
    a = arena_new();
    return 0;
}

static int teardown(void **state)
{
    a = arena_free(a);
    return 0;
}

static const struct val *parse(const char *json)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(a, str_of(json), &v, &err) < 0)
        fail_msg("%s: %s", json, err.text);
    return v;
}

/* --- wire */

static struct wire_message start_message(void)
{
    static struct str argv[] = {{"sh", 2}, {"-c", 2}, {"", 0}};
    static struct str env[] = {{"A=1", 3}};
    static struct wire_mount mounts[] = {
        {.kind = WIRE_MOUNT_BIND, .read_only = 1, .source = {"/s", 2}, .target = {"/t", 2}},
        {.kind = WIRE_MOUNT_TMPFS, .size_bytes = 1ull << 40, .target = {"/dev/shm", 8}}};
    return (struct wire_message){.type = WIRE_START,
                                 .id = 7,
                                 .start = {.container_id = 3,
                                           .cwd = {"/", 1},
                                           .argv = {argv, 3},
                                           .env = {env, 1},
                                           .mounts = {mounts, 2}}};
}

static void wire_comes_back(void **state)
{
    struct wire_message m = start_message(), back;
    struct buf out cleanup(buf_done) = BUF_INIT(WIRE_MAX_BYTES);
    struct err err = ERR_INIT;
    assert_int_equal(wire_encode(&m, &out, &err), 0);
    assert_int_equal(wire_decode(a, buf_str(&out), &back, &err), 0);
    assert_int_equal(back.id, 7);
    assert_int_equal(back.start.container_id, 3);
    assert_int_equal(back.start.argv.n, 3);
    assert_int_equal(back.start.argv.items[2].n, 0);
    assert_true(str_is(back.start.env.items[0], "A=1"));
    assert_true(back.start.mounts.items[1].size_bytes == 1ull << 40);
    assert_true(str_is(back.start.mounts.items[1].target, "/dev/shm"));
}

static void wire_refuses_every_cut(void **state)
{
    struct wire_message m = start_message(), back;
    struct buf out cleanup(buf_done) = BUF_INIT(WIRE_MAX_BYTES);
    struct err err = ERR_INIT;
    assert_int_equal(wire_encode(&m, &out, &err), 0);
    for (size_t n = 0; n < out.n; n++)
        assert_int_equal(wire_decode(a, (struct str){out.p, n}, &back, &err), -ERR_CORRUPT);
    buf_addc(&out, 'x');
    assert_int_equal(wire_decode(a, buf_str(&out), &back, &err), -ERR_CORRUPT);
}

static void wire_refuses_wild_counts(void **state)
{
    struct wire_message m = start_message(), back;
    struct err err = ERR_INIT;
    struct buf out cleanup(buf_done) = BUF_INIT(WIRE_MAX_BYTES);
    assert_int_equal(wire_encode(&m, &out, &err), 0);
    for (size_t at = 8; at + 4 <= out.n;
         at++) { /* a huge number at every place never reads past the end */
        char *copy = arena_alloc(a, out.n);
        uint32_t huge = 0xfffffff0u;
        memcpy(copy, out.p, out.n);
        memcpy(copy + at, &huge, sizeof(huge));
        (void)!wire_decode(a, (struct str){copy, out.n}, &back, &err);
    }
    uint32_t types[] = {0, _WIRE_TYPE_MAX, 0xffffffffu};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        char packet[16] = {0};
        memcpy(packet, &types[i], 4);
        assert_int_equal(wire_decode(a, (struct str){packet, 16}, &back, &err), -ERR_CORRUPT);
    }
}

static void wire_has_a_ceiling(void **state)
{
    struct wire_message m = start_message();
    char *big = arena_zero(a, WIRE_MAX_BYTES);
    m.start.cwd = (struct str){big, WIRE_MAX_BYTES};
    struct buf out cleanup(buf_done) = BUF_INIT(4 * WIRE_MAX_BYTES);
    struct err err = ERR_INIT;
    assert_int_equal(wire_encode(&m, &out, &err), -ERR_TOO_LARGE);
}

/* --- environment */

static const struct val *lookup(void *ctx, const char *plural, struct str ns, struct str name)
{
    if (strcmp(plural, "secrets") == 0 && str_is(name, "s"))
        return parse("{\"data\":{\"k\":\"aGVsbG8=\",\"bad\":\"*\"}}");
    if (strcmp(plural, "configmaps") == 0 && str_is(name, "c"))
        return parse("{\"data\":{\"x\":\"1\",\"y\":\"2\"}}");
    return NULL;
}

static struct env_world world(void)
{
    return (struct env_world){.lookup = lookup,
                              .node_name = STR("gpu-0"),
                              .host_ip = STR("127.0.0.1"),
                              .pod_ip = STR("127.9.8.7"),
                              .node_allocatable = parse("{\"cpu\":\"64\",\"memory\":\"1Ti\"}")};
}

static const char pod_json[] = "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"labels\":{"
                               "\"ray.io/group\":\"cpuWG\"}},\"spec\":{}}";

static void expansion_follows_kubernetes(void **state)
{
    struct env env = {0};
    env_set(a, &env, STR("A"), STR("one"));
    env_set(a, &env, STR("EMPTY"), STR(""));
    const struct {
        const char *in, *out;
    } rows[] = {{"$(A)", "one"},        {"x$(A)y$(A)", "xoneyone"},
                {"$$(A)", "$(A)"},      {"$(NO)", "$(NO)"},
                {"$(A", "$(A"},         {"$A", "$A"},
                {"$$$$A", "$$A"},       {"$(EMPTY)|", "|"},
                {"$($(A))", "$($(A))"}, {"$", "$"},
                {"a$$b", "a$b"},        {"", ""}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_string_equal(arena_c(a, env_expand(a, &env, str_of(rows[i].in))), rows[i].out);
}

static void container_environment(void **state)
{
    const struct val *c = parse(
        "{\"resources\":{\"limits\":{\"cpu\":\"1500m\"},\"requests\":{\"memory\":\"1Gi\"}},"
        "\"envFrom\":[{\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"c\"}},"
        "{\"secretRef\":{\"name\":\"gone\",\"optional\":true}}],"
        "\"env\":[{\"name\":\"G\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['"
        "ray.io/group']\"}}},"
        "{\"name\":\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},"
        "{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}},"
        "{\"name\":\"OPT\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"zz\","
        "\"optional\":true}}},"
        "{\"name\":\"CPU\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}},"
        "{\"name\":\"MEM\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"requests.memory\","
        "\"divisor\":\"1Mi\"}}},"
        "{\"name\":\"NODEMEM\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\","
        "\"divisor\":\"1Gi\"}}},"
        "{\"name\":\"URL\",\"value\":\"http://$(IP)/"
        "$(P_x)$(LATER)\"},{\"name\":\"LATER\",\"value\":\"z\"},"
        "{\"name\":\"G\",\"value\":\"last wins\"}]}");
    struct env env = {0};
    struct env_world w = world();
    struct err err = ERR_INIT;
    assert_int_equal(env_add_container(a, &w, parse(pod_json), c, &env, &err), 0);
    const struct {
        const char *name, *value;
    } rows[] = {{"G", "last wins"}, {"IP", "127.9.8.7"}, {"S", "hello"},
                {"CPU", "2"},       {"MEM", "1024"},     {"NODEMEM", "1024"},
                {"P_x", "1"},       {"P_y", "2"},        {"URL", "http://127.9.8.7/1$(LATER)"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_string_equal(arena_c(a, env_get(&env, str_of(rows[i].name))), rows[i].value);
    assert_null(env_get(&env, STR("OPT")).p);
}

static void missing_sources_are_named(void **state)
{
    const struct {
        const char *from, *text;
    } rows[] = {
        {"{\"secretKeyRef\":{\"name\":\"gone\",\"key\":\"k\"}}",
         "env X: secret \"gone\" not found"},
        {"{\"configMapKeyRef\":{\"name\":\"c\",\"key\":\"q\"}}",
         "env X: couldn't find key q in configmap n/c"},
        {"{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"bad\"}}",
         "env X: secret n/s: data of key bad is not base64"},
        {"{\"fieldRef\":{\"fieldPath\":\"status.moon\"}}",
         "env X: unsupported fieldPath: status.moon"},
        {"{}", "env X: valueFrom names no known source"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct env env = {0};
        struct env_world w = world();
        struct err err = ERR_INIT;
        struct str json =
            arena_strf(a, "{\"env\":[{\"name\":\"X\",\"valueFrom\":%s}]}", rows[i].from);
        assert_true(env_add_container(a, &w, parse(pod_json), parse(json.p), &env, &err) < 0);
        assert_string_equal(err.text, rows[i].text);
    }
}

/* --- images */

/* What an image turns out to be: "host", "VERSION pyN [EXTRAS]", or a part of why it is refused. */
static void image_is(const struct recipe_book *book, const char *image, const char *cluster,
                     const char *wanted)
{
    struct recipe r;
    struct err err = ERR_INIT;
    char text[sizeof(err.text)];
    int rc = recipe_of(book, str_of(image), str_of(cluster), &r, &err);
    if (rc < 0)
        snprintf(text, sizeof(text), "%s", err.text);
    else if (r.row->is_host)
        snprintf(text, sizeof(text), "host");
    else
        snprintf(text, sizeof(text), "%s py%d [%s]%s", r.version, r.python_minor, r.extras,
                 r.on_top ? " and packages" : "");
    if (rc < 0 ? !strstr(text, wanted) : strcmp(text, wanted) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", image, text, wanted);
}

#define NO_RECIPE "has no recipe: say what it holds with --image "
#define NO_VERSION                                                                                 \
    "names no Ray version, and its cluster has no rayVersion: say which with --ray-version 2."

static void image_table(void **state)
{
    static const struct recipe_book book = {0};
    static const struct {
        const char *image, *cluster, *wanted;
    } rows[] = {
        {"rayproject/ray:2.46.0-py310-cpu", NULL, "2.46.0 py10 [all]"},
        {"rayproject/ray:2.46.0", "2.9.0", "2.46.0 py0 [all]"},
        {"ray:2.10.0", NULL, "2.10.0 py0 [all]"},
        {"docker.io/rayproject/ray:2.52.1-py312-gpu", NULL, "2.52.1 py12 [all]"},
        {"cr.ray.io/rayproject/ray:2.9.3.a1b2c3-py39-cu121", NULL, "2.9.3 py9 [all]"},
        {"localhost:5000/rayproject/ray:2.46.0-py311-cu121@sha256:0ab", NULL, "2.46.0 py11 [all]"},
        {"localhost:5000/ray:2.46.0-extra-py311-cpu", NULL, "2.46.0 py11 [all]"},
        {"quay.io/a/ray:2.60.0.dev0-py312-cu121@sha256:abc", NULL, "2.60.0.dev0 py12 [all]"},
        {"rayproject/ray:3.0.0rc1", NULL, "3.0.0rc1 py0 [all]"},
        {"rayproject/ray-llm:2.46.0-py311-cu124", NULL, "2.46.0 py11 [all,llm]"},
        {"registry.local:5000/x/ray-ml:2.9.3-py39-gpu", NULL, "2.9.3 py9 [all] and packages"},
        {"rayproject/ray:latest", "2.46.0", "2.46.0 py0 [all]"},
        {"rayproject/ray:latest-py311-cpu", NULL, NO_VERSION},
        {"rayproject/ray@sha256:0123", NULL, NO_VERSION},
        {"localhost:5000/ray", NULL, NO_VERSION},
        {"rayproject/ray:", NULL, NO_VERSION},
        {"rayproject/ray:2", NULL, NO_VERSION},
        {"rayproject/ray:2.46.0;rm -rf-py310", NULL, NO_VERSION},
        {"quay.io/ado/ado:latest-ofed-py312-cu121-2.1.0", "2.52.1",
         "2.52.1 py12 [all] and packages"},
        {"mirror.local/quay/ado/ado-core:1.0", NULL, NO_VERSION},
        {"busybox", NULL, "host"},
        {"busybox:1.36", NULL, "host"},
        {"docker.io/library/python:3.12-slim", NULL, "host"},
        {"localhost:5000/alpine@sha256:0", NULL, "host"},
        {"quay.io/team/busybox:1", NULL, NO_RECIPE "quay.io/team/busybox:1=requirements.txt"},
        {"quay.io/team/app@sha256:1", NULL, NO_RECIPE "quay.io/team/app=requirements.txt"},
        {"x/array:2.46.0", "2.46.0", NO_RECIPE},
        {"x", NULL, NO_RECIPE "x=requirements.txt, or with --image x=host"},
        {"", NULL, NO_RECIPE},
        {":", NULL, NO_RECIPE},
        {"/", NULL, NO_RECIPE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        image_is(&book, rows[i].image, rows[i].cluster, rows[i].wanted);
}

static void image_rows_of_a_user(void **state)
{
    static const struct recipe_row own[] = {
        {.name = "quay.io/team/app:1.*", .ray = "2.46.0", .python_minor = 11, .packages = "emoji"},
        {.name = "quay.io/team/app",
         .file = "/r.txt",
         .file_text = "torch\nray[data] == 2.50.1 # x\n"},
        {.name = "tool-*", .is_host = true},
        {.name = "team/lean", .extras = "data,serve"},
    };
    struct recipe_book book = {.rows = own, .n_rows = ARRAY_SIZE(own), .extras = "default"};
    image_is(&book, "quay.io/team/app:1.2@sha256:0", NULL, "2.46.0 py11 [default] and packages");
    image_is(&book, "quay.io/team/app:2-py312", NULL, "2.50.1 py12 [default] and packages");
    image_is(&book, "ghcr.io/team/app:1.2", NULL, NO_RECIPE);
    image_is(&book, "ghcr.io/x/tool-a:3", NULL, "host");
    image_is(&book, "tool-a/other", NULL, NO_RECIPE);
    image_is(&book, "h:1/team/lean:9", "2.44.0", "2.44.0 py0 [data,serve]");
    image_is(&book, "h:1/team/lean:2.46.0", NULL, NO_VERSION); /* its own tag, not Ray's */
    image_is(&book, "rayproject/ray:2.46.0", NULL, "2.46.0 py0 [default]");
    book.ray_version = "2.48.0";
    image_is(&book, "rayproject/ray:2.46.0-py310", NULL, "2.48.0 py10 [default]");
    image_is(&book, "quay.io/team/app:1.2", NULL, "2.48.0 py11 [default] and packages");
    image_is(&book, "nobody/knows:1-py39", NULL, "2.48.0 py9 [default]");
    image_is(&book, "tool-a", NULL, "host");
}

/* What is on top tells environments apart; what is not, does not. */
static void image_hashes(void **state)
{
    static const struct recipe_row own[] = {
        {.name = "a", .packages = "emoji"},
        {.name = "b", .packages = "emoji\n"},
        {.name = "c", .packages = "torch"},
        {.name = "d", .file = "/f", .file_text = "emoji"},
        {.name = "e"},
    };
    struct recipe_book book = {.rows = own, .n_rows = ARRAY_SIZE(own), .ray_version = "2.46.0"};
    uint64_t on_top[ARRAY_SIZE(own)];
    struct err err = ERR_INIT;
    struct recipe r;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        assert_int_equal(recipe_of(&book, str_of(own[i].name), STR_NULL, &r, &err), 0);
        on_top[i] = r.on_top;
        assert_string_equal(r.before, "2025-05-14");
    }
    assert_true(on_top[0] == on_top[1] && on_top[0] != 0);
    assert_true(on_top[2] != on_top[0] && on_top[3] != on_top[0] && on_top[3] != on_top[2]);
    assert_true(on_top[4] == 0);
    book.packages = "emoji\n";
    assert_int_equal(recipe_of(&book, STR("e"), STR_NULL, &r, &err), 0);
    assert_true(r.on_top != 0 && r.on_top != on_top[0]);
}

/* --- probes */

static void probe_defaults_and_ports(void **state)
{
    const struct val *c =
        parse("{\"ports\":[{\"name\":\"web\",\"containerPort\":8080}],"
              "\"livenessProbe\":{\"tcpSocket\":{\"port\":\"web\"},\"periodSeconds\":0},"
              "\"readinessProbe\":{\"exec\":{\"command\":[\"x\"]},\"initialDelaySeconds\":10,"
              "\"periodSeconds\":5,\"timeoutSeconds\":2,\"failureThreshold\":120}}");
    struct probe_spec live = probe_spec_of(c, PROBE_LIVENESS),
                      ready = probe_spec_of(c, PROBE_READINESS);
    assert_int_equal(live.action, PROBE_TCP);
    assert_int_equal(live.period_ms, 10000);
    assert_int_equal(live.timeout_ms, 1000);
    assert_int_equal(live.failure_threshold, 3);
    assert_int_equal(ready.initial_delay_ms, 10000);
    assert_int_equal(ready.failure_threshold, 120);
    assert_int_equal(probe_spec_of(c, PROBE_STARTUP).action, PROBE_NONE);
    assert_int_equal(probe_port(parse("\"web\""), c), 8080);
    assert_int_equal(probe_port(parse("\"9090\""), c), 9090);
    assert_int_equal(probe_port(parse("70000"), c), 0);
    assert_int_equal(probe_port(parse("\"none\""), c), 0);
}

static void probe_thresholds(void **state)
{
    struct probe_spec spec = {.success_threshold = 2, .failure_threshold = 3};
    struct probe_state s = {0};
    const struct {
        bool answer;
        enum probe_verdict verdict;
        bool reached;
    } story[] = {
        {true, PROBE_UNKNOWN, false},  {false, PROBE_UNKNOWN, false}, {true, PROBE_UNKNOWN, false},
        {true, PROBE_SUCCESS, true},   {true, PROBE_SUCCESS, false},  {false, PROBE_SUCCESS, false},
        {false, PROBE_SUCCESS, false}, {true, PROBE_SUCCESS, false},  {false, PROBE_SUCCESS, false},
        {false, PROBE_SUCCESS, false}, {false, PROBE_FAILURE, true},  {true, PROBE_FAILURE, false},
        {true, PROBE_SUCCESS, true}};
    for (size_t i = 0; i < ARRAY_SIZE(story); i++) {
        assert_int_equal(probe_count(&s, &spec, story[i].answer), story[i].reached);
        assert_int_equal(s.verdict, story[i].verdict);
    }
}

/* --- hosts */

static struct cache_list list_of(const char *json)
{
    const struct val *v = parse(json);
    struct cache_list list = {arena_array_of(a, const struct val *, val_len(v) + 1), val_len(v)};
    for (size_t i = 0; i < list.n; i++)
        list.items[i] = val_at(v, i);
    return list;
}

#define READY "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]"

static void hosts_name_services_and_pods(void **state)
{
    struct hosts_world w = {
        .api_ip = STR("127.5.0.1"),
        .pods = list_of("[{\"metadata\":{\"name\":\"head\",\"namespace\":\"n\",\"uid\":\"1\","
                        "\"labels\":{\"r\":\"h\"}},"
                        "\"status\":{\"phase\":\"Running\",\"podIP\":\"127.5.1.1\"," READY "}},"
                        "{\"metadata\":{\"name\":\"slow\",\"namespace\":\"n\",\"uid\":\"2\","
                        "\"labels\":{\"r\":\"h\"}},"
                        "\"status\":{\"phase\":\"Running\",\"podIP\":\"127.5.1.2\"}},"
                        "{\"metadata\":{\"name\":\"over\",\"namespace\":\"n\",\"uid\":\"3\","
                        "\"labels\":{\"r\":\"h\"}},"
                        "\"status\":{\"phase\":\"Failed\",\"podIP\":\"127.5.1.3\"}},"
                        "{\"metadata\":{\"name\":\"away\",\"namespace\":\"m\",\"uid\":\"4\","
                        "\"labels\":{\"r\":\"h\"}},"
                        "\"status\":{\"phase\":\"Running\",\"podIP\":\"127.5.1.4\"," READY "}}]"),
        .services = list_of("[{\"metadata\":{\"name\":\"ready\",\"namespace\":\"n\"},\"spec\":{"
                            "\"selector\":{\"r\":\"h\"}}},"
                            "{\"metadata\":{\"name\":\"all\",\"namespace\":\"n\"},\"spec\":{"
                            "\"clusterIP\":\"None\",\"selector\":{\"r\":\"h\"}}},"
                            "{\"metadata\":{\"name\":\"other\",\"namespace\":\"m\"},\"spec\":{"
                            "\"selector\":{\"r\":\"h\"}}},"
                            "{\"metadata\":{\"name\":\"bare\",\"namespace\":\"n\"},\"spec\":{}}]")};
    struct buf out cleanup(buf_done) = BUF_INIT(HOSTS_MAX_BYTES);
    const struct val *self =
        parse("{\"metadata\":{\"name\":\"slow\",\"namespace\":\"n\",\"uid\":\"2\"}}");
    hosts_print(a, &w, self, STR("127.5.1.2"), &out);
    assert_string_equal(
        buf_c(&out),
        "# made by mobula for this pod; changes are overwritten\n"
        "127.0.0.1 localhost\n"
        "127.5.1.2 slow\n"
        "127.5.0.1 kubernetes.default.svc.cluster.local kubernetes.default.svc kubernetes.default\n"
        "127.5.1.1 ready.n.svc.cluster.local ready.n.svc ready.n ready\n"
        "127.5.1.1 all.n.svc.cluster.local all.n.svc all.n all\n"
        "127.5.1.2 all.n.svc.cluster.local all.n.svc all.n all\n"
        "127.5.1.4 other.m.svc.cluster.local other.m.svc other.m\n"
        "127.5.1.1 127-5-1-1.n.pod.cluster.local\n"
        "127.5.1.2 127-5-1-2.n.pod.cluster.local\n"
        "127.5.1.4 127-5-1-4.m.pod.cluster.local\n");
}

/* --- states */

static void every_state_has_a_way_out_and_none_skips_the_end(void **state)
{
    for (int from = 0; from < _POD_STATE_MAX; from++) {
        int ways = 0;
        for (int to = 0; to < _POD_STATE_MAX; to++) {
            ways += pod_state_allows((enum pod_state)from, (enum pod_state)to);
            assert_false(from == to && pod_state_allows((enum pod_state)from, (enum pod_state)to));
        }
        assert_true(ways > 0);
        assert_non_null(pod_state_names[from]);
        /* whatever lives is stopped before it ends; nothing comes back from the end */
        bool lives = from < POD_STOPPING;
        assert_int_equal(pod_state_allows((enum pod_state)from, POD_STOPPING), lives);
        for (int to = 0; from >= POD_STOPPING && to < POD_STOPPING; to++)
            assert_false(pod_state_allows((enum pod_state)from, (enum pod_state)to));
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wire_comes_back),
        TEST(wire_refuses_every_cut),
        TEST(wire_refuses_wild_counts),
        TEST(wire_has_a_ceiling),
        TEST(expansion_follows_kubernetes),
        TEST(container_environment),
        TEST(missing_sources_are_named),
        TEST(image_table),
        TEST(image_rows_of_a_user),
        TEST(image_hashes),
        TEST(probe_defaults_and_ports),
        TEST(probe_thresholds),
        TEST(hosts_name_services_and_pods),
        TEST(every_state_has_a_way_out_and_none_skips_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
