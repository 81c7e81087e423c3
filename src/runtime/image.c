/* Ray environments by pip. See image.h.
 *
 * The work is one shell script with its parts as arguments, run as a child with its output in a pipe:
 * venv, pip, rename. The supervisor holds the lock file while it runs. */
#include "runtime/image.h"
#include "base/arena.h"
#include "io/spawn.h"
#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRESS_PERIOD_MS 2000
#define LOCK_RETRY_MS      1000
#define MAX_LINE_BYTES     400
#define MAX_MINORS         100

/* One environment being made. */
struct job {
    struct image_store *store;
    struct job *next;
    struct image_plan plan;
    struct image_pull *pulls;
    struct spawn_watch *child;
    struct loop_fd *output;
    struct loop_timer *timer;
    int output_fd, lock_fd;
    int life_fd; /* closed: the child sees that its result is no longer wanted */
    int64_t started_ms, told_ms;
    char line[MAX_LINE_BYTES];  /* the last one */
    char error[MAX_LINE_BYTES]; /* the last one that says ERROR */
    size_t line_n;
};

struct image_pull {
    struct job *job;
    struct image_pull *next;
    struct image_handler handler;
};

struct image_store {
    struct loop *loop;
    char *dir; /* CACHE/ray */
    struct job *jobs;
    int host_minor;                 /* of python3; -1: not asked yet; 0: none */
    signed char minors[MAX_MINORS]; /* python3.N: 0 not asked, 1 works, -1 does not */
};

/* $1 python, $2 temporary directory, $3 version, $4 final directory. Descriptor 3 ends when the
 * supervisor does or gives up the job: then the guard ends the whole session, pip and its children
 * too, which would otherwise live on without anybody to report to. */
static const char script[] =
    "set -eu\n"
    "(read -r _ <&3 || :; kill -s KILL -- \"-$$\") >/dev/null 2>&1 &\n"
    "guard=$!\n"
    "exec 3<&-\n"
    "trap 'kill \"$guard\" || :; rm -rf \"$2\"' EXIT\n"
    "rm -rf \"$2\"\n"
    "\"$1\" -m venv \"$2\"\n"
    "\"$2/bin/python\" -m pip install --disable-pip-version-check --no-input --progress-bar off "
    "\"ray[default]==$3\"\n"
    "\"$2/bin/python\" -c 'import ray' \n"
    "grep -rlIF \"$2\" \"$2/bin\" \"$2/pyvenv.cfg\" | while read -r f; do sed -i \"s|$2|$4|g\" "
    "\"$f\"; done\n"
    "mv -T \"$2\" \"$4\"\n";

static bool is_version(struct str s)
{
    bool digits = s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        digits = digits && ((c >= '0' && c <= '9') || c == '.' || (c >= 'a' && c <= 'z'));
    }
    return digits && str_find(s, '.') > 0 && s.n < 32;
}

struct image_ref image_parse(struct str image)
{
    struct image_ref ref = {0};
    ptrdiff_t at = str_find(image, '@');
    if (at >= 0)
        image = str_sub(image, 0, (size_t)at);
    ptrdiff_t slash = str_rfind(image, '/'), colon = str_rfind(image, ':');
    if (colon <= slash)
        return ref; /* no tag: no version */
    struct str name = str_sub(image, (size_t)(slash + 1), (size_t)colon);
    struct str tag = str_sub(image, (size_t)colon + 1, image.n), part;
    if (!str_is(name, "ray") && !str_is(name, "ray-ml") && !str_is(name, "ray-llm"))
        return ref;
    if (!str_split(&tag, '-', &part) || !is_version(part))
        return ref;
    ref.version = part;
    ref.is_ray = true;
    while (str_split(&tag, '-', &part)) {
        uint64_t number;
        if (str_starts(part, STR("py3")) && str_to_u64(str_sub(part, 3, part.n), &number) &&
            number < MAX_MINORS)
            ref.python_minor = (int)number;
    }
    return ref;
}

