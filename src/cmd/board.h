/* The board: groups, pods, GPUs per node, and what waits and why, as one value and as text.
 *
 * board_make folds API objects (and the autoscaler's view, where there is one) into a value; that
 * value is what `status -o json` prints, what the live view draws, and what the demo reads.
 *
 *   {clusters: [{namespace, name, state, rayVersion, head: {pod, ip, ready},
 *                groups: [{name, min, max, wanted, pods, ready, gpusPerPod}],
 *                waiting: [{what, count, why, verdict, source}]}],
 *    nodes: [{name, ready, gpuProduct, gpus, gpusUsed, cpu, cpuUsed, memory, memoryUsed,
 *             holders: [{pod, group, label, gpus}]}],
 *    pods: [{namespace, name, cluster, group, node, status, ready, gpus, label, ip, why}]}
 *
 * Nothing here does I/O. Read next: cmd/view.c, cmd/status.c. */
#pragma once

#include "kube/kube.h"

struct board_list {
    const struct val **items;
    size_t n;
};

struct board_world {
    struct board_list clusters, pods, nodes, events;
    const struct val *autoscaler; /* object: "ns/name" -> view; or NULL */
};

const struct val *board_make(struct arena *a, const struct board_world *world);

struct board_style {
    bool color;
    bool wide;      /* pods of no cluster and addresses too */
    unsigned width; /* of a line; 0: not cut */
};
void board_print(struct arena *a, const struct val *board, const struct board_style *style,
                 struct buf *out);

/* One line of text for each thing on the board, "kind/name" -> "what it does": the difference of two shows what
 * changed. An object of strings. */
const struct val *board_facts(struct arena *a, const struct val *board);
