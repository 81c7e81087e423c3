/* The world as the board needs it: pods by cluster and by node, counts by group, the last event about each pod.
 *
 * Kept up to date object by object, so that a drawing costs what it shows and not what there is. The same index
 * serves the live view (fed by its caches) and `status` (fed once). It holds references; it does no I/O.
 * Read next: board.c (folds it into a value). */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "cmd/board.h"

struct board_cluster;

struct board_node {
    const struct val *object; /* NULL: pods name a node that is not known */
    VEC(struct board_pod *) pods;
};

struct board_pod {
    const struct val *object;
    struct board_cluster *cluster; /* NULL: of none */
    struct board_node *node;
    int64_t gpus;
    int64_t ordinal; /* its letter: which replica of its group, or which pod of so many GPUs */
    bool ready, changed;
};

struct board_group {
    char *name;
    int64_t pods, ready;
};

struct board_cluster {
    char *key;                 /* "ns/name" */
    const struct val *object;  /* NULL: pods or events name one that is not known */
    const struct val *warning; /* the last one about it */
    const struct val *made;    /* the last event about a pod that was made */
    const struct val *autoscaler;
    VEC(struct board_pod *) pods; /* by age */
    VEC(struct board_group) groups;
    bool changed;
};

struct board_index {
    struct map clusters; /* "ns/name" -> struct board_cluster */
    struct map pods;     /* "ns/name" -> struct board_pod */
    struct map nodes;    /* name -> struct board_node */
    struct map events;   /* "ns/pod" -> the last warning about it, or that it is being ended */
    struct map seen;     /* GPUs of a pod -> how many pods had so many, as a pointer */
    VEC(struct board_cluster *) by_name;
    bool tells;
    VEC(struct board_subject) changed;
};

/* Text in the arena: what the pod asks for; nothing when it cannot be read. */
struct resource_list board_pod_asks(struct arena *a, const struct val *pod);
int board_pod_age_cmp(const struct val *left, const struct val *right);
struct board_group *board_group_find(const struct board_cluster *cluster, struct str name);
struct str board_event_time(const struct val *event); /* RFC 3339 */
int board_seconds_cmp(struct str left, struct str right);
/* Since its last warning a pod was made: what held it up does no longer. */
bool board_is_over(const struct board_cluster *cluster);
