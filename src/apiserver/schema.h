/* Structural schemas and the CustomResourceDefinitions that bring them. Private to src/apiserver. */
#pragma once

#include "apiserver/request.h"
#include "store/store.h"

/* --- schema.c: structural schemas of CRDs */
const struct val *schema_prune(struct arena *a, const struct val *schema, const struct val *object,
                               struct api_causes *unknown_or_null);
const struct val *schema_default(struct arena *a, const struct val *schema,
                                 const struct val *object);
void schema_validate(struct arena *a, const struct val *schema, const struct val *value,
                     struct str path, struct api_causes *causes);
const struct val *resource_schema(const struct resource *r); /* NULL: none */

/* --- crd.c */
void crd_changed(struct apiserver *server, const struct store_event *event);
const struct val *crd_prepare(struct api_request *rq,
                              const struct val *crd); /* names, conditions */
void crd_validate(struct api_request *rq, const struct val *crd, const struct val *old,
                  struct api_causes *causes);
int crd_install_built_in(struct apiserver *server, struct err *err);
extern const char crd_raycluster_yaml[];
