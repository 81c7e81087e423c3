/* OpenAPI documents: private to openapi*.c. */
#pragma once

#include "apiserver/types.h"
#include "apiserver/resources.h"

struct str openapi_type_name(struct arena *a, struct str type);
struct str openapi_kind_name(struct arena *a, const struct resource *r);
const struct val *openapi_ref(struct arena *a, struct str name);
const struct val *openapi_gvk(struct arena *a, const struct resource *r);

/* openapi_paths.c: the resource's paths with their operations, put into `paths`. */
const struct val *openapi_add_paths(struct arena *a, const struct val *paths,
                                    const struct resource *r);
/* openapi_about.c: one sentence on a type ("" as field) or a field of it, or NULL. */
const char *openapi_about(const char *type, struct str field);
