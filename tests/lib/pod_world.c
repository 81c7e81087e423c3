/* Real pods for tests. Read first: pod_world.h. */
#include "pod_world.h"
#include "io/spawn.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

char self_exe[512];

static void count_stops(void *ctx, struct str ns, struct str name, bool has_ended)
{
    struct world *w = ctx;
    w->pods_stopping += !has_ended;
    w->pods_ended += has_ended;
}

void world_start(struct world *w)
{
    struct err err = ERR_INIT;
    static const struct recipe_row images[] = {{.name = "x", .is_host = true}};
    struct runtime_config config = {.dir = w->dir,
                                    .images = {.rows = images, .n_rows = ARRAY_SIZE(images)},
                                    .cache_dir = "/nonexistent",
                                    .nodes = 1,
                                    .gpus = 8,
                                    .cpu = "64",
                                    .memory = "1Ti",
                                    .self_exe = self_exe,
                                    .back_off_ms = 200,
                                    .pod_stops = count_stops,
                                    .ctx = w,
                                    .no_namespaces = w->no_namespaces};
    if (runtime_new(w->loop, w->api, &config, &w->runtime, &err) < 0)
        fail_msg("%s", err.text);
}

int world_open(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/mobula-pods-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    w->arena = arena_new();
    w->loop = loop_new_uv();
    w->api = fake_api_new(w->loop);
    world_start(w);
    *state = w;
    return 0;
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

void world_stop(struct world *w)
{
    bool stopped = false;
    runtime_stop(w->runtime, set_flag, &stopped);
    int64_t end = loop_mono_ms(w->loop) + PATIENCE_MS;
    while (!stopped && loop_mono_ms(w->loop) < end)
        loop_turn(w->loop, 50);
    assert_true(stopped);
    w->runtime = runtime_free(w->runtime);
}

void remove_tree(const char *dir)
{
    char command[256];
    snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", dir, dir);
    char *argv[] = {"sh", "-c", command, NULL};
    struct spawn_options options = {.path = "/bin/sh", .argv = argv};
    struct spawn_child child;
    struct err err = ERR_INIT;
    if (spawn_start(&options, &child, &err) == 0) {
        waitpid(child.pid, NULL, 0);
        close(child.pidfd);
    }
}

int world_close(void **state)
{
    struct world *w = *state;
    if (w->runtime)
        runtime_free(w->runtime);
    kube_api_free(w->api);
    loop_free(w->loop);
    arena_free(w->arena);
    remove_tree(w->dir);
    free(w);
    return 0;
}

/* --- asking and waiting */

void put_pod(struct world *w, const char *name, const char *spec_json)
{
    const struct val *spec;
    struct err err = ERR_INIT;
    if (val_parse_json(w->arena, str_of(spec_json), &spec, &err) < 0)
        fail_msg("%s", err.text);
    struct arena *a = w->arena;
    fake_api_put(w->api, "pods",
                 val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Pod"), "metadata",
                         val_obj(a, "name", val_text(a, name), "namespace", val_text(a, "t")),
                         "spec", spec));
}

const struct val *pod_now(struct world *w, const char *name)
{
    return fake_api_get(w->api, "pods", "t", name);
}

const struct val *container(struct world *w, const char *name)
{
    return val_path(pod_now(w, name), "status.containerStatuses[0]");
}

bool is_up(struct world *w, const char *name)
{
    return pod_is_running_and_ready(pod_now(w, name));
}
bool is_over(struct world *w, const char *name)
{
    enum pod_phase phase = pod_phase(pod_now(w, name));
    return phase == POD_SUCCEEDED || phase == POD_FAILED;
}
bool is_gone(struct world *w, const char *name)
{
    return pod_now(w, name) == NULL;
}
bool is_in_crash_loop(struct world *w, const char *name)
{
    return str_is(val_path_str(container(w, name), "state.waiting.reason"), "CrashLoopBackOff");
}
bool is_restarted_by_probe(struct world *w, const char *name)
{
    return val_path_int(container(w, name), "restartCount", 0) > 0;
}

void wait_for(struct world *w, const char *name, until_fn until, const char *what)
{
    int64_t end = loop_mono_ms(w->loop) + PATIENCE_MS;
    while (!until(w, name)) {
        if (loop_mono_ms(w->loop) > end)
            fail_msg("%s: not %s; %s", name, what,
                     val_json(w->arena, val_get(pod_now(w, name), "status")).p);
        loop_turn(w->loop, 20);
    }
}

