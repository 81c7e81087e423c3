/* Volumes: what a pod's volumes are on this machine, and how containers mount them.
 *
 * A volume is a directory of the pod (emptyDir, secret, configMap, downwardAPI, projected), a shared
 * folder (a claim), a path of the host, or a tmpfs (emptyDir in memory). The pod's init binds each at
 * ROOTFS_VOLUMES/NAME; a container binds from there to its mountPath, so two containers may mount
 * different volumes at one path.
 * Files of secrets, configMaps and the downward API follow their objects while the pod runs: each is
 * renamed into place, and what has vanished is removed. As with a kubelet a subPath, which is a bind
 * of the file itself, keeps what it had, and an object that is deleted changes nothing. */
#include "runtime/pod.h"
#include "runtime/rootfs.h"
#include "base/base64.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define TOKEN_VOLUME "mobula-service-account"
#define TOKEN_PATH   "/var/run/secrets/kubernetes.io/serviceaccount"
#define MAX_VOLUMES  128
#define NEW_FILE     "..new" /* no key of an object starts with ".." */

/* A volume's entry in the making of a pod. */
struct volume_job {
    struct arena *a;
    struct local_pod *pod;
    const struct val *volume;
    struct str name;
    const char *dir; /* DIR/pods/UID/volumes/NAME */
    struct env_world world;
    VEC(struct str) written; /* names in `dir` */
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

static int write_key(struct volume_job *j, struct str path, struct str bytes, unsigned mode,
                     struct err *err)
{
    char full[PATH_MAX], dir[PATH_MAX], fresh[PATH_MAX + sizeof NEW_FILE];
    if (path.n == 0 || path.p[0] == '/' || str_has(path, STR("..")))
        return err_set(err, ERR_INVALID, "path \"%.*s\" leaves the volume", STR_ARG(path));
    if (snprintf(full, sizeof full, "%s/%.*s", j->dir, STR_ARG(path)) >= (int)sizeof full)
        return err_set(err, ERR_INVALID, "path \"%.60s...\" is too long", path.p);
    snprintf(dir, sizeof dir, "%s", full);
    *strrchr(dir, '/') = '\0';
    snprintf(fresh, sizeof fresh, "%s/" NEW_FILE, dir);
    if (!rootfs_make_dirs(dir, 0755) || !file_write(fresh, bytes, mode) || rename(fresh, full) < 0)
        return err_errno(err, errno, "writing %s", full);
    ptrdiff_t slash = str_find(path, '/');
    vec_push(&j->written, j->a, slash < 0 ? path : str_sub(path, 0, (size_t)slash));
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

static int write_service_account(struct volume_job *j, struct err *err)
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

static void remove_vanished(const struct volume_job *j)
{
    DIR *dir = opendir(j->dir);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        bool is_kept = e->d_type == DT_DIR;
        for (size_t i = 0; i < j->written.n && !is_kept; i++)
            is_kept = str_is(j->written.items[i], e->d_name);
        if (!is_kept)
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* False: the volume is of another kind. */
static bool write_files(struct volume_job *j, int *ret_rc, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(written_kinds); i++) {
        const struct val *source = val_get(j->volume, written_kinds[i].kind);
        if (!source)
            continue;
        *ret_rc = written_kinds[i].write(j, source, err);
        if (*ret_rc == 0)
            remove_vanished(j);
        return true;
    }
    return false;
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

static int claim_path(const struct volume_job *j, const struct val *source, const char **ret,
                      struct err *err)
{
    struct str name = val_as_str(val_get(source, "claimName")), ns = kube_ns(j->pod->object);
    if (!cache_get(j->pod->rt->claims, ns, name))
        return err_set(err, ERR_NOT_FOUND, "persistentvolumeclaim \"%.*s\" not found",
                       STR_ARG(name));
    struct str path = arena_strf(j->a, "%s/volumes/%.*s/%.*s", j->pod->rt->config.dir, STR_ARG(ns),
                                 STR_ARG(name));
    if (!rootfs_make_dirs(path.p, 0777) || chmod(path.p, 0777) < 0)
        return err_errno(err, errno, "making the shared folder %s", path.p);
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
    if (!rootfs_make_dirs(j->dir, 0755) || chmod(j->dir, val_get(v, "emptyDir") ? 0777 : 0755) < 0)
        return err_errno(err, errno, "making %s", j->dir);
    if ((source = val_get(v, "emptyDir"))) {
        if (str_is(val_as_str(val_get(source, "medium")), "Memory"))
            *ret_tmpfs = memory_bound(source);
        return 0;
    }
    int rc;
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

static struct volume_job job_of(struct arena *a, struct local_pod *pod, const struct val *volume,
                                struct str name)
{
    return (struct volume_job){.a = a,
                               .pod = pod,
                               .volume = volume,
                               .name = name,
                               .dir = arena_strf(a, "%s/volumes/%.*s", pod->dir, STR_ARG(name)).p,
                               .world = pod_env_world(pod)};
}

static int prepare_one(struct arena *a, struct local_pod *pod, const struct val *volume,
                       struct str name, mount_vec *mounts, struct err *err)
{
    struct volume_job job = job_of(a, pod, volume, name);
    const char *source = NULL;
    uint64_t tmpfs = 0;
    int rc = volume ? volume_make(&job, &source, &tmpfs, err) : 0;
    if (!volume) {
        source = job.dir;
        if (!rootfs_make_dirs(job.dir, 0755))
            return err_errno(err, errno, "making %s", job.dir);
        rc = write_service_account(&job, err);
    }
    if (rc < 0)
        return err_prefix(err, "MountVolume.SetUp failed for volume \"%.*s\"", STR_ARG(name));
    struct str target = arena_strf(a, ROOTFS_VOLUMES "/%.*s", STR_ARG(name));
    if (tmpfs)
        vec_push(
            mounts, a,
            ((struct wire_mount){.kind = WIRE_MOUNT_TMPFS, .size_bytes = tmpfs, .target = target}));
    else
        add_bind(a, mounts, source, target, false);
    return 0;
}

static bool wants_token(const struct local_pod *pod)
{
    const struct val *automount = val_path(pod->object, "spec.automountServiceAccountToken");
    return !(automount && !val_is_true(automount)) && pod->rt->config.token;
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
    static const char *const hidden[] = {"/tmp/", "/run/", "/dev/"};
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
        if (rt->config.cache_dir &&
            strncmp(rt->config.cache_dir, hidden[i], strlen(hidden[i])) == 0 &&
            access(rt->config.cache_dir, F_OK) == 0)
            add_bind(a, mounts, rt->config.cache_dir, str_of(rt->config.cache_dir), false);
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
    VAL_EACH_ITEM (v, val_path(pod->object, "spec.volumes")) {
        if (str_eq(val_as_str(val_get(v, "name")), name))
            return v;
    }
    return NULL;
}

/* subPath: made inside the volume when it is a directory of ours. */
static int sub_path(struct arena *a, struct container *c, const struct val *mount,
                    struct str *source, struct err *err)
{
    struct str name = val_as_str(val_get(mount, "name")),
               sub = val_as_str(val_get(mount, "subPath"));
    struct str expr = val_as_str(val_get(mount, "subPathExpr"));
    if (expr.n) {
        struct env env = {0};
        struct env_world world = pod_env_world(c->pod);
        int rc = env_add_container(a, &world, c->pod->object, c->spec, &env, err);
        if (rc < 0)
            return rc;
        sub = env_expand(a, &env, expr);
    }
    if (!sub.n)
        return 0;
    if (sub.p[0] == '/' || str_has(sub, STR("..")))
        return err_set(err, ERR_INVALID, "subPath \"%.*s\" leaves the volume", STR_ARG(sub));
    const struct val *volume = find_volume(c->pod, name),
                     *claim = val_get(volume, "persistentVolumeClaim");
    const char *dir = NULL;
    if (claim)
        dir = arena_strf(a, "%s/volumes/%.*s/%s/%.*s", c->pod->rt->config.dir, STR_ARG(c->pod->ns),
                         val_as_c(val_get(claim, "claimName")), STR_ARG(sub))
                  .p;
    else if (val_get(volume, "emptyDir"))
        dir = arena_strf(a, "%s/volumes/%.*s/%.*s", c->pod->dir, STR_ARG(name), STR_ARG(sub)).p;
    if (dir && access(dir, F_OK) < 0 && !rootfs_make_dirs(dir, 0777))
        return err_errno(err, errno, "making subPath %s", dir);
    *source = arena_strf(a, "%.*s/%.*s", STR_ARG(*source), STR_ARG(sub));
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
        struct str source = arena_strf(a, ROOTFS_VOLUMES "/%.*s", STR_ARG(name));
        if (!find_volume(c->pod, name))
            return err_set(err, ERR_INVALID, "volumeMounts[%zu].name: no volume \"%.*s\"", i,
                           STR_ARG(name));
        int rc = sub_path(a, c, m, &source, err);
        if (rc < 0)
            return rc;
        has_token |= str_is(path, TOKEN_PATH);
        vec_push(&mounts, a,
                 ((struct wire_mount){.kind = WIRE_MOUNT_BIND,
                                      .read_only = val_is_true(val_get(m, "readOnly")),
                                      .source = source,
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
