/* What a container is started with: argv, environment, working directory, mounts.
 *
 * The runtime gives every container PATH, HOME, HOSTNAME, the API's address and its pod's network
 * (LD_PRELOAD); Ray containers also get settings that keep many Ray nodes on one machine cheap, each
 * only where the pod does not set it. The container's own environment comes last and wins. */
#include "runtime/pod.h"
#include "runtime/rootfs.h"

#include <stdio.h>
#include <stdlib.h>

#define STANDARD_PATH              "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_OBJECT_STORE_BYTES 100000000
#define RAY_LABEL_NODE_TYPE        "ray.io/node-type"

/* Settings of Ray that change cost and speed, not behaviour (reference: Ray's ray_config_def.h and
 * _private/ray_constants.py). */
enum ray_role { ROLE_ANY, ROLE_HEAD, ROLE_WORKER };
static const struct {
    const char *name, *value;
    enum ray_role role;
} ray_defaults[] = {
    {"RAY_USAGE_STATS_ENABLED", "0", ROLE_ANY},
    {"RAY_AUTH_MODE", "disabled", ROLE_ANY},
    {"RAY_prestart_worker_first_driver", "0", ROLE_ANY},
    {"RAY_enable_worker_prestart", "0", ROLE_ANY},
    {"RAY_gcs_pull_resource_loads_period_milliseconds", "100", ROLE_HEAD},
    /* A raylet gives a GCS that refuses connections up after this time (60), and its container starts
     * anew. With GCS fault tolerance KubeRay sets 600; without it the old state never comes back. */
    {"RAY_gcs_rpc_server_reconnect_timeout_s", "5", ROLE_WORKER},
    {"PYTHONDONTWRITEBYTECODE", "1", ROLE_ANY},
};

/* How this host reaches package indexes: runtime environments are installed from inside pods. */
static const char *const index_settings[] = {
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CERT",
    "UV_INDEX_URL",  "UV_DEFAULT_INDEX",    "UV_INDEX",         "SSL_CERT_FILE"};

static void add_index_settings(struct arena *a, struct env *env)
{
    for (size_t i = 0; i < ARRAY_SIZE(index_settings); i++) {
        const char *value = getenv(index_settings[i]);
        if (value && value[0])
            env_default(a, env, index_settings[i], str_of(value));
    }
}

static void add_ray_defaults(struct arena *a, const struct container *c, struct env *env)
{
    const struct runtime_config *config = &c->pod->rt->config;
    bool is_head = str_is(kube_label(c->pod->object, RAY_LABEL_NODE_TYPE), "head");
    enum ray_role role = is_head ? ROLE_HEAD : ROLE_WORKER;
    for (size_t i = 0; i < ARRAY_SIZE(ray_defaults); i++)
        if (ray_defaults[i].role == ROLE_ANY || ray_defaults[i].role == role)
            env_default(a, env, ray_defaults[i].name, str_of(ray_defaults[i].value));
    int64_t store =
        config->object_store_bytes ? config->object_store_bytes : DEFAULT_OBJECT_STORE_BYTES;
    env_default(a, env, "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES",
                arena_strf(a, "%lld", (long long)store));
    add_index_settings(a, env);
}

