/* Ray environments by uv and pip. See image.h.
 *
 * The work is one shell script (pull.sh) with its parts as arguments, run as a child with its output in a
 * pipe: venv, packages, rename. The supervisor holds the lock file while it runs. */
#include "runtime/image.h"
#include "base/arena.h"
#include "io/spawn.h"
#include "runtime/pull_script.h"
#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRESS_MIN_MS 2000
#define PROGRESS_PART   8 /* of the time that has gone by: the longer, the rarer */
#define LOCK_RETRY_MS   1000
#define MAX_LINE_BYTES  400
#define MAX_MINORS      100
#define MAX_ERROR_SHOWN 220

/* One environment being made. */
struct job {
    struct image_store *store;
    struct job *next;
    struct image_plan plan;
    struct image_pull *pulls;
    struct spawn_watch *child;
    struct loop_fd *output;
    struct loop_timer *timer;    /* to start, or to look at the lock again */
    struct loop_timer *progress; /* to report how far it is */
    int output_fd, lock_fd;
    int life_fd; /* closed: the child sees that its result is no longer wanted */
    int64_t started_ms;
    char reading[MAX_LINE_BYTES]; /* the line that has not ended yet */
    size_t reading_n;
    char line[MAX_LINE_BYTES];  /* the last whole one */
    char error[MAX_LINE_BYTES]; /* the last one that says what is wrong */
};

struct image_pull {
    struct job *job;
    struct image_pull *next;
    struct image_handler handler;
};

struct image_store {
    struct loop *loop;
    char *dir; /* CACHE/ray */
    const struct recipe_book *book;
    struct job *jobs;
    int host_minor;                 /* of python3; -1: not asked yet; 0: none */
    signed char minors[MAX_MINORS]; /* python3.N: 0 not asked, 1 works, -1 does not */
};

struct image_store *image_store_new(struct loop *loop, const char *cache_dir,
                                    const struct recipe_book *book)
{
    struct image_store *store = xcalloc(1, sizeof(*store));
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s/ray", cache_dir);
    store->loop = loop;
    store->dir = xstrdup(dir);
    store->book = book;
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
    loop_timer_free(job->progress);
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

/* --- interpreters */

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
static int ask_python(const char *path)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return 0;
    char *argv[] = {"python3", "-c", "import sys; print(sys.version_info[1])", NULL};
    struct spawn_fd fd = {.fd = out[1], .child_fd = 1};
    struct spawn_options options = {.path = path, .argv = argv, .fds = &fd, .n_fds = 1};
    struct spawn_child child;
    struct err ignored = ERR_INIT;
    int rc = spawn_start(&options, &child, &ignored);
    close(out[1]);
    char text[16] = "";
    ssize_t n = rc == 0 ? read(out[0], text, sizeof(text) - 1) : 0;
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
    char path[PATH_MAX];
    if (store->host_minor < 0)
        store->host_minor = find_program("python3", path) ? ask_python(path) : 0;
    return store->host_minor;
}

/* Where uv and pyenv keep the interpreters that they install, below HOME. */
static const char *const python_places[] = {".local/share/uv/python/cpython-3.%d.*/bin/python3",
                                            ".pyenv/versions/3.%d.*/bin/python3"};

static bool find_kept_python(int minor, char ret[PATH_MAX])
{
    const char *home = getenv("HOME");
    for (size_t i = 0; home && i < ARRAY_SIZE(python_places); i++) {
        char place[PATH_MAX], pattern[PATH_MAX + 128];
        glob_t found = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(place, sizeof(place), python_places[i], minor);
#pragma GCC diagnostic pop
        snprintf(pattern, sizeof(pattern), "%s/%.100s", home, place);
        bool ok = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0 &&
                  strlen(found.gl_pathv[0]) < PATH_MAX;
        if (ok)
            snprintf(ret, PATH_MAX, "%s", found.gl_pathv[0]);
        globfree(&found);
        if (ok && ask_python(ret) == minor)
            return true;
    }
    return false;
}

/* An interpreter of that minor: python3, python3.N, or one that uv or pyenv has installed. */
static bool find_python(struct image_store *store, int minor, char ret[PATH_MAX])
{
    char name[32];
    snprintf(name, sizeof(name), "python3.%d", minor);
    if (minor == host_python_minor(store))
        return find_program("python3", ret);
    return (find_program(name, ret) && ask_python(ret) == minor) || find_kept_python(minor, ret);
}

