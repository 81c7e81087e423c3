/* The head group and the worker groups: one pod template each, made the same way.
 *
 * A template's blocks are rows of a table: where a block goes, which value feeds it, and when it is
 * written. Source of the rows: what the charts print (tests/golden/chart). */
#include "chart/internal.h"

enum place { IN_CONTAINER, IN_POD, IN_METADATA };
/* When a block is written though its value is empty. */
enum empties {
    NEVER,        /* in no version */
    KEPT,         /* where the version keeps empty blocks (null, {} or []) */
    KEPT_WORKERS, /* the same, ports of workers only */
};

static const struct block {
    enum place place;
    const char *name;  /* in the template */
    const char *value; /* in the values */
    enum empties empties;
    int since; /* 1.<since> */
} blocks[] = {
    {IN_CONTAINER, "volumeMounts", "volumeMounts", NEVER, 1},
    {IN_CONTAINER, "resources", "resources", KEPT, 1},
    {IN_CONTAINER, "securityContext", "securityContext", KEPT, 1},
    {IN_CONTAINER, "envFrom", "envFrom", NEVER, 1},
    {IN_CONTAINER, "ports", "ports", KEPT_WORKERS, 1},
    {IN_CONTAINER, "lifecycle", "lifecycle", NEVER, 1},
    {IN_CONTAINER, "command", "command", NEVER, 1},
    {IN_CONTAINER, "args", "args", NEVER, 1},
    {IN_POD, "serviceAccountName", "serviceAccountName", NEVER, 1},
    {IN_POD, "initContainers", "initContainers", NEVER, 1},
    {IN_POD, "volumes", "volumes", NEVER, 1},
    {IN_POD, "affinity", "affinity", KEPT, 1},
    {IN_POD, "tolerations", "tolerations", KEPT, 1},
    {IN_POD, "nodeSelector", "nodeSelector", KEPT, 1},
    {IN_POD, "restartPolicy", "restartPolicy", NEVER, 2},
    {IN_POD, "priorityClassName", "priorityClassName", NEVER, 2},
    {IN_POD, "priority", "priority", NEVER, 2},
    {IN_POD, "securityContext", "podSecurityContext", NEVER, 2},
    {IN_POD, "dnsConfig", "dnsConfig", NEVER, 3},
    {IN_POD, "topologySpreadConstraints", "topologySpreadConstraints", NEVER, 4},
    {IN_POD, "runtimeClassName", "runtimeClassName", NEVER, 6},
    {IN_POD, "resourceClaims", "resourceClaims", NEVER, 6},
    {IN_METADATA, "annotations", "annotations", KEPT, 1},
};

static const struct val *with_blocks(const struct chart_part *part, enum place place, bool is_head,
                                     const struct val *own, const struct val *into)
{
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        const struct block *block = &blocks[i];
        const struct val *value = val_get(own, block->value);
        bool keeps = (block->empties == KEPT && part->rules->keeps_empty) ||
                     (block->empties == KEPT_WORKERS && part->rules->keeps_ports && !is_head);

        if (block->place != place || block->since > part->rules->minor)
            continue;
        if (chart_truth(value))
            into = val_set(part->a, into, block->name, chart_plain_numbers(part->a, value));
        else if (keeps)
            into = val_set(part->a, into, block->name, value ? value : val_null());
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
        VAL_EACH_ITEM (item, lists[l]) {
            all = val_append(part->a, all, chart_plain_numbers(part->a, item));
        }
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

static const struct val *pod_template(const struct chart_part *part, const struct val *own,
                                      const char *path, bool is_head)
{
    struct arena *a = part->a;
    const struct val *pull_secrets = val_get(part->values, "imagePullSecrets");
    const struct val *ray = val_obj(a, "name", val_text(a, is_head ? "ray-head" : "ray-worker"));
    const struct val *containers = val_empty_array(), *pod = val_empty_object(), *metadata;

    ray = with_image(part, own, path, ray);
    ray = with_env(part, own, ray);
    ray = with_blocks(part, IN_CONTAINER, is_head, own, ray);
    containers = val_append(a, containers, ray);
    VAL_EACH_ITEM (sidecar, val_get(own, "sidecarContainers")) {
        containers = val_append(a, containers, chart_plain_numbers(a, sidecar));
    }
    pod = val_set(a, pod, "containers", containers);
    if (chart_truth(pull_secrets) || part->rules->keeps_empty)
        pod = val_set(a, pod, "imagePullSecrets", pull_secrets ? pull_secrets : val_null());
    pod = with_blocks(part, IN_POD, is_head, own, pod);
    metadata = with_blocks(part, IN_METADATA, is_head, own, val_empty_object());
    metadata = val_set(a, metadata, "labels",
                       val_merge(a, chart_plain_numbers(a, val_get(own, "labels")), part->labels));
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

const struct val *chart_head(const struct chart_part *part)
{
    struct arena *a = part->a;
    const struct val *own = val_get(part->values, "head");
    const struct val *service = val_get(own, "headService");
    const struct val *type = val_path(part->values, "service.type");

    return val_obj(a, "headService", chart_truth(service) ? chart_plain_numbers(a, service) : NULL,
                   "serviceType", type ? type : val_null(), "rayStartParams",
                   ray_start_params(part, own, "head"), "template",
                   pod_template(part, own, "head", true));
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
                                      const struct val *own, const char *path, bool is_additional)
{
    struct arena *a = part->a;
    const struct val *replicas = val_get(own, "replicas"), *max = val_get(own, "maxReplicas");

    if (part->rules->fills_resources && is_additional && !chart_truth(val_get(own, "resources")))
        own = val_set(a, own, "resources", filled_resources(a));
    if (max && !chart_truth(max) && !val_is(max, VAL_NULL))
        chart_warn(a, part->warnings,
                   "%s.maxReplicas: the chart turns 0 into %d (no limit); "
                   "use %s.disabled=true to switch the group off",
                   path, NO_MAXIMUM, path);
    return val_obj(
        a, "groupName", val_string(a, name), "rayStartParams", ray_start_params(part, own, path),
        "replicas", replicas && !val_is(replicas, VAL_NULL) ? count(part, replicas, 0) : val_null(),
        "minReplicas", count(part, val_get(own, "minReplicas"), 0), "maxReplicas",
        count(part, max, NO_MAXIMUM), "numOfHosts", count(part, val_get(own, "numOfHosts"), 1),
        "template", pod_template(part, own, path, false));
}

static const struct val *with_default_group(const struct chart_part *part, const struct val *groups)
{
    const struct val *own = val_get(part->values, "worker");
    struct str name = chart_go_text(part->a, val_get(own, "groupName"));

    if (!own || val_is_true(val_get(own, "disabled")))
        return groups;
    return val_append(part->a, groups, worker_group(part, name, own, "worker", false));
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

        groups = val_append(part->a, groups, worker_group(part, name, own, path.p, true));
    }
    return part->rules->default_last ? with_default_group(part, groups) : groups;
}