struct log_text {
    struct buf text;
    bool ended;
};

static void take_chunk(void *ctx, struct str bytes)
{
    buf_add(&((struct log_text *)ctx)->text, bytes);
}

static void take_end(void *ctx)
{
    ((struct log_text *)ctx)->ended = true;
}

const char *read_log(struct world *w, const char *name, struct api_log_options options)
{
    const struct api_kubelet *kubelet = runtime_kubelet(w->runtime);
    struct log_text log = {.text = BUF_INIT(1u << 20)};
    struct err err = ERR_INIT;
    struct api_log_stream *stream = kubelet->log_open(kubelet->self, STR("t"), str_of(name),
                                                      &options, take_chunk, take_end, &log, &err);
    if (!stream)
        fail_msg("%s", err.text);
    for (int64_t end = loop_mono_ms(w->loop) + PATIENCE_MS;
         !log.ended && loop_mono_ms(w->loop) < end;)
        loop_turn(w->loop, 20);
    assert_true(log.ended);
    const char *text = arena_c(w->arena, buf_str(&log.text));
    buf_done(&log.text);
    return text;
}

/* A process somewhere on the host whose command line holds the word. */
pid_t find_process(const char *word)
{
    DIR *dir = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[300], line[4096];
        int64_t pid;
        if (!str_to_i64(str_of(e->d_name), &pid) || pid == getpid())
            continue;
        snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, line, sizeof(line)) : 0;
        if (fd >= 0)
            close(fd);
        if (n > 0 && memmem(line, (size_t)n, word, strlen(word)))
            found = (pid_t)pid;
    }
    if (dir)
        closedir(dir);
    return found;
}

struct event_search {
    const char *reason;
    bool found;
};

static void match_event(void *ctx, const struct val *event)
{
    struct event_search *s = ctx;
    s->found |= str_is(val_as_str(val_get(event, "reason")), s->reason);
}

bool has_event(struct world *w, const char *reason)
{
    struct event_search s = {.reason = reason};
    fake_api_each(w->api, "events", match_event, &s);
    return s.found;
}

/* --- a main(), as root and as an ordinary user */

#define NOBODY 65534

bool world_is_possible(const char *who)
{
    if (spawn_isolation_probe() != SPAWN_ISOLATION_NONE)
        return true;
    printf("SKIP: pods as %s: this host allows no namespaces\n", who);
    return false;
}

/* The checkout may be out of an ordinary user's reach (below /root): a copy in a folder of its own is not. */
static bool copy_self(const char *to)
{
    int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    ssize_t n = in >= 0 && out >= 0 ? 1 : -1;
    static char piece[1 << 16];

    while (n > 0 && (n = read(in, piece, sizeof(piece))) > 0)
        n = write(out, piece, (size_t)n) == n ? n : -1;
    close(in);
    return close(out) == 0 && n == 0;
}

static int run_as_nobody(void)
{
    char dir[] = "/tmp/mobula-nobody-XXXXXX", copy[64];
    int status = 0;

    if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
        return 1;
    snprintf(copy, sizeof(copy), "%s/test", dir);
    pid_t pid = copy_self(copy) ? fork() : -1;
    if (pid == 0) {
        if (setgid(NOBODY) == 0 && setuid(NOBODY) == 0)
            execl(copy, copy, "as-nobody", (char *)NULL);
        _exit(1);
    }
    bool ran = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status);
    remove_tree(dir);
    return ran ? WEXITSTATUS(status) : 1;
}

void world_find_self(void)
{
    ssize_t n = readlink("/proc/self/exe", self_exe, sizeof(self_exe) - 1);

    self_exe[MAX_OF(n, 0)] = '\0';
}

int world_main(int argc, char **argv, int (*run_all)(const char *who))
{
    world_find_self();
    const char *role = argc > 1 ? argv[1] : "";
    if (strcmp(role, "pod-init") == 0)
        return runtime_pod_init(argc, argv);
    if (strcmp(role, "as-nobody") == 0)
        return run_all("nobody");
    int code = run_all(geteuid() == 0 ? "root" : "an ordinary user");
    fflush(stdout);
    return code == 0 && geteuid() == 0 ? run_as_nobody() : code;
}
