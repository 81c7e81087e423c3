/* The virtual nodes: Node objects with logical capacity, and their heartbeats.
 *
 * GPU nodes are gpu-0 .. gpu-N-1, the CPU node is cpu-0. A node that is there already (a second start)
 * keeps its uid, labels and taints of others and gets our status again. Source of the fields: a
 * kubelet's registration (k8s.io/kubernetes pkg/kubelet/nodestatus). */
#include "runtime/internal.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define LEASE_PERIOD_MS 10000
#define LEASE_SECONDS   40
#define STATUS_BEATS    30 /* the status is written again every so many heartbeats */
#define NODES_MAX       1000
#define NODE_SET_GONE   (SIZE_MAX / 2 + 1) /* flag beside the count of calls */

struct own_node {
    struct node_set *set;
    char name[32];
    bool has_gpus;
    bool is_registered;
    bool was_registered; /* at least once in this life */
};

struct node_set {
    struct runtime *rt;
    struct own_node *nodes;
    size_t n;
    struct loop_timer *heartbeat;
    unsigned beats;
    time_ms started_at;
    size_t *alive; /* shared with calls on their way: how many, and NODE_SET_GONE */
};

static bool is_arm(void)
{
#if defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

static const struct val *capacity(const struct node_set *set, struct arena *a, bool has_gpus)
{
    const struct runtime_config *c = &set->rt->config;
    const char *cpu = has_gpus ? c->cpu : c->cpu_node_cpu ? c->cpu_node_cpu : c->cpu;
    const char *memory = has_gpus ? c->memory : c->cpu_node_memory ? c->cpu_node_memory : c->memory;
    struct statvfs fs;
    unsigned long long kib =
        statvfs(c->dir, &fs) == 0 ? (unsigned long long)fs.f_bavail * fs.f_frsize >> 10 : 1u << 20;
    return val_obj(a, "cpu", val_text(a, cpu ? cpu : "64"), "memory",
                   val_text(a, memory ? memory : "1Ti"), "nvidia.com/gpu",
                   has_gpus ? val_textf(a, "%d", c->gpus) : NULL, "pods",
                   val_textf(a, "%d", NODE_MAX_PODS), "ephemeral-storage",
                   val_textf(a, "%lluKi", kib), "hugepages-2Mi", val_text(a, "0"));
}

static const struct val *condition(struct arena *a, const char *type, bool status,
                                   const char *reason, const char *message, struct str now,
                                   struct str since)
{
    return val_obj(a, "type", val_text(a, type), "status", val_text(a, status ? "True" : "False"),
                   "reason", val_text(a, reason), "message", val_text(a, message),
                   "lastHeartbeatTime", val_string(a, now), "lastTransitionTime",
                   val_string(a, since));
}

static const struct val *conditions(const struct node_set *set, struct arena *a)
{
    struct str now = time_rfc3339(a, loop_wall_ms(set->rt->loop)),
               since = time_rfc3339(a, set->started_at);
    const struct val *items[] = {
        condition(a, "MemoryPressure", false, "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available", now, since),
        condition(a, "DiskPressure", false, "KubeletHasNoDiskPressure",
                  "kubelet has no disk pressure", now, since),
        condition(a, "PIDPressure", false, "KubeletHasSufficientPID",
                  "kubelet has sufficient PID available", now, since),
        condition(a, "Ready", true, "KubeletReady", "mobula runs pods as local processes", now,
                  since),
    };
    return val_array(a, items, ARRAY_SIZE(items));
}

static const struct val *node_info(struct arena *a)
{
    struct utsname host;
    if (uname(&host) < 0)
        memset(&host, 0, sizeof(host));
    return val_obj(a, "architecture", val_text(a, is_arm() ? "arm64" : "amd64"), "operatingSystem",
                   val_text(a, "linux"), "kernelVersion", val_text(a, host.release), "osImage",
                   val_textf(a, "%s (mobula virtual node)", host.sysname),
                   "containerRuntimeVersion", val_text(a, "mobula://" MOBULA_VERSION),
                   "kubeletVersion", val_text(a, "v1.35.0-mobula." MOBULA_VERSION),
                   "kubeProxyVersion", val_text(a, ""), "machineID", val_text(a, ""), "systemUUID",
                   val_text(a, ""), "bootID", val_text(a, ""));
}

static const struct val *status_value(const struct node_set *set, struct arena *a,
                                      const struct own_node *node)
{
    const struct val *addresses[] = {
        val_obj(a, "type", val_text(a, "InternalIP"), "address", val_text(a, NODE_HOST_IP)),
        val_obj(a, "type", val_text(a, "Hostname"), "address", val_text(a, node->name))};
    const struct val *room = capacity(set, a, node->has_gpus);
    return val_obj(a, "capacity", room, "allocatable", room, "conditions", conditions(set, a),
                   "addresses", val_array(a, addresses, 2), "nodeInfo", node_info(a),
                   "daemonEndpoints",
                   val_obj(a, "kubeletEndpoint", val_obj(a, "Port", val_int(a, 10250))));
}

static const struct val *node_value(const struct node_set *set, struct arena *a,
                                    const struct own_node *node)
{
    const struct runtime_config *c = &set->rt->config;
    const char *arch = is_arm() ? "arm64" : "amd64";
    const char *product = c->gpu_product ? c->gpu_product : "NVIDIA-A100-SXM4-80GB";
    const struct val *labels = val_obj(
        a, "kubernetes.io/hostname", val_text(a, node->name), "kubernetes.io/arch",
        val_text(a, arch), "kubernetes.io/os", val_text(a, "linux"), "beta.kubernetes.io/arch",
        val_text(a, arch), "beta.kubernetes.io/os", val_text(a, "linux"),
        "node.kubernetes.io/instance-type", val_text(a, "mobula-virtual"), "nvidia.com/gpu.product",
        node->has_gpus ? val_text(a, product) : NULL, "nvidia.com/gpu.count",
        node->has_gpus ? val_textf(a, "%d", c->gpus) : NULL, "nvidia.com/gpu.present",
        node->has_gpus ? val_text(a, "true") : NULL);
    return val_obj(a, "apiVersion", val_text(a, "v1"), "kind", val_text(a, "Node"), "metadata",
                   val_obj(a, "name", val_text(a, node->name), "labels", labels), "spec",
                   val_obj(a, "providerID", val_textf(a, "mobula://%s", node->name)), "status",
                   status_value(set, a, node));
}

/* --- calls. Each carries the node's index and the set's life sign. */

struct node_call {
    size_t *alive;
    struct own_node *node;
};

static struct node_call *node_call(struct own_node *node)
{
    struct node_call *call = xcalloc(1, sizeof(*call));
    *call = (struct node_call){.alive = node->set->alive, .node = node};
    ++*call->alive;
    return call;
}

/* The node, or NULL when the set is gone. */
static struct own_node *node_of(struct node_call *call)
{
    struct own_node *node = call->node;
    size_t *alive = call->alive;
    free(call);
    bool set_is_gone = (*alive & NODE_SET_GONE) != 0;
    --*alive;
    if (set_is_gone && (*alive & ~NODE_SET_GONE) == 0)
        free(alive);
    return set_is_gone ? NULL : node;
}

static void call_node(struct own_node *node, enum kube_verb verb, const char *sub,
                      const struct val *body, kube_done_fn done)
{
    struct kube_call call = {.verb = verb,
                             .group = "",
                             .version = "v1",
                             .plural = "nodes",
                             .name = verb == KUBE_CREATE ? STR_NULL : str_of(node->name),
                             .subresource = sub,
                             .patch_type = KUBE_PATCH_MERGE,
                             .body = body,
                             .field_manager = STR("kubelet")};
    kube_request(node->set->rt->api, &call, done, node_call(node));
}

static void status_written(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct own_node *node = node_of(ctx);
    if (!node)
        return;
    if (rc == 0) {
        node->is_registered = node->was_registered = true;
        cache_observe(node->set->rt->nodes, answer);
        scheduler_poke(node->set->rt->scheduler);
    } else if (err->code == ERR_NOT_FOUND) {
        node->is_registered = false; /* the next heartbeat makes it again */
    }
}

static void write_status(struct own_node *node)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    call_node(node, KUBE_PATCH, "status", val_obj(a, "status", status_value(node->set, a, node)),
              status_written);
}

