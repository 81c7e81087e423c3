/* Quantities, exactly: "500m", "2G", "16Gi", "1e9", 4, 0.5.
 *
 * A quantity is a whole number of nano units in 128 bits: no float ever decides a placement.
 * Source: k8s.io/apimachinery api/resource (suffixes n u m "" k M G T P E, Ki Mi Gi Ti Pi Ei, e/E
 * exponents; finer than nano rounds up, away from zero). */
#pragma once

#include "base/err.h"
#include "value/value.h"

struct quantity {
    __int128 nano;
};

int quantity_parse(struct str text, struct quantity *ret, struct err *err) MUST_USE;
/* A string, an int or a float (as JSON holds them). NULL is an error. */
int quantity_of(const struct val *v, struct quantity *ret, struct err *err) MUST_USE;
struct quantity quantity_from_int(int64_t units);
/* Value rounded up (as Quantity.Value()), saturated at int64. */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q); /* rounded up, saturated */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);
int quantity_cmp(struct quantity a, struct quantity b);
bool quantity_is_zero(struct quantity q);
/* Canonical text in the form the quantity was written in: "binary" for Ki..Ei, "decimal" else.
 * 1024Mi -> 1Gi, 1000m -> 1, 1500m -> 1500m. Source: resource.Quantity.String(). */
enum quantity_form { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };
enum quantity_form quantity_form_of(struct str text);
struct str quantity_text(struct arena *a, struct quantity q, enum quantity_form form);
/* The API server's view of a written quantity: canonical text as a string value ("4" for 4). */
int quantity_canonical(struct arena *a, const struct val *v, const struct val **ret,
                       struct err *err) MUST_USE;

/* Maps of resources, {"cpu": .., "memory": ..}: for each key a quantity. Errors name the key. */
struct resource_amount {
    struct str name;
    struct quantity amount;
};
struct resource_list {
    struct resource_amount *items; /* sorted by name */
    size_t n;
};
int resource_list_of(struct arena *a, const struct val *map, struct resource_list *ret,
                     struct err *err) MUST_USE;
struct quantity resource_get(const struct resource_list *list,
                             const char *name); /* zero when absent */
/* list += other, in the arena. */
void resource_add(struct arena *a, struct resource_list *list, const struct resource_list *other);
/* What a pod asks of a node: max(sum of containers, each init container) + overhead; requests, where
 * absent limits. Source: k8s.io/component-helpers resource PodRequests. */
int resource_pod_requests(struct arena *a, const struct val *pod_spec, struct resource_list *ret,
                          struct err *err) MUST_USE;
