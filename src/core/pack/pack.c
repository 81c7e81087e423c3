/* Placement of one pod: kube-scheduler's filters, then the fullest node that fits. PURE.
 *
 * Filters and their sentences: k8s.io/kubernetes pkg/scheduler/framework/plugins (nodeunschedulable,
 * tainttoleration, nodeaffinity, noderesources). A node is charged with its first failed filter, with
 * every resource that it lacks when that filter is resources; the counts come sorted, as FitError
 * prints them.
 *
 * Choice, in this order: a pod without GPUs keeps away from nodes that have some; the fewest GPUs left
 * free; the least CPU left free; the smaller name. So whole nodes stay whole, and the order in which
 * nodes are listed makes no difference. */
#include "core/pack/pack.h"
#include "base/vec.h"
#include "kube/kube.h"

struct reason {
    struct str text;
    int count;
};
typedef VEC(struct reason) reason_vec;

static void charge(struct arena *a, reason_vec *reasons, struct str text)
{
    for (size_t i = 0; i < reasons->n; i++) {
        if (str_eq(reasons->items[i].text, text)) {
            reasons->items[i].count++;
            return;
        }
    }
    vec_push(reasons, a, ((struct reason){text, 1}));
}

static bool is_gpu(struct str resource)
{
    return str_ends(resource, STR("/gpu")) || str_starts(resource, STR("nvidia.com/mig-"));
}

/* --- taints */

static bool tolerates(const struct val *toleration, const struct val *taint)
{
    struct str key = val_as_str(val_get(toleration, "key"));
    struct str op = val_as_str(val_get(toleration, "operator"));
    struct str effect = val_as_str(val_get(toleration, "effect"));
    if (effect.n && !str_eq(effect, val_as_str(val_get(taint, "effect"))))
        return false;
    if (key.n && !str_eq(key, val_as_str(val_get(taint, "key"))))
        return false;
    if (str_is(op, "Exists"))
        return true;
    return key.n &&
           str_eq(val_as_str(val_get(toleration, "value")), val_as_str(val_get(taint, "value")));
}

/* The first taint that keeps the pod off, or NULL. PreferNoSchedule never does. */
static const struct val *untolerated(const struct val *taints, const struct val *tolerations)
{
    for (size_t t = 0; t < val_len(taints); t++) {
        const struct val *taint = val_at(taints, t);
        bool ok = str_is(val_as_str(val_get(taint, "effect")), "PreferNoSchedule");
        for (size_t i = 0; !ok && i < val_len(tolerations); i++)
            ok = tolerates(val_at(tolerations, i), taint);
        if (!ok)
            return taint;
    }
    return NULL;
}

/* --- node affinity */

static bool in_values(const struct val *values, struct str text)
{
    for (size_t i = 0; i < val_len(values); i++)
        if (str_eq(val_as_str(val_at(values, i)), text))
            return true;
    return false;
}

static bool requirement_holds(const struct val *requirement, bool present, struct str text)
{
    struct str op = val_as_str(val_get(requirement, "operator"));
    const struct val *values = val_get(requirement, "values");
    int64_t have, want;
    if (str_is(op, "In"))
        return present && in_values(values, text);
    if (str_is(op, "NotIn"))
        return !present || !in_values(values, text);
    if (str_is(op, "Exists"))
        return present;
    if (str_is(op, "DoesNotExist"))
        return !present;
    if (!present || val_len(values) != 1 || !str_to_i64(text, &have) ||
        !str_to_i64(val_as_str(val_at(values, 0)), &want))
        return false;
    return str_is(op, "Gt") ? have > want : str_is(op, "Lt") && have < want;
}

static bool term_holds(const struct val *term, const struct pack_node *node)
{
    const struct val *labels = val_get(term, "matchExpressions"),
                     *fields = val_get(term, "matchFields");
    if (val_len(labels) == 0 && val_len(fields) == 0)
        return false; /* an empty term matches nothing */
    for (size_t i = 0; i < val_len(labels); i++) {
        const struct val *value =
            val_gets(node->labels, val_as_str(val_get(val_at(labels, i), "key")));
        if (!requirement_holds(val_at(labels, i), value != NULL, val_as_str(value)))
            return false;
    }
    for (size_t i = 0; i < val_len(fields); i++) {
        bool is_name = str_is(val_as_str(val_get(val_at(fields, i), "key")), "metadata.name");
        if (!is_name || !requirement_holds(val_at(fields, i), true, node->name))
            return false;
    }
    return true;
}