struct image_store *image_store_new(struct loop *loop, const char *cache_dir)
{
    struct image_store *store = xcalloc(1, sizeof *store);
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s/ray", cache_dir);
    store->loop = loop;
    store->dir = xstrdup(dir);
    store->host_minor = -1;
    return store;
}

static void job_free(struct job *job)
{
    for (struct job **at = &job->store->jobs; *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    if (job->child) {
        spawn_watch_kill(job->child, SIGKILL);
        spawn_watch_free(job->child);
    }
    loop_fd_free(job->output);
    loop_timer_free(job->timer);
    if (job->output_fd >= 0)
        close(job->output_fd);
    if (job->lock_fd >= 0)
        close(job->lock_fd);
    if (job->life_fd >= 0)
        close(job->life_fd);
    free(job);
}

struct image_store *image_store_free(struct image_store *store)
{
    if (!store)
        return NULL;
    while (store->jobs) {
        struct job *job = store->jobs;
        while (job->pulls)
            image_pull_free(job->pulls);
        if (store->jobs == job)
            job_free(job);
    }
    free(store->dir);
    free(store);
    return NULL;
}

/* Looks for an executable on PATH. */
static bool find_program(const char *name, char ret[PATH_MAX])
{
    const char *path = getenv("PATH");
    struct str rest = str_of(path ? path : "/usr/local/bin:/usr/bin:/bin"), dir;
    while (str_split(&rest, ':', &dir)) {
        snprintf(ret, PATH_MAX, "%.*s/%s", STR_ARG(dir), name);
        if (access(ret, X_OK) == 0)
            return true;
    }
    return false;
}

/* The minor that an interpreter says it is, 0 when it does not work (a pyenv shim may be on PATH for
 * a version that is not installed, so only running it tells). */
static int ask_python(const char *name)
{
    char path[PATH_MAX];
    int out[2];
    if (!find_program(name, path) || pipe2(out, O_CLOEXEC) < 0)
        return 0;
    char *argv[] = {(char *)(uintptr_t)name, "-c", "import sys; print(sys.version_info[1])", NULL};
    struct spawn_fd fd = {.fd = out[1], .child_fd = 1};
    struct spawn_options options = {.path = path, .argv = argv, .fds = &fd, .n_fds = 1};
    struct spawn_child child;
    struct err ignored = ERR_INIT;
    int rc = spawn_start(&options, &child, &ignored);
    close(out[1]);
    char text[16] = "";
    ssize_t n = rc == 0 ? read(out[0], text, sizeof text - 1) : 0;
    close(out[0]);
    if (rc == 0) {
        waitpid(child.pid, NULL, 0);
        close(child.pidfd);
    }
    uint64_t minor;
    bool ok = n > 0 && str_to_u64(str_trim((struct str){text, (size_t)n}), &minor);
    return ok && minor < MAX_MINORS ? (int)minor : 0;
}

static int host_python_minor(struct image_store *store)
{
    if (store->host_minor < 0)
        store->host_minor = ask_python("python3");
    return store->host_minor;
}

static bool has_python(struct image_store *store, int minor)
{
    char name[32];
    signed char *known = &store->minors[minor];
    if (*known == 0) {
        snprintf(name, sizeof name, "python3.%d", minor);
        *known = minor == host_python_minor(store) || ask_python(name) == minor ? 1 : -1;
    }
    return *known > 0;
}

static void plan_dir(const struct image_store *store, struct image_plan *plan)
{
    char python[PATH_MAX];
    snprintf(plan->dir, sizeof plan->dir, "%s/%s-py3%d", store->dir, plan->version,
             plan->python_minor);
    snprintf(python, sizeof python, "%s/bin/ray", plan->dir);
    plan->is_present = access(python, X_OK) == 0;
}

int image_plan(struct image_store *store, struct str image, const char *version_override,
               struct image_plan *ret, struct err *err)
{
    struct image_ref ref = image_parse(image);
    struct image_plan plan = {.is_present = true};
    if (!ref.is_ray) {
        *ret = plan;
        return 0;
    }
    struct str version = version_override ? str_of(version_override) : ref.version;
    snprintf(plan.version, sizeof plan.version, "%.*s", STR_ARG(version));
    plan.python_minor = ref.python_minor;
    if (ref.python_minor) {
        plan_dir(store, &plan);
        if (plan.is_present || has_python(store, ref.python_minor)) {
            *ret = plan;
            return 0;
        }
    }
    plan.other_python = ref.python_minor != 0;
    plan.python_minor = host_python_minor(store);
    if (plan.python_minor == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "no python3 on this host, so no Ray for image %.*s; install python3 and "
                       "python3-venv",
                       STR_ARG(image));
    plan_dir(store, &plan);
    *ret = plan;
    return 0;
}

/* --- the job */

static void job_progress(struct job *job)
{
    int64_t now = loop_mono_ms(job->store->loop);
    if (now - job->told_ms < PROGRESS_PERIOD_MS)
        return;
    job->told_ms = now;
    for (struct image_pull *p = job->pulls; p; p = p->next)
        p->handler.progress(p->handler.ctx, str_of(job->line));
}

static void job_line_end(struct job *job)
{
    job->line[job->line_n] = '\0';
    if (job->line_n > 0 && strncmp(job->line, "ERROR", 5) == 0)
        snprintf(job->error, sizeof job->error, "%s", job->line);
    if (job->line_n > 0)
        job_progress(job);
    job->line_n = 0;
}

static void job_output(void *ctx, int events)
{
    struct job *job = ctx;
    char part[4096];
    for (;;) {
        ssize_t n = read(job->output_fd, part, sizeof part);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            job->output = loop_fd_free(job->output);
            return;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (part[i] == '\n')
                job_line_end(job);
            else if (job->line_n + 1 < sizeof job->line)
                job->line[job->line_n++] = part[i];
        }
    }
}

