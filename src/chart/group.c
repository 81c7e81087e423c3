/* The head group and the worker groups: one pod template each, made the same way.
 *
 * A template's blocks are rows of the table in keys.c: where a block goes, which value feeds it, and
 * when it is written. */
#include "chart/keys.h"

static const struct val *with_blocks(const struct chart_part *part, enum chart_place place,
                                     enum chart_role role, const struct val *own,
                                     const struct val *into)
{
    for (const struct chart_key *key = chart_group_keys; key->name; key++) {
        const struct val *value = val_get(own, key->name);
        const char *name = key->written ? key->written : key->name;
        bool keeps =
            (key->empties == KEPT && part->rules->keeps_empty) ||
            (key->empties == KEPT_WORKERS && part->rules->keeps_ports && role != CHART_HEAD);

        if (key->place != place || !chart_key_is_read(key, part->rules, role))
            continue;
        if (chart_truth(value))
            into = val_set(part->a, into, name, chart_plain_numbers(part->a, value));
        else if (keeps)
            into = val_set(part->a, into, name, value ? value : val_null());
    }
    return into;
}

static const struct val *image_text(const struct chart_part *part, const struct val *image)
{
    struct str repository = chart_go_text(part->a, val_get(image, "repository"));
    struct str tag = chart_go_text(part->a, val_get(image, "tag"));

    return val_textf(part->a, "%.*s:%.*s", STR_ARG(repository), STR_ARG(tag));
}

/* The Ray container's image: its own map as a whole, or the common one. */
static const struct val *with_image(const struct chart_part *part, const struct val *own,
                                    const char *path, const struct val *into)
{
    const struct val *image = val_get(own, "image");

    if (!chart_truth(image))
        image = val_get(part->values, "image");
    else if (!chart_truth(val_get(image, "repository")) || !chart_truth(val_get(image, "tag")))
        chart_warn(part->a, part->warnings,
                   "%s.image replaces image as a whole: give repository, tag and pullPolicy", path);
    into = val_set(part->a, into, "image", image_text(part, image));
    struct str policy = chart_go_text(part->a, val_get(image, "pullPolicy"));

    return val_set(part->a, into, "imagePullPolicy",
                   policy.n ? val_string(part->a, policy) : val_null());
}

static const struct val *with_env(const struct chart_part *part, const struct val *own,
                                  const struct val *into)
{
    const struct val *all = val_empty_array();
    const struct val *lists[] = {val_path(part->values, "common.containerEnv"),
                                 val_get(own, "containerEnv")};

    for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
        VAL_EACH_ITEM (item, lists[l])
            all = val_append(part->a, all, chart_plain_numbers(part->a, item));
    if (val_len(all) > 0)
        return val_set(part->a, into, "env", all);
    return part->rules->keeps_env ? val_set(part->a, into, "env", val_null()) : into;
}

/* {"cpu": "1", "memory": "1Gi"} twice: what charts from 1.6 on give to a group without resources. */
static const struct val *filled_resources(struct arena *a)
{
    const struct val *amount = val_obj(a, "cpu", val_text(a, "1"), "memory", val_text(a, "1Gi"));

    return val_obj(a, "limits", amount, "requests", amount);
}

/* The group's own and the common ones; where both have a key, the later of the template wins. */
static const struct val *with_labels(const struct chart_part *part, const struct val *own)
{
    if (!chart_truth(own))
        return part->labels;
    return part->rules->own_labels_win ? val_merge(part->a, part->labels, own)
                                       : val_merge(part->a, own, part->labels);
}

static const struct val *pod_template(const struct chart_part *part, const struct val *own,
                                      const char *path, enum chart_role role)
{
    struct arena *a = part->a;
    const struct val *pull_secrets = val_get(part->values, "imagePullSecrets");
    const struct val *ray =
        val_obj(a, "name", val_text(a, role == CHART_HEAD ? "ray-head" : "ray-worker"));
    const struct val *containers = val_empty_array(), *pod = val_empty_object(), *metadata;

    ray = with_image(part, own, path, ray);
    ray = with_env(part, own, ray);
    ray = with_blocks(part, IN_CONTAINER, role, own, ray);
    containers = val_append(a, containers, ray);
    VAL_EACH_ITEM (sidecar, val_get(own, "sidecarContainers"))
        containers = val_append(a, containers, chart_plain_numbers(a, sidecar));
    pod = val_set(a, pod, "containers", containers);
    if (chart_truth(pull_secrets) || part->rules->keeps_empty)
        pod = val_set(a, pod, "imagePullSecrets", pull_secrets ? pull_secrets : val_null());
    pod = with_blocks(part, IN_POD, role, own, pod);
    metadata = with_blocks(part, IN_METADATA, role, own, val_empty_object());
    metadata = val_set(a, metadata, "labels",
                       with_labels(part, chart_plain_numbers(a, val_get(own, "labels"))));
    return val_obj(a, "metadata", metadata, "spec", pod);
}