static void labels_written(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct own_node *node = node_of(ctx);
    if (node)
        write_status(node);
}

static void node_created(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct own_node *node = node_of(ctx);
    if (!node)
        return;
    struct runtime *rt = node->set->rt;
    if (rc == 0)
        event_emit(rt, "kubelet", answer, NULL, false, "RegisteredNode",
                   "Node %s is a virtual node of mobula", node->name);
    if (rc < 0 && err->code != ERR_EXISTS && err->code != ERR_CONFLICT)
        return; /* tried again at the next heartbeat */
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *labels = kube_labels(node_value(node->set, a, node));
    call_node(node, KUBE_PATCH, NULL, val_obj(a, "metadata", val_obj(a, "labels", labels)),
              labels_written);
}

static void register_node(struct own_node *node)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    call_node(node, KUBE_CREATE, NULL, node_value(node->set, a, node), node_created);
}

/* --- leases */

static void lease_created(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    (void)node_of(ctx);
}

static const struct val *lease_spec(struct own_node *node, struct arena *a)
{
    struct str now = time_rfc3339_micro(a, loop_wall_ms(node->set->rt->loop));
    return val_obj(a, "holderIdentity", val_text(a, node->name), "leaseDurationSeconds",
                   val_int(a, LEASE_SECONDS), "renewTime", val_string(a, now));
}

