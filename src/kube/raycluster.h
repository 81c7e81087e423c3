/* RayCluster as the operator reads it: all defaulting and all validation in one place.
 *
 * The view borrows from the object and from its arena. Reading never fails on a strange spec: what is
 * missing gets its default; raycluster_validate then says what is wrong, with the field's path.
 * Rules: KubeRay 1.6 (ray-operator utils/validation.go) and the schema of its CRD.
 *
 * Read next: kube/pod_view.h, core/render/render.h. */
#pragma once

#include "kube/kube.h"
#include "kube/quantity.h"

#define RAYCLUSTER_MAX_NAME       53 /* leaves "-head-svc" and pod suffixes within 63 */
#define RAYCLUSTER_MAX_GROUPS     1000
#define RAYCLUSTER_GCS_PORT       6379
#define RAYCLUSTER_DASHBOARD_PORT 8265

#define RAY_LABEL_CLUSTER       "ray.io/cluster"
#define RAY_LABEL_GROUP         "ray.io/group"
#define RAY_LABEL_NODE_TYPE     "ray.io/node-type"
#define RAY_LABEL_IDENTIFIER    "ray.io/identifier"
#define RAY_LABEL_IS_RAY_NODE   "ray.io/is-ray-node"
#define RAY_LABEL_REPLICA_INDEX "ray.io/worker-group-replica-index"
#define RAY_LABEL_REPLICA_NAME  "ray.io/worker-group-replica-name"
#define RAY_LABEL_HOST_INDEX    "ray.io/replica-host-index"
#define RAY_HEAD_GROUP          "headgroup"

struct ray_group {
    const struct val *spec; /* the group's object in the cluster's spec */
    bool is_head;
    size_t index;    /* workers: place in spec.workerGroupSpecs */
    struct str name; /* "headgroup" for the head */
    const struct val *pod_template;
    const struct val *params;    /* rayStartParams, an object (maybe empty) */
    const struct val *resources; /* Ray's logical resources or NULL */
    const struct val *labels;    /* Ray's node labels or NULL */
    int32_t replicas;            /* as written, default 0 */
    int32_t min, max;            /* defaults 0, INT32_MAX */
    int32_t hosts;               /* pods of one replica, >= 1 */
    bool suspend;
    int64_t idle_timeout_s;              /* -1: none of its own */
    const struct val *workers_to_delete; /* array of names or NULL */
};

struct raycluster {
    const struct val *object, *spec;
    struct str ns, name, uid;
    int64_t generation;
    struct ray_group head;
    struct ray_group *groups;
    size_t n_groups;
    struct str ray_version;
    bool autoscaling;             /* enableInTreeAutoscaling */
    bool autoscaler_v2;           /* asked for, by options or by the head's environment */
    const struct val *autoscaler; /* autoscalerOptions or NULL */
    int64_t idle_timeout_s;       /* of the cluster: 60 */
    int upscaling;                /* 0 Default, 1 Aggressive, 2 Conservative */
    bool suspend;
    bool managed_elsewhere; /* spec.managedBy names another controller: not touched */
    bool recreate;          /* upgradeStrategy Recreate */
    bool token_auth;        /* authOptions.mode token */
    bool serve_service;     /* ray.io/enable-serve-service: "true" */
    bool gcs_ft;            /* fault tolerance by options or annotation */
    int gcs_port;           /* the head's rayStartParams port, default 6379 */
};

/* Only an object that is no RayCluster at all is an error. */
int raycluster_read(struct arena *a, const struct val *object, struct raycluster *ret,
                    struct err *err) MUST_USE;
/* metadata: ERR_INVALID with field metadata.name ...; spec: ERR_INVALID with the spec's path. */
int raycluster_validate_metadata(const struct raycluster *cluster, struct err *err) MUST_USE;
int raycluster_validate_spec(struct arena *a, const struct raycluster *cluster,
                             struct err *err) MUST_USE;

/* The cluster that an object belongs to: the one its label names, else the RayCluster that controls it;
 * empty when there is none. */
struct str raycluster_name_of(const struct val *object);
/* A pod of the cluster has ended by itself, or its Ray container has and will not be restarted.
 * Source: KubeRay shouldDeletePod. *ret_why, in the arena, only when it has. */
bool ray_pod_has_ended(struct arena *a, const struct val *pod, struct str *ret_why);
/* The head has started anew after the cluster had been in service, and nothing keeps its GCS's state: "restarted
 * at TIME: jobs and actors ... are gone". Empty when nothing is lost. */
struct str raycluster_lost(struct arena *a, const struct raycluster *cluster,
                           const struct val *head_pod, time_ms *ret_since);
/* The pod is among the group's scaleStrategy.workersToDelete. */
bool ray_group_gives_up(const struct ray_group *group, struct str pod);

/* Replicas within [min, max]; 0 when suspended. Times hosts = pods wanted. */
int32_t ray_group_wanted(const struct ray_group *group);
/* The Ray container: containers[0] of the template, or NULL. */
const struct val *ray_group_container(const struct ray_group *group);
/* "2.46.0" >= 2.52.0? false when the version cannot be read. */
bool ray_version_at_least(struct str version, int major, int minor);

/* rayStartParams.resources as written by people: '{"X": 1}' in single quotes, "{\"X\": 1}" escaped,
 * or bare JSON. An object of numbers, or NULL when it is none of these. */
const struct val *ray_params_resources(struct arena *a, struct str text);

/* What one pod of the group brings to Ray, as the page's autoscaler counts it: CPU, GPU, memory, custom
 * resources; from spec.resources, else rayStartParams, else the Ray container's limits (requests).
 * An object of numbers. */
const struct val *ray_group_shape(struct arena *a, const struct ray_group *group);

/* Names. */
struct str raycluster_head_service(struct arena *a, const struct raycluster *cluster);
struct str raycluster_service_account(struct arena *a, const struct raycluster *cluster);
/* Keeps the last 50 characters and makes the first one a letter. Source: KubeRay CheckName. */
struct str ray_check_name(struct arena *a, struct str name);
