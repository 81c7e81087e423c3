/* The pod's root directory: overlays over the host's, private /proc /dev /run /tmp. See rootfs.h.
 *
 * Order matters: everything that names a host path as a lower layer is mounted before pivot_root;
 * the configured mounts come after it, with their sources under /.old, so that symbolic links in
 * their targets resolve inside the pod. Only then is /.old let go.
 *
 * Why each directory has an overlay of its own: an overlay of / itself is refused in a user
 * namespace, because / holds locked mounts. */
#include "runtime/rootfs.h"
#include "runtime/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OLD_ROOT            "/.old"
#define ROOT_TMPFS_OPTIONS  "mode=755,size=64m"
#define MOUNTINFO_MAX_BYTES (4u << 20)
#define ROOT_MAX_BYTES      3000 /* of a root's name; what is put behind it fits PATH_MAX */
#define CHANGES_IN_MEMORY   ".changes"
#define DEFAULT_SHM_OPTIONS "mode=1777,size=64m" /* what container run-times give */

/* Top directories of the host that a pod does not see as they are. */
static const char *const private_tops[] = {
    "proc", "dev", "sys", "run", "tmp", "lost+found", ".old", ".mobula", CHANGES_IN_MEMORY};

bool rootfs_make_dirs(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (size_t i = 1; i <= n; i++) {
        if (i < n && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST && (i == n || errno != EROFS))
            return false;
    }
    struct stat st;
    return stat(path, &st) == 0;
}

/* An empty file to mount on. What stands there already is looked at later. */
static bool make_file(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof(dir)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(dir, path, n);
    dir[n] = '\0';
    if (n > 0 && !rootfs_make_dirs(dir, 0755))
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno == EEXIST || access(path, F_OK) == 0;
}

/* --- mounts: a source becomes a tree of its own, which is then put on its target. Both are held by
 * descriptors, so nobody can exchange them in between. */

static int set_read_only(int tree)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
                        sizeof(attr));
}

static int take_tree(int source, bool read_only)
{
    int tree = (int)syscall(SYS_open_tree, source, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree < 0 || !read_only || set_read_only(tree) == 0)
        return tree;
    int why = errno;
    close(tree);
    errno = why;
    return -1;
}

/* Opens the target inside the caller's root, making it when it is missing. A link there is followed as
 * everywhere, but not into /proc, where a mount would change what the pod is told about itself. */
