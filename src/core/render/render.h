/* RayCluster -> the objects that make it run. PURE: the same cluster and options give the same objects.
 *
 * Names, labels, commands, environment and probes are KubeRay 1.6's, so that what users already have
 * (kubectl-ray, dashboards, NetworkPolicies, Kueue) goes on working; tests/golden/kuberay holds what a
 * real KubeRay made. Every object carries namespace and owner reference.
 *
 * Read next: render/ray_pod.c (a pod, step by step), render/command.c (ray start), core/reconcile/reconcile.h. */
#pragma once

#include "kube/raycluster.h"

enum render_autoscaler {
    RENDER_AUTOSCALER_NATIVE, /* in the operator: no sidecar */
    RENDER_AUTOSCALER_RAY,    /* Ray's own sidecar in the head pod, as KubeRay does */
};

struct render_options {
    enum render_autoscaler autoscaler;
    struct str cluster_domain; /* "cluster.local" */
    struct str version;        /* annotation ray.io/kuberay-version, and Ray's usage tags */
    /* KubeRay's switches, by their environment names: */
    bool no_init_container;       /* ENABLE_INIT_CONTAINER_INJECTION=false */
    bool no_probes;               /* ENABLE_PROBES_INJECTION=false */
    bool head_cluster_ip;         /* ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE=true */
    bool login_shell;             /* ENABLE_LOGIN_SHELL=true */
    bool deterministic_head_name; /* ENABLE_DETERMINISTIC_HEAD_POD_NAME=true */
};
#define RENDER_OPTIONS_DEFAULT                                                                     \
    ((struct render_options){.cluster_domain = STR("cluster.local"),                               \
                             .version = STR("mobula-" MOBULA_VERSION)})

const struct val *render_service_account(struct arena *a, const struct raycluster *cluster);
const struct val *render_role(struct arena *a, const struct raycluster *cluster);
const struct val *render_role_binding(struct arena *a, const struct raycluster *cluster);
const struct val *render_ingress(struct arena *a, const struct raycluster *cluster);
const struct val *render_head_service(struct arena *a, const struct raycluster *cluster,
                                      const struct render_options *options);
/* For groups of several hosts. */
const struct val *render_headless_service(struct arena *a, const struct raycluster *cluster);
/* Asked for by annotation; ERR_INVALID when the head has no port named serve. */
int render_serve_service(struct arena *a, const struct raycluster *cluster, const struct val **ret,
                         struct err *err) MUST_USE;
/* Key auth_token; the token is drawn by the caller. */
const struct val *render_auth_secret(struct arena *a, const struct raycluster *cluster,
                                     struct str token_base64);

const struct val *render_head_pod(struct arena *a, const struct raycluster *cluster,
                                  const struct render_options *options);
struct render_place {        /* of a worker pod within its group */
    int64_t replica;         /* index, the lowest free one */
    struct str replica_name; /* group of several hosts: shared by the replica's pods; else empty */
    int64_t host;
};
const struct val *render_worker_pod(struct arena *a, const struct raycluster *cluster,
                                    const struct ray_group *group, const struct render_place *place,
                                    const struct render_options *options);

/* Names that others look for. */
struct str render_headless_service_name(struct arena *a, const struct raycluster *cluster);
struct str render_serve_service_name(struct arena *a, const struct raycluster *cluster);
struct str render_ingress_name(struct arena *a, const struct raycluster *cluster);
struct str render_auth_secret_name(struct arena *a, const struct raycluster *cluster);
/* The selector and the labels by which the head service is known. */
const struct val *render_head_labels(struct arena *a, const struct raycluster *cluster);
/* Changes when pods would have to be made anew (everything but sizes): for the Recreate strategy. */
struct str render_spec_hash(struct arena *a, const struct raycluster *cluster);

/* "ray start ..." of a group, as it stands in the pod. */
struct str render_ray_start(struct arena *a, const struct raycluster *cluster,
                            const struct ray_group *group, const struct render_options *options);
struct str render_head_fqdn(struct arena *a, const struct raycluster *cluster,
                            const struct render_options *options);
