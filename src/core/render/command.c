/* The text after "ray start": rayStartParams with what the operator adds, and what Ray should offer.
 *
 * Parameters are pasted raw into a shell, as KubeRay's contract says: people rely on quotes in them.
 * An unreadable `resources` parameter (the escaped form) is passed on as it is and stops the reading of
 * GPUs and accelerators from the limits, as in KubeRay (generateRayStartCommand). Read next: ray_pod.c. */
#include "core/render/internal.h"

static const struct val *param_default(struct arena *a, const struct val *params, const char *key,
                                       struct str text)
{
    return val_get(params, key) ? params : val_set(a, params, key, val_string(a, text));
}

/* NVIDIA's MIG slices: nvidia.com/mig-1g.5gb */
static bool is_mig_key(struct str key)
{
    struct str rest;
    size_t i = 0, digits = 0;
    if (!str_starts(key, STR("nvidia.com/mig-")) || !str_ends(key, STR("gb")))
        return false;
    rest = str_sub(key, sizeof("nvidia.com/mig-") - 1, key.n - 2);
    for (; i < rest.n && rest.p[i] >= '0' && rest.p[i] <= '9'; i++)
        digits++;
    if (!digits || !str_starts(str_sub(rest, i, rest.n), STR("g.")))
        return false;
    for (i += 2, digits = 0; i < rest.n && rest.p[i] >= '0' && rest.p[i] <= '9'; i++)
        digits++;
    return digits && i == rest.n;
}

static bool is_gpu_key(struct str key)
{
    return str_ends(key, STR("gpu")) || is_mig_key(key);
}

/* 2 for 2.0, 0.5 for 0.5: as Go prints a float64 in JSON. */
static const struct val *plain_number(struct arena *a, const struct val *v)
{
    double d = val_as_double(v, 0);
    return d > -9e15 && d < 9e15 && d == (double)(int64_t)d ? val_int(a, (int64_t)d) : v;
}

static struct str json_in_quotes(struct arena *a, const struct val *resources)
{
    for (size_t i = 0; i < val_len(resources); i++)
        resources = val_sets(a, resources, val_key_at(resources, i),
                             plain_number(a, val_member_at(resources, i)));
    return arena_strf(a, "'%.*s'", STR_ARG(val_json(a, resources)));
}

static bool read_quantity(const struct val *v, struct quantity *ret)
{
    struct err ignored;
    return v && quantity_of(v, ret, &ignored) == 0 && !quantity_is_zero(*ret);
}

static const struct val *whole_text(struct arena *a, struct quantity q)
{
    return val_textf(a, "%lld", (long long)quantity_value(q));
}

/* The group's own `resources` win over the parameters. */
static const struct val *params_from_resources(struct arena *a, const struct val *params,
                                               const struct val *resources)
{
    const struct val *custom = val_empty_object();
    for (size_t i = 0; i < val_len(resources); i++) {
        struct str key = val_key_at(resources, i);
        char lower[256];
        struct quantity q;
        struct err ignored;
        if (quantity_of(val_member_at(resources, i), &q, &ignored) < 0)
            continue;
        size_t n = MIN_OF(key.n, sizeof(lower) - 1);
        for (size_t k = 0; k < n; k++)
            lower[k] =
                (char)(key.p[k] >= 'A' && key.p[k] <= 'Z' ? key.p[k] + ('a' - 'A') : key.p[k]);
        struct str name = {lower, n};
        if (str_is(name, "cpu"))
            params = val_set(a, params, "num-cpus", whole_text(a, q));
        else if (str_is(name, "memory"))
            params = val_set(a, params, "memory", whole_text(a, q));
        else if (is_gpu_key(name))
            params = val_set(a, params, "num-gpus", whole_text(a, q));
        else
            custom = val_sets(a, custom, key, val_float(a, (double)quantity_milli(q) / 1000));
    }
    if (val_len(custom))
        params = val_set(a, params, "resources", val_string(a, json_in_quotes(a, custom)));
    return params;
}

static const struct val *params_from_labels(struct arena *a, const struct val *params,
                                            const struct val *labels)
{
    struct buf text cleanup(buf_done) = BUF_INIT(1u << 20);
    for (size_t i = 0; i < val_len(labels); i++)
        buf_addf(&text, "%s%.*s=%s", i ? "," : "", STR_ARG(val_key_at(labels, i)),
                 val_as_c(val_member_at(labels, i)));
    return val_len(labels) ? val_set(a, params, "labels", val_string(a, buf_str(&text))) : params;
}

const struct val *render_params(struct arena *a, const struct raycluster *cluster,
                                const struct ray_group *group, const struct render_options *options)
{
    const struct val *params = params_from_resources(a, group->params, group->resources);
    params = params_from_labels(a, params, group->labels);
    if (group->is_head) {
        params = param_default(a, params, "dashboard-host", STR("0.0.0.0"));
        if (cluster->autoscaling)
            params = val_set(a, params, "no-monitor", val_text(a, "true"));
        if (val_get(cluster->spec, "gcsFaultToleranceOptions")) {
            const struct val *ft = val_get(cluster->spec, "gcsFaultToleranceOptions");
            if (val_is(val_get(ft, "redisUsername"), VAL_OBJECT))
                params = val_set(a, params, "redis-username", val_text(a, "$REDIS_USERNAME"));
            if (val_is(val_get(ft, "redisPassword"), VAL_OBJECT))
                params = val_set(a, params, "redis-password", val_text(a, "$REDIS_PASSWORD"));
        }
    } else {
        params =
            param_default(a, params, "address",
                          arena_strf(a, "%.*s:%d", STR_ARG(render_head_fqdn(a, cluster, options)),
                                     cluster->gcs_port));
    }
    params = param_default(a, params, "metrics-export-port", STR("8080"));
    params = val_set(a, params, "block", val_text(a, "true"));
    return param_default(a, params, "dashboard-agent-listen-port", STR("52365"));
}