static int open_target(const char *target, bool is_dir)
{
    struct statfs fs;
    if (!(is_dir ? rootfs_make_dirs(target, 0755) : make_file(target)))
        return -1;
    int fd = beneath_open_plain(target, O_PATH);
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

/* Takes `tree` over. */
static int put_tree(int tree, const char *target, struct err *err)
{
    int held cleanup(cleanup_close) = tree;
    struct stat st;
    if (fstat(held, &st) < 0)
        return err_errno(err, errno, "mounting %s", target);
    int on cleanup(cleanup_close) = open_target(target, S_ISDIR(st.st_mode));
    if (on < 0)
        return err_errno(err, errno, "mounting %s: the mount point cannot be made", target);
    if (syscall(SYS_move_mount, held, "", on, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return err_errno(err, errno, "mounting %s", target);
    return 0;
}

static int mount_bind(const char *source, const char *target, bool read_only, struct err *err)
{
    int from cleanup(cleanup_close) = open(source, O_PATH | O_CLOEXEC);
    if (from < 0)
        return err_errno(err, errno, "mounting %s: source %s", target, source);
    int tree = take_tree(from, read_only);
    if (tree < 0)
        return err_errno(err, errno, "mounting %s on %s%s", source, target,
                         read_only ? " read-only" : "");
    return put_tree(tree, target, err);
}

static int mount_tmpfs(const char *target, uint64_t size_bytes, struct err *err)
{
    char options[64];
    snprintf(options, sizeof(options), "mode=1777,size=%llu", (unsigned long long)size_bytes);
    if (!rootfs_make_dirs(target, 0755))
        return err_errno(err, errno, "mounting %s: the mount point cannot be made", target);
    if (mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return err_errno(err, errno, "mounting a tmpfs of %llu bytes on %s",
                         (unsigned long long)size_bytes, target);
    return 0;
}

/* The subPath of a volume: links in it may lead anywhere inside the volume, not out of it. */
static int open_sub(int volume, const char *sub)
{
    int fd = beneath_open(volume, sub, O_PATH, 0, BENEATH_INNER_LINKS);
    return fd < 0 && errno == ENOENT ? beneath_make_dirs(volume, sub, 0777, BENEATH_INNER_LINKS)
                                     : fd;
}

static int take_source(const struct wire_mount *m, const char *prefix, int *ret, struct err *err)
{
    char source[PATH_MAX], sub[PATH_MAX];
    int n = snprintf(source, sizeof(source), "%s%.*s", prefix, STR_ARG(m->source));
    int k = snprintf(sub, sizeof(sub), "%.*s", STR_ARG(m->sub));
    if (n >= (int)sizeof(source) || k >= (int)sizeof(sub))
        return err_set(err, ERR_INVALID, "mountPath %.*s: the source's name is too long",
                       (int)MIN_OF(m->target.n, (size_t)80), m->target.p);
    int volume cleanup(cleanup_close) = open(source, O_PATH | O_CLOEXEC);
    if (volume < 0)
        return err_errno(err, errno, "mounting %.*s: source %s", STR_ARG(m->target), source);
    int inner cleanup(cleanup_close) = m->sub.n ? open_sub(volume, sub) : -1;
    if (m->sub.n && inner < 0)
        return err_errno(err, errno, "mounting %.*s: subPath \"%s\" of the volume",
                         STR_ARG(m->target), sub);
    *ret = take_tree(m->sub.n ? inner : volume, m->read_only);
    if (*ret < 0)
        return err_errno(err, errno, "mounting %.*s", STR_ARG(m->target));
    return 0;
}

static int put_all(const struct wire_mounts *mounts, int *trees, struct err *err)
{
    for (size_t i = 0; i < mounts->n; i++) {
        const struct wire_mount *m = &mounts->items[i];
        char target[PATH_MAX];
        int t = snprintf(target, sizeof(target), "%.*s", STR_ARG(m->target));
        if (t >= (int)sizeof(target) || t == 0 || target[0] != '/')
            return err_set(err, ERR_INVALID, "mountPath %.80s is not a usable absolute path",
                           target);
        int tree = trees[i];
        trees[i] = -1;
        int rc = m->kind == WIRE_MOUNT_TMPFS ? mount_tmpfs(target, m->size_bytes, err)
                                             : put_tree(tree, target, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* All sources are taken before the first target is touched: what the pod's own files make of a target
 * cannot reach a source any more. */
static int mount_all(const struct wire_mounts *mounts, const char *prefix, const char *hide,
                     struct err *err)
{
    int *trees cleanup(cleanup_free) = xmalloc((mounts->n + 1) * sizeof(*trees));
    int rc = 0;
    for (size_t i = 0; i < mounts->n; i++)
        trees[i] = -1;
    for (size_t i = 0; rc == 0 && i < mounts->n; i++)
        if (mounts->items[i].kind == WIRE_MOUNT_BIND)
            rc = take_source(&mounts->items[i], prefix, &trees[i], err);
    if (rc == 0 && hide && umount2(hide, MNT_DETACH) < 0)
        rc = err_errno(err, errno, "hiding the pod's other volumes");
    if (rc == 0)
        rc = put_all(mounts, trees, err);
    for (size_t i = 0; i < mounts->n; i++)
        if (trees[i] >= 0)
            close(trees[i]);
    return rc;
}

/* Files of /proc through which root, without any capability, would change the host, and those that tell
 * of its kernel. Source: the read-only and masked paths of the OCI runtimes. */
static const char *const proc_read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                             "/proc/sysrq-trigger"};
static const char *const proc_masked[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list"};

static int mount_proc(struct err *err)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return err_errno(err, errno, "mounting /proc");
    return 0;
}

static int protect_proc(struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(proc_read_only); i++) {
        int own cleanup(cleanup_close) = open(proc_read_only[i], O_PATH | O_CLOEXEC);
        int tree cleanup(cleanup_close) = own < 0 ? -1 : take_tree(own, true);
        if (own >= 0 &&
            (tree < 0 || syscall(SYS_move_mount, tree, "", own, "",
                                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0))
            return err_errno(err, errno, "making %s read-only", proc_read_only[i]);
    }
    int null cleanup(cleanup_close) = open("/dev/null", O_PATH | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(proc_masked); i++) {
        int own cleanup(cleanup_close) = open(proc_masked[i], O_PATH | O_CLOEXEC);
        int tree cleanup(cleanup_close) = own < 0 || null < 0 ? -1 : take_tree(null, true);
        if (own >= 0 &&
            (tree < 0 || syscall(SYS_move_mount, tree, "", own, "",
                                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0))
            return err_errno(err, errno, "masking %s", proc_masked[i]);
    }
    return 0;
}

int rootfs_enter_container(const struct wire_mounts *mounts, bool is_privileged, struct err *err)
{
    int rc = mount_proc(err);
    if (rc == 0 && !is_privileged)
        rc = protect_proc(err);
    return rc < 0 ? rc : mount_all(mounts, "", ROOTFS_VOLUMES, err);
}

int rootfs_enter_dir(const char *path, struct err *err)
{
    /* Container run-times make a missing working directory. */
    if (path[0] == '/')
        (void)rootfs_make_dirs(path, 0755);
    int dir cleanup(cleanup_close) = beneath_open_plain(path, O_PATH | O_DIRECTORY);
    if (dir < 0 || fchdir(dir) < 0)
        return err_errno(err, errno, "workingDir %.100s", path);
    return 0;
}

/* An overlay of /name at root/name, its changes in `upper` (a directory that holds pairs). */
static bool mount_overlay(const char *name, const char *target, const char *upper)
{
    char changes[PATH_MAX], work[PATH_MAX], options[3 * PATH_MAX];
    int n = snprintf(changes, sizeof(changes), "%s/%s", upper, name);
    int w = snprintf(work, sizeof(work), "%s/.work-%s", upper, name);
    if (n >= (int)sizeof(changes) || w >= (int)sizeof(work) || strpbrk(changes, ",:\\"))
        return false;
    struct stat st;
    mode_t mode = stat(target, &st) == 0 ? st.st_mode & 07777 : 0755;
    if (!rootfs_make_dirs(changes, 0755) || !rootfs_make_dirs(work, 0755))
        return false;
    (void)chmod(changes, mode);
    /* userxattr: what a user namespace may write; works as root too, so both behave the same. */
    snprintf(options, sizeof(options), "userxattr,lowerdir=/%s,upperdir=%s,workdir=%s", name,
             changes, work);
    return mount("overlay", target, "overlay", 0, options) == 0;
}

/* Some file systems carry no overlay's changes, among them an overlay (the root of a container). */
static bool mount_overlay_in_memory(const char *name, const char *target, const char *root)
{
    char upper[PATH_MAX];
    int n = snprintf(upper, sizeof(upper), "%s/" CHANGES_IN_MEMORY, root);
    if (n >= (int)sizeof(upper))
        return false;
    if (mkdir(upper, 0700) == 0 &&
        mount("tmpfs", upper, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700,size=50%") < 0)
        return false;
    return mount_overlay(name, target, upper);
}

static void unescape_octal(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] && from[2] && from[3]) {
            *to = (char)(((from[1] - '0') << 6) | ((from[2] - '0') << 3) | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Lays the host's mounts below /name over the overlay, which shows only the directory's own file
 * system; read-only, since nothing would keep a change from the host. A mount that cannot be bound stays
 * hidden. */
static void bind_submounts(const char *root, const char *name, const char *mountinfo)
{
    char prefix[PATH_MAX], last[PATH_MAX] = "";
    size_t n = (size_t)snprintf(prefix, sizeof(prefix), "/%s/", name);
    for (const char *line = mountinfo; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char point[PATH_MAX];
        if (sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1)
            continue;
        unescape_octal(point);
        if (strncmp(point, prefix, n) != 0 || strncmp(point, root, strlen(root)) == 0)
            continue;
        size_t covered = strlen(last);
        if (covered && strncmp(point, last, covered) == 0 && point[covered] == '/')
            continue; /* came along with the recursive bind */
        char target[PATH_MAX];
        struct err ignored = ERR_INIT;
        if (snprintf(target, sizeof(target), "%s%s", root, point) >= (int)sizeof(target))
            continue;
        if (mount_bind(point, target, true, &ignored) == 0)
            snprintf(last, sizeof(last), "%s", point);
    }
}

static bool is_private_top(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(private_tops); i++)
        if (strcmp(name, private_tops[i]) == 0)
            return true;
    return false;
}

static int copy_link(const char *host, const char *target, struct err *err)
{
    char text[PATH_MAX];
    ssize_t n = readlink(host, text, sizeof(text) - 1);
    if (n < 0)
        return err_errno(err, errno, "reading link %s", host);
    text[n] = '\0';
    if (symlink(text, target) < 0)
        return err_errno(err, errno, "making link %s", target);
    return 0;
}

static int mirror_top(const struct wire_setup *setup, const char *name, const char *mountinfo,
                      struct buf *warnings, struct err *err)
{
    char host[PATH_MAX], target[PATH_MAX], upper[PATH_MAX];
    snprintf(host, sizeof(host), "/%s", name);
    int t = snprintf(target, sizeof(target), "%.*s/%s", STR_ARG(setup->root), name);
    int u = snprintf(upper, sizeof(upper), "%.*s", STR_ARG(setup->upper));
    struct stat st;
    if (t >= (int)sizeof(target) || u >= (int)sizeof(upper) || lstat(host, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode))
        return copy_link(host, target, err);
    if (!S_ISDIR(st.st_mode))
        return 0; /* files of / are no part of an image */
    if (mkdir(target, 0755) < 0)
        return err_errno(err, errno, "making %s", target);
    char root[PATH_MAX];
    snprintf(root, sizeof(root), "%.*s", STR_ARG(setup->root));
    if (mount_overlay(name, target, upper) || mount_overlay_in_memory(name, target, root)) {
        bind_submounts(root, name, mountinfo);
        return 0;
    }
    int saved = errno;
    struct err ignored = ERR_INIT;
    if (access(host, R_OK | X_OK) < 0 || mount_bind(host, target, true, &ignored) < 0)
        return 0; /* what the user may not see, the pod does not see */
    buf_addf(warnings, "%s cannot be written to in this pod (no overlay: %s)\n", host,
             strerror(saved));
    return 0;
}

static int make_dev(const char *root, struct err *err)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {{"/proc/self/fd", "fd"},
                                           {"/proc/self/fd/0", "stdin"},
                                           {"/proc/self/fd/1", "stdout"},
                                           {"/proc/self/fd/2", "stderr"},
                                           {"pts/ptmx", "ptmx"}};
    char dev[2 * PATH_MAX - NAME_MAX - 8], host[NAME_MAX + 8], target[2 * PATH_MAX];
    snprintf(dev, sizeof(dev), "%s/dev", root);
    if (mkdir(dev, 0755) < 0 || mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=64k") < 0)
        return err_errno(err, errno, "making /dev of the pod");
    DIR *dir = opendir("/dev");
    if (!dir)
        return err_errno(err, errno, "reading /dev");
    for (struct dirent *e; (e = readdir(dir));) {
        bool is_needed = false;
        for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
            is_needed |= strcmp(e->d_name, nodes[i]) == 0;
        if (!is_needed && strncmp(e->d_name, "nvidia", 6) != 0 &&
            strcmp(e->d_name, "infiniband") != 0 && strcmp(e->d_name, "fuse") != 0)
            continue;
        struct err node_err = ERR_INIT;
        snprintf(host, sizeof(host), "/dev/%s", e->d_name);
        snprintf(target, sizeof(target), "%s/%s", dev, e->d_name);
        if (mount_bind(host, target, false, &node_err) < 0 && is_needed) {
            *err = node_err;
            closedir(dir);
            return -(int)err->code;
        }
    }
    closedir(dir);
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        snprintf(target, sizeof(target), "%s/%s", dev, links[i][1]);
        if (symlink(links[i][0], target) < 0)
            return err_errno(err, errno, "making %s", target);
    }
    snprintf(target, sizeof(target), "%s/pts", dev);
    if (mkdir(target, 0755) == 0)
        (void)mount("devpts", target, "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666");
    snprintf(target, sizeof(target), "%s/shm", dev);
    if (mkdir(target, 01777) < 0 ||
        mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, DEFAULT_SHM_OPTIONS) < 0)
        return err_errno(err, errno, "making /dev/shm of the pod");
    return 0;
}

static int make_private_tops(const struct wire_setup *setup, const char *root, struct err *err)
{
    char path[2 * PATH_MAX], tmp[PATH_MAX];
    snprintf(path, sizeof(path), "%s/proc", root);
    if (mkdir(path, 0755) < 0 ||
        mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return err_errno(err, errno, "mounting /proc of the pod");
    snprintf(path, sizeof(path), "%s/sys", root);
    struct err ignored = ERR_INIT;
    (void)mount_bind("/sys", path, true, &ignored); /* or none at all */
    snprintf(path, sizeof(path), "%s/run", root);
    if (mkdir(path, 0755) < 0 ||
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m") < 0)
        return err_errno(err, errno, "making /run of the pod");
    snprintf(path, sizeof(path), "%s/tmp", root);
    snprintf(tmp, sizeof(tmp), "%.*s/tmp", STR_ARG(setup->upper));
    if (mkdir(path, 01777) < 0 || !rootfs_make_dirs(tmp, 0777) || chmod(tmp, 01777) < 0 ||
        mount(tmp, path, NULL, MS_BIND, NULL) < 0)
        return err_errno(err, errno, "making /tmp of the pod");
    return make_dev(root, err);
}

static char *read_mountinfo(void)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return xstrdup("");
    char *text = xmalloc(MOUNTINFO_MAX_BYTES + 1);
    text[fread(text, 1, MOUNTINFO_MAX_BYTES, f)] = '\0';
    fclose(f);
    return text;
}

static int mirror_host(const struct wire_setup *setup, struct buf *warnings, struct err *err)
{
    char *mountinfo cleanup(cleanup_free) = read_mountinfo();
    DIR *dir = opendir("/");
    if (!dir)
        return err_errno(err, errno, "reading /");
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            !is_private_top(e->d_name))
            rc = mirror_top(setup, e->d_name, mountinfo, warnings, err);
    closedir(dir);
    return rc;
}

/* A resolv.conf that is a link into /run would dangle in the pod's own /run. */
static void keep_resolv_conf(const char *real)
{
    if (!real || strncmp(real, "/run/", 5) != 0)
        return;
    char source[PATH_MAX + sizeof(OLD_ROOT)];
    struct err ignored = ERR_INIT;
    snprintf(source, sizeof(source), OLD_ROOT "%s", real);
    (void)mount_bind(source, real, true, &ignored);
}

static int enter_root(const char *root, struct err *err)
{
    char old[2 * PATH_MAX];
    snprintf(old, sizeof(old), "%s" OLD_ROOT, root);
    if (mkdir(old, 0700) < 0)
        return err_errno(err, errno, "making %s", old);
    if (syscall(SYS_pivot_root, root, old) < 0)
        return err_errno(err, errno, "changing the root to %s", root);
    if (chdir("/") < 0)
        return err_errno(err, errno, "entering the new root");
    return 0;
}

/* The supervisor's own folder: other pods' volumes, the API's keys. */
static int hide_dir(const char *root, struct str hidden, struct err *err)
{
    char path[2 * PATH_MAX];
    snprintf(path, sizeof(path), "%s%.*s", root, STR_ARG(hidden));
    if (hidden.n == 0 || access(path, F_OK) < 0)
        return 0;
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k") < 0)
        return err_errno(err, errno, "hiding %.*s", STR_ARG(hidden));
    return 0;
}

static int make_volumes_dir(const char *root, struct err *err)
{
    char path[2 * PATH_MAX];
    snprintf(path, sizeof(path), "%s" ROOTFS_VOLUMES, root);
    if (!rootfs_make_dirs(path, 0755) ||
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") < 0)
        return err_errno(err, errno, "making %s of the pod", ROOTFS_VOLUMES);
    return 0;
}

/* Later, once the root is the pod's, the folder for memory-backed changes can be seen no more. */
static void hide_changes(void)
{
    (void)umount2("/" CHANGES_IN_MEMORY, MNT_DETACH);
    (void)rmdir("/" CHANGES_IN_MEMORY);
}

int rootfs_build(const struct wire_setup *setup, struct buf *warnings, struct err *err)
{
    char root[ROOT_MAX_BYTES + 1];
    if (setup->root.n > ROOT_MAX_BYTES || setup->upper.n > ROOT_MAX_BYTES)
        return err_set(err, ERR_INVALID, "the pod's directory name is too long");
    memcpy(root, setup->root.p, setup->root.n);
    root[setup->root.n] = '\0';

    char *resolv cleanup(cleanup_free) = realpath("/etc/resolv.conf", NULL);
    umask(0);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(err, errno, "making mounts private");
    if (!rootfs_make_dirs(root, 0755))
        return err_errno(err, errno, "making %s", root);
    if (mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, ROOT_TMPFS_OPTIONS) < 0)
        return err_errno(err, errno, "mounting the pod's root");
    int rc = mirror_host(setup, warnings, err);
    if (rc == 0)
        rc = hide_dir(root, setup->hidden, err);
    if (rc == 0)
        rc = make_private_tops(setup, root, err);
    if (rc == 0)
        rc = make_volumes_dir(root, err);
    if (rc == 0)
        rc = enter_root(root, err);
    if (rc < 0)
        return rc;
    keep_resolv_conf(resolv);
    hide_changes();
    if ((rc = mount_all(&setup->mounts, OLD_ROOT, NULL, err)) < 0)
        return rc;
    if (umount2(OLD_ROOT, MNT_DETACH) < 0)
        return err_errno(err, errno, "letting go of the host's root");
    (void)rmdir(OLD_ROOT);
    umask(022);
    return 0;
}
