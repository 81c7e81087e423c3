/* Bytes of a GCS reply -> plain structs. Nothing in a reply is trusted: sizes have ceilings, amounts
 * must be finite and not negative, and the unpacker's memory is an arena with a budget.
 *
 * Resources of placement groups are left out of nodes; a request that asks for one is left out whole
 * (only the group's own nodes can serve it). Read next: ray.c. */
#include "ray/internal.h"

#include "base/vec.h"
#include "autoscaler.pb-c.h"

#include <math.h>

/* --- unpacking memory */

struct budget {
    struct arena *arena;
    size_t left;
};

static void *budget_alloc(void *ctx, size_t bytes)
{
    struct budget *budget = ctx;
    size_t cost = bytes + 16;
    if (cost > budget->left)
        return NULL;
    budget->left -= cost;
    return arena_alloc(budget->arena, bytes);
}

static void budget_free(void *ctx, void *p)
{
    /* The arena frees. */
}

/* --- parts */

static struct str text_of(struct arena *a, const char *c_string)
{
    return arena_str(a, str_of(c_string));
}

bool ray_is_group_resource(struct str name)
{
    static const char mark[] = "_group_";
    const size_t id_digits = 36; /* 18 bytes in hex */
    if (name.n < sizeof(mark) - 1 + id_digits)
        return false;
    for (size_t i = name.n - id_digits; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    struct str rest = str_sub(name, 0, name.n - id_digits);
    if (str_ends(rest, STR("_group_")))
        return true;
    size_t end = rest.n - 1; /* NAME_group_INDEX_ */
    size_t at = end;
    while (at > 0 && rest.p[at - 1] >= '0' && rest.p[at - 1] <= '9')
        at--;
    return rest.p[end] == '_' && at < end && str_ends(str_sub(rest, 0, at), STR("_group_"));
}

static int amount_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct ray_amount *)a)->name, ((const struct ray_amount *)b)->name);
}

/* *ret_grouped: a placement group's resource was among them. */
static int amounts_decode(struct arena *a, RayPb__Amount **rows, size_t n, const char *what,
                          struct ray_resources *ret, bool *ret_grouped, struct err *err)
{
    struct ray_resources out = {.items = arena_array_of(a, struct ray_amount, MAX_OF(n, 1u))};
    bool grouped = false;
    if (n > RAY_MAX_RESOURCES * 8) {
        return err_set(err, ERR_CORRUPT, "%s lists %zu resources; at most %u are read", what, n,
                       RAY_MAX_RESOURCES * 8);
    }
    for (size_t i = 0; i < n; i++) {
        struct str name = str_of(rows[i]->key);
        double amount = rows[i]->value;
        if (!isfinite(amount) || amount < 0 || amount > RAY_MAX_AMOUNT) {
            return err_set(err, ERR_CORRUPT, "%s: resource %.64s has the impossible amount %g",
                           what, rows[i]->key, amount);
        }
        if (name.n > RAY_MAX_NAME_BYTES)
            return err_set(err, ERR_CORRUPT, "%s: a resource's name has %zu bytes", what, name.n);
        if (ray_is_group_resource(name))
            grouped = true;
        else
            out.items[out.n++] = (struct ray_amount){arena_str(a, name), amount};
    }
    if (out.n > RAY_MAX_RESOURCES) {
        return err_set(err, ERR_CORRUPT, "%s has %zu resources; at most %u are read", what, out.n,
                       RAY_MAX_RESOURCES);
    }
    qsort(out.items, out.n, sizeof(out.items[0]), amount_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < out.n; i++)
        if (kept > 0 && str_eq(out.items[kept - 1].name, out.items[i].name))
            out.items[kept - 1].amount = MAX_OF(out.items[kept - 1].amount, out.items[i].amount);
        else
            out.items[kept++] = out.items[i];
    out.n = kept;
    *ret = out;
    *ret_grouped = grouped;
    return 0;
}

static int terms_decode(struct arena *a, const RayPb__LabelSelector *selector,
                        struct ray_request *ret, struct err *err)
{
    if (selector->n_label_constraints > RAY_MAX_TERMS) {
        return err_set(err, ERR_CORRUPT, "a label selector has %zu terms; at most %u are read",
                       selector->n_label_constraints, RAY_MAX_TERMS);
    }
    ret->n_terms = selector->n_label_constraints;
    ret->terms = arena_array_of(a, struct ray_selector_term, MAX_OF(ret->n_terms, 1u));
    for (size_t i = 0; i < ret->n_terms; i++) {
        const RayPb__LabelConstraint *from = selector->label_constraints[i];
        struct ray_selector_term *to = &ret->terms[i];
        size_t n = from->n_label_values;
        if (n > RAY_MAX_TERMS) {
            return err_set(err, ERR_CORRUPT, "label selector %.64s has %zu values", from->label_key,
                           n);
        }
        *to = (struct ray_selector_term){.key = text_of(a, from->label_key),
                                         .op = from->operator_,
                                         .values = arena_array_of(a, struct str, MAX_OF(n, 1u)),
                                         .n_values = n};
        for (size_t j = 0; j < n; j++)
            to->values[j] = text_of(a, from->label_values[j]);
    }
    return 0;
}

