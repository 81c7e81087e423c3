/* Private to src/ray: a reply's bytes to a ray_state, and a report to bytes. */
#pragma once

#include "ray/ray.h"

#define RAY_MAX_UNPACKED_BYTES (256u << 20) /* the message tree of one reply */
#define RAY_MAX_NODES          50000u
#define RAY_MAX_SHAPES         200000u /* rows of pending, gangs' bundles, constraints: each */
#define RAY_MAX_RESOURCES      512u    /* of one node or shape */
#define RAY_MAX_TERMS          64u     /* label selector terms, labels of a node */
#define RAY_MAX_NAME_BYTES     1024u
#define RAY_MAX_AMOUNT         1e15

/* GetClusterResourceStateReply. Everything returned lives in the arena. */
int ray_state_decode(struct arena *a, struct str bytes, struct ray_state *ret,
                     struct err *err) MUST_USE;
/* DrainNodeReply. */
int ray_drain_decode(struct arena *a, struct str bytes, bool *ret_accepted,
                     struct str *ret_rejection, struct err *err) MUST_USE;
/* ReportAutoscalingStateRequest, in the arena. */
struct str ray_report_encode(struct arena *a, const struct ray_report *report);
/* A resource that belongs to a placement group: NAME_group_[INDEX_]ID. */
bool ray_is_group_resource(struct str name);
