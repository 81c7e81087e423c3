/* mobula up: values in, a running autoscaling Ray cluster on this machine. Read first: cmd/up.h.
 *
 * What can be wrong is found before anything starts: values, folder, lock, ports. With --detach a
 * child does the work; the parent waits for its message that the API answers, prints how to use it, and
 * leaves the child's messages on the terminal until then. */
#include "cmd/up.h"

#include "cmd/page_values.h"
#include "kube/raycluster.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_NAME      "mobula.log"
#define LOG_MAX_BYTES (8 << 20)

static const struct cmd_option options[] = {
    CMD_VALUES_OPTIONS,
    {"version", 0, "V", "version of the ray-cluster chart (1.1.0)"},
    {"release", 0, "NAME", "name of the release (ado-ray)"},
    {"namespace", 'n', "NS", "namespace of the RayCluster (default)"},
    {"state", 0, "DIR", "folder that keeps everything (~/.local/state/mobula)"},
    {"nodes", 0, "N", "GPU nodes, besides one CPU node (4)"},
    {"gpus", 0, "N", "GPUs of each (8)"},
    {"gpu-product", 0, "NAME", "their nvidia.com/gpu.product (NVIDIA-A100-SXM4-80GB)"},
    {"cpu", 0, "QUANTITY", "logical CPUs of each node (64)"},
    {"memory", 0, "QUANTITY", "logical memory of each node (1Ti)"},
    IMAGES_OPTIONS,
    {"idle-timeout", 0, "TIME", "remove a worker after it was idle for so long (10s, 5m)"},
    {"head-poll", 0, "TIME", "how often a head is asked for its demand (100ms)"},
    {"dashboard-port", 0, "PORT", "local port of Ray's dashboard and jobs (8265; 0: none)"},
    {"client-port", 0, "PORT", "local port of Ray's client server (10001; 0: none)"},
    {"gcs-port", 0, "PORT",
     "local port of Ray's GCS (6379; 0: none); `ray status`: see mobula status"},
    {"api-port", 0, "PORT", "port of the Kubernetes API (any free one)"},
    {"detach", 'd', NULL, "run in the background"},
    {0},
};

static int take_quantity(const char *option, const char *text, const char **ret, struct err *err)
{
    struct err why = ERR_INIT;
    struct quantity q;

    if (quantity_parse(str_of(text), &q, &why) < 0 || q.nano <= 0)
        return err_set(err, ERR_INVALID, "--%s: \"%.40s\" is no quantity like 64 or 1Ti", option,
                       text);
    *ret = text;
    return 0;
}

/* The node's label: what groups select. */
static int take_product(const char *text, const char **ret, struct err *err)
{
    const char *wrong = kube_check_label_value(str_of(text));

    if (wrong || !text[0])
        return err_set(err, ERR_INVALID, "--gpu-product: \"%.70s\" is no label value: %s", text,
                       wrong ? wrong : "it is empty");
    *ret = text;
    return 0;
}

static int take_time(const char *option, const char *text, int64_t low_ms, int64_t *ret,
                     struct err *err)
{
    int64_t ms;

    if (!time_parse_duration(str_of(text), &ms) || ms < low_ms)
        return err_set(err, ERR_INVALID, "--%s: \"%.40s\" is no time like 10s or 500ms", option,
                       text);
    *ret = ms;
    return 0;
}

static int take_numbers(struct up_options *o, const char *name, const char *value, bool *ret_taken,
                        struct err *err)
{
    const struct {
        const char *name;
        int64_t low, high;
        int64_t *number;
    } numbers[] = {{"nodes", 0, 1000, &o->nodes},
                   {"gpus", 0, 64, &o->gpus},
                   {"api-port", 0, 65535, &o->api_port}};
    const struct {
        const char *name;
        int port;
    } ports[] = {{"dashboard-port", UP_PORT_DASHBOARD},
                 {"client-port", UP_PORT_CLIENT},
                 {"gcs-port", UP_PORT_GCS}};