static void add_base(struct arena *a, const struct container *c, struct env *env)
{
    const struct local_pod *pod = c->pod;
    struct runtime *rt = pod->rt;
    bool isolated = rt->isolation != SPAWN_ISOLATION_NONE;
    struct str host = val_path_str(pod->object, "spec.hostname");
    env_set(a, env, STR("PATH"),
            c->image.dir[0] ? arena_strf(a, "%s/bin:" STANDARD_PATH, c->image.dir)
                            : STR(STANDARD_PATH));
    env_set(a, env, STR("HOME"), isolated ? STR("/home/ray") : arena_strf(a, "%s/home", pod->dir));
    env_set(a, env, STR("HOSTNAME"), host.n ? host : pod->name);
    env_set(a, env, STR("LANG"), STR("C.UTF-8"));
    if (c->image.dir[0])
        env_set(a, env, STR("VIRTUAL_ENV"), str_of(c->image.dir));
    if (rt->api_port) {
        /* The name, not the address: the API's certificate names no address of ours. */
        env_set(a, env, STR("KUBERNETES_SERVICE_HOST"),
                isolated || rt->config.podnet_so ? STR("kubernetes.default.svc")
                                                 : str_of(rt->api_ip));
        env_set(a, env, STR("MOBULA_POD_API"), arena_strf(a, "%s:%d", rt->api_ip, rt->api_port));
        struct str port = arena_strf(a, "%d", rt->api_port);
        env_set(a, env, STR("KUBERNETES_SERVICE_PORT"), port);
        env_set(a, env, STR("KUBERNETES_SERVICE_PORT_HTTPS"), port);
        env_set(a, env, STR("KUBERNETES_PORT"),
                arena_strf(a, "tcp://%s:%d", rt->api_ip, rt->api_port));
    }
    env_set(a, env, STR("MOBULA_POD_IP"), str_of(pod->ip));
    if (!isolated) {
        char *dir cleanup(cleanup_free) = realpath(pod->dir, NULL);
        env_set(a, env, STR(SWEEP_MARK), str_of(rt->config.dir));
        /* No /etc/hosts of its own: libmobula-podnet answers libc's lookups, and gRPC is to ask libc. */
        env_set(a, env, STR("MOBULA_POD_HOSTS"),
                arena_strf(a, "%s/etc/hosts", dir ? dir : pod->dir));
        env_set(a, env, STR("GRPC_DNS_RESOLVER"), STR("native"));
        env_set(a, env, STR("MOBULA_POD_FILE"), STR("node_ip_address.json"));
    }
    if (rt->config.podnet_so)
        env_set(a, env, STR("LD_PRELOAD"),
                isolated ? STR(ROOTFS_PRIVATE "/libmobula-podnet.so")
                         : str_of(rt->config.podnet_so));
}

static struct wire_texts env_texts(struct arena *a, const struct env *env)
{
    struct wire_texts texts = {arena_array_of(a, struct str, env->vars.n + 1), env->vars.n};
    for (size_t i = 0; i < env->vars.n; i++)
        texts.items[i] = arena_strf(a, "%.*s=%.*s", STR_ARG(env->vars.items[i].name),
                                    STR_ARG(env->vars.items[i].value));
    return texts;
}

static int plan_argv(struct arena *a, const struct container *c, const struct env *env,
                     struct wire_texts *ret, struct err *err)
{
    const struct val *command = val_get(c->spec, "command"), *args = val_get(c->spec, "args");
    if (val_len(command) == 0 && val_len(args) == 0)
        return err_set(
            err, ERR_INVALID,
            "no command specified: images have no entry point here, so spec.containers[%.*s]"
            ".command must name one",
            STR_ARG(c->name));
    size_t n = val_len(command) + val_len(args);
    *ret = (struct wire_texts){arena_array_of(a, struct str, n + 1), n};
    for (size_t i = 0; i < n; i++) {
        const struct val *word =
            i < val_len(command) ? val_at(command, i) : val_at(args, i - val_len(command));
        ret->items[i] = env_expand(a, env, val_as_str(word));
    }
    return 0;
}

int launch_plan(struct container *c, struct arena *a, struct wire_start *ret, struct err *err)
{
    struct env env = {0};
    struct env_world world = pod_env_world(c->pod);
    struct wire_start start = {0};
    add_base(a, c, &env);
    int rc = env_add_container(a, &world, c->pod->object, c->spec, &env, err);
    if (rc < 0)
        return rc;
    if (c->image.dir[0])
        add_ray_defaults(a, c, &env);
    if ((rc = plan_argv(a, c, &env, &start.argv, err)) < 0)
        return rc;
    bool isolated = c->pod->rt->isolation != SPAWN_ISOLATION_NONE;
    struct str cwd = val_as_str(val_get(c->spec, "workingDir"));
    start.cwd = cwd.n ? cwd : c->image.dir[0] ? env_get(&env, STR("HOME")) : STR("/");
    start.env = env_texts(a, &env);
    const struct val *security = val_get(c->spec, "securityContext");
    const struct val *escalates = val_get(security, "allowPrivilegeEscalation");
    start.capabilities = capability_mask(security);
    start.no_new_privileges = escalates && !val_is_true(escalates);
    if (isolated && (rc = volume_container_mounts(a, c, &start.mounts, err)) < 0)
        return rc;
    *ret = start;
    return 0;
}

bool launch_is_ray_start(const struct val *container)
{
    const char *const keys[] = {"command", "args"};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        VAL_EACH_ITEM (word, val_get(container, keys[k]))
            if (str_has(val_as_str(word), STR("ray start")))
                return true;
    }
    return false;
}

bool launch_only_waits(const struct container *c)
{
    return c->is_init && str_is(c->name, "wait-gcs-ready");
}
