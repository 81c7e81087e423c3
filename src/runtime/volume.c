/* Volumes: what a pod's volumes are on this machine, and how containers mount them.
 *
 * A volume is a directory of the pod (emptyDir, secret, configMap, downwardAPI, projected), a shared
 * folder (a claim), a path of the host, or a tmpfs (emptyDir in memory). The pod's init binds each at
 * ROOTFS_VOLUMES/NAME; a container binds from there to its mountPath, so two containers may mount
 * different volumes at one path.
 * Files of secrets, configMaps and the downward API follow their objects while the pod runs: each is
 * renamed into place, and what has vanished is removed. As with a kubelet a subPath, which is a bind
 * of the file itself, keeps what it had, and an object that is deleted changes nothing. */
#include "runtime/beneath.h"
#include "runtime/pod.h"
#include "runtime/rootfs.h"
#include "base/base64.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define TOKEN_VOLUME "mobula-service-account"
#define TOKEN_PATH   "/var/run/secrets/kubernetes.io/serviceaccount"
#define MAX_VOLUMES  128
#define MAX_DEPTH    64      /* of folders in a volume whose files are ours */
#define NEW_FILE     "..new" /* no key of an object starts with ".." */

/* A volume's entry in the making of a pod. */
struct volume_job {
    struct arena *a;
    struct local_pod *pod;
    const struct val *volume;
    struct str name;
    const char *dir; /* DIR/pods/UID/volumes/NAME */
    int root;        /* dir, while files are written */
    struct env_world world;
    VEC(struct str) written; /* paths in `dir` */
};

typedef VEC(struct wire_mount) mount_vec;

static const struct val *lookup_object(void *ctx, const char *plural, struct str ns,
                                       struct str name)
{
    struct runtime *rt = ctx;
    struct cache *cache = strcmp(plural, "secrets") == 0 ? rt->secrets : rt->configmaps;
    return cache_get(cache, ns, name);
}

struct env_world pod_env_world(const struct local_pod *pod)
{
    struct runtime *rt = pod->rt;
    struct str node = val_path_str(pod->object, "spec.nodeName");
    return (struct env_world){
        .lookup = lookup_object,
        .ctx = rt,
        .node_name = node,
        .host_ip = STR(NODE_HOST_IP),
        .pod_ip = str_of(pod->ip),
        .node_allocatable = val_path(cache_get(rt->nodes, STR_NULL, node), "status.allocatable"),
    };
}

/* --- files of secrets and the like */

/* Paths of the files that a pod asks for. Source: validateLocalNonReservedPath of k8s.io/kubernetes. */
static bool is_path_allowed(struct str path)
{
    struct str rest = path, part;
    if (path.n == 0 || path.p[0] == '/' || str_starts(path, STR("..")) || str_find(path, '\0') >= 0)
        return false;
    while (rest.n > 0 && str_split(&rest, '/', &part))
        if (str_is(part, ".."))
            return false;
    return true;
}

static int write_key(struct volume_job *j, struct str path, struct str bytes, unsigned mode,
                     struct err *err)
{
    if (!is_path_allowed(path))
        return err_set(err, ERR_INVALID, "path \"%.*s\" leaves the volume or starts with \"..\"",
                       STR_ARG(path));
    if (!beneath_write(j->root, arena_c(j->a, path), NEW_FILE, bytes, mode))
        return err_errno(err, errno, "writing %s/%.*s", j->dir, STR_ARG(path));
    vec_push(&j->written, j->a, path);
    return 0;
}

static unsigned mode_of(const struct val *item, const struct val *source)
{
    int64_t mode =
        val_as_int(val_get(item, "mode"), val_as_int(val_get(source, "defaultMode"), 0644));
    return (unsigned)mode & 0777u;
}