    *ret_taken = true;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            return cmd_number(name, value, numbers[i].low, numbers[i].high, numbers[i].number, err);
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        int64_t port;

        if (strcmp(name, ports[i].name) != 0)
            continue;
        if (cmd_number(name, value, 0, 65535, &port, err) < 0)
            return -(int)err->code;
        o->ports[ports[i].port].port = (int)port;
        return 0;
    }
    *ret_taken = false;
    return 0;
}

static int take_option(struct up_options *o, struct arena *a, const char *name, const char *value,
                       struct err *err)
{
    const struct {
        const char *name;
        const char **text;
    } texts[] = {{"version", &o->chart_version},
                 {"release", &o->release},
                 {"namespace", &o->ns},
                 {"state", &o->state_dir}};
    int64_t ms = 0;
    bool taken;
    int rc;

    if (cmd_values_take(&o->values, a, name, value, &rc, err)) {
        o->has_values = true;
        return rc;
    }
    if (images_take(&o->images, a, name, value, &rc, err))
        return rc;
    rc = take_numbers(o, name, value, &taken, err);
    if (rc < 0 || taken)
        return rc;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].text = value;
            return 0;
        }
    if (strcmp(name, "cpu") == 0)
        return take_quantity(name, value, &o->cpu, err);
    if (strcmp(name, "memory") == 0)
        return take_quantity(name, value, &o->memory, err);
    if (strcmp(name, "gpu-product") == 0)
        return take_product(value, &o->gpu_product, err);
    if (strcmp(name, "head-poll") == 0)
        return take_time(name, value, 50, &o->head_poll_ms, err);
    if (strcmp(name, "idle-timeout") == 0) {
        rc = take_time(name, value, 1000, &ms, err);
        if (rc == 0)
            o->idle_timeout_s = (ms + 999) / 1000;
        return rc;
    }
    o->detach = true;
    return 0;
}

/* null members mean "unset" to a chart; an API object has none. */
static const struct val *without_nulls(struct arena *a, const struct val *v)
{
    const struct val *out = v;

    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < val_len(v); i++)
        out = val_set_at(a, out, i, without_nulls(a, val_at(v, i)));
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < val_len(v); i++) {
        const struct val *item = val_member_at(v, i);

        out = val_sets(a, out, val_key_at(v, i),
                       val_is(item, VAL_NULL) ? NULL : without_nulls(a, item));
    }
    return out;
}

/* What the operator would refuse later, in an event, is said before anything starts. */
static int check_cluster(struct arena *a, const struct val *object, struct err *err)
{
    const char *wrong = kube_check_dns1123_label(kube_ns(object));
    struct raycluster cluster;

    if (wrong)
        return err_set(err, ERR_INVALID, "--namespace \"%.*s\": %s", STR_ARG(kube_ns(object)),
                       wrong);
    int rc = raycluster_read(a, object, &cluster, err);

    if (rc == 0)
        rc = raycluster_validate_metadata(&cluster, err);
    return rc < 0 ? rc : raycluster_validate_spec(a, &cluster, err);
}

static int render_values(const struct cmd_verb *verb, const struct up_options *o, struct arena *a,
                         const struct val **ret, struct err *err)
{
    struct chart_file page = {.name = "built-in values", .text = {page_values, page_values_bytes}};
    bool has_file = o->values.files.n > 0;
    VEC(struct chart_set) sets = {0};
    struct chart_result result;

    if (o->idle_timeout_s)
        vec_push(&sets, a,
                 ((struct chart_set){CHART_SET,
                                     arena_strf(a, "head.autoscalerOptions.idleTimeoutSeconds=%lld",
                                                (long long)o->idle_timeout_s)}));
    for (size_t i = 0; i < o->values.sets.n; i++)
        vec_push(&sets, a, o->values.sets.items[i]);
    struct chart_request request = {.release = str_of(o->release),
                                    .chart = STR("kuberay/ray-cluster"),
                                    .version = str_of(o->chart_version),
                                    .ns = str_of(o->ns),
                                    .files = has_file ? o->values.files.items : &page,
                                    .n_files = has_file ? o->values.files.n : 1,
                                    .sets = sets.items,
                                    .n_sets = sets.n,
                                    .read = cmd_read_for_chart};
    int rc = chart_render(a, &request, &result, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < result.n_warnings; i++)
        cmd_warn(verb, "%.*s", STR_ARG(result.warnings[i]));
    const struct val *object =
        val_set_path(a, without_nulls(a, result.object), "metadata.namespace", val_text(a, o->ns));

    rc = check_cluster(a, object, err);
    if (rc == 0)
        *ret = object;
    return rc;
}