static bool has_python(struct image_store *store, int minor)
{
    char path[PATH_MAX];
    signed char *known = &store->minors[minor];
    if (*known == 0)
        *known = find_python(store, minor, path) ? 1 : -1;
    return *known > 0;
}

/* --- the plan */

/* The names of old caches hold for what they held: ray[default] and nothing on top. */
static void plan_dir(const struct image_store *store, struct image_plan *plan)
{
    const struct recipe *r = &plan->recipe;
    char python[PATH_MAX], extras[RECIPE_MAX_EXTRAS + 1] = "", on_top[24] = "";
    if (strcmp(r->extras, "default") != 0)
        snprintf(extras, sizeof(extras), "-%s", r->extras);
    for (char *p = extras; *p; p++)
        *p = *p == ',' ? '+' : *p;
    if (r->on_top)
        snprintf(on_top, sizeof(on_top), "-%016llx", (unsigned long long)r->on_top);
    snprintf(plan->key, sizeof(plan->key), "%s-py3%d%s%s", r->version, plan->python_minor, extras,
             on_top);
    snprintf(plan->dir, sizeof(plan->dir), "%s/%s", store->dir, plan->key);
    snprintf(python, sizeof(python), "%s/bin/ray", plan->dir);
    plan->is_present = access(python, X_OK) == 0;
}

int image_plan(struct image_store *store, struct str image, struct str cluster_version,
               struct image_plan *ret, struct err *err)
{
    struct image_plan plan = {.is_present = true};
    int rc = recipe_of(store->book, image, cluster_version, &plan.recipe, err);
    if (rc < 0)
        return rc;
    if (plan.recipe.row->is_host) {
        *ret = plan;
        return 0;
    }
    int wanted = plan.recipe.python_minor;
    plan.python_minor = wanted;
    if (wanted) {
        plan_dir(store, &plan);
        if (plan.is_present || has_python(store, wanted)) {
            *ret = plan;
            return 0;
        }
    }
    plan.other_python = wanted != 0;
    plan.python_minor = host_python_minor(store);
    if (plan.python_minor == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "no python3 on this host, so no Ray for image %.*s; install python3 and "
                       "python3-venv",
                       STR_ARG(str_sub(image, 0, 120)));
    plan_dir(store, &plan);
    *ret = plan;
    return 0;
}

/* --- the job */

static void job_report(struct job *job)
{
    int64_t ms = loop_mono_ms(job->store->loop) - job->started_ms;
    for (struct image_pull *p = job->pulls; p; p = p->next)
        p->handler.progress(p->handler.ctx, str_of(job->line), ms);
}

/* Whether pip speaks or not, so that the seconds go on; rarer as time goes by: every report is a write of
 * the status of every pod that waits. */
static void job_progress(void *ctx)
{
    struct job *job = ctx;
    int64_t ms = loop_mono_ms(job->store->loop) - job->started_ms;
    job_report(job);
    job->progress = loop_after(job->store->loop, MAX_OF(PROGRESS_MIN_MS, ms / PROGRESS_PART),
                               job_progress, job);
}

/* What is wrong, as pip says it ("ERROR: …") and as uv does ("error: …", or a tree whose leaf is the cause). */
static void note_error(struct job *job)
{
    static const char *const marks[] = {"ERROR: ", "error: ", "\u2570\u2500\u25b6 ", "\u00d7 "};
    struct str line = str_trim(str_of(job->line));
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (str_starts(line, str_of(marks[i])))
            snprintf(job->error, sizeof(job->error), "%.*s",
                     STR_ARG(str_sub(line, strlen(marks[i]), line.n)));
}

static void job_line_end(struct job *job)
{
    job->reading[job->reading_n] = '\0';
    if (str_trim(str_of(job->reading)).n > 0) {
        memcpy(job->line, job->reading, sizeof(job->line));
        note_error(job);
    }
    job->reading_n = 0;
}

