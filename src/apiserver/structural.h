/* Kubernetes' own types as structural schemas, for definitions that contain them: a pod template in a CRD
 * is typed to the last leaf without its 3,000 lines standing in the source. Private to src/apiserver.
 * Read next: structural.c, types.h. */
#pragma once

#include "value/value.h"

/* `schema` with each node {$type: "core.v1.PodTemplateSpec", ...} replaced by that type's schema (with what
 * stands beside $type laid over it), and without null members. An unknown type is a bug. */
const struct val *structural_expand(struct arena *a, const struct val *schema);
