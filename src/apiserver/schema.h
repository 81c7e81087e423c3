/* Structural schemas and the CustomResourceDefinitions that bring them. Private to src/apiserver. */
#pragma once

#include "apiserver/request.h"
#include "store/store.h"

/* --- schema.c: structural schemas of CRDs */
const struct val *schema_prune(struct arena *a, const struct val *schema, const struct val *object,
                               struct api_causes *unknown_or_null);
const struct val *schema_default(struct arena *a, const struct val *schema,
                                 const struct val *object);
struct patterns;
struct schema_subject {
    const struct val *schema, *object;
    const struct val *old; /* of an update: what it leaves as it was is not looked at; or NULL */
    struct patterns *patterns;
    bool only_status, has_rules;
};
void schema_validate(const struct schema_subject *subject, struct api_causes *causes);
const struct val *resource_schema(const struct resource *r); /* NULL: none */

/* --- schema_list.c, schema_rules.c: parts of validation */
void schema_check_lists(const struct val *schema, const struct val *v, struct api_causes *causes);
void schema_check_rules(const struct val *schema, const struct val *v, const struct val *old,
                        struct api_causes *causes);
bool schema_has_rules(const struct val *schema);
bool schema_rule_is_known(struct arena *a, const struct val *rule); /* else: never evaluated */

/* --- crd.c */
void crd_changed(struct apiserver *server, const struct store_event *event);
const struct val *crd_prepare(struct api_request *rq,
                              const struct val *crd); /* names, conditions */
void crd_validate(struct api_request *rq, const struct val *crd, const struct val *old,
                  struct api_causes *causes);
/* crd_schema.c: what the versions' schemas may be; warns of rules that are not evaluated. */
void crd_check_schemas(struct api_request *rq, const struct val *versions,
                       struct api_causes *causes);
int crd_install_built_in(struct apiserver *server, struct err *err);
extern const char crd_raycluster_yaml[];
