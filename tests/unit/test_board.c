/* The board: what it says of pods, GPUs and groups, and how it is drawn. Also the state folder and
 * who holds a port: the other things that `mobula up` tells its user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/board_index.h"
#include "cmd/ports.h"
#include "cmd/state.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char cluster_text[] =
    "{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: c, namespace: default},"
    " spec: {rayVersion: 2.46.0, headGroupSpec: {rayStartParams: {}, template: {spec: {containers:"
    " [{name: ray-head}]}}}, workerGroupSpecs: [{groupName: two, minReplicas: 0, maxReplicas: 2,"
    " replicas: 2, rayStartParams: {}, template: {spec: {containers: [{name: w, resources:"
    " {requests: {cpu: 15, nvidia.com/gpu: 2, memory: 200Gi}}}]}}}]}, status: {state: ready}}";
static const char node_text[] =
    "{metadata: {name: gpu-1, labels: {nvidia.com/gpu.product: A100}}, status: {allocatable:"
    " {cpu: '64', memory: 1Ti, nvidia.com/gpu: '8'}, conditions: [{type: Ready, status: 'True'}]}}";
static const char head_text[] =
    "{metadata: {name: c-head, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z', "
    "labels:"
    " {ray.io/cluster: c, ray.io/group: headgroup, ray.io/node-type: head}}, spec: {nodeName: "
    "gpu-1,"
    " containers: [{name: ray-head, resources: {requests: {cpu: 4}}}]}, status: {phase: Running,"
    " podIP: 127.9.0.2, conditions: [{type: Ready, status: 'True'}]}}";
static const char placed_text[] =
    "{metadata: {name: c-two-worker-a, namespace: default, creationTimestamp:"
    " '2026-01-01T00:00:01Z', labels: {ray.io/cluster: c, ray.io/group: two}}, spec: {nodeName:"
    " gpu-1, containers: [{name: w, resources: {requests: {cpu: 15, nvidia.com/gpu: 2}}}]}, status:"
    " {phase: Pending}}";
static const char waiting_text[] =
    "{metadata: {name: c-two-worker-b, namespace: default, creationTimestamp:"
    " '2026-01-01T00:00:02Z', labels: {ray.io/cluster: c, ray.io/group: two}}, spec: {containers:"
    " [{name: w, resources: {requests: {cpu: 15, nvidia.com/gpu: 2}}}]}, status: {phase: Pending,"
    " conditions: [{type: PodScheduled, status: 'False', message: '0/1 nodes are available'}]}}";
static const char event_text[] =
    "{metadata: {name: e}, involvedObject: {kind: Pod, namespace: default, name: c-two-worker-a},"
    " lastTimestamp: '2026-01-01T00:00:03Z', type: Warning, reason: FailedMount, message: no "
    "volume x}";
static const char demand_text[] = "{default/c: {waiting: [{shape: {CPU: 16, GPU: 8}, count: 3, "
                                  "why: group two is at its maximum 2}]}}";

static const struct val *value(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;

    if (val_parse_yaml(a, "test", str_of(text), &v, &err) < 0)
        fail_msg("%s", err.text);
    return v;
}

static struct board_index *example_index(struct arena *a)
{
    static const struct {
        enum board_kind kind;
        const char *text;
    } objects[] = {{BOARD_CLUSTER, cluster_text}, {BOARD_NODE, node_text},
                   {BOARD_POD, head_text},        {BOARD_POD, placed_text},
                   {BOARD_POD, waiting_text},     {BOARD_EVENT, event_text}};
    struct board_index *index = board_index_new(true);

    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        board_index_put(index, objects[i].kind, value(a, objects[i].text));
    board_index_autoscaler(index, STR("default"), STR("c"),
                           val_get(value(a, demand_text), "default/c"));
    return index;
}

static const struct val *example(struct arena *a)
{
    struct board_index *index = example_index(a);
    const struct val *board = board_make(a, index, &BOARD_ALL);

    board_index_free(index);
    return board;
}

static void it_counts_pods_and_gpus(void **state)
{
    struct arena *a = arena_new();
    const struct val *board = example(a);
    const struct val *group = val_path(board, "clusters[0].groups[1]");
    const struct val *node = val_path(board, "nodes[0]");

    assert_int_equal(val_path_int(group, "wanted", -1), 2);
    assert_int_equal(val_path_int(group, "pods", -1), 2);
    assert_int_equal(val_path_int(group, "ready", -1), 0);
    assert_int_equal(val_path_int(group, "gpusPerPod", -1), 2);
    assert_int_equal(val_path_int(board, "clusters[0].groups[0].ready", -1), 1);
    assert_int_equal(val_path_int(node, "gpus", -1), 8);
    assert_int_equal(val_path_int(node, "gpusUsed", -1), 2);
    assert_string_equal(val_as_c(val_get(node, "cpuUsed")), "19");
    assert_int_equal(val_len(val_get(node, "holders")), 1);
    assert_string_equal(val_as_c(val_path(node, "holders[0].label")), "2a");
    assert_string_equal(val_as_c(val_path(board, "clusters[0].head.ip")), "127.9.0.2");
    arena_free(a);
}

static void it_says_why_pods_wait(void **state)
{
    struct arena *a = arena_new();
    const struct val *board = example(a);

    assert_string_equal(val_as_c(val_path(board, "pods[1].why")), "no volume x");
    assert_string_equal(val_as_c(val_path(board, "pods[2].why")), "0/1 nodes are available");
    assert_string_equal(val_as_c(val_path(board, "clusters[0].waiting[0].what")),
                        "{CPU 16, GPU 8}");
    assert_int_equal(val_path_int(board, "clusters[0].waiting[0].count", 0), 3);
    assert_string_equal(val_as_c(val_path(board, "clusters[0].waiting[1].what")),
                        "pod c-two-worker-b");
    arena_free(a);
}

/* Only what holds now is a reason: not what was said of a pod of that name before, nor before its
 * container ran, nor that all went well. */