static bool affinity_holds(const struct val *spec, const struct pack_node *node)
{
    if (!kube_labels_match(val_get(spec, "nodeSelector"), node->labels))
        return false;
    const struct val *required =
        val_path(spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    const struct val *terms = val_get(required, "nodeSelectorTerms");
    if (!required)
        return true;
    for (size_t i = 0; i < val_len(terms); i++)
        if (term_holds(val_at(terms, i), node))
            return true;
    return false;
}

/* --- filter */

static bool resources_fit(struct arena *a, const struct pack_node *node,
                          const struct resource_list *requests, reason_vec *reasons)
{
    bool fits = true;
    struct quantity room = resource_get(&node->allocatable, "pods");
    if (!quantity_is_zero(room) && quantity_cmp(quantity_from_int(node->pods + 1), room) > 0) {
        charge(a, reasons, STR("Too many pods"));
        fits = false;
    }
    for (size_t i = 0; i < requests->n; i++) {
        struct resource_amount r = requests->items[i];
        if (quantity_is_zero(r.amount))
            continue;
        const char *name = arena_c(a, r.name);
        struct quantity left =
            quantity_sub(resource_get(&node->allocatable, name), resource_get(&node->used, name));
        if (quantity_cmp(r.amount, left) > 0) {
            charge(a, reasons, arena_strf(a, "Insufficient %s", name));
            fits = false;
        }
    }
    return fits;
}

static bool node_fits(struct arena *a, const struct pack_node *node, const struct val *spec,
                      const struct resource_list *requests, reason_vec *reasons)
{
    const struct val *taint = untolerated(node->taints, val_get(spec, "tolerations"));
    if (!node->ready) {
        charge(a, reasons, STR("node(s) were not ready"));
        return false;
    }
    if (node->unschedulable) {
        charge(a, reasons, STR("node(s) were unschedulable"));
        return false;
    }
    if (taint) {
        charge(a, reasons,
               arena_strf(a, "node(s) had untolerated taint {%s: %s}",
                          val_as_c(val_get(taint, "key")), val_as_c(val_get(taint, "value"))));
        return false;
    }
    if (!affinity_holds(spec, node)) {
        charge(a, reasons, STR("node(s) didn't match Pod's node affinity/selector"));
        return false;
    }
    return resources_fit(a, node, requests, reasons);
}

/* --- choice */

static struct quantity gpus_of(const struct resource_list *list)
{
    struct quantity sum = {0};
    for (size_t i = 0; i < list->n; i++)
        if (is_gpu(list->items[i].name))
            sum = quantity_add(sum, list->items[i].amount);
    return sum;
}

/* < 0: the pod should rather go to x. */
static int compare_nodes(const struct pack_node *x, const struct pack_node *y, bool wants_gpu)
{
    struct quantity gx = gpus_of(&x->allocatable), gy = gpus_of(&y->allocatable);
    if (!wants_gpu && quantity_is_zero(gx) != quantity_is_zero(gy))
        return quantity_is_zero(gx) ? -1 : 1;
    int c = quantity_cmp(quantity_sub(gx, gpus_of(&x->used)), quantity_sub(gy, gpus_of(&y->used)));
    if (c == 0)
        c = quantity_cmp(
            quantity_sub(resource_get(&x->allocatable, "cpu"), resource_get(&x->used, "cpu")),
            quantity_sub(resource_get(&y->allocatable, "cpu"), resource_get(&y->used, "cpu")));
    return c ? c : str_cmp(x->name, y->name);
}

static int compare_texts(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static struct str explain(struct arena *a, const reason_vec *reasons, size_t n_nodes)
{
    struct str *lines = arena_array_of(a, struct str, reasons->n + 1);
    struct buf out cleanup(buf_done) = BUF_INIT(16384);
    for (size_t i = 0; i < reasons->n; i++)
        lines[i] =
            arena_strf(a, "%d %.*s", reasons->items[i].count, STR_ARG(reasons->items[i].text));
    qsort(lines, reasons->n, sizeof(*lines), compare_texts);
    if (n_nodes == 0)
        return STR("no nodes available to schedule pods");
    buf_addf(&out, "0/%zu nodes are available: ", n_nodes);
    for (size_t i = 0; i < reasons->n; i++)
        buf_addf(&out, "%s%.*s", i ? ", " : "", STR_ARG(lines[i]));
    buf_addc(&out, '.');
    return arena_str(a, buf_str(&out));
}

int pack_place(struct arena *a, const struct pack_node *nodes, size_t n_nodes,
               const struct val *pod, struct pack_result *ret, struct err *err)
{
    const struct val *spec = val_get(pod, "spec");
    struct resource_list requests = {0};
    int rc = resource_pod_requests(a, spec, &requests, err);
    if (rc < 0)
        return rc;
    bool wants_gpu = !quantity_is_zero(gpus_of(&requests));
    reason_vec reasons = {0};
    ptrdiff_t best = -1;
    for (size_t i = 0; i < n_nodes; i++) {
        if (!node_fits(a, &nodes[i], spec, &requests, &reasons))
            continue;
        if (best < 0 || compare_nodes(&nodes[i], &nodes[best], wants_gpu) < 0)
            best = (ptrdiff_t)i;
    }
    *ret = (struct pack_result){.node = best,
                                .reason = best < 0 ? explain(a, &reasons, n_nodes) : STR_NULL};
    return 0;
}
