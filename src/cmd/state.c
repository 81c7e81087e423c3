/* The state folder and its lock. Read first: cmd/state.h. */
#include "cmd/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int state_resolve(const char *dir, struct state *ret, struct err *err)
{
    const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char cwd[STATE_MAX_PATH];
    int n;

    *ret = (struct state){.lock_fd = -1};
    if (dir && dir[0] == '/')
        n = snprintf(ret->dir, sizeof(ret->dir), "%s", dir);
    else if (dir && dir[0] && getcwd(cwd, sizeof(cwd)))
        n = snprintf(ret->dir, sizeof(ret->dir), "%s/%s", cwd, dir);
    else if (dir)
        return err_set(err, ERR_INVALID, "--state: no folder is named");
    else if (base && base[0] == '/')
        n = snprintf(ret->dir, sizeof(ret->dir), "%s/mobula", base);
    else if (home && home[0] == '/')
        n = snprintf(ret->dir, sizeof(ret->dir), "%s/.local/state/mobula", home);
    else
        return err_set(err, ERR_INVALID, "neither HOME nor XDG_STATE_HOME is set: use --state DIR");
    if (n < 0 || (size_t)n >= sizeof(ret->dir))
        return err_set(err, ERR_INVALID, "--state: the folder's name is too long");
    while (n > 1 && ret->dir[n - 1] == '/')
        ret->dir[--n] = '\0';
    return 0;
}

static int make_folders(const char *path, struct err *err)
{
    char part[STATE_MAX_PATH];
    size_t n = strlen(path);

    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return err_errno(err, errno, "%s", part);
    }
    return 0;
}

/* When the process began, in clock ticks since boot: field 22 of /proc/PID/stat; 0: it is gone. */
static uint64_t process_start(pid_t pid)
{
    char path[64], text[2048];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);

    close(fd);
    if (n <= 0)
        return 0;
    struct str rest = {text, (size_t)n}, field = STR_NULL;
    ptrdiff_t name_end = str_rfind(rest, ')');
    uint64_t start = 0;

    rest = str_sub(rest, (size_t)(name_end + 2), rest.n); /* field 3 comes first here */
    for (int i = 3; i <= 22 && str_split(&rest, ' ', &field); i++)
        ;
    (void)str_to_u64(field, &start);
    return start;
}

static bool read_lock(const struct state *state, pid_t *ret_pid)
{
    char path[PATH_MAX], text[128];
    int64_t pid = 0;
    uint64_t start = 0;

    snprintf(path, sizeof(path), "%s/" STATE_LOCK_NAME, state->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool is_held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    ssize_t n = read(fd, text, sizeof(text));

    close(fd);
    if (!is_held || n <= 0)
        return false;
    struct str rest = str_trim((struct str){text, (size_t)n}), first;

    if (!str_split(&rest, ' ', &first) || !str_to_i64(first, &pid) || !str_to_u64(rest, &start) ||
        pid <= 1 || process_start((pid_t)pid) != start)
        return false;
    *ret_pid = (pid_t)pid;
    return true;
}

int state_runner(const struct state *state, pid_t *ret_pid)
{
    return read_lock(state, ret_pid) ? 1 : 0;
}

static int taken_by(const struct state *state, pid_t pid, struct err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "mobula up (pid %d) already runs on %s: mobula status shows it, mobula down "
                   "stops it, --state DIR starts another",
                   (int)pid, state->dir);
}

int state_check(const struct state *state, struct err *err)
{
    pid_t pid;

    return read_lock(state, &pid) ? taken_by(state, pid, err) : 0;
}

int state_take(struct state *state, struct err *err)
{
    char path[PATH_MAX];
    struct stat about;
    pid_t pid = 0;
    int rc = make_folders(state->dir, err);

    if (rc < 0)
        return rc;
    if (stat(state->dir, &about) < 0)
        return err_errno(err, errno, "%s", state->dir);
    if (about.st_uid != geteuid())
        return err_set(err, ERR_FORBIDDEN, "%s belongs to somebody else: use --state DIR",
                       state->dir);
    if (chmod(state->dir, 0700) < 0)
        return err_errno(err, errno, "%s", state->dir);
    snprintf(path, sizeof(path), "%s/" STATE_LOCK_NAME, state->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int why = errno;

        close(fd);
        if (why != EWOULDBLOCK)
            return err_errno(err, why, "%s", path);
        if (read_lock(state, &pid))
            return taken_by(state, pid, err);
        return err_set(err, ERR_CONFLICT, "another mobula up is starting or stopping on %s",
                       state->dir);
    }
    state->lock_fd = fd;
    return state_write_pid(state, err);
}

int state_write_pid(const struct state *state, struct err *err)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%d %llu\n", (int)getpid(),
                     (unsigned long long)process_start(getpid()));

    /* Over what is there: a full disk takes that. */
    if (pwrite(state->lock_fd, text, (size_t)n, 0) != n || ftruncate(state->lock_fd, n) < 0)
        return err_errno(err, errno, "%s/" STATE_LOCK_NAME, state->dir);
    return 0;
}

void state_release(struct state *state)
{
    if (state->lock_fd < 0)
        return;
    (void)!pwrite(state->lock_fd, "\n", 1,
                  0); /* no process; the block stays, see state_write_pid */
    (void)!ftruncate(state->lock_fd, 1);
    close(state->lock_fd);
    state->lock_fd = -1;
}

struct str state_path(const struct state *state, struct arena *a, const char *name)
{
    return arena_strf(a, "%s/%s", state->dir, name);
}

int state_write(const struct state *state, const char *name, struct str text, struct err *err)
{
    char path[PATH_MAX], fresh[PATH_MAX + 8];

    snprintf(path, sizeof(path), "%s/%s", state->dir, name);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, errno, "%s", fresh);
    bool is_written = write(fd, text.p, text.n) == (ssize_t)text.n;
    int why = errno;

    close(fd);
    if (is_written && rename(fresh, path) == 0)
        return 0;
    why = is_written ? errno : why;
    unlink(fresh);
    return err_errno(err, why, "%s", path);
}
