/* What is served: a row for each version of each kind, built in (resources.c) or from a CRD. Private to
 * src/apiserver.
 *
 * A row never changes; an edit of its CRD puts another one in its place. A pointer from a lookup is
 * borrowed and good until the loop gets control back; whoever keeps one longer (an exchange, a watch)
 * holds a reference. Read next: resources.c, crd.c. */
#pragma once

#include "base/vec.h"
#include "client/client.h"

enum resource_flag {
    RES_STATUS = 1,            /* has the status subresource */
    RES_GENERATION = 2,        /* metadata.generation counts spec changes */
    RES_RETURNS = 4,           /* DELETE answers with the object, not with a Status */
    RES_GRACEFUL = 8,          /* pods */
    RES_CREATE_ONLY = 16,      /* answers a question, stores nothing */
    RES_NO_UNCONDITIONAL = 32, /* an update must name the resourceVersion */
    RES_SCALE = 64,
};

struct resource {
    size_t refs;
    struct kube_resource kube;
    const char *table;                    /* in the store; versions of one kind share it */
    const char *short_names, *categories; /* "po", "all,api-extensions"; may be NULL */
    unsigned flags;
    const struct val *crd;         /* the CustomResourceDefinition, or NULL */
    const struct val *crd_version; /* its entry in spec.versions */
    bool has_rules;                /* its schema has x-kubernetes-validations */
    bool is_storage;               /* this version's apiVersion is what the store holds */
    char api_version[128];         /* "v1", "apps/v1" */
};

struct resources {
    VEC(struct resource *) items; /* built in first, then those of CRDs */
    size_t built_in_n;
};

const struct resource *resource_ref(const struct resource *r); /* NULL allowed */
void resource_unref(const struct resource *r);                 /* NULL allowed */

void resources_init(struct resources *resources);
void resources_done(struct resources *resources);
const struct resource *resources_find(const struct resources *resources, struct str group,
                                      struct str version, struct str plural);
const struct resource *resources_by_kind(const struct resources *resources, struct str api_version,
                                         struct str kind);
const struct resource *resources_by_table(const struct resources *resources, struct str table);
/* The CRD's versions become resources; what it offered before goes. crd NULL: only removal. */
void resources_set_crd(struct resources *resources, struct str crd_name, const struct val *crd);

/* Between what the store holds and what a version shows. */
const struct val *resource_show(struct arena *a, const struct resource *r,
                                const struct val *stored);
const struct val *resource_stored(struct arena *a, const struct resource *r,
                                  const struct val *given);
