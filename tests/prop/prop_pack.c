/* Laws of placement: never over-commits, the order of nodes makes no difference, a refusal means that
 * truly nothing fits and says how many nodes there were. */
#include "prop.h"

#include "core/pack/pack.h"

#define MAX_NODES 6

struct fleet {
    struct pack_node nodes[MAX_NODES];
    size_t n;
};

static const struct val *amounts(struct arena *a, int64_t cpu, int64_t gpu)
{
    return val_obj(a, "cpu", val_int(a, cpu), "nvidia.com/gpu", gpu ? val_int(a, gpu) : NULL);
}

static void draw_fleet(struct prop *p, struct arena *a, struct fleet *ret)
{
    struct err err = ERR_INIT;
    ret->n = (size_t)prop_range(p, 0, MAX_NODES);
    for (size_t i = 0; i < ret->n; i++) {
        struct pack_node *n = &ret->nodes[i];
        int64_t cpu = prop_range(p, 0, 16), gpu = prop_chance(p, 60) ? 8 : 0;
        *n = (struct pack_node){.name = arena_strf(a, "n%zu", i),
                                .ready = !prop_chance(p, 5),
                                .unschedulable = prop_chance(p, 5)};
        if (resource_list_of(a, amounts(a, cpu, gpu), &n->allocatable, &err) < 0 ||
            resource_list_of(a, amounts(a, prop_range(p, 0, cpu), gpu ? prop_range(p, 0, gpu) : 0),
                             &n->used, &err) < 0)
            BUG("amounts");
        prop_note(p, "n%zu cpu %lld gpu %lld", i, (long long)cpu, (long long)gpu);
    }
}

static const struct val *draw_pod(struct prop *p, struct arena *a, int64_t *ret_cpu,
                                  int64_t *ret_gpu)
{
    *ret_cpu = prop_range(p, 0, 12);
    *ret_gpu = prop_chance(p, 50) ? prop_range(p, 1, 8) : 0;
    prop_note(p, "pod cpu %lld gpu %lld", (long long)*ret_cpu, (long long)*ret_gpu);
    const struct val *c =
        val_obj(a, "resources", val_obj(a, "requests", amounts(a, *ret_cpu, *ret_gpu)));
    return val_obj(a, "spec", val_obj(a, "containers", val_array(a, &c, 1)));
}

static bool fits(const struct pack_node *n, int64_t cpu, int64_t gpu)
{
    int64_t free_cpu = quantity_value(
        quantity_sub(resource_get(&n->allocatable, "cpu"), resource_get(&n->used, "cpu")));
    int64_t free_gpu = quantity_value(quantity_sub(resource_get(&n->allocatable, "nvidia.com/gpu"),
                                                   resource_get(&n->used, "nvidia.com/gpu")));
    return n->ready && !n->unschedulable && cpu <= free_cpu && gpu <= free_gpu;
}

static bool never_over_commits_and_never_gives_up_early(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct fleet fleet;
    struct pack_result r;
    struct err err = ERR_INIT;
    draw_fleet(p, a, &fleet);
    for (int i = 0; i < 12; i++) {
        int64_t cpu, gpu;
        const struct val *pod = draw_pod(p, a, &cpu, &gpu);
        if (pack_place(a, fleet.nodes, fleet.n, pod, &r, &err) < 0)
            return false;
        bool any = false;
        for (size_t k = 0; k < fleet.n; k++)
            any |= fits(&fleet.nodes[k], cpu, gpu);
        if (any != (r.node >= 0) || (r.node < 0) != (r.reason.n > 0))
            return false;
        if (r.node < 0)
            continue;
        if (!fits(&fleet.nodes[r.node], cpu, gpu))
            return false;
        struct resource_list asked;
        if (resource_list_of(a, amounts(a, cpu, gpu), &asked, &err) < 0)
            return false;
        resource_add(a, &fleet.nodes[r.node].used, &asked);
    }
    return true;
}

static bool order_makes_no_difference(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct fleet fleet, turned;
    struct pack_result r1, r2;
    struct err err = ERR_INIT;
    int64_t cpu, gpu;
    draw_fleet(p, a, &fleet);
    const struct val *pod = draw_pod(p, a, &cpu, &gpu);
    turned.n = fleet.n;
    size_t by = fleet.n ? prop_below(p, fleet.n) : 0;
    for (size_t i = 0; i < fleet.n; i++)
        turned.nodes[i] = fleet.nodes[(i + by) % fleet.n];
    for (size_t i = 0; i < fleet.n / 2 && prop_chance(p, 50); i++) {
        struct pack_node swap = turned.nodes[i];
        turned.nodes[i] = turned.nodes[fleet.n - 1 - i];
        turned.nodes[fleet.n - 1 - i] = swap;
    }
    if (pack_place(a, fleet.nodes, fleet.n, pod, &r1, &err) < 0 ||
        pack_place(a, turned.nodes, turned.n, pod, &r2, &err) < 0)
        return false;
    if (r1.node < 0 || r2.node < 0)
        return r1.node == r2.node && str_eq(r1.reason, r2.reason);
    return str_eq(fleet.nodes[r1.node].name, turned.nodes[r2.node].name);
}

int main(int argc, char **argv)
{
    PROP(never_over_commits_and_never_gives_up_early, 3000);
    PROP(order_makes_no_difference, 5000);
    return prop_exit();
}