/* *ret_skip: only a placement group's own nodes can serve it. */
static int request_decode(struct arena *a, const RayPb__ResourceRequest *from, int64_t count,
                          const char *what, struct ray_request *ret, bool *ret_skip,
                          struct err *err)
{
    struct ray_request out = {.count = count};
    if (!from) {
        *ret_skip = true;
        return 0;
    }
    int rc = amounts_decode(a, from->resources_bundle, from->n_resources_bundle, what, &out.shape,
                            ret_skip, err);
    if (rc < 0)
        return rc;
    if (from->n_label_selectors > 0) { /* the first is the wish, later ones are second best */
        rc = terms_decode(a, from->label_selectors[0], &out, err);
        if (rc < 0)
            return rc;
    }
    *ret = out;
    return 0;
}

static int counted_decode(struct arena *a, RayPb__ResourceRequestByCount **rows, size_t n,
                          const char *what, struct ray_request **ret, size_t *ret_n,
                          struct err *err)
{
    if (n > RAY_MAX_SHAPES) {
        return err_set(err, ERR_CORRUPT, "%s has %zu shapes; at most %u are read", what, n,
                       RAY_MAX_SHAPES);
    }
    struct ray_request *out = arena_array_of(a, struct ray_request, MAX_OF(n, 1u));
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool skip = false;
        if (rows[i]->count < 0) {
            return err_set(err, ERR_CORRUPT, "%s: a shape is asked %lld times", what,
                           (long long)rows[i]->count);
        }
        int rc = request_decode(a, rows[i]->request, rows[i]->count, what, &out[kept], &skip, err);
        if (rc < 0)
            return rc;
        kept += !skip && rows[i]->count > 0;
    }
    *ret = out;
    *ret_n = kept;
    return 0;
}

static int gang_decode(struct arena *a, const RayPb__GangResourceRequest *from,
                       struct ray_gang *ret, size_t *rows_left, struct err *err)
{
    RayPb__ResourceRequest **rows = from->requests;
    size_t n = from->n_requests;
    if (n == 0 && from->n_bundle_selectors > 0) {
        rows = from->bundle_selectors[0]->resource_requests;
        n = from->bundle_selectors[0]->n_resource_requests;
    }
    if (n > *rows_left)
        return err_set(err, ERR_CORRUPT, "gangs have more than %u bundles", RAY_MAX_SHAPES);
    *rows_left -= n;
    struct ray_gang out = {.details = text_of(a, from->details),
                           .bundles = arena_array_of(a, struct ray_request, MAX_OF(n, 1u))};
    for (size_t i = 0; i < n; i++) {
        bool skip = false;
        int rc = request_decode(a, rows[i], 1, "a gang", &out.bundles[out.n], &skip, err);
        if (rc < 0)
            return rc;
        for (size_t j = 0; j < rows[i]->n_placement_constraints; j++) {
            const RayPb__PlacementConstraint *c = rows[i]->placement_constraints[j];
            out.kind = c->anti_affinity ? RAY_GANG_STRICT_SPREAD
                       : c->affinity    ? RAY_GANG_STRICT_PACK
                                        : out.kind;
        }
        out.n += !skip;
    }
    *ret = out;
    return 0;
}

static int labels_decode(struct arena *a, const RayPb__NodeState *from, struct ray_node *ret,
                         struct err *err)
{
    size_t n = from->n_labels + from->n_dynamic_labels;
    if (n > RAY_MAX_TERMS * 8) {
        return err_set(err, ERR_CORRUPT, "a node has %zu labels; at most %u are read", n,
                       RAY_MAX_TERMS * 8);
    }
    ret->labels = arena_array_of(a, struct ray_label, MAX_OF(n, 1u));
    for (size_t i = 0; i < n; i++) {
        const RayPb__Label *label =
            i < from->n_labels ? from->labels[i] : from->dynamic_labels[i - from->n_labels];
        ret->labels[ret->n_labels++] =
            (struct ray_label){text_of(a, label->key), text_of(a, label->value)};
    }
    return 0;
}

static int node_decode(struct arena *a, const RayPb__NodeState *from, struct ray_node *ret,
                       struct err *err)
{
    bool ignored = false;
    struct ray_node out = {
        .node_id = arena_str(a, (struct str){(const char *)from->node_id.data, from->node_id.len}),
        .instance_id = text_of(a, from->instance_id),
        .node_type = text_of(a, from->ray_node_type_name),
        .ip = text_of(a, from->node_ip_address),
        .status = from->status >= RAY_NODE_UNSPECIFIED && from->status <= RAY_NODE_DRAINING
                      ? (enum ray_node_status)from->status
                      : RAY_NODE_UNSPECIFIED,
        .idle_ms = MAX_OF(from->idle_duration_ms, 0),
    };
    char what[64];
    snprintf(what, sizeof(what), "node %.40s", from->instance_id);
    int rc = amounts_decode(a, from->total_resources, from->n_total_resources, what, &out.total,
                            &ignored, err);
    if (rc == 0) {
        rc = amounts_decode(a, from->available_resources, from->n_available_resources, what,
                            &out.available, &ignored, err);
    }
    if (rc == 0)
        rc = labels_decode(a, from, &out, err);
    if (rc == 0)
        *ret = out;
    return rc;
}