/* All keys of a Secret or ConfigMap, or those that `items` names. */
static int write_object(struct volume_job *j, const struct val *source, bool is_secret,
                        const char *name_key, struct err *err)
{
    struct str name = val_as_str(val_get(source, name_key)), ns = kube_ns(j->pod->object);
    const struct val *object =
        j->world.lookup(j->world.ctx, is_secret ? "secrets" : "configmaps", ns, name);
    const char *kind = is_secret ? "secret" : "configmap";
    if (!object)
        return val_is_true(val_get(source, "optional"))
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", kind, STR_ARG(name));
    const struct val *data = val_get(object, "data"), *binary = val_get(object, "binaryData");
    const struct val *items = val_get(source, "items");
    size_t n = items ? val_len(items) : val_len(data) + val_len(binary);
    for (size_t i = 0; i < n; i++) {
        const struct val *item = val_at(items, i), *value;
        bool in_binary = !items && i >= val_len(data);
        struct str key = items       ? val_as_str(val_get(item, "key"))
                         : in_binary ? val_key_at(binary, i - val_len(data))
                                     : val_key_at(data, i);
        struct str path = items ? val_as_str(val_get(item, "path")) : key, bytes;
        value = val_gets(data, key);
        if (!value) {
            value = val_gets(binary, key);
            in_binary = true;
        }
        if (!value && val_is_true(val_get(source, "optional")))
            continue;
        if (!value)
            return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" has no key %.*s", kind, STR_ARG(name),
                           STR_ARG(key));
        bytes = val_as_str(value);
        if ((is_secret || in_binary) && !base64_decode(j->a, bytes, BASE64_STANDARD, &bytes))
            return err_set(err, ERR_INVALID, "%s \"%.*s\": key %.*s is not base64", kind,
                           STR_ARG(name), STR_ARG(key));
        int rc = write_key(j, path, bytes, mode_of(item, source), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int write_downward(struct volume_job *j, const struct val *source, struct err *err)
{
    VAL_EACH_ITEM (item, val_get(source, "items")) {
        const struct val *field = val_get(item, "fieldRef");
        struct str path = val_as_str(val_get(field, "fieldPath")), text = STR_NULL;
        struct buf lines cleanup(buf_done) = BUF_INIT(1u << 20);
        if (str_is(path, "metadata.labels") || str_is(path, "metadata.annotations")) {
            const struct val *map = str_is(path, "metadata.labels")
                                        ? kube_labels(j->pod->object)
                                        : kube_annotations(j->pod->object);
            for (size_t i = 0; i < val_len(map); i++)
                buf_addf(&lines, "%s%.*s=\"%s\"", i ? "\n" : "", STR_ARG(val_key_at(map, i)),
                         val_as_c(val_member_at(map, i)));
            text = buf_str(&lines);
        } else {
            int rc = field ? env_field(j->a, &j->world, j->pod->object, path, &text, err)
                           : env_resource(j->a, &j->world, j->pod->containers[j->pod->n_init].spec,
                                          val_get(item, "resourceFieldRef"), &text, err);
            if (rc < 0)
                return rc;
        }
        int rc = write_key(j, val_as_str(val_get(item, "path")), text, mode_of(item, source), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static struct str service_account(const struct local_pod *pod)
{
    struct str name = val_path_str(pod->object, "spec.serviceAccountName");
    return name.n ? name : STR("default");
}

static int write_token(struct volume_job *j, struct str path, struct err *err)
{
    const struct runtime_config *config = &j->pod->rt->config;
    struct str token = config->token ? config->token(config->ctx, j->a, kube_ns(j->pod->object),
                                                     service_account(j->pod))
                                     : STR("");
    return write_key(j, path.n ? path : STR("token"), token, 0600, err);
}

static int write_service_account(struct volume_job *j, const struct val *source, struct err *err)
{
    const struct runtime_config *config = &j->pod->rt->config;
    int rc = write_token(j, STR("token"), err);
    if (rc == 0)
        rc = write_key(j, STR("ca.crt"), config->ca ? config->ca(config->ctx) : STR(""), 0644, err);
    return rc < 0 ? rc : write_key(j, STR("namespace"), kube_ns(j->pod->object), 0644, err);
}

static int write_projected(struct volume_job *j, const struct val *source, struct err *err)
{
    VAL_EACH_ITEM (part, val_get(source, "sources")) {
        const struct val *from;
        int rc = 0;
        if ((from = val_get(part, "serviceAccountToken")))
            rc = write_token(j, val_as_str(val_get(from, "path")), err);
        else if ((from = val_get(part, "configMap")) &&
                 str_is(val_as_str(val_get(from, "name")), "kube-root-ca.crt"))
            rc = write_key(j, STR("ca.crt"),
                           j->pod->rt->config.ca ? j->pod->rt->config.ca(j->pod->rt->config.ctx)
                                                 : STR(""),
                           0644, err);
        else if (from)
            rc = write_object(j, from, false, "name", err);
        else if ((from = val_get(part, "secret")))
            rc = write_object(j, from, true, "name", err);
        else if ((from = val_get(part, "downwardAPI")))
            rc = write_downward(j, from, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int write_secret(struct volume_job *j, const struct val *source, struct err *err)
{
    return write_object(j, source, true, "secretName", err);
}

static int write_configmap(struct volume_job *j, const struct val *source, struct err *err)
{
    return write_object(j, source, false, "name", err);
}

/* Volumes whose files are ours to write. */
static const struct {
    const char *kind;
    int (*write)(struct volume_job *j, const struct val *source, struct err *err);
} written_kinds[] = {{"secret", write_secret},
                     {"configMap", write_configmap},
                     {"downwardAPI", write_downward},
                     {"projected", write_projected}};

static bool is_written(const struct volume_job *j, struct str path)
{
    for (size_t i = 0; i < j->written.n; i++)
        if (str_eq(j->written.items[i], path))
            return true;
    return false;
}

/* Takes `fd` over. `below`: "" or "dir/". */
static void remove_vanished(const struct volume_job *j, int fd, const char *below, int depth)
{
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct str path = arena_strf(j->a, "%s%s", below, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || is_written(j, path))
            continue;
        if (unlinkat(dirfd(dir), e->d_name, 0) == 0 || depth == MAX_DEPTH)
            continue;
        int inner =
            beneath_open(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY, 0, BENEATH_NO_LINKS);
        remove_vanished(j, inner, arena_strf(j->a, "%s/", path.p).p, depth + 1);
        (void)unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR); /* when nothing is left in it */
    }
    if (dir)
        closedir(dir);
}

static const struct val *written_source(const struct val *volume, size_t *ret_kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(written_kinds); i++) {
        const struct val *source = val_get(volume, written_kinds[i].kind);
        if (!source)
            continue;
        *ret_kind = i;
        return source;
    }
    return NULL;
}

static int with_root(struct volume_job *j, const struct val *source,
                     int (*write)(struct volume_job *j, const struct val *source, struct err *err),
                     struct err *err)
{
    j->root = beneath_root(j->dir);
    if (j->root < 0)
        return err_errno(err, errno, "opening %s", j->dir);
    int rc = write(j, source, err);
    if (rc == 0)
        remove_vanished(j, openat(j->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", 0);
    close(j->root);
    j->root = -1;
    return rc;
}

/* False: the volume is of another kind. */
static bool write_files(struct volume_job *j, int *ret_rc, struct err *err)
{
    size_t kind;
    const struct val *source = written_source(j->volume, &kind);
    if (source)
        *ret_rc = with_root(j, source, written_kinds[kind].write, err);
    return source != NULL;
}

/* --- one volume */

static uint64_t memory_bound(const struct val *empty_dir)
{
    struct sysinfo info;
    uint64_t half = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit / 2 : 1u << 30;
    struct quantity limit;
    struct err ignored = ERR_INIT;
    const struct val *size = val_get(empty_dir, "sizeLimit");
    if (!size || quantity_of(size, &limit, &ignored) < 0 || quantity_value(limit) <= 0)
        return half;
    return MIN_OF((uint64_t)quantity_value(limit), half);
}

static int host_path(const struct val *source, const char **ret, struct err *err)
{
    const char *path = val_as_c(val_get(source, "path"));
    struct str type = val_as_str(val_get(source, "type"));
    struct stat st;
    if (str_is(type, "DirectoryOrCreate") && !rootfs_make_dirs(path, 0755))
        return err_errno(err, errno, "hostPath %s", path);
    if (stat(path, &st) < 0)
        return err_errno(err, errno, "hostPath %s", path);
    if (str_is(type, "Directory") && !S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "hostPath type check failed: %s is not a directory", path);
    *ret = path;
    return 0;
}

/* One of our folders, with exactly this mode. */
static int make_own_dir(const char *path, mode_t mode, struct err *err)
{
    if (!rootfs_make_dirs(path, 0755))
        return err_errno(err, errno, "making %s", path);
    int fd cleanup(cleanup_close) = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, mode) < 0)
        return err_errno(err, errno, "making %s", path);
    return 0;
}

static int claim_path(const struct volume_job *j, const struct val *source, const char **ret,
                      struct err *err)
{
    struct str name = val_as_str(val_get(source, "claimName")), ns = kube_ns(j->pod->object);
    if (!cache_get(j->pod->rt->claims, ns, name))
        return err_set(err, ERR_NOT_FOUND, "persistentvolumeclaim \"%.*s\" not found",
                       STR_ARG(name));
    struct str path = arena_strf(j->a, "%s/volumes/%.*s/%.*s", j->pod->rt->config.dir, STR_ARG(ns),
                                 STR_ARG(name));
    int rc = make_own_dir(path.p, 0777, err);
    if (rc < 0)
        return err_prefix(err, "the claim's folder");
    *ret = path.p;
    return 0;
}

/* Fills or finds the volume; *ret_source is its directory (or file), NULL for a tmpfs. */
static int volume_make(struct volume_job *j, const char **ret_source, uint64_t *ret_tmpfs,
                       struct err *err)
{
    const struct val *v = j->volume, *source;
    *ret_source = j->dir;
    *ret_tmpfs = 0;
    if ((source = val_get(v, "hostPath")))
        return host_path(source, ret_source, err);
    if ((source = val_get(v, "persistentVolumeClaim")))
        return claim_path(j, source, ret_source, err);
    if ((source = val_get(v, "nfs")))
        return err_set(err, ERR_INVALID,
                       "nfs volumes are not mounted on one machine; use a claim or a hostPath");
    int rc = make_own_dir(j->dir, val_get(v, "emptyDir") ? 0777 : 0755, err);
    if (rc < 0)
        return rc;
    if ((source = val_get(v, "emptyDir"))) {
        if (str_is(val_as_str(val_get(source, "medium")), "Memory"))
            *ret_tmpfs = memory_bound(source);
        return 0;
    }
    if (write_files(j, &rc, err))
        return rc;
    return err_set(err, ERR_INVALID, "volume \"%.*s\" is of a kind that this node does not have",
                   STR_ARG(j->name));
}

static void add_bind(struct arena *a, mount_vec *mounts, const char *source, struct str target,
                     bool read_only)
{
    char *real cleanup(cleanup_free) = realpath(source, NULL);
    vec_push(mounts, a,
             ((struct wire_mount){.kind = WIRE_MOUNT_BIND,
                                  .read_only = read_only,
                                  .source = arena_str(a, str_of(real ? real : source)),
                                  .target = target}));
}

/* Files that follow an object are the node's to write; a claim may be asked for as read-only. */
static bool is_read_only(const struct val *volume)
{
    size_t kind;
    return !volume || written_source(volume, &kind) ||
           val_is_true(val_path(volume, "persistentVolumeClaim.readOnly"));
}

static struct volume_job job_of(struct arena *a, struct local_pod *pod, const struct val *volume,
                                struct str name)
{
    return (struct volume_job){.a = a,
                               .pod = pod,
                               .volume = volume,
                               .name = name,
                               .dir = arena_strf(a, "%s/volumes/%.*s", pod->dir, STR_ARG(name)).p,
                               .root = -1,
                               .world = pod_env_world(pod)};
}

static int prepare_one(struct arena *a, struct local_pod *pod, const struct val *volume,
                       struct str name, mount_vec *mounts, struct err *err)
{
    struct volume_job job = job_of(a, pod, volume, name);
    const char *source = NULL, *wrong = kube_check_dns1123_label(name);
    uint64_t tmpfs = 0;
    if (wrong)
        return err_set(err, ERR_INVALID, "volume \"%.*s\": %s", STR_ARG(name), wrong);
    int rc = volume ? volume_make(&job, &source, &tmpfs, err) : make_own_dir(job.dir, 0755, err);
    if (!volume && rc == 0) {
        source = job.dir;
        rc = with_root(&job, NULL, write_service_account, err);
    }
    if (rc < 0)
        return err_prefix(err, "MountVolume.SetUp failed for volume \"%.*s\"", STR_ARG(name));
    struct str target = arena_strf(a, ROOTFS_VOLUMES "/%.*s", STR_ARG(name));
    if (tmpfs)
        vec_push(
            mounts, a,
            ((struct wire_mount){.kind = WIRE_MOUNT_TMPFS, .size_bytes = tmpfs, .target = target}));
    else
        add_bind(a, mounts, source, target, is_read_only(volume));
    return 0;
}

static bool wants_token(const struct local_pod *pod)
{
    const struct val *automount = val_path(pod->object, "spec.automountServiceAccountToken");
    return !(automount && !val_is_true(automount)) && pod->rt->config.token;
}

/* The cache is where a pod would not see it by itself. */
static bool is_hidden(const struct runtime *rt)
{
    const char *const tops[] = {"/tmp", "/run", "/dev", rt->config.dir};
    struct str cache = str_of(rt->config.cache_dir);
    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        struct str top = str_of(tops[i]);
        if (str_starts(cache, top) && cache.n > top.n && cache.p[top.n] == '/')
            return true;
    }
    return false;
}

/* Files of the pod itself: hosts, hostname, home, and what must show through /tmp and /run. */
static int prepare_base(struct arena *a, struct local_pod *pod, mount_vec *mounts, struct err *err)
{
    struct runtime *rt = pod->rt;
    const char *etc = arena_strf(a, "%s/etc", pod->dir).p,
               *home = arena_strf(a, "%s/home", pod->dir).p;
    const char *hosts = arena_strf(a, "%s/hosts", etc).p,
               *hostname = arena_strf(a, "%s/hostname", etc).p;
    struct str host = val_path_str(pod->object, "spec.hostname");
    if (!rootfs_make_dirs(etc, 0755) || !rootfs_make_dirs(home, 0777) || chmod(home, 0777) < 0)
        return err_errno(err, errno, "making %s", etc);
    int rc = network_write_hosts(rt, pod->object, str_of(pod->ip), hosts, err);
    if (rc < 0)
        return rc;
    struct str line = arena_strf(a, "%.*s\n", STR_ARG(host.n ? host : pod->name));
    if (!file_write(hostname, line, 0644))
        return err_errno(err, errno, "writing %s", hostname);
    add_bind(a, mounts, hosts, STR("/etc/hosts"), false);
    add_bind(a, mounts, hostname, STR("/etc/hostname"), false);
    add_bind(a, mounts, home, STR("/home/ray"), false);
    if (rt->config.podnet_so)
        add_bind(a, mounts, rt->config.podnet_so, STR(ROOTFS_PRIVATE "/libmobula-podnet.so"), true);
    if (rt->config.cache_dir && is_hidden(rt) && access(rt->config.cache_dir, F_OK) == 0)
        add_bind(a, mounts, rt->config.cache_dir, str_of(rt->config.cache_dir), true);
    return 0;
}

int volume_prepare(struct arena *a, struct local_pod *pod, struct volume_plan *ret, struct err *err)
{
    mount_vec mounts = {0};
    int rc = prepare_base(a, pod, &mounts, err);
    const struct val *volumes = val_path(pod->object, "spec.volumes");
    if (val_len(volumes) > MAX_VOLUMES)
        return err_set(err, ERR_INVALID, "spec.volumes: more than %d", MAX_VOLUMES);
    for (size_t i = 0; rc == 0 && i < val_len(volumes); i++) {
        const struct val *v = val_at(volumes, i);
        rc = prepare_one(a, pod, v, val_as_str(val_get(v, "name")), &mounts, err);
    }
    if (rc == 0 && wants_token(pod))
        rc = prepare_one(a, pod, NULL, STR(TOKEN_VOLUME), &mounts, err);
    if (rc < 0)
        return rc;
    ret->mounts = (struct wire_mounts){mounts.items, mounts.n};
    return 0;
}

/* --- later changes */

/* Does the volume, or a part of a projected one, show this object? */
static bool shows(const struct val *volume, const char *kind, struct str name)
{
    const struct val *source = val_get(volume, kind);
    if (source && (!name.n || str_eq(val_as_str(val_get(source, "name")), name) ||
                   str_eq(val_as_str(val_get(source, "secretName")), name)))
        return true;
    VAL_EACH_ITEM (part, val_path(volume, "projected.sources")) {
        const struct val *own = val_get(part, kind);
        if (own && (!name.n || str_eq(val_as_str(val_get(own, "name")), name)))
            return true;
    }
    return false;
}

void volume_follow(struct local_pod *pod, const char *kind, struct str name)
{
    const struct val *volumes = val_path(pod->object, "spec.volumes");
    for (size_t i = 0; pod->sandbox && i < MIN_OF(val_len(volumes), (size_t)MAX_VOLUMES); i++) {
        const struct val *v = val_at(volumes, i);
        if (!shows(v, kind, name))
            continue;
        struct arena *a cleanup(cleanup_arena) = arena_new();
        struct volume_job job = job_of(a, pod, v, val_as_str(val_get(v, "name")));
        struct err err = ERR_INIT;
        int rc = 0;
        if (write_files(&job, &rc, &err) && rc < 0)
            event_emit(pod->rt, "kubelet", pod->object, NULL, true, "FailedMount",
                       "MountVolume.SetUp failed for volume \"%.*s\": %s", STR_ARG(job.name),
                       err.text);
    }
}

/* --- a container's mounts */

static const struct val *find_volume(const struct local_pod *pod, struct str name)
{
    VAL_EACH_ITEM (v, val_path(pod->object, "spec.volumes"))
        if (str_eq(val_as_str(val_get(v, "name")), name))
            return v;
    return NULL;
}

/* Source: validateLocalDescendingPath of k8s.io/kubernetes. Links in it are pod-init's to judge. */
static bool is_sub_allowed(struct str sub)
{
    struct str rest = sub, part;
    if (sub.n > 0 && sub.p[0] == '/')
        return false;
    while (rest.n > 0 && str_split(&rest, '/', &part))
        if (str_is(part, ".."))
            return false;
    return true;
}

static int sub_path(struct arena *a, struct container *c, const struct val *mount, struct str *ret,
                    struct err *err)
{
    struct str sub = val_as_str(val_get(mount, "subPath"));
    struct str expr = val_as_str(val_get(mount, "subPathExpr"));
    if (expr.n) {
        struct env env = {0};
        struct env_world world = pod_env_world(c->pod);
        int rc = env_add_container(a, &world, c->pod->object, c->spec, &env, err);
        if (rc < 0)
            return rc;
        sub = env_expand(a, &env, expr);
    }
    if (!is_sub_allowed(sub))
        return err_set(err, ERR_INVALID, "subPath \"%.*s\" leaves the volume", STR_ARG(sub));
    *ret = sub;
    return 0;
}

int volume_container_mounts(struct arena *a, struct container *c, struct wire_mounts *ret,
                            struct err *err)
{
    mount_vec mounts = {0};
    bool has_token = false;
    const struct val *list = val_get(c->spec, "volumeMounts");
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *m = val_at(list, i);
        struct str name = val_as_str(val_get(m, "name")),
                   path = val_as_str(val_get(m, "mountPath"));
        struct str source = arena_strf(a, ROOTFS_VOLUMES "/%.*s", STR_ARG(name)), sub;
        const struct val *volume = find_volume(c->pod, name);
        if (!volume)
            return err_set(err, ERR_INVALID, "volumeMounts[%zu].name: no volume \"%.*s\"", i,
                           STR_ARG(name));
        int rc = sub_path(a, c, m, &sub, err);
        if (rc < 0)
            return rc;
        has_token |= str_is(path, TOKEN_PATH);
        vec_push(&mounts, a,
                 ((struct wire_mount){.kind = WIRE_MOUNT_BIND,
                                      .read_only = is_read_only(volume) ||
                                                   val_is_true(val_get(m, "readOnly")),
                                      .source = source,
                                      .sub = sub,
                                      .target = path}));
    }
    if (!has_token && wants_token(c->pod))
        vec_push(&mounts, a,
                 ((struct wire_mount){.kind = WIRE_MOUNT_BIND,
                                      .read_only = true,
                                      .source = STR(ROOTFS_VOLUMES "/" TOKEN_VOLUME),
                                      .target = STR(TOKEN_PATH)}));
    *ret = (struct wire_mounts){mounts.items, mounts.n};
    return 0;
}