static void a_stale_event_is_no_reason(void **state)
{
    static const struct {
        const char *status, *event, *why;
    } rows[] = {
        {"containerStatuses: [{name: w, state: {waiting: {reason: installing Ray 2.46.0 (4 s), "
         "message:"
         " Collecting x}}}]",
         "lastTimestamp: '2026-01-01T00:09:00Z', type: Warning, message: old", "w: Collecting x"},
        {"containerStatuses: [{name: w, state: {waiting: {reason: ContainerCreating}}}]",
         "lastTimestamp: '2026-01-01T00:09:00Z', type: Warning, message: no volume x",
         "no volume x"},
        {"containerStatuses: [{name: w, state: {waiting: {reason: ContainerCreating}}}]",
         "lastTimestamp: '2026-01-01T00:09:00Z', type: Normal, message: pulled", ""},
        {"containerStatuses: [{name: w, state: {running: {startedAt: '2026-01-01T00:01:00Z'}}}],"
         " conditions: [{type: Ready, status: 'False', message: 'not ready: [w]'}]",
         "lastTimestamp: '2026-01-01T00:00:59Z', type: Warning, message: no volume x",
         "not ready: [w]"},
        {"containerStatuses: [{name: w, state: {running: {startedAt: '2026-01-01T00:01:00Z'}}}]",
         "eventTime: '2026-01-01T00:01:00.5Z', type: Warning, message: probe failed",
         "probe failed"},
        {"containerStatuses: [{name: w, state: {waiting: {reason: PodInitializing}}}]",
         "lastTimestamp: '2026-01-01T00:09:00Z', type: Warning, reason: Unhealthy, message: probe",
         ""},
        {"containerStatuses: [], conditions: [{type: Ready, status: 'False', lastTransitionTime:"
         " '2026-01-01T00:10:00Z', message: not ready}]",
         "lastTimestamp: '2026-01-01T00:09:00Z', type: Warning, message: of its former life",
         "not ready"},
        {"containerStatuses: []",
         "lastTimestamp: '2025-12-31T00:00:00Z', type: Warning, message: of another", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena *a = arena_new();
        struct board_index *index = board_index_new(false);
        const struct val *pod = value(
            a, arena_strf(
                   a,
                   "{metadata: {name: p, namespace: n, uid: u, creationTimestamp: "
                   "'2026-01-01T00:00:00Z'}, spec: {nodeName: g}, status: {phase: Pending, %s}}",
                   rows[i].status)
                   .p);
        const struct val *event =
            value(a, arena_strf(a,
                                "{metadata: {name: e}, involvedObject: {kind: Pod, "
                                "namespace: n, name: p, uid: u}, %s}",
                                rows[i].event)
                         .p);

        board_index_put(index, BOARD_POD, pod);
        board_index_put(index, BOARD_EVENT, event);
        assert_string_equal(val_as_c(val_path(board_make(a, index, &BOARD_ALL), "pods[0].why")),
                            rows[i].why);
        board_index_put(index, BOARD_POD, val_set_path(a, pod, "metadata.uid", val_text(a, "v")));
        if (strcmp(rows[i].why, val_as_c(val_get(event, "message"))) == 0)
            assert_string_equal(val_as_c(val_path(board_make(a, index, &BOARD_ALL), "pods[0].why")),
                                "");
        board_index_free(index);
        arena_free(a);
    }
}

/* The headline's Ray is the one that runs; each head's addresses are named. */
static void a_cluster_shows_what_runs_and_where(void **state)
{
    struct arena *a = arena_new();
    struct board_index *index = example_index(a);
    const struct val *board = board_make(a, index, &BOARD_ALL);
    const struct val *head = value(a, head_text);
    const struct val *ids = value(a, "[{name: h, imageID: 'mobula://ray-2.52.1-py312-all'}]");
    struct board_style style = {0};
    struct buf text cleanup(buf_done) = BUF_INIT(1u << 20);

    assert_string_equal(val_as_c(val_path(board, "clusters[0].rayVersion")), "2.46.0");
    assert_string_equal(val_as_c(val_path(board, "clusters[0].head.dashboard")),
                        "http://127.9.0.2:8265");
    assert_string_equal(val_as_c(val_path(board, "clusters[0].head.gcs")), "127.9.0.2:6379");
    head = val_set_path(a, head, "status.containerStatuses", ids);
    head = val_set_path(a, head, "spec.containers",
                        value(a, "[{name: h, ports: [{name: dashboard, containerPort: 9000}]}]"));
    board_index_put(index, BOARD_POD, head);
    board = board_make(a, index, &BOARD_ALL);
    assert_string_equal(val_as_c(val_path(board, "clusters[0].rayVersion")), "2.52.1");
    assert_string_equal(val_as_c(val_path(board, "clusters[0].environment")), "2.52.1-py312-all");
    assert_string_equal(val_as_c(val_path(board, "clusters[0].head.dashboard")),
                        "http://127.9.0.2:9000");
    board_print(a, board, &style, &text);
    assert_non_null(strstr(buf_c(&text), "default/c  Ray 2.52.1 (py312-all)  head ready"));
    assert_non_null(strstr(buf_c(&text), "dashboard http://127.9.0.2:9000  client "
                                         "ray://127.9.0.2:10001  ray status --address "
                                         "127.9.0.2:6379"));
    board_index_free(index);
    arena_free(a);
}

static void it_is_drawn_within_its_width(void **state)
{
    for (unsigned width = 10; width < 200; width += 7) {
        struct arena *a = arena_new();
        struct board_style style = {.width = width};
        struct buf text = BUF_INIT(1 << 20);

        board_print(a, example(a), &style, &text);
        unsigned columns = 0;

        for (size_t i = 0; i < text.n; i++) {
            if (text.p[i] == '\n')
                columns = 0;
            else if (((unsigned char)text.p[i] & 0xc0) != 0x80)
                columns++;
            assert_true(columns <= width);
        }
        if (width > 100) {
            assert_non_null(strstr(buf_c(&text), "2a 2a ·  ·"));
            assert_non_null(strstr(buf_c(&text), "3 × {CPU 16, GPU 8}: group two is at"));
        }
        assert_null(strchr(buf_c(&text), '\033'));
        buf_done(&text);
        arena_free(a);
    }
}

static void an_empty_world_has_a_board_too(void **state)
{
    struct arena *a = arena_new();
    struct board_index *index = board_index_new(false);
    struct board_style style = {.color = true};
    struct buf text = BUF_INIT(1 << 20);

    board_print(a, board_make(a, index, &BOARD_ALL), &style, &text);
    board_index_free(index);
    assert_non_null(strstr(buf_c(&text), "no RayCluster yet"));
    board_print(a, NULL, &style, &text);
    buf_done(&text);
    arena_free(a);
}

static const char *fact(struct arena *a, struct board_index *index, enum board_kind kind,
                        const char *subject, const char *key)
{
    struct board_subject s = {kind, str_of(subject)};

    return val_as_c(val_get(board_facts(a, index, &s), key));
}

static void facts_tell_what_changed(void **state)
{
    struct arena *a = arena_new();
    struct board_index *index = example_index(a);

    assert_string_equal(fact(a, index, BOARD_POD, "default/c-head", "pod c-head"),
                        "Running on gpu-1, ready");
    assert_string_equal(fact(a, index, BOARD_CLUSTER, "default/c", "group two"),
                        "2 wanted, 2 pods, 0 ready");
    assert_string_equal(fact(a, index, BOARD_POD, "default/c-two-worker-a", "pod c-two-worker-a"),
                        "Pending on gpu-1: no volume x");
    board_index_free(index);
    arena_free(a);
}

static size_t changed(struct arena *a, struct board_index *index)
{
    struct board_subject *subjects;

    return board_index_changed(index, a, 100, &subjects);
}

/* What was put in and taken out again leaves no count behind, and is told of once. */
static void an_index_follows_every_change(void **state)
{
    struct arena *a = arena_new();
    struct board_index *index = example_index(a);
    const struct val *pod = value(a, placed_text);
    const struct val *ready = val_set_path(a, pod, "status.conditions",
                                           val_path(value(a, head_text), "status.conditions"));

    assert_int_equal(changed(a, index), 4); /* a cluster and three pods */
    assert_int_equal(changed(a, index), 0);
    board_index_put(index, BOARD_POD, ready);
    board_index_put(index, BOARD_POD, ready);
    assert_int_equal(changed(a, index), 2);
    assert_string_equal(fact(a, index, BOARD_CLUSTER, "default/c", "group two"),
                        "2 wanted, 2 pods, 1 ready");
    board_index_drop(index, BOARD_POD, ready);
    assert_string_equal(fact(a, index, BOARD_CLUSTER, "default/c", "group two"),
                        "2 wanted, 1 pods, 0 ready");
    const struct val *node = val_path(board_make(a, index, &BOARD_ALL), "nodes[0]");

    assert_int_equal(val_path_int(node, "gpusUsed", -1), 0);
    assert_string_equal(val_as_c(val_get(node, "cpuUsed")), "4");
    board_index_drop(index, BOARD_CLUSTER, value(a, cluster_text));
    assert_int_equal(board_index_clusters(index), 0);
    board_index_free(index);
    arena_free(a);
}

static void put_many(struct arena *a, struct board_index *index, int from, int to)
{
    const struct val *cluster = value(a, cluster_text), *pod = value(a, waiting_text);

    for (int i = from; i < to; i++) {
        const struct val *name = val_textf(a, "c-%05d", i);

        board_index_put(index, BOARD_CLUSTER, val_set_path(a, cluster, "metadata.name", name));
        for (int k = 0; k < 3; k++) {
            const struct val *one =
                val_set_path(a, pod, "metadata.name", val_textf(a, "p-%05d-%d", i, k));
            const struct val *labels = val_set(a, kube_labels(one), "ray.io/cluster", name);

            board_index_put(index, BOARD_POD, val_set_path(a, one, "metadata.labels", labels));
        }
    }
}

/* A drawing holds what is shown, however much there is. */
static void a_board_is_as_large_as_it_is_shown(void **state)
{
    struct board_limits limits = {.clusters = 5, .nodes = 2, .pods = 30, .waiting = 30};
    struct arena *a = arena_new();
    struct board_index *index = board_index_new(false);
    struct board_style style = {.width = 100};
    struct buf text = BUF_INIT(1 << 20);

    put_many(a, index, 0, 1000);
    struct arena *small = arena_new(), *large = arena_new();
    const struct val *board = board_make(small, index, &limits);

    assert_int_equal(val_len(val_get(board, "clusters")), 5);
    assert_int_equal(val_len(val_get(board, "pods")), 30);
    assert_int_equal(val_path_int(board, "hidden.clusters", 0), 995);
    assert_int_equal(val_path_int(board, "hidden.pods", 0), 2970);
    board_print(a, board, &style, &text);
    assert_non_null(strstr(buf_c(&text), "… and 995 more clusters"));
    put_many(a, index, 1000, 4000);
    board_make(large, index, &limits);
    assert_int_equal(arena_bytes(small), arena_bytes(large));
    buf_done(&text);
    board_index_free(index);
    arena_free(small);
    arena_free(large);
    arena_free(a);
}

/* --- the state folder */

static void only_one_up_has_a_folder(void **state)
{
    char dir[] = "/tmp/mobula-state-XXXXXX", below[128];
    struct state first, second;
    struct err err = ERR_INIT;
    struct stat about;
    pid_t pid = 0;

    assert_non_null(mkdtemp(dir));
    snprintf(below, sizeof(below), "%s/a/b/", dir);
    assert_int_equal(state_resolve(below, &first, &err), 0);
    assert_int_equal(state_runner(&first, &pid), 0);
    assert_int_equal(state_take(&first, &err), 0);
    assert_int_equal(stat(first.dir, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(state_resolve(below, &second, &err), 0);
    assert_int_equal(state_runner(&second, &pid), 1);
    assert_int_equal(pid, getpid());
    assert_int_equal(state_take(&second, &err), -ERR_CONFLICT);
    snprintf(below, sizeof(below), "pid %d", (int)getpid());
    assert_non_null(strstr(err.text, below));
    assert_int_equal(state_write(&first, "x.json", STR("{}"), &err), 0);
    state_release(&first);
    assert_int_equal(state_runner(&second, &pid), 0);
    assert_int_equal(state_take(&second, &err), 0);
    state_release(&second);
    snprintf(below, sizeof(below), "%s/a/b/x.json", dir);
    assert_int_equal(stat(below, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    unlink(below);
    snprintf(below, sizeof(below), "%s/a/b/up.lock", dir);
    unlink(below);
    snprintf(below, sizeof(below), "%s/a/b", dir);
    rmdir(below);
    snprintf(below, sizeof(below), "%s/a", dir);
    rmdir(below);
    rmdir(dir);
}

/* A child that took the lock and died without a word: nobody runs, the folder can be taken. */
static void the_dead_hold_nothing(void **state)
{
    char dir[] = "/tmp/mobula-state-XXXXXX", lock[64];
    struct err err = ERR_INIT;
    struct state own;
    int status;
    pid_t pid;

    assert_non_null(mkdtemp(dir));
    assert_int_equal(state_resolve(dir, &own, &err), 0);
    pid_t child = fork();

    if (child == 0)
        _exit(state_take(&own, &err) == 0 ? 7 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(state_runner(&own, &pid), 0);
    assert_int_equal(state_take(&own, &err), 0);
    state_release(&own);
    snprintf(lock, sizeof(lock), "%s/up.lock", dir);
    unlink(lock);
    rmdir(dir);
}

/* --- ports */

/* A listener on any free port of `address` ("": all IPv6 ones, which are the IPv4 ones too). */
static int listener(const char *address, int *ret_port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr *name = *address ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = *address ? sizeof(four) : sizeof(six);
    int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (*address)
        assert_int_equal(inet_pton(AF_INET, address, &four.sin_addr), 1);
    if (fd < 0 || bind(fd, name, size) < 0 || listen(fd, 1) < 0)
        return -1;
    assert_int_equal(getsockname(fd, name, &size), 0);
    *ret_port = ntohs(*address ? four.sin_port : six.sin6_port);
    return fd;
}

static void a_taken_port_names_its_holder(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "0.0.0.0", ""};
    struct port_holder holder;
    char wanted[64];

    snprintf(wanted, sizeof(wanted), "(pid %d)", (int)getpid());
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        struct port_want wants[] = {{"--a-port", "first", 0, -1}, {"--b-port", "second", 0, -1}};
        struct err err = ERR_INIT;
        int fd = listener(addresses[i], &wants[1].port);

        if (fd < 0)
            continue; /* no IPv6 here */
        assert_true(ports_holder(wants[1].port, &holder));
        assert_non_null(strstr(holder.name, wanted));
        assert_int_equal(ports_take(wants, 2, &err), -ERR_EXISTS);
        assert_int_equal(wants[0].fd, -1);
        assert_int_equal(wants[1].fd, -1);
        assert_non_null(strstr(err.text, wanted));
        assert_non_null(strstr(err.text, "--b-port"));
        close(fd);
        assert_int_equal(ports_take(wants, 2, &err), 0);
        ports_release(wants, 2);
        assert_false(ports_holder(wants[1].port, &holder));
    }
}

/* Every pod listens on the same ports, each on an address of its own: none of them is in the way. */
static void a_port_of_another_address_is_free(void **state)
{
    struct port_want want = {"--gcs-port", "Ray's GCS", 0, -1};
    struct port_holder holder;
    struct err err = ERR_INIT;
    int pod = listener("127.9.0.2", &want.port);

    assert_true(pod >= 0);
    assert_false(ports_holder(want.port, &holder));
    assert_int_equal(ports_take(&want, 1, &err), 0);
    assert_true(ports_holder(want.port, &holder)); /* ours, not the pod's */
    ports_release(&want, 1);
    close(pod);
}

/* Another mobula is known by its lock, a pod's process by its mark: neither is to be ended by hand. */
static void another_mobula_is_named_with_its_state(void **state)
{
    static const struct {
        bool is_pod;
        const char *says;
    } rows[] = {{false, "another mobula"}, {true, "of a pod of another mobula"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char dir[] = "/tmp/mobula-state-XXXXXX", mark[64], wanted[64];
        struct port_want want = {"--dashboard-port", "Ray's dashboard", 0, -1};
        struct err err = ERR_INIT;
        struct state own;

        assert_non_null(mkdtemp(dir));
        snprintf(mark, sizeof(mark), "MOBULA_STATE=%s", dir);
        assert_int_equal(state_resolve(dir, &own, &err), 0);
        int fd = listener("127.0.0.1", &want.port);
        pid_t child = fork();

        if (child == 0) {
            char *argv[] = {"sleep", "60", NULL}, *envp[] = {mark, "PATH=/bin:/usr/bin", NULL};

            if (rows[i].is_pod)
                (void)(fcntl(fd, F_SETFD, 0) + execve("/bin/sleep", argv, envp));
            else if (state_take(&own, &err) == 0)
                pause();
            _exit(1);
        }
        close(fd);
        for (int n = 0; n < 500 && !strstr(err.text, rows[i].says); n++) {
            err = (struct err)ERR_INIT;
            assert_int_equal(ports_take(&want, 1, &err), -ERR_EXISTS);
            usleep(10000);
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        snprintf(wanted, sizeof(wanted), "mobula down --state %s", dir);
        if (!strstr(err.text, rows[i].says) || !strstr(err.text, wanted))
            fail_msg("says %s", err.text);
        assert_null(strstr(err.text, "stop it"));
        snprintf(wanted, sizeof(wanted), "%s/%s", dir, STATE_LOCK_NAME);
        unlink(wanted);
        rmdir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_pods_and_gpus),
        cmocka_unit_test(it_says_why_pods_wait),
        cmocka_unit_test(a_stale_event_is_no_reason),
        cmocka_unit_test(a_cluster_shows_what_runs_and_where),
        cmocka_unit_test(it_is_drawn_within_its_width),
        cmocka_unit_test(an_empty_world_has_a_board_too),
        cmocka_unit_test(facts_tell_what_changed),
        cmocka_unit_test(an_index_follows_every_change),
        cmocka_unit_test(a_board_is_as_large_as_it_is_shown),
        cmocka_unit_test(only_one_up_has_a_folder),
        cmocka_unit_test(the_dead_hold_nothing),
        cmocka_unit_test(a_taken_port_names_its_holder),
        cmocka_unit_test(a_port_of_another_address_is_free),
        cmocka_unit_test(another_mobula_is_named_with_its_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