/* --- telling the user */

struct up_session {
    const struct cmd_verb *verb;
    const struct up_options *options;
    const struct state *state;
    int ready_fd; /* of a detached child: where the parent waits; else -1 */
};

/* Quoted as one shell word. */
static void add_word(struct buf *out, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:";

    if (word[strspn(word, plain)] == '\0') {
        buf_adds(out, word);
        return;
    }
    buf_addc(out, '\'');
    for (; *word; word++)
        if (*word == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *word);
    buf_addc(out, '\'');
}

/* As comments of a shell: the text may be evaluated. */
static void add_limits(struct buf *out, const char *limits)
{
    struct str rest = str_trim(str_of(limits)), line;

    while (rest.n && str_split(&rest, '\n', &line))
        buf_addf(out, "# %.*s\n", STR_ARG(line));
}

static struct str usage_text(struct arena *a, const struct up_session *s,
                             const struct up_world *world)
{
    const struct up_options *o = s->options;
    int dashboard = o->ports[UP_PORT_DASHBOARD].port, client = o->ports[UP_PORT_CLIENT].port;
    struct buf text cleanup(buf_done) = BUF_INIT(16384);

    buf_adds(&text, "export KUBECONFIG=");
    add_word(&text, up_kubeconfig(world));
    buf_addc(&text, '\n');
    if (dashboard) {
        buf_addf(&text, "export RAY_ADDRESS=http://127.0.0.1:%d\n", dashboard);
        buf_addf(&text,
                 "# dashboard: http://127.0.0.1:%d   jobs: ray job submit --address "
                 "http://127.0.0.1:%d -- python …\n",
                 dashboard, dashboard);
    }
    if (client)
        buf_addf(&text, "# from Python: ray.init(\"ray://127.0.0.1:%d\")\n", client);
    buf_adds(&text,
             "# `ray status`, and every other cluster's dashboard: at the addresses that mobula "
             "status names\n");
    add_limits(&text, up_lost(world));
    if (s->ready_fd >= 0) /* in the foreground the view says it */
        add_limits(&text, up_limits(world));
    return arena_str(a, buf_str(&text));
}

static int open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    fflush(NULL);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    return 0;
}

static int turn_to_log(const struct state *state)
{
    char path[STATE_MAX_PATH + 32];
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (none < 0)
        return -1;
    dup2(none, STDIN_FILENO);
    close(none);
    snprintf(path, sizeof(path), "%s/" LOG_NAME, state->dir);
    return open_log(path);
}

/* The log goes on from run to run; past its ceiling it becomes LOG_NAME.1, and a new one begins. */
static void turn_log(void *ctx)
{
    struct up_session *s = ctx;
    char path[STATE_MAX_PATH + 32], old[STATE_MAX_PATH + 40];
    struct stat about;

    if (fstat(STDOUT_FILENO, &about) < 0 || about.st_size < LOG_MAX_BYTES)
        return;
    snprintf(path, sizeof(path), "%s/" LOG_NAME, s->state->dir);
    snprintf(old, sizeof(old), "%s.1", path);
    if (rename(path, old) == 0)
        (void)open_log(path);
}

