/* Every call of the runtime to the kernel fails once, at each place: in the supervisor, in pod-init and in
 * what it starts. Whatever fails, the pod comes up after a retry (or is Failed and says why), it ends when
 * it is told to, and nothing is left: no process, no descriptor, no mount.
 *
 *     test_runtime_faults [all | supervisor N | pod N]
 *
 * `all`: every place from MOBULA_SEED on; else a sample of them, moved by MOBULA_SEED, or one.
 *
 * The linker sends the calls here (--wrap); a mapped file counts them across processes. */
#include "pod_world.h"
#include "io/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES   10
#define MARK      "4798.25"
#define FAULT_ENV "MOBULA_TEST_FAULTS"

enum side { SIDE_SUPERVISOR, SIDE_POD, _SIDE_MAX };

struct faults {
    _Atomic int armed;
    _Atomic int64_t calls[_SIDE_MAX];
    int64_t nth[_SIDE_MAX]; /* which one fails; -1: none */
    char what[32];
};

static struct faults *faults;
static enum side own_side;

static bool fails(const char *what)
{
    static const int errors[] = {EIO, ENOSPC, EMFILE, EACCES};
    if (!faults || !faults->armed)
        return false;
    int64_t n = faults->calls[own_side]++;
    if (n != faults->nth[own_side])
        return false;
    snprintf(faults->what, sizeof(faults->what), "%s", what);
    errno = errors[n % (int64_t)ARRAY_SIZE(errors)];
    return true;
}

/* name, result, parameters, arguments */
#define WRAP(name, result, failure, parameters, arguments)                                         \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        return fails(#name) ? failure : __real_##name arguments;                                   \
    }

WRAP(open, int, -1, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP(openat, int, -1, (int at, const char *path, int flags, mode_t mode), (at, path, flags, mode))
WRAP(opendir, DIR *, NULL, (const char *path), (path))
WRAP(mkdir, int, -1, (const char *path, mode_t mode), (path, mode))
WRAP(mkdirat, int, -1, (int at, const char *path, mode_t mode), (at, path, mode))
WRAP(write, ssize_t, -1, (int fd, const void *bytes, size_t n), (fd, bytes, n))
WRAP(pwrite, ssize_t, -1, (int fd, const void *bytes, size_t n, off_t at), (fd, bytes, n, at))
WRAP(ftruncate, int, -1, (int fd, off_t size), (fd, size))
WRAP(fchmod, int, -1, (int fd, mode_t mode), (fd, mode))
WRAP(renameat, int, -1, (int from, const char *a, int to, const char *b), (from, a, to, b))
WRAP(symlink, int, -1, (const char *text, const char *path), (text, path))
WRAP(pipe2, int, -1, (int ends[2], int flags), (ends, flags))
WRAP(socketpair, int, -1, (int domain, int type, int protocol, int pair[2]),
     (domain, type, protocol, pair))
WRAP(sendmsg, ssize_t, -1, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(mount, int, -1,
     (const char *source, const char *target, const char *type, unsigned long flags,
      const void *data),
     (source, target, type, flags, data))
WRAP(umount2, int, -1, (const char *target, int flags), (target, flags))
WRAP(dup2, int, -1, (int from, int to), (from, to))
WRAP(chdir, int, -1, (const char *path), (path))
WRAP(fchdir, int, -1, (int fd), (fd))
WRAP(setns, int, -1, (int fd, int type), (fd, type))
WRAP(syscall, long, -1, (long number, long a, long b, long c, long d, long e, long f),
     (number, a, b, c, d, e, f))

static void map_faults(const char *path)
{
    int fd = __real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, sizeof(*faults)) < 0)
        return;
    void *at = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        faults = at;
}

/* --- what must not grow */

static size_t count_entries(const char *path)
{
    size_t n = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

/* Of ours: others may mount what they like. */
static size_t count_mounts(void)
{
    char line[4096];
    size_t n = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, "/mobula-pods-") != NULL;
    if (f)
        fclose(f);
    return n;
}

struct left {
    size_t fds, mounts;
};

static struct left look(void)
{
    return (struct left){count_entries("/proc/self/fd"), count_mounts()};
}

/* --- the story */

static void put_map(struct world *w, const char *text)
{
    struct arena *a = w->arena;
    fake_api_delete(w->api, "configmaps", "t", "m", 0);
    fake_api_put(w->api, "configmaps",
                 val_obj(a, "metadata",
                         val_obj(a, "name", val_text(a, "m"), "namespace", val_text(a, "t")),
                         "data", val_obj(a, "k", val_text(a, text))));
}

static bool is_settled(struct world *w, const char *name)
{
    return is_up(w, name) || is_over(w, name);
}

