/* Shapes: from a group of the spec, and to words. Read next: scale.h. */
#include "core/scale/scale.h"

#include <math.h>

static int amount_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct scale_amount *)a)->name, ((const struct scale_amount *)b)->name);
}

struct scale_shape scale_shape_of(struct arena *a, const struct val *amounts)
{
    size_t n = val_len(amounts);
    struct scale_shape shape = {.items = arena_array_of(a, struct scale_amount, MAX_OF(n, 1u))};
    for (size_t i = 0; i < n; i++) {
        double amount = val_as_double(val_member_at(amounts, i), 0);
        if (isfinite(amount) && amount > 0)
            shape.items[shape.n++] = (struct scale_amount){val_key_at(amounts, i), amount};
    }
    qsort(shape.items, shape.n, sizeof(shape.items[0]), amount_cmp);
    return shape;
}

double scale_shape_get(const struct scale_shape *shape, const char *name)
{
    for (size_t i = 0; i < shape->n; i++)
        if (str_is(shape->items[i].name, name))
            return shape->items[i].amount;
    return 0;
}

struct str scale_shape_text(struct arena *a, const struct scale_shape *shape)
{
    struct buf out cleanup(buf_done) = BUF_INIT(1024);
    for (size_t i = 0; i < shape->n; i++) {
        double amount = shape->items[i].amount;
        struct str name = shape->items[i].name;
        if (str_ends(name, STR("memory")) && amount >= 1048576)
            buf_addf(&out, "%s%.*s %.4gGi", out.n ? ", " : "", STR_ARG(name), amount / 1073741824);
        else
            buf_addf(&out, "%s%.*s %.10g", out.n ? ", " : "", STR_ARG(name), amount);
    }
    return shape->n ? arena_str(a, buf_str(&out)) : STR("no resource");
}

/* rayStartParams.labels: "k=v,k2=v2", quoted or not. */
static const struct val *labels_of_param(struct arena *a, const struct val *labels, struct str text)
{
    struct str rest = str_trim(text), part;
    if (rest.n >= 2 && (rest.p[0] == '"' || rest.p[0] == '\''))
        rest = str_sub(rest, 1, rest.n - 1);
    while (rest.n > 0 && str_split(&rest, ',', &part)) {
        ptrdiff_t at = str_find(part, '=');
        if (at > 0) {
            labels = val_sets(a, labels, str_trim(str_sub(part, 0, (size_t)at)),
                              val_string(a, str_trim(str_sub(part, (size_t)at + 1, part.n))));
        }
    }
    return labels;
}

struct scale_group scale_group_of(struct arena *a, const struct raycluster *cluster,
                                  const struct ray_group *group)
{
    const struct val *labels = val_set(a, NULL, "ray.io/node-group", val_string(a, group->name));
    labels = labels_of_param(a, labels, val_as_str(val_get(group->params, "labels")));
    if (val_is(group->labels, VAL_OBJECT))
        labels = val_merge(a, labels, group->labels);
    int32_t max = MAX_OF(group->max, 0);
    int32_t min = MIN_OF(MAX_OF(group->min, 0), max);
    int32_t replicas = MIN_OF(MAX_OF(group->replicas, min), max);
    int64_t idle_s =
        group->idle_timeout_s >= 0 ? group->idle_timeout_s : MAX_OF(cluster->idle_timeout_s, 0);
    return (struct scale_group){
        .name = group->name,
        .shape = scale_shape_of(a, ray_group_shape(a, group)),
        .labels = labels,
        .min = min,
        .max = max,
        .replicas = replicas,
        .held = replicas,
        .hosts = MAX_OF(group->hosts, 1),
        .idle_timeout_ms = MIN_OF(idle_s, INT64_MAX / 2000) * 1000,
        .suspended = group->suspend || cluster->suspend,
    };
}
