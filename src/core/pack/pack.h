/* Placement: which node takes this pod, or why none does. PURE.
 *
 * Thin version: filters as kube-scheduler's (resources, nodeSelector, required nodeAffinity, taints,
 * unschedulable), then the fullest node that fits (MostAllocated on GPUs first, so that whole nodes
 * stay whole). Order of nodes makes no difference: ties go to the smaller name. */
#pragma once

#include "kube/quantity.h"

struct pack_node {
    struct str name;
    const struct val *labels;
    const struct val *taints; /* spec.taints or NULL */
    bool unschedulable;
    bool ready;
    struct resource_list allocatable;
    struct resource_list used; /* sum of the requests of the pods bound to it */
    int64_t pods;              /* bound pods */
};

struct pack_result {
    ptrdiff_t node; /* index or -1 */
    struct str
        reason; /* kube-scheduler's sentence: "0/5 nodes are available: 4 Insufficient nvidia.com/gpu, ..." */
};

int pack_place(struct arena *a, const struct pack_node *nodes, size_t n_nodes,
               const struct val *pod, struct pack_result *ret, struct err *err) MUST_USE;