static void job_start_next(struct image_store *store);

static void job_done(struct job *job, int rc, const struct err *err)
{
    struct image_store *store = job->store;
    int64_t took = loop_mono_ms(store->loop) - job->started_ms;
    job->plan.dir[0] = '\0'; /* no longer joined by new pulls */
    while (job->pulls) {
        struct image_pull *p = job->pulls;
        struct image_handler handler = p->handler;
        job->pulls = p->next;
        free(p);
        handler.done(handler.ctx, rc, err, took);
    }
    job_free(job);
    job_start_next(store);
}

static void job_exited(void *ctx, int status)
{
    struct job *job = ctx;
    struct err err = ERR_INIT;
    job->child = NULL;
    if (job->output)
        job_output(job, LOOP_READ);
    struct image_plan now = job->plan;
    plan_dir(job->store, &now);
    if (now.is_present) {
        job_done(job, 0, &err);
        return;
    }
    const char *why = job->error[0] ? job->error : job->line[0] ? job->line : "pip said nothing";
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    int rc =
        err_set(&err, ERR_UNAVAILABLE,
                "installing ray[default]==%s with Python 3.%d failed (exit %d): %.200s; check the "
                "network and pip's index, then it is tried again by itself",
                job->plan.version, job->plan.python_minor, code, why);
    job_done(job, rc, &err);
}

