/* The nouns of Kubernetes that every layer shares: resources and their kinds, object identity,
 * metadata readers, labels and selectors, conditions, owner references.
 *
 * Objects themselves are values (value/value.h); this module reads and makes parts of them.
 * Read next: kube/quantity.h, kube/pod_view.h, kube/raycluster.h. */
#pragma once

#include "base/err.h"
#include "base/timefmt.h"
#include "value/value.h"

/* --- resources. One row per kind that the embedded API serves by itself; CRDs add rows at run time. */
struct kube_resource {
    const char *group;    /* "" for core */
    const char *version;  /* "v1" */
    const char *plural;   /* "pods" */
    const char *singular; /* "pod" */
    const char *kind;     /* "Pod" */
    const char *list_kind;
    bool namespaced;
};

/* The identity of an object within its resource. */
struct kube_name {
    struct str ns; /* empty for cluster-scoped */
    struct str name;
};

/* --- metadata */
struct str kube_ns(const struct val *object);
struct str kube_name(const struct val *object);
struct str kube_uid(const struct val *object);
struct str kube_kind(const struct val *object);
struct str kube_api_version(const struct val *object);
struct str kube_resource_version(const struct val *object);
int64_t kube_generation(const struct val *object);
const struct val *kube_labels(const struct val *object);
const struct val *kube_annotations(const struct val *object);
struct str kube_label(const struct val *object, const char *key);
struct str kube_annotation(const struct val *object, const char *key);
bool kube_is_deleting(const struct val *object); /* metadata.deletionTimestamp is set */
time_ms kube_created_at(const struct val *object);
/* "ns/name" or "name". */
struct str kube_key(struct arena *a, struct str ns, struct str name);
struct str kube_key_of(struct arena *a, const struct val *object);

/* --- names: NULL when fine, else the rule in words (Kubernetes' validation texts).
 * Source: k8s.io/apimachinery util/validation. */
const char *kube_check_dns1123_label(struct str s);
const char *kube_check_dns1123_subdomain(struct str s);
const char *kube_check_dns1035_label(struct str s);
const char *kube_check_qualified_name(struct str s); /* label and annotation keys */
const char *kube_check_label_value(struct str s);

/* The name of an event about `object`: "OBJECT.NUMBER" in hexadecimal, with the object's name cut so that
 * the whole is a name. The number tells it from others, as nanoseconds do in client-go's recorder. */
struct str kube_event_name(struct arena *a, struct str object, uint64_t number);

/* --- owner references */
/* {apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true} */
const struct val *kube_owner_ref(struct arena *a, const struct val *owner);
const struct val *kube_controller_of(const struct val *object); /* the owner reference or NULL */
bool kube_is_owned_by(const struct val *object, struct str owner_uid);

/* --- selectors */
struct kube_selector; /* parsed; lives in its arena; NULL selects all */
/* "a=b,c!=d,e in (x,y),f notin (z),g,!h" */
int kube_selector_parse(struct arena *a, struct str text, const struct kube_selector **ret,
                        struct err *err) MUST_USE;
/* {matchLabels, matchExpressions}; NULL or {} selects all. */
int kube_selector_of(struct arena *a, const struct val *label_selector,
                     const struct kube_selector **ret, struct err *err) MUST_USE;
bool kube_selector_matches(const struct kube_selector *s, const struct val *labels);
/* True when every member of `selector` (a Service's map) is in `labels`. */
bool kube_labels_match(const struct val *selector, const struct val *labels);

/* --- conditions: {type, status, reason, message, lastTransitionTime} */
const struct val *kube_condition(const struct val *conditions, const char *type); /* or NULL */
bool kube_condition_is(const struct val *conditions, const char *type, const char *status);
/* Sets one; lastTransitionTime changes only when status changes. `conditions` may be NULL.
 * Source: k8s.io/apimachinery api/meta SetStatusCondition. */
const struct val *kube_condition_set(struct arena *a, const struct val *conditions,
                                     const char *type, const char *status, struct str reason,
                                     struct str message,
                                     int64_t observed_generation /* < 0: left out */, time_ms now);
const struct val *kube_condition_remove(struct arena *a, const struct val *conditions,
                                        const char *type);

/* --- strategic merge patch: the schema of a kind (for val_patch_strategic); NULL for kinds that have
 * none, as custom resources: those take JSON and merge patches only (HTTP 415 else). */
const struct val_merge_schema *kube_merge_schema_for(struct str group, struct str kind);
