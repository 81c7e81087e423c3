/* The embedded node: virtual nodes, a scheduler, pods as local processes with real Ray.
 *
 * Speaks to the cluster only through struct kube_api (as a kubelet and a scheduler do). Each pod has
 * a PID and a mount namespace and a loopback address of its own; a pod's init (the same binary as
 * `mobula pod-init`, PID 1 of the namespace) dies with the supervisor, so nothing is left behind.
 *
 * Read next: runtime/pod.c (states of a pod), runtime/sandbox.c (namespaces), runtime/image.c (Ray by pip). */
#pragma once

#include "client/client.h"
#include "client/kubelet.h"
#include "runtime/recipe.h"

/* imageID of a container with a Ray environment: this and the environment's key, "2.46.0-py311-all". */
#define RUNTIME_RAY_IMAGE_ID "mobula://ray-"

struct runtime;

struct runtime_config {
    const char *dir;                            /* state: pods/, volumes/, logs/ */
    const char *cache_dir;                      /* Ray environments: ~/.cache/mobula */
    int nodes;                                  /* GPU nodes */
    int gpus;                                   /* per GPU node */
    const char *gpu_product;                    /* label nvidia.com/gpu.product */
    const char *cpu, *memory;                   /* per GPU node, logical: "64", "1Ti" */
    const char *cpu_node_cpu, *cpu_node_memory; /* the CPU node; NULL: the same */
    struct recipe_book images;                  /* what images hold, besides the built-in table */
    int concurrent_starts;                      /* Ray starts at once; 0: one per core */
    const char *self_exe;                       /* path of the mobula binary (pod-init) */
    const char *podnet_so;                      /* path of libmobula-podnet.so */
    struct str (*token)(void *ctx, struct arena *a, struct str ns,
                        struct str account); /* for pods */
    struct str (*ca)(void *ctx);
    void *ctx;
    /* spec.rayVersion of a pod's RayCluster: for images that name no Ray. Or NULL. */
    struct str (*cluster_ray_version)(void *ctx, struct arena *a, struct str ns,
                                      struct str cluster);
    struct str api_url; /* https://127.0.0.1:PORT, for pods */

    /* Progress lines for a live view, or NULL. key: "ray-2.46.0-py311" or "NS/POD". */
    void (*observe)(void *ctx, struct str key, struct str line);
    /* runtime_stop has begun with this pod, or it has ended; its object stays as it was. Or NULL. */
    void (*pod_stops)(void *ctx, struct str ns, struct str name, bool has_ended);
    int64_t back_off_ms;        /* first restart back-off, doubled up to 30 times; 0: 10 s */
    int64_t object_store_bytes; /* of each Ray node that names no size itself; 0: 100 MB */
    bool no_namespaces;         /* do without, as on a host that has none (tests) */
};

int runtime_new(struct loop *loop, struct kube_api *api, const struct runtime_config *config,
                struct runtime **ret, struct err *err) MUST_USE;
/* Ends all pods in order (hooks, TERM, grace, KILL), objects stay in the API; then calls done, which
 * may free the runtime. */
void runtime_stop(struct runtime *runtime, loop_fn done, void *ctx);
struct runtime *runtime_free(struct runtime *runtime); /* kills what is left */
const struct api_kubelet *runtime_kubelet(struct runtime *runtime);
/* What a user must know: "no PID namespaces here: `ray stop` in a hook would ..." (lines) or "". */
const char *runtime_limits(const struct runtime *runtime);
/* `mobula pod-init`: PID 1 of a pod. Never returns to the caller's main loop. */
int runtime_pod_init(int argc, char **argv);