static int job_spawn(struct job *job, struct err *err)
{
    char python[PATH_MAX], name[32], temporary[PATH_MAX];
    snprintf(name, sizeof name, "python3.%d", job->plan.python_minor);
    if (job->plan.python_minor == host_python_minor(job->store))
        snprintf(name, sizeof name, "python3");
    if (!find_program(name, python))
        snprintf(python, sizeof python, "python3");
    snprintf(temporary, sizeof temporary, "%s.new", job->plan.dir);
    int out[2], life[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    if (pipe2(life, O_CLOEXEC) < 0) {
        int why = errno;
        close(out[0]);
        close(out[1]);
        return err_errno(err, why, "pipe");
    }
    char *argv[] = {"sh",   "-c",      (char *)(uintptr_t)script, "mobula-pull",
                    python, temporary, job->plan.version,         job->plan.dir,
                    NULL};
    struct spawn_fd fds[] = {{.fd = out[1], .child_fd = 1},
                             {.fd = out[1], .child_fd = 2},
                             {.fd = life[0], .child_fd = 3}};
    struct spawn_options options = {.path = "/bin/sh",
                                    .argv = argv,
                                    .fds = fds,
                                    .n_fds = ARRAY_SIZE(fds),
                                    .dies_with_parent = true,
                                    .new_session = true};
    struct spawn_child child;
    int rc = spawn_start(&options, &child, err);
    close(out[1]);
    close(life[0]);
    if (rc < 0) {
        close(out[0]);
        close(life[1]);
        return rc;
    }
    job->life_fd = life[1];
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    job->output_fd = out[0];
    job->output = loop_fd_new(job->store->loop, out[0], LOOP_READ, job_output, job);
    job->child = spawn_watch_new(job->store->loop, child, job_exited, job);
    return 0;
}

/* Takes the lock, then works; while another supervisor makes the same one, waits for it. */
static void job_run(void *ctx)
{
    struct job *job = ctx;
    struct err err = ERR_INIT;
    char lock[PATH_MAX];
    job->timer = NULL;
    snprintf(lock, sizeof lock, "%s.lock", job->plan.dir);
    if (job->lock_fd < 0) {
        if (!rootfs_make_dirs(job->store->dir, 0755) ||
            (job->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0) {
            int rc = err_errno(&err, errno, "making %s", lock);
            job_done(job, rc, &err);
            return;
        }
    }
    if (flock(job->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        snprintf(job->line, sizeof job->line, "another mobula installs it; waiting");
        job_progress(job);
        job->timer = loop_after(job->store->loop, LOCK_RETRY_MS, job_run, job);
        return;
    }
    struct image_plan now = job->plan;
    plan_dir(job->store, &now);
    int rc = now.is_present ? 0 : job_spawn(job, &err);
    if (now.is_present || rc < 0)
        job_done(job, rc, &err);
}

static bool job_is_running(const struct job *job)
{
    return job->child || job->timer;
}

static void job_start_next(struct image_store *store)
{
    int running = 0;
    for (struct job *j = store->jobs; j; j = j->next)
        running += job_is_running(j);
    for (struct job *j = store->jobs; j && running < IMAGE_MAX_PULLS; j = j->next) {
        if (job_is_running(j))
            continue;
        j->started_ms = loop_mono_ms(store->loop);
        j->timer = loop_after(store->loop, 0, job_run, j);
        running++;
    }
}

struct image_pull *image_pull_new(struct image_store *store, const struct image_plan *plan,
                                  const struct image_handler *handler)
{
    struct job *job = store->jobs;
    while (job && strcmp(job->plan.dir, plan->dir) != 0)
        job = job->next;
    if (!job) {
        job = xcalloc(1, sizeof *job);
        *job = (struct job){.store = store,
                            .plan = *plan,
                            .output_fd = -1,
                            .lock_fd = -1,
                            .life_fd = -1,
                            .started_ms = loop_mono_ms(store->loop)};
        struct job **last = &store->jobs;
        while (*last)
            last = &(*last)->next;
        *last = job;
    }
    struct image_pull *pull = xcalloc(1, sizeof *pull);
    *pull = (struct image_pull){.job = job, .next = job->pulls, .handler = *handler};
    job->pulls = pull;
    job_start_next(store);
    return pull;
}

struct image_pull *image_pull_free(struct image_pull *pull)
{
    if (!pull)
        return NULL;
    struct job *job = pull->job;
    for (struct image_pull **at = &job->pulls; *at; at = &(*at)->next) {
        if (*at == pull) {
            *at = pull->next;
            break;
        }
    }
    free(pull);
    if (!job->pulls && !job->child &&
        job->plan.dir[0]) /* a running pip is not interrupted: its result is cached */
        job_free(job);
    return NULL;
}