/* Every value becomes text; initArgs is the old name of rayStartParams and comes after it. NULL: the
 * version leaves an empty block out. */
static const struct val *ray_start_params(const struct chart_part *part, const struct val *own,
                                          const char *path)
{
    const struct val *out = val_empty_object();
    static const char *const names[] = {"rayStartParams", "initArgs"};

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        const struct val *params = val_get(own, names[n]);

        for (size_t i = 0; i < val_len(params); i++) {
            const struct val *item = val_member_at(params, i);
            struct str key = val_key_at(params, i), text = chart_go_text(part->a, item);

            if (val_is(item, VAL_FLOAT) && memchr(text.p, 'e', text.n))
                chart_warn(part->a, part->warnings,
                           "%s.%s.%.*s: Helm writes this number as %.*s; put it in quotes", path,
                           names[n], STR_ARG(key), STR_ARG(text));
            out = val_sets(part->a, out, key,
                           val_is(item, VAL_NULL) ? val_null() : val_string(part->a, text));
        }
    }
    return val_len(out) == 0 && part->rules->omits_params ? NULL : out;
}

/* NULL: the version leaves an empty one out. */
static const struct val *service_type(const struct chart_part *part)
{
    const struct val *type = val_path(part->values, "service.type");

    if (chart_truth(type))
        return type;
    return part->rules->omits_service_type ? NULL : val_null();
}

const struct val *chart_head(const struct chart_part *part)
{
    struct arena *a = part->a;
    const struct val *own = val_get(part->values, "head");
    const struct val *service = val_get(own, "headService");

    return val_obj(a, "headService", chart_truth(service) ? chart_plain_numbers(a, service) : NULL,
                   "serviceType", service_type(part), "rayStartParams",
                   ray_start_params(part, own, "head"), "template",
                   pod_template(part, own, "head", CHART_HEAD));
}

/* An unquoted number in a template: text of digits is a number again. */
static const struct val *count(const struct chart_part *part, const struct val *v,
                               int64_t otherwise)
{
    int64_t number;

    if (!chart_truth(v))
        return val_int(part->a, otherwise);
    if (val_is(v, VAL_STRING) && str_to_i64(val_as_str(v), &number))
        return val_int(part->a, number);
    return chart_plain_numbers(part->a, v);
}

#define NO_MAXIMUM INT32_MAX /* the chart's own default, and what it makes of maxReplicas: 0 */

static const struct val *worker_group(const struct chart_part *part, struct str name,
                                      const struct val *own, const char *path, enum chart_role role)
{
    struct arena *a = part->a;
    const struct val *replicas = val_get(own, "replicas"), *max = val_get(own, "maxReplicas");

    if (part->rules->fills_resources && role == CHART_EXTRA &&
        !chart_truth(val_get(own, "resources")))
        own = val_set(a, own, "resources", filled_resources(a));
    if (max && !chart_truth(max) && !val_is(max, VAL_NULL))
        chart_warn(a, part->warnings,
                   "%s.maxReplicas: the chart turns 0 into %d (no limit); "
                   "use %s.disabled=true to switch the group off",
                   path, NO_MAXIMUM, path);
    return val_obj(a, "groupName", name.n ? val_string(a, name) : val_null(), "rayStartParams",
                   ray_start_params(part, own, path), "replicas",
                   replicas && !val_is(replicas, VAL_NULL) ? count(part, replicas, 0) : val_null(),
                   "minReplicas", count(part, val_get(own, "minReplicas"), 0), "maxReplicas",
                   count(part, max, NO_MAXIMUM), "numOfHosts",
                   count(part, val_get(own, "numOfHosts"), 1), "template",
                   pod_template(part, own, path, role));
}

static const struct val *with_default_group(const struct chart_part *part, const struct val *groups)
{
    const struct val *own = val_get(part->values, "worker");
    struct str name = chart_go_text(part->a, val_get(own, "groupName"));

    if (!own || val_is_true(val_get(own, "disabled")))
        return groups;
    return val_append(part->a, groups, worker_group(part, name, own, "worker", CHART_WORKER));
}

const struct val *chart_worker_groups(const struct chart_part *part)
{
    const struct val *groups = val_empty_array();
    const struct val *additional = val_get(part->values, "additionalWorkerGroups");

    if (!part->rules->default_last)
        groups = with_default_group(part, groups);
    for (size_t i = 0; i < val_len(additional); i++) {
        struct str name = val_key_at(additional, i);
        const struct val *own = val_member_at(additional, i);

        if (!val_is(own, VAL_OBJECT) || val_is_true(val_get(own, "disabled")))
            continue;
        struct str path = arena_strf(part->a, "additionalWorkerGroups.%.*s", STR_ARG(name));

        groups = val_append(part->a, groups, worker_group(part, name, own, path.p, CHART_EXTRA));
    }
    if (part->rules->default_last)
        groups = with_default_group(part, groups);
    return val_len(groups) ? groups : val_null();
}
