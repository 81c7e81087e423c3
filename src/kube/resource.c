/* Lists of named quantities and what a pod asks of a node. Read next: core/pack. */
#include "kube/quantity.h"

/* A pod's resource map comes from outside; node capacities have a few dozen names at most. */
#define RESOURCES_MAX 1024

int resource_list_of(struct arena *a, const struct val *map, struct resource_list *ret,
                     struct err *err)
{
    if (map && !val_is(map, VAL_OBJECT) && !val_is(map, VAL_NULL))
        return err_set(err, ERR_INVALID, "resources must be a map of names to quantities");
    if (val_len(map) > RESOURCES_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d resources", RESOURCES_MAX);
    struct resource_list list = {.n = val_len(map)};
    list.items = arena_array_of(a, struct resource_amount, list.n + 1);
    for (size_t i = 0; i < list.n; i++) {
        list.items[i].name = arena_str(a, val_key_at(map, i));
        int r = quantity_of(val_member_at(map, i), &list.items[i].amount, err);
        if (r < 0)
            return err_prefix(err, "%.*s", STR_ARG(list.items[i].name));
    }
    *ret = list;
    return 0;
}

static struct resource_amount *find(const struct resource_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i].name, name))
            return &list->items[i];
    return NULL;
}

struct quantity resource_get(const struct resource_list *list, const char *name)
{
    const struct resource_amount *item = find(list, str_of(name));
    return item ? item->amount : (struct quantity){0};
}

static struct quantity larger(struct quantity a, struct quantity b)
{
    return quantity_cmp(a, b) >= 0 ? a : b;
}

/* Both lists are sorted: one walk over both; where a name is in both, `join` decides. */
static struct resource_list combine(struct arena *a, const struct resource_list *left,
                                    const struct resource_list *right,
                                    struct quantity (*join)(struct quantity, struct quantity))
{
    struct resource_list out = {
        .items = arena_array_of(a, struct resource_amount, left->n + right->n + 1)};
    size_t i = 0, k = 0;
    while (i < left->n || k < right->n) {
        int order = i == left->n    ? 1
                    : k == right->n ? -1
                                    : str_cmp(left->items[i].name, right->items[k].name);
        if (order < 0) {
            out.items[out.n++] = left->items[i++];
        } else if (order > 0) {
            out.items[out.n++] = right->items[k++];
        } else {
            out.items[out.n] = left->items[i++];
            out.items[out.n].amount = join(out.items[out.n].amount, right->items[k++].amount);
            out.n++;
        }
    }
    return out;
}

void resource_add(struct arena *a, struct resource_list *list, const struct resource_list *other)
{
    *list = combine(a, list, other, quantity_add);
}

static struct quantity first_of(struct quantity a, struct quantity b)
{
    (void)b;
    return a;
}

/* A container's requests; a resource that only has a limit requests its limit. */
static int container_requests(struct arena *a, const struct val *container,
                              struct resource_list *ret, struct err *err)
{
    const struct val *resources = val_get(container, "resources");
    struct resource_list requests, limits;
    int r = resource_list_of(a, val_get(resources, "requests"), &requests, err);
    if (r == 0)
        r = resource_list_of(a, val_get(resources, "limits"), &limits, err);
    if (r < 0)
        return err_prefix(err, "container %.*s", STR_ARG(val_as_str(val_get(container, "name"))));
    *ret = combine(a, &requests, &limits, first_of);
    return 0;
}

static bool is_sidecar(const struct val *init_container)
{
    return str_is(val_as_str(val_get(init_container, "restartPolicy")), "Always");
}

/* Sidecars (restartable init containers) run beside everything that starts after them. */
static int add_init_containers(struct arena *a, const struct val *containers,
                               struct resource_list *total, struct err *err)
{
    struct resource_list sidecars = {0}, peak = {0};
    for (size_t i = 0; i < val_len(containers); i++) {
        struct resource_list mine;
        int r = container_requests(a, val_at(containers, i), &mine, err);
        if (r < 0)
            return r;
        struct resource_list now = combine(a, &sidecars, &mine, quantity_add);
        if (is_sidecar(val_at(containers, i)))
            sidecars = now;
        peak = combine(a, &peak, &now, larger);
    }
    resource_add(a, total, &sidecars);
    *total = combine(a, total, &peak, larger);
    return 0;
}

int resource_pod_requests(struct arena *a, const struct val *pod_spec, struct resource_list *ret,
                          struct err *err)
{
    struct resource_list total = {0};
    const struct val *containers = val_get(pod_spec, "containers");
    for (size_t i = 0; i < val_len(containers); i++) {
        struct resource_list mine;
        int r = container_requests(a, val_at(containers, i), &mine, err);
        if (r < 0)
            return r;
        resource_add(a, &total, &mine);
    }
    int r = add_init_containers(a, val_get(pod_spec, "initContainers"), &total, err);
    if (r < 0)
        return r;
    struct resource_list overhead;
    r = resource_list_of(a, val_get(pod_spec, "overhead"), &overhead, err);
    if (r < 0)
        return err_prefix(err, "overhead");
    resource_add(a, &total, &overhead);
    *ret = total;
    return 0;
}