static void live_and_die(struct world *w)
{
    put_map(w, "one");
    put_pod(
        w, "p",
        "{\"terminationGracePeriodSeconds\":1,\"containers\":[{\"name\":\"c\",\"image\":\"x\","
        "\"command\":[\"bash\",\"-c\",\"trap 'exit 0' TERM; test -s /m/d/k || exit 1; sleep " MARK
        " & wait\"],\"workingDir\":\"/work\","
        "\"volumeMounts\":[{\"name\":\"m\",\"mountPath\":\"/m\"},"
        "{\"name\":\"v\",\"mountPath\":\"/v\",\"subPath\":\"a/b\"}],"
        "\"readinessProbe\":{\"exec\":{\"command\":[\"true\"]},\"periodSeconds\":1},"
        "\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"true\"]}}}}],"
        "\"volumes\":[{\"name\":\"m\",\"configMap\":{\"name\":\"m\",\"items\":[{\"key\":\"k\","
        "\"path\":\"d/k\"}]}},{\"name\":\"v\",\"emptyDir\":{}}]}");
    for (int64_t end = loop_mono_ms(w->loop) + PATIENCE_MS;
         !is_settled(w, "p") && loop_mono_ms(w->loop) < end;)
        loop_turn(w->loop, 20);
    if (!is_settled(w, "p"))
        fail_msg("%s failed, and the pod is not settled: %s", faults->what,
                 val_json(w->arena, val_path(pod_now(w, "p"), "status.containerStatuses")).p);
    if (is_over(w, "p"))
        assert_true(val_path_str(pod_now(w, "p"), "status.reason").n > 0 ||
                    val_path_str(container(w, "p"), "state.terminated.reason").n > 0);
    put_map(w, "two");
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 5);
    fake_api_delete(w->api, "pods", "t", "p", 1);
    wait_for(w, "p", is_gone, "gone");
}

/* False: there was no such call any more. */
static bool run_one(enum side side, int64_t nth)
{
    void *state = NULL;
    faults->armed = 0;
    faults->nth[SIDE_SUPERVISOR] = faults->nth[SIDE_POD] = -1;
    faults->nth[side] = nth;
    faults->calls[SIDE_SUPERVISOR] = faults->calls[SIDE_POD] = 0;
    faults->what[0] = '\0';
    struct left before = look();
    assert_int_equal(world_open(&state), 0);
    struct world *w = state;
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop, 5); /* caches and nodes */
    faults->armed = 1;
    live_and_die(w);
    faults->armed = 0;
    world_stop(w);
    world_close(&state);
    struct left after = look();
    bool fired = faults->what[0] != '\0';
    const char *where = side == SIDE_POD ? "pod" : "supervisor";
    if (nth != -2 && (after.fds != before.fds || after.mounts != before.mounts))
        fail_msg("%s, call %lld (%s): %zu descriptors and %zu mounts became %zu and %zu", where,
                 (long long)nth, faults->what, before.fds, before.mounts, after.fds, after.mounts);
    for (int i = 0; i < 50 && find_process(MARK); i++)
        usleep(20000);
    if (find_process(MARK) || (waitpid(-1, NULL, WNOHANG) >= 0))
        fail_msg("%s, call %lld (%s): a process is left", where, (long long)nth, faults->what);
    return fired;
}

static bool run_all_places;
static int64_t only[_SIDE_MAX] = {-1, -1};

static int64_t count_calls(enum side side)
{
    static bool is_warm; /* what is made once for the whole process */
    for (int i = is_warm ? 1 : 0; i < 2; i++, is_warm = true)
        (void)run_one(side, -2);
    return faults->calls[side];
}

static void each_fails(enum side side)
{
    const char *seed = getenv("MOBULA_SEED");
    if (only[SIDE_SUPERVISOR] >= 0 || only[SIDE_POD] >= 0) {
        if (only[side] >= 0)
            (void)count_calls(side), (void)run_one(side, only[side]);
        return;
    }
    int64_t n = count_calls(side), shift = 0;
    assert_true(n > 20);
    if (seed)
        (void)str_to_i64(str_of(seed), &shift);
    int64_t step = run_all_places ? 1 : n / SAMPLES;
    for (int64_t nth = run_all_places ? shift : shift % step; nth < n; nth += step) {
        if (run_all_places || seed)
            fprintf(stderr, "# %s call %lld of %lld\n", side == SIDE_POD ? "pod" : "supervisor",
                    (long long)nth, (long long)n);
        (void)run_one(side, nth);
    }
}

static void in_the_supervisor(void **state)
{
    each_fails(SIDE_SUPERVISOR);
}

static void in_the_pod(void **state)
{
    each_fails(SIDE_POD);
}

int main(int argc, char **argv)
{
    ssize_t n = readlink("/proc/self/exe", self_exe, sizeof(self_exe) - 1);
    self_exe[MAX_OF(n, 0)] = '\0';
    const char *role = argc > 1 ? argv[1] : "", *file = getenv(FAULT_ENV);
    if (strcmp(role, "pod-init") == 0) {
        own_side = SIDE_POD;
        if (file)
            map_faults(file);
        return runtime_pod_init(argc, argv);
    }
    if (spawn_isolation_probe() == SPAWN_ISOLATION_NONE) {
        printf("skipped: this host allows no namespaces\n");
        return 77;
    }
    char path[] = "/tmp/mobula-faults-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    setenv(FAULT_ENV, path, 1);
    map_faults(path);
    run_all_places = strcmp(role, "all") == 0;
    if (argc > 2)
        (void)str_to_i64(str_of(argv[2]),
                         &only[strcmp(role, "pod") == 0 ? SIDE_POD : SIDE_SUPERVISOR]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_supervisor),
        cmocka_unit_test(in_the_pod),
    };
    int failed = faults ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    unlink(path);
    return failed;
}