static void on_ready(void *ctx, struct up_world *world)
{
    struct up_session *s = ctx;
    struct arena *a = arena_new();
    struct str text = usage_text(a, s, world);

    if (s->ready_fd >= 0) {
        printf("--- mobula up, pid %d, %s\n", (int)getpid(),
               time_rfc3339(a, 1000 * (time_ms)time(NULL)).p);
        (void)!write(s->ready_fd, text.p, text.n);
        close(s->ready_fd);
        s->ready_fd = -1;
    } else {
        up_banner(world, text);
    }
    arena_free(a);
}

static int run_world(const struct up_session *session, struct state *state,
                     const struct val *object, bool on_terminal)
{
    const struct up_options *o = session->options;
    struct up_session own = *session;
    struct up_start start = {.options = o,
                             .state = state,
                             .object = o->has_values ? object : NULL,
                             .otherwise = object,
                             .on_terminal = on_terminal,
                             .ready = on_ready,
                             .turn_log = own.ready_fd >= 0 ? turn_log : NULL,
                             .ctx = &own};
    struct err err = ERR_INIT;
    int rc = up_run(&start, &err);

    if (own.ready_fd >= 0)
        close(own.ready_fd);
    return rc < 0 ? cmd_fail(session->verb, &err) : 0;
}

/* The child of --detach: a session of its own, stdout into the log; stderr follows once it is ready. */
static int run_child(struct up_session *session, struct state *state, const struct val *object)
{
    struct err err = ERR_INIT;

    setsid();
    if (state_write_pid(state, &err) < 0)
        return cmd_fail(session->verb, &err);
    if (turn_to_log(state) < 0)
        return 1;
    return run_world(session, state, object, false);
}

