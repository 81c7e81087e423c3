/* What a client reads besides objects: Tables, bare metadata, discovery, OpenAPI. Private to
 * src/apiserver. */
#pragma once

#include "apiserver/apiserver.h"
#include "apiserver/resources.h"

const struct val *table_of_objects(struct arena *a, const struct resource *r,
                                   const struct val *answer, bool with_columns,
                                   struct str include_object, time_ms now);
const struct val *partial_metadata(struct arena *a, const struct val *answer);
/* NULL: no such path. */
const struct val *discovery_answer(struct apiserver *server, struct arena *a, struct str path,
                                   bool aggregated, bool *ret_aggregated);
const struct val *openapi_v3_answer(struct apiserver *server, struct arena *a, struct str path);
const struct val *openapi_v2_answer(struct apiserver *server, struct arena *a);
void openapi_v2_protobuf(struct arena *a, struct buf *out);