/* The JSON that `resources` holds, NULL when it cannot be read, an empty object when there is none. */
static const struct val *params_resources(struct arena *a, const struct val *params)
{
    const struct val *object;
    struct err ignored;
    struct str text = val_as_str(val_get(params, "resources"));
    if (!val_get(params, "resources"))
        return val_empty_object();
    while (text.n && strchr("'\"` ", text.p[0]))
        text = str_sub(text, 1, text.n);
    while (text.n && strchr("'\"` ", text.p[text.n - 1]))
        text = str_sub(text, 0, text.n - 1);
    if (val_parse_json(a, text, &object, &ignored) < 0 || !val_is(object, VAL_OBJECT))
        return NULL;
    for (size_t i = 0; i < val_len(object); i++)
        if (!val_is(val_member_at(object, i), VAL_INT) &&
            !val_is(val_member_at(object, i), VAL_FLOAT))
            return NULL;
    return object;
}

static const struct val *params_from_accelerators(struct arena *a, const struct val *params,
                                                  const struct val *limits)
{
    static const struct {
        const char *key, *ray;
    } custom[] = {{"aws.amazon.com/neuroncore", "neuron_cores"}, {"google.com/tpu", "TPU"}};
    const struct val *resources = params_resources(a, params);
    bool added = !resources;
    if (!resources)
        return params;
    for (size_t k = 0; k < ARRAY_SIZE(custom); k++)
        added = added || val_get(resources, custom[k].ray);
    for (size_t i = 0; i < val_len(limits); i++) {
        struct str key = val_key_at(limits, i);
        struct quantity q;
        if (!read_quantity(val_member_at(limits, i), &q))
            continue;
        if (is_gpu_key(key))
            params = param_default(a, params, "num-gpus", val_as_str(whole_text(a, q)));
        for (size_t k = 0; k < ARRAY_SIZE(custom) && !added; k++) {
            if (!str_is(key, custom[k].key))
                continue;
            resources = val_set(a, resources, custom[k].ray,
                                val_float(a, (double)quantity_milli(q) / 1000));
            params = val_set(a, params, "resources", val_string(a, json_in_quotes(a, resources)));
            added = true;
        }
    }
    return params;
}

static const struct val *params_from_limits(struct arena *a, const struct val *params,
                                            const struct val *container)
{
    const struct val *limits = val_path(container, "resources.limits");
    struct quantity q;
    if (read_quantity(val_get(limits, "cpu"), &q) ||
        read_quantity(val_path(container, "resources.requests.cpu"), &q))
        params = param_default(a, params, "num-cpus", val_as_str(whole_text(a, q)));
    if (read_quantity(val_get(limits, "memory"), &q))
        params = param_default(a, params, "memory", val_as_str(whole_text(a, q)));
    return params_from_accelerators(a, params, limits);
}

bool render_is_word(struct str text, const char *lower)
{
    size_t n = strlen(lower);
    for (size_t i = 0; i < n && text.n == n; i++)
        if ((text.p[i] | 0x20) != lower[i])
            return false;
    return text.n == n;
}

/* These take =true and =false; every other boolean is a flag without a value, or absent. */
static bool takes_a_boolean(struct str option)
{
    return str_is(option, "log-color") || str_is(option, "include-dashboard") ||
           str_is(option, "include-log-monitor");
}

struct str render_ray_start(struct arena *a, const struct raycluster *cluster,
                            const struct ray_group *group, const struct render_options *options)
{
    struct buf text cleanup(buf_done) = BUF_INIT(1u << 20);
    const struct val *params = render_params(a, cluster, group, options);
    params = params_from_limits(a, params, ray_group_container(group));
    buf_adds(&text, group->is_head ? "ray start --head " : "ray start ");
    for (size_t i = 0; i < val_len(params); i++) {
        struct str key = val_key_at(params, i), value = val_as_str(val_member_at(params, i));
        bool yes = render_is_word(value, "true"), no = render_is_word(value, "false");
        if ((!yes && !no) || takes_a_boolean(key))
            buf_addf(&text, " --%.*s=%.*s ", STR_ARG(key), STR_ARG(value));
        else if (yes)
            buf_addf(&text, " --%.*s ", STR_ARG(key));
    }
    return arena_str(a, buf_str(&text));
}

struct str render_head_fqdn(struct arena *a, const struct raycluster *cluster,
                            const struct render_options *options)
{
    struct str domain = options->cluster_domain.n ? options->cluster_domain : STR("cluster.local");
    return arena_strf(a, "%.*s.%.*s.svc.%.*s", STR_ARG(raycluster_head_service(a, cluster)),
                      STR_ARG(cluster->ns), STR_ARG(domain));
}