static struct kube_call lease_call(enum kube_verb verb, struct own_node *node,
                                   const struct val *body)
{
    return (struct kube_call){.verb = verb,
                              .group = "coordination.k8s.io",
                              .version = "v1",
                              .plural = "leases",
                              .ns = STR(NODE_LEASE_NAMESPACE),
                              .name = verb == KUBE_CREATE ? STR_NULL : str_of(node->name),
                              .patch_type = KUBE_PATCH_MERGE,
                              .body = body};
}

static void lease_renewed(void *ctx, int rc, const struct val *answer, const struct err *err)
{
    struct own_node *node = node_of(ctx);
    if (!node || rc == 0 || err->code != ERR_NOT_FOUND)
        return;
    struct arena *a cleanup(cleanup_arena) = arena_new();
    const struct val *body = val_obj(
        a, "apiVersion", val_text(a, "coordination.k8s.io/v1"), "kind", val_text(a, "Lease"),
        "metadata",
        val_obj(a, "name", val_text(a, node->name), "namespace", val_text(a, NODE_LEASE_NAMESPACE)),
        "spec", lease_spec(node, a));
    struct kube_call call = lease_call(KUBE_CREATE, node, body);
    kube_request(node->set->rt->api, &call, lease_created, node_call(node));
}

static void renew_lease(struct own_node *node)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct kube_call call = lease_call(KUBE_PATCH, node, val_obj(a, "spec", lease_spec(node, a)));
    kube_request(node->set->rt->api, &call, lease_renewed, node_call(node));
}

static void heartbeat(void *ctx)
{
    struct node_set *set = ctx;
    set->beats++;
    for (size_t i = 0; i < set->n; i++) {
        if (!set->nodes[i].is_registered)
            register_node(&set->nodes[i]);
        else if (set->beats % STATUS_BEATS == 0)
            write_status(&set->nodes[i]);
        renew_lease(&set->nodes[i]);
    }
}

struct node_set *node_set_new(struct runtime *rt)
{
    struct node_set *set = xcalloc(1, sizeof(*set));
    size_t gpu_nodes =
        rt->config.gpus > 0 ? (size_t)MIN_OF(MAX_OF(rt->config.nodes, 0), NODES_MAX) : 0;
    set->rt = rt;
    set->alive = xcalloc(1, sizeof(*set->alive));
    set->started_at = loop_wall_ms(rt->loop);
    set->n = gpu_nodes + 1;
    set->nodes = xcalloc(set->n, sizeof(*set->nodes));
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct kube_call ns = {.verb = KUBE_CREATE,
                           .group = "",
                           .version = "v1",
                           .plural = "namespaces",
                           .body = val_obj(a, "apiVersion", val_text(a, "v1"), "kind",
                                           val_text(a, "Namespace"), "metadata",
                                           val_obj(a, "name", val_text(a, NODE_LEASE_NAMESPACE)))};
    runtime_fire(rt, &ns);
    for (size_t i = 0; i < set->n; i++) {
        struct own_node *node = &set->nodes[i];
        node->set = set;
        node->has_gpus = i < gpu_nodes;
        snprintf(node->name, sizeof(node->name), node->has_gpus ? "gpu-%zu" : "cpu-0", i);
    }
    set->heartbeat = loop_every(rt->loop, LEASE_PERIOD_MS, heartbeat, set);
    heartbeat(set);
    return set;
}

bool node_set_is_ready(const struct node_set *set)
{
    for (size_t i = 0; set && i < set->n; i++)
        if (!set->nodes[i].was_registered)
            return false;
    return set != NULL;
}

struct node_set *node_set_free(struct node_set *set)
{
    if (!set)
        return NULL;
    loop_timer_free(set->heartbeat);
    if (*set->alive == 0)
        free(set->alive);
    else
        *set->alive |= NODE_SET_GONE;
    free(set->nodes);
    free(set);
    return NULL;
}