/* What the child wrote into the log before it gave up. */
static void show_failure(const struct state *state, off_t from)
{
    char path[STATE_MAX_PATH + 32], text[4096];

    snprintf(path, sizeof(path), "%s/" LOG_NAME, state->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    ssize_t n = pread(fd, text, sizeof(text), from);

    close(fd);
    if (n > 0)
        fwrite(text, 1, (size_t)n, stderr);
}

static off_t log_size(const struct state *state)
{
    char path[STATE_MAX_PATH + 32];

    snprintf(path, sizeof(path), "%s/" LOG_NAME, state->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

    if (fd >= 0)
        close(fd);
    return size;
}

/* `named`: the folder is not the usual one, so the other verbs need --state. */
static int wait_for_child(const struct state *state, bool named, pid_t child, int fd,
                          off_t log_from)
{
    struct buf text cleanup(buf_done) = BUF_INIT(16384);
    char chunk[4096];
    ssize_t n;
    int status = 0;

    while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_add(&text, (struct str){chunk, (size_t)n});
    if (text.n) {
        printf("%s# follow: tail -f %s/" LOG_NAME
               "   look: mobula status%s%s   stop: mobula down%s%s\n",
               buf_c(&text), state->dir, named ? " --state " : "", named ? state->dir : "",
               named ? " --state " : "", named ? state->dir : "");
        return 0;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    show_failure(state, log_from);
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

static int run_detached(struct up_session *session, struct state *state, const struct val *object)
{
    struct err err = ERR_INIT;
    off_t log_from = log_size(state);
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0) {
        err_errno(&err, errno, "pipe");
        return cmd_fail(session->verb, &err);
    }
    fflush(NULL);
    pid_t child = fork();

    if (child < 0) {
        err_errno(&err, errno, "fork");
        return cmd_fail(session->verb, &err);
    }
    if (child == 0) {
        close(pair[0]);
        session->ready_fd = pair[1];
        exit(run_child(session, state, object));
    }
    close(pair[1]);
    /* The lock is the child's from here on: same open file, so closing ours keeps it. */
    close(state->lock_fd);
    state->lock_fd = -1;
    int exit_code =
        wait_for_child(state, session->options->state_dir != NULL, child, pair[0], log_from);

    close(pair[0]);
    return exit_code;
}

/* The API server binds the port later; here it is only checked. */
static int check_api_port(const struct up_options *o, struct err *err)
{
    struct port_want want = {"--api-port", "the Kubernetes API", (int)o->api_port, -1};
    int rc = ports_take(&want, 1, err);

    ports_release(&want, 1);
    return rc;
}

static int prepare(const struct cmd_verb *verb, struct up_options *o, struct arena *a,
                   struct state *state, const struct val **ret_object, struct err *err)
{
    int rc = render_values(verb, o, a, ret_object, err);
    struct recipe_book book = images_book(&o->images);

    if (rc == 0)
        rc = images_check(&book, *ret_object, err);
    if (rc == 0)
        rc = state_resolve(o->state_dir, state, err);
    if (rc == 0)
        rc = state_check(state, err);
    if (rc == 0)
        rc = up_check_places(err);
    if (rc == 0)
        rc = check_api_port(o, err);
    if (rc == 0)
        rc = ports_take(o->ports, _UP_PORT_MAX, err);
    if (rc < 0)
        return rc;
    rc = state_take(state, err);
    if (rc < 0)
        ports_release(o->ports, _UP_PORT_MAX);
    return rc;
}

static const struct up_options defaults = {
    .release = "ado-ray",
    .chart_version = CHART_DEFAULT_VERSION,
    .ns = "default",
    .head_poll_ms = 100,
    .nodes = 4,
    .gpus = 8,
    .gpu_product = "NVIDIA-A100-SXM4-80GB",
    .cpu = "64",
    .memory = "1Ti",
    .ports = {[UP_PORT_DASHBOARD] = {"--dashboard-port", "Ray's dashboard", 8265, -1},
              [UP_PORT_CLIENT] = {"--client-port", "Ray's client server", 10001, -1},
              [UP_PORT_GCS] = {"--gcs-port", "Ray's GCS", 6379, -1}},
};

static int up_main(const struct cmd_verb *verb, int argc, char **argv)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct cmd_args args = {.verb = verb, .argc = argc, .argv = argv};
    struct up_options o = defaults;
    const struct val *object = NULL;
    struct state state;
    struct err err = ERR_INIT;
    int option;

    while ((option = cmd_next(&args)) >= 0)
        if (take_option(&o, a, options[option].name, args.value, &err) < 0)
            return cmd_fail(verb, &err);
    if (option == CMD_ARGS_STOP)
        return args.exit_code;
    if (optind < argc)
        return cmd_usage_error(verb, "takes no operand \"%.60s\"; values come with -f",
                               argv[optind]);
    if (prepare(verb, &o, a, &state, &object, &err) < 0)
        return cmd_fail(verb, &err);
    struct up_session session = {.verb = verb, .options = &o, .state = &state, .ready_fd = -1};
    int exit_code = o.detach ? run_detached(&session, &state, object)
                             : run_world(&session, &state, object, isatty(STDOUT_FILENO));

    ports_release(o.ports, _UP_PORT_MAX);
    state_release(&state);
    return exit_code;
}

const struct cmd_verb cmd_up = {
    .name = "up",
    .main = up_main,
    .line = "bring a values file up as an autoscaling Ray cluster on this machine",
    .usage = "[OPTION...]",
    .about =
        "Starts, in one process, a Kubernetes API, an operator and a node whose pods are local\n"
        "processes with real Ray, and applies the RayCluster that the ray-cluster chart makes of\n"
        "the values. Without values: the clusters that the state folder holds, or, if it holds\n"
        "none, the built-in ones (CPU workers and groups of 1, 2, 4 and 8 GPUs).\n"
        "Nodes, GPUs, CPUs and memory are logical: they need not exist.\n"
        "Ctrl-C ends all pods in order; the next up brings the same objects back.",
    .options = options,
    .examples = "  mobula up\n"
                "  mobula up -f values.yaml --set worker.maxReplicas=8 --idle-timeout 30s\n"
                "  mobula up --nodes 2 --gpus 4 --detach && mobula status\n"
                "  ray job submit --address http://127.0.0.1:8265 -- python driver.py\n",
};
