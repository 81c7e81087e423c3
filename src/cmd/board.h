/* The board: groups, pods, GPUs per node, and what waits and why, as one value and as text.
 *
 * board_make folds the index of API objects (and the autoscaler's views, where there are) into a value; that
 * value is what `status -o json` prints, what the live view draws, and what the demo reads. A live view asks
 * for no more rows than it has lines.
 *
 *   {clusters: [{namespace, name, state, rayVersion, environment, head: {pod, ip, ready,
 *                dashboard, client, gcs},
 *                groups: [{name, min, max, wanted, pods, ready, gpusPerPod}],
 *                waiting: [{what, count, why, verdict, source}]}],
 *    nodes: [{name, ready, gpuProduct, gpus, gpusUsed, cpu, cpuUsed, memory, memoryUsed,
 *             holders: [{pod, group, label, gpus}]}],
 *    pods: [{namespace, name, cluster, group, node, status, ready, gpus, label, ip, why}],
 *    hidden: {clusters, nodes, pods}}  (only with limits, and only what is left out)
 *
 * Nothing here does I/O. Read next: cmd/view.c, cmd/status.c. */
#pragma once

#include "kube/kube.h"

enum board_kind { BOARD_CLUSTER, BOARD_POD, BOARD_NODE, BOARD_EVENT, _BOARD_KIND_MAX };

/* --- the index (board_index.c): the world, object by object, as a drawing needs it */
struct board_index;
struct board_index *
board_index_new(bool tells); /* tells: keeps what changed for board_index_changed */
struct board_index *board_index_free(struct board_index *index); /* NULL allowed */
void board_index_put(struct board_index *index, enum board_kind kind, const struct val *object);
void board_index_drop(struct board_index *index, enum board_kind kind, const struct val *object);
void board_index_autoscaler(struct board_index *index, struct str ns, struct str name,
                            const struct val *view);       /* NULL: none */
void board_index_no_autoscaler(struct board_index *index); /* of no cluster */
const struct val *board_index_autoscalers(const struct board_index *index,
                                          struct arena *a); /* "ns/name" -> view */
/* Clusters and pods that changed and were not told of yet, each once; at most `max` now. */
struct board_subject {
    enum board_kind kind;
    struct str key; /* "ns/name" */
};
size_t board_index_changed(struct board_index *index, struct arena *a, size_t max,
                           struct board_subject **ret_subjects);
size_t board_index_clusters(const struct board_index *index);
/* Of the first cluster that has a running head. */
bool board_index_head_ip(const struct board_index *index, char ret_ip[64]);

/* --- the board. It holds at most so many rows of each; "hidden" counts what is left out. */
struct board_limits {
    size_t clusters, nodes, pods, waiting;
};
#define BOARD_ALL ((struct board_limits){SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX})
const struct val *board_make(struct arena *a, const struct board_index *index,
                             const struct board_limits *limits);

struct board_style {
    bool color;
    bool wide;      /* pods of no cluster and addresses too */
    unsigned width; /* of a line; 0: not cut */
};
void board_print(struct arena *a, const struct val *board, const struct board_style *style,
                 struct buf *out);

/* What a cluster or a pod does, a line of text for each thing, "kind name" -> text: two of these tell what
 * changed. An object of strings, empty when the subject is gone. */
const struct val *board_facts(struct arena *a, const struct board_index *index,
                              const struct board_subject *subject);
