/* The snapshot: all that a pass may know, taken from the caches at one moment. */
#include "operator/internal.h"

#define TOKEN_CHARS 43 /* 256 bits in 6 bits a character */

static const struct val *kept(const struct operator_instance *op, struct arena *a,
                              enum operator_cache which, struct str ns, struct str name)
{
    const struct cache *cache = op->caches[which];
    if (!cache_synced(cache))
        return val_empty_object(); /* unknown: never made on a guess */
    const struct val *object = cache_get(cache, ns, name);
    return object ? val_keep(a, object) : NULL;
}

static void take_services(struct operator_instance *op, struct arena *a,
                          const struct raycluster *rc, struct str key, struct world *ret)
{
    struct str names[] = {raycluster_head_service(a, rc), render_headless_service_name(a, rc),
                          render_serve_service_name(a, rc)};
    struct cache_list list = index_list(&op->services, a, key);
    const struct val **all = arena_array_of(a, const struct val *, list.n + ARRAY_SIZE(names));
    size_t n = list.n;
    if (list.n)
        memcpy(all, list.items, list.n * sizeof(*all));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct val *object = cache_get(op->caches[OPERATOR_SERVICES], rc->ns, names[i]);
        bool there = !object;
        for (size_t k = 0; k < list.n; k++)
            there = there || list.items[k] == object;
        if (!there)
            all[n++] = val_keep(a, object);
    }
    ret->services = all;
    ret->n_services = n;
}

static void take_elsewhere(struct operator_instance *op, struct arena *a,
                           const struct raycluster *rc, struct world *ret)
{
    size_t room = 0;
    for (size_t i = 0; i < rc->n_groups; i++)
        room += val_len(rc->groups[i].workers_to_delete);
    ret->named_elsewhere = arena_array_of(a, const struct val *, room + 1);
    for (size_t i = 0; i < rc->n_groups; i++) {
        const struct val *names = rc->groups[i].workers_to_delete;
        for (size_t k = 0; k < val_len(names); k++) {
            const struct val *pod =
                cache_get(op->caches[OPERATOR_PODS], rc->ns, val_as_str(val_at(names, k)));
            if (pod && (!kube_is_owned_by(pod, rc->uid) ||
                        str_is(kube_label(pod, RAY_LABEL_NODE_TYPE), "head")))
                ret->named_elsewhere[ret->n_named_elsewhere++] = val_keep(a, pod);
        }
    }
}

static void take_memory(struct operator_instance *op, struct arena *a, struct str key,
                        struct world *ret)
{
    struct cluster_memory *m = memory_of(op, key);
    memory_tidy(m, loop_wall_ms(op->loop));
    struct reconcile_hold *holds = arena_array_of(a, struct reconcile_hold, m->n_groups + 1);
    struct reconcile_expected *expected =
        arena_array_of(a, struct reconcile_expected, m->n_expected + 1);
    for (size_t i = 0; i < m->n_groups; i++)
        holds[i] = (struct reconcile_hold){arena_str(a, str_of(m->groups[i].group)),
                                           m->groups[i].not_before};
    for (size_t i = 0; i < m->n_expected; i++)
        expected[i] = (struct reconcile_expected){arena_str(a, str_of(m->expected[i].group)),
                                                  arena_str(a, str_of(m->expected[i].name)),
                                                  m->expected[i].until};
    ret->holds = holds;
    ret->n_holds = m->n_groups;
    ret->expected = expected;
    ret->n_expected = m->n_expected;
    ret->failure_reason = arena_str(a, str_of(m->failure_reason));
    ret->failure_text = arena_str(a, str_of(m->failure_text));
}

static struct str new_token(struct operator_instance *op, struct arena *a)
{
    char text[TOKEN_CHARS + 1];
    for (size_t i = 0; i < TOKEN_CHARS; i++)
        text[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[loop_random(
                                                                                         op->loop) &
                                                                                     63];
    return arena_str(a, (struct str){text, TOKEN_CHARS});
}

void world_take(struct operator_instance *op, struct arena *a, const struct val *cluster,
                struct world *ret)
{
    struct world world = {.cluster = val_keep(a, cluster)};
    struct str key = kube_key_of(a, cluster);
    struct raycluster rc;
    struct err ignored;
    struct cache_list pods = index_list(&op->pods, a, key);
    world.pods = pods.items;
    world.n_pods = pods.n;
    take_memory(op, a, key, &world);
    if (raycluster_read(a, cluster, &rc, &ignored) == 0) {
        struct str rights = ray_check_name(a, rc.name);
        take_services(op, a, &rc, key, &world);
        take_elsewhere(op, a, &rc, &world);
        world.account = kept(op, a, OPERATOR_ACCOUNTS, rc.ns, raycluster_service_account(a, &rc));
        world.role = kept(op, a, OPERATOR_ROLES, rc.ns, rights);
        world.binding = kept(op, a, OPERATOR_BINDINGS, rc.ns, rights);
        world.ingress = kept(op, a, OPERATOR_INGRESSES, rc.ns, render_ingress_name(a, &rc));
        world.auth_secret = kept(op, a, OPERATOR_SECRETS, rc.ns, render_auth_secret_name(a, &rc));
        if (rc.token_auth && !world.auth_secret)
            world.fresh_token = new_token(op, a);
    }
    *ret = world;
}