/* --- the whole */

static int nodes_decode(struct arena *a, const RayPb__ClusterResourceState *from,
                        struct ray_state *ret, struct err *err)
{
    if (from->n_node_states > RAY_MAX_NODES) {
        return err_set(err, ERR_CORRUPT, "the head lists %zu nodes; at most %u are read",
                       from->n_node_states, RAY_MAX_NODES);
    }
    ret->nodes = arena_array_of(a, struct ray_node, MAX_OF(from->n_node_states, 1u));
    for (size_t i = 0; i < from->n_node_states; i++) {
        int rc = node_decode(a, from->node_states[i], &ret->nodes[i], err);
        if (rc < 0)
            return rc;
    }
    ret->n_nodes = from->n_node_states;
    return 0;
}

static int gangs_decode(struct arena *a, const RayPb__ClusterResourceState *from,
                        struct ray_state *ret, struct err *err)
{
    size_t n = from->n_pending_gang_resource_requests;
    size_t rows_left = RAY_MAX_SHAPES;
    if (n > RAY_MAX_SHAPES) {
        return err_set(err, ERR_CORRUPT, "the head lists %zu gangs; at most %u are read", n,
                       RAY_MAX_SHAPES);
    }
    ret->gangs = arena_array_of(a, struct ray_gang, MAX_OF(n, 1u));
    for (size_t i = 0; i < n; i++) {
        int rc = gang_decode(a, from->pending_gang_resource_requests[i], &ret->gangs[ret->n_gangs],
                             &rows_left, err);
        if (rc < 0)
            return rc;
        ret->n_gangs += ret->gangs[ret->n_gangs].n > 0;
    }
    return 0;
}

static int constraints_decode(struct arena *a, const RayPb__ClusterResourceState *from,
                              struct ray_state *ret, struct err *err)
{
    VEC(struct ray_request) all = {0};
    for (size_t i = 0; i < from->n_cluster_resource_constraints; i++) {
        const RayPb__ClusterResourceConstraint *c = from->cluster_resource_constraints[i];
        struct ray_request *rows = NULL;
        size_t n = 0;
        int rc = counted_decode(a, c->resource_requests, c->n_resource_requests,
                                "request_resources", &rows, &n, err);
        if (rc < 0)
            return rc;
        if (all.n + n > RAY_MAX_SHAPES) {
            return err_set(err, ERR_CORRUPT, "request_resources has more than %u shapes",
                           RAY_MAX_SHAPES);
        }
        for (size_t j = 0; j < n; j++)
            vec_push(&all, a, rows[j]);
    }
    ret->constraints = all.items;
    ret->n_constraints = all.n;
    return 0;
}

int ray_state_decode(struct arena *a, struct str bytes, struct ray_state *ret, struct err *err)
{
    struct budget budget = {a, RAY_MAX_UNPACKED_BYTES};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    const RayPb__GetClusterResourceStateReply *reply =
        ray_pb__get_cluster_resource_state_reply__unpack(&allocator, bytes.n,
                                                         (const uint8_t *)bytes.p);
    if (!reply) {
        return err_set(err, ERR_CORRUPT, "the head's cluster state (%zu bytes) is not readable",
                       bytes.n);
    }
    const RayPb__ClusterResourceState *from = reply->cluster_resource_state;
    if (!from)
        return err_set(err, ERR_CORRUPT, "the head answered without a cluster state");
    struct ray_state out = {.version = from->cluster_resource_state_version,
                            .session_name = text_of(a, from->cluster_session_name)};
    int rc = nodes_decode(a, from, &out, err);
    if (rc == 0) {
        rc = counted_decode(a, from->pending_resource_requests, from->n_pending_resource_requests,
                            "pending demand", &out.pending, &out.n_pending, err);
    }
    if (rc == 0)
        rc = gangs_decode(a, from, &out, err);
    if (rc == 0)
        rc = constraints_decode(a, from, &out, err);
    if (rc == 0)
        *ret = out;
    return rc;
}

int ray_drain_decode(struct arena *a, struct str bytes, bool *ret_accepted,
                     struct str *ret_rejection, struct err *err)
{
    struct budget budget = {a, RAY_MAX_UNPACKED_BYTES};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    const RayPb__DrainNodeReply *reply =
        ray_pb__drain_node_reply__unpack(&allocator, bytes.n, (const uint8_t *)bytes.p);
    if (!reply)
        return err_set(err, ERR_CORRUPT, "the head's answer to DrainNode is not readable");
    *ret_accepted = reply->is_accepted;
    *ret_rejection = text_of(a, reply->rejection_reason_message);
    return 0;
}
