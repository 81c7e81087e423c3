/* Private to the runtime: the embedded node's parts and what they share.
 *
 * Everything here lives on the loop's thread. Read next: pod.c (a pod's states), container.c. */
#pragma once

#include "client/cache.h"
#include "io/spawn.h"
#include "runtime/env.h"
#include "runtime/image.h"
#include "runtime/log.h"
#include "runtime/runtime.h"

#define NODE_LEASE_NAMESPACE "kube-node-lease"
#define NODE_HOST_IP         "127.0.0.1"
#define NODE_MAX_PODS        110

struct events;
struct scheduler;
struct node_set;
struct local_pod;

struct runtime {
    struct loop *loop;
    struct kube_api *api;
    struct runtime_config config;
    enum spawn_isolation isolation;
    char limits[512];

    struct cache *pods, *nodes, *services, *secrets, *configmaps, *claims;
    struct log_hub *logs;
    struct image_store *images;
    struct events *events;
    struct scheduler *scheduler;
    struct node_set *node_set;
    struct http_client *http;  /* for probes and hooks */
    struct forward *api_relay; /* pods reach the API through it */
    struct forward *api_relay_443;
    char api_ip[16]; /* where pods reach the API */
    int api_port;

    struct local_pod *local; /* list, oldest first */
    struct map by_uid;       /* -> struct local_pod */
    unsigned network;        /* second octet of the pods' addresses */
    uint32_t last_ip;        /* low 16 bits given last */
    struct loop_timer *hosts_timer;

    int slots, slots_used; /* Ray starts at once */
    bool stopping;
    loop_fn stopped;
    void *stopped_ctx;
    struct loop_timer *stop_timer, *sync_timer;
    struct api_kubelet kubelet;
};

/* --- runtime.c */
void runtime_observe(struct runtime *rt, struct str key, struct str line);
bool runtime_synced(const struct runtime *rt);
/* How long to wait before something is tried again: shorter in tests. */
int64_t runtime_retry_ms(const struct runtime *rt, int64_t usual_ms);
void runtime_slot_release(struct runtime *rt); /* and wakes who waits */
void runtime_pod_gone(struct runtime *rt);     /* a pod of a stopping runtime is at rest */
void runtime_pod_stops(struct runtime *rt, struct str ns, struct str name, bool has_ended);
/* A request whose answer is only logged. */
void runtime_fire(struct runtime *rt, const struct kube_call *call);

/* --- event.c: core/v1 Events, equal ones counted. `field`: "spec.containers{name}" or NULL. */
struct events *events_new(struct runtime *rt);
struct events *events_free(struct events *events);
void event_emit(struct runtime *rt, const char *component, const struct val *object,
                const char *field, bool is_warning, const char *reason, const char *format, ...)
    PRINTF_LIKE(7, 8);

/* --- network.c: addresses and names of pods */
/* An address of this runtime's net that no live pod has. Dotted, into ret[16]. */
void network_allocate(struct runtime *rt, char ret[16]);
bool network_is_own(const struct runtime *rt, struct str ip);
/* Every pod's hosts file follows services and pods, a moment later. */
void network_changed(struct runtime *rt);
/* Writes the pod's hosts file now. */
int network_write_hosts(struct runtime *rt, const struct val *pod, struct str pod_ip,
                        const char *path, struct err *err) MUST_USE;
/* The text of a hosts file. Pure. `pods` and `services`: all there are. */
struct hosts_world {
    struct cache_list pods, services;
    struct str api_ip; /* of kubernetes.default.svc; empty: left out */
};
#define HOSTS_MAX_BYTES (1u << 20)
void hosts_print(struct arena *a, const struct hosts_world *world, const struct val *pod,
                 struct str pod_ip, struct buf *out);

/* --- nodes.c */
struct node_set *node_set_new(struct runtime *rt);
struct node_set *node_set_free(struct node_set *set);
bool node_set_is_ready(const struct node_set *set); /* all its nodes are known to the API */

/* --- scheduler.c */
struct scheduler *scheduler_new(struct runtime *rt);
struct scheduler *scheduler_free(struct scheduler *scheduler);
void scheduler_poke(struct scheduler *scheduler);
/* Every change of a pod and of a node; NULL scheduler allowed. */
void scheduler_pod_changed(struct scheduler *scheduler, const struct val *old,
                           const struct val *object);
void scheduler_node_changed(struct scheduler *scheduler, const struct val *old,
                            const struct val *object);

/* --- sweep.c: without PID namespaces, processes of a killed supervisor of this directory */
#define SWEEP_MARK "MOBULA_STATE"
int sweep_left_overs(const char *dir); /* how many were killed */

/* --- files.c */
/* Writes the whole file (same inode when it exists); false with errno. */
bool file_write(const char *path, struct str bytes, unsigned mode);
/* Removes a tree on a pool thread, without a callback. */
void files_remove_later(struct loop *loop, const char *path);
