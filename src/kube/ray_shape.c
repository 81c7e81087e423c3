/* What one pod of a group brings to Ray. The order is KubeRay's: spec.resources, rayStartParams, the
 * limits of the Ray container. Read next: core/render/command.c, which writes the same as parameters. */
#include "kube/raycluster.h"

static struct str strip_quotes(struct str text)
{
    text = str_trim(text);
    if (text.n >= 2 && (text.p[0] == '\'' || text.p[0] == '"') && text.p[text.n - 1] == text.p[0])
        return str_sub(text, 1, text.n - 1);
    return text;
}

const struct val *ray_params_resources(struct arena *a, struct str text)
{
    struct buf plain cleanup(buf_done) = BUF_INIT(1u << 20);
    const struct val *object;
    struct err ignored;
    struct str inner = strip_quotes(text);
    for (size_t i = 0; i < inner.n; i++)
        if (inner.p[i] != '\\')
            buf_addc(&plain, inner.p[i]);
    if (plain.failed || val_parse_json(a, buf_str(&plain), &object, &ignored) < 0 ||
        !val_is(object, VAL_OBJECT))
        return NULL;
    for (size_t i = 0; i < val_len(object); i++) {
        const struct val *amount = val_member_at(object, i);
        if (!val_is(amount, VAL_INT) && !val_is(amount, VAL_FLOAT))
            return NULL;
    }
    return object;
}

static const struct val *number(struct arena *a, double amount)
{
    if (amount >= 0 && amount < 9e15 && amount == (double)(int64_t)amount)
        return val_int(a, (int64_t)amount);
    return val_float(a, amount);
}

/* A quantity as Ray counts it: whole, rounded up. */
static const struct val *whole(struct arena *a, const struct val *quantity)
{
    struct quantity q;
    struct err ignored;
    return quantity && quantity_of(quantity, &q, &ignored) == 0 ? val_int(a, quantity_value(q))
                                                                : NULL;
}

static bool is_gpu_key(struct str key)
{
    struct str mig = STR("nvidia.com/mig-");
    return str_ends(key, STR("gpu")) || (str_starts(key, mig) && str_ends(key, STR("gb")));
}

static const struct val *shape_set(struct arena *a, const struct val *shape, const char *key,
                                   const struct val *v)
{
    return v ? val_set(a, shape, key, v) : shape;
}

static const struct val *from_limits(struct arena *a, const struct ray_group *group)
{
    const struct val *limits = val_path(ray_group_container(group), "resources.limits");
    const struct val *requests = val_path(ray_group_container(group), "resources.requests");
    const struct val *cpu = val_get(limits, "cpu");
    const struct val *shape = val_empty_object();
    static const struct {
        const char *key, *ray;
    } custom[] = {{"aws.amazon.com/neuroncore", "neuron_cores"}, {"google.com/tpu", "TPU"}};

    shape = shape_set(a, shape, "CPU", whole(a, cpu ? cpu : val_get(requests, "cpu")));
    shape = shape_set(a, shape, "memory", whole(a, val_get(limits, "memory")));
    for (size_t i = 0; i < val_len(limits); i++) {
        const struct val *amount = whole(a, val_member_at(limits, i));
        if (!is_gpu_key(val_key_at(limits, i)) || val_as_int(amount, 0) == 0)
            continue;
        shape = shape_set(a, shape, "GPU", amount);
        break;
    }
    for (size_t i = 0; i < ARRAY_SIZE(custom); i++) {
        if (!val_get(limits, custom[i].key))
            continue;
        shape = shape_set(a, shape, custom[i].ray, whole(a, val_get(limits, custom[i].key)));
        break;
    }
    return shape;
}

static const struct val *from_params(struct arena *a, const struct val *shape,
                                     const struct val *params)
{
    static const struct {
        const char *param, *ray;
    } table[] = {{"num-cpus", "CPU"}, {"num-gpus", "GPU"}, {"memory", "memory"}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        double amount;
        if (str_to_double(val_as_str(val_get(params, table[i].param)), &amount))
            shape = val_set(a, shape, table[i].ray, number(a, amount));
    }
    const struct val *custom = ray_params_resources(a, val_as_str(val_get(params, "resources")));
    return custom ? val_merge(a, shape, custom) : shape;
}

static const struct val *from_spec(struct arena *a, const struct val *shape,
                                   const struct val *resources)
{
    for (size_t i = 0; i < val_len(resources); i++) {
        struct str key = val_key_at(resources, i);
        struct quantity q;
        struct err ignored;
        if (quantity_of(val_member_at(resources, i), &q, &ignored) < 0)
            continue;
        const struct val *amount = number(a, (double)quantity_milli(q) / 1000);
        if (str_is(key, "CPU") || str_is(key, "cpu"))
            shape = val_set(a, shape, "CPU", amount);
        else if (str_ends(key, STR("gpu")) || str_is(key, "GPU") || is_gpu_key(key))
            shape = val_set(a, shape, "GPU", amount);
        else
            shape = val_sets(a, shape, key, amount);
    }
    return shape;
}

const struct val *ray_group_shape(struct arena *a, const struct ray_group *group)
{
    const struct val *shape = from_limits(a, group);
    shape = from_params(a, shape, group->params);
    return from_spec(a, shape, group->resources);
}