static void job_output(void *ctx, int events)
{
    struct job *job = ctx;
    char part[4096];
    for (;;) {
        ssize_t n = read(job->output_fd, part, sizeof(part));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            job->output = loop_fd_free(job->output);
            return;
        }
        for (ssize_t i = 0; i < n; i++)
            if (part[i] == '\n')
                job_line_end(job);
            else if (job->reading_n + 1 < sizeof(job->reading))
                job->reading[job->reading_n++] = part[i];
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
    int rc = err_set(&err, ERR_UNAVAILABLE,
                     "installing ray[%s]==%s%s with Python 3.%d failed (exit %d): %.*s; check the "
                     "network and pip's index, then it is tried again by itself",
                     job->plan.recipe.extras, job->plan.recipe.version,
                     job->plan.recipe.on_top ? " and packages" : "", job->plan.python_minor, code,
                     MAX_ERROR_SHOWN, why);
    job_done(job, rc, &err);
}

/* What pull.sh is told. */
struct pull_words {
    char python[PATH_MAX], temporary[PATH_MAX], ray[RECIPE_MAX_EXTRAS + RECIPE_MAX_VERSION + 16];
};

static int make_words(struct job *job, struct pull_words *words, struct err *err)
{
    const struct recipe *r = &job->plan.recipe;
    if (!find_python(job->store, job->plan.python_minor, words->python))
        return err_set(err, ERR_NOT_FOUND, "python3.%d is no longer on this host",
                       job->plan.python_minor);
    snprintf(words->temporary, sizeof(words->temporary), "%s.new", job->plan.dir);
    snprintf(words->ray, sizeof(words->ray), "ray[%s]==%s", r->extras, r->version);
    return 0;
}

static const char *word(const char *text_or_null)
{
    return text_or_null ? text_or_null : "";
}

static int job_spawn(struct job *job, struct err *err)
{
    const struct recipe *r = &job->plan.recipe;
    struct pull_words *words cleanup(cleanup_free) = xcalloc(1, sizeof(*words));
    int rc = make_words(job, words, err);
    if (rc < 0)
        return rc;
    int out[2], life[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    if (pipe2(life, O_CLOEXEC) < 0) {
        int why = errno;
        close(out[0]);
        close(out[1]);
        return err_errno(err, why, "pipe");
    }
    const char *argv[] = {"sh",
                          "-c",
                          pull_script,
                          "mobula-pull",
                          words->python,
                          words->temporary,
                          job->plan.dir,
                          words->ray,
                          word(r->before),
                          word(r->row->packages),
                          word(r->as_of),
                          word(r->book->packages),
                          word(r->row->file),
                          NULL};
    struct spawn_fd fds[] = {{.fd = out[1], .child_fd = 1},
                             {.fd = out[1], .child_fd = 2},
                             {.fd = life[0], .child_fd = 3}};
    struct spawn_options options = {.path = "/bin/sh",
                                    .argv = (char **)(uintptr_t)argv,
                                    .fds = fds,
                                    .n_fds = ARRAY_SIZE(fds),
                                    .dies_with_parent = true,
                                    .new_session = true};
    struct spawn_child child;
    rc = spawn_start(&options, &child, err);
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
    snprintf(lock, sizeof(lock), "%s.lock", job->plan.dir);
    if (job->lock_fd < 0) {
        if (!rootfs_make_dirs(job->store->dir, 0755) ||
            (job->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0) {
            int rc = err_errno(&err, errno, "making %s", lock);
            job_done(job, rc, &err);
            return;
        }
    }
    if (flock(job->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        snprintf(job->line, sizeof(job->line), "another mobula installs it; waiting");
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
        j->progress = loop_after(store->loop, 0, job_progress, j);
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
        job = xcalloc(1, sizeof(*job));
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
    struct image_pull *pull = xcalloc(1, sizeof(*pull));
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
    struct image_store *store = job->store;
    for (struct image_pull **at = &job->pulls; *at; at = &(*at)->next) {
        if (*at == pull) {
            *at = pull->next;
            break;
        }
    }
    free(pull);
    if (!job->pulls && !job->child && job->plan.dir[0]) {
        job_free(job); /* a running pip is not interrupted: its result is cached */
        job_start_next(store);
    }
    return NULL;
}

bool image_pull_is_queued(const struct image_pull *pull)
{
    return !job_is_running(pull->job);
}
