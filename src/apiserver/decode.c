/* What kube-apiserver's decoder does with an object before anything looks at it: a value of a wrong type
 * fails (400), fields that the kind does not have are dropped, and fieldValidation says whether silently,
 * with warnings or as a failure. Built-in kinds are checked against the table of types, custom ones against
 * their schema (which checks types later, as validation).
 * Source: kubernetes.io "Server-side field validation". Read next: types.h, schema.c. */
#include "apiserver/types.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/schema.h"
#include "apiserver/write.h"
#include "base/base64.h"

#include "base/pace.h"
#include "kube/quantity.h"

/* --- texts that have a form: quantities, times, base64 */

static struct str bad_text(struct arena *a, char letter, const struct val *v)
{
    struct quantity q;
    struct err err = ERR_INIT;
    struct str ignored;
    time_ms t;
    if (letter == 'q' && quantity_of(v, &q, &err) < 0)
        return STR("quantities must match the regular expression "
                   "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    if (letter == 'y' && val_is(v, VAL_STRING) &&
        !base64_decode(a, val_as_str(v), BASE64_STANDARD, &ignored))
        return STR("illegal base64 data at input byte 0");
    if ((letter == 't' || letter == 'u') && val_is(v, VAL_STRING) && val_len(v) &&
        !time_parse_rfc3339(val_as_str(v), &t))
        return arena_strf(
            a,
            "parsing time \"%s\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"%s\" as "
            "\"2006\"",
            val_as_c(v), val_as_c(v));
    return STR_NULL;
}

struct cleaner {
    struct arena *a;
    struct str wrong; /* the first bad text */
};

static const struct val *clean_type(struct cleaner *c, const struct type *type,
                                    const struct val *v);

static const struct val *clean_one(struct cleaner *c, struct str type, const struct val *v)
{
    if (!type_is_scalar(type))
        return clean_type(c, type_find(type), v);
    if (!c->wrong.n && !val_is(v, VAL_NULL))
        c->wrong = bad_text(c->a, type.p[0], v);
    return v;
}

struct cleaning {
    struct cleaner *cleaner;
    const struct type *type;        /* of the struct whose members are walked */
    const struct type_field *field; /* whose items are walked */
};

static const struct val *clean_item(void *ctx, struct str key, size_t i, const struct val *item)
{
    struct cleaning *c = ctx;
    return clean_one(c->cleaner, c->field->type, item);
}

/* NULL: the type has no such member. */
static const struct val *clean_member(void *ctx, struct str key, size_t i, const struct val *v)
{
    struct cleaning *c = ctx;
    struct type_field f;
    if (!type_field_find(c->type, key, &f))
        return NULL;
    if (!f.shape)
        return clean_one(c->cleaner, f.type, v);
    struct cleaning items = {.cleaner = c->cleaner, .field = &f};
    bool as_said = val_is(v, f.shape == '[' ? VAL_ARRAY : VAL_OBJECT);
    return as_said ? val_map(c->cleaner->a, v, clean_item, &items) : v;
}

static const struct val *clean_type(struct cleaner *c, const struct type *type, const struct val *v)
{
    struct cleaning members = {.cleaner = c, .type = type};
    return type && val_is(v, VAL_OBJECT) ? val_map(c->a, v, clean_member, &members) : v;
}

/* --- what fieldValidation makes of unknown fields and of keys that came twice */

static int strict_faults(struct api_request *rq, const struct str *unknown, size_t n)
{
    struct str mode = api_param(rq, "fieldValidation");
    const struct kube_resource *k = &rq->resource->kube;
    VEC(struct str) faults = {0};
    if (str_is(mode, "Ignore"))
        return 0;
    for (size_t i = 0; i < rq->repeated.n; i++)
        vec_push(&faults, rq->arena,
                 arena_strf(rq->arena, "duplicate field \"%.*s\"", STR_ARG(rq->repeated.items[i])));
    for (size_t i = 0; i < n; i++)
        vec_push(&faults, rq->arena,
                 arena_strf(rq->arena, "unknown field \"%.*s\"", STR_ARG(unknown[i])));
    bool strict = str_is(mode, "Strict");
    for (size_t i = 0; !strict && i < faults.n; i++)
        vec_push(&rq->warnings, rq->arena, faults.items[i]);
    if (!strict || faults.n == 0)
        return 0;
    struct buf text cleanup(buf_done) = BUF_INIT(64u << 10);
    for (size_t i = 0; i < faults.n; i++)
        buf_addf(&text, "%s%.*s", i ? ", " : "", STR_ARG(faults.items[i]));
    return api_fail(rq, ERR_BAD_REQUEST,
                    "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                    k->kind, k->version, k->kind, buf_c(&text));
}

static int decode_custom(struct api_request *rq, const struct val **object)
{
    const struct val *schema = resource_schema(rq->resource);
    struct api_causes unknown = {.arena = rq->arena};
    if (!schema)
        return strict_faults(rq, NULL, 0);
    pace_allow();
    *object = schema_prune(rq->arena, schema, *object, &unknown);
    pace_forbid();
    VEC(struct str) fields = {0};
    for (size_t i = 0; i < unknown.items.n; i++)
        vec_push(&fields, rq->arena, unknown.items.items[i].field);
    return strict_faults(rq, fields.items, fields.n);
}

/* --- specs that were found clean before: equal ones are the same value, so one look is enough for all pods
 * of a group */

#define KNOWN_SLOTS 64

struct known_specs {
    struct {
        const struct resource *resource; /* built in: lives as long as the server */
        const struct val *spec;          /* own reference */
    } slots[KNOWN_SLOTS];
};

static size_t slot_of(const struct val *spec)
{
    return ((uintptr_t)spec >> 3) % KNOWN_SLOTS; /* equal specs are one value */
}

static bool is_known(const struct api_request *rq, const struct val *spec)
{
    const struct known_specs *known = rq->server->known_specs;
    return known && spec && known->slots[slot_of(spec)].spec == spec &&
           known->slots[slot_of(spec)].resource == rq->resource;
}

static void remember(struct api_request *rq, const struct val *spec)
{
    struct apiserver *server = rq->server;
    if (!val_is(spec, VAL_OBJECT))
        return;
    if (!server->known_specs)
        server->known_specs = xcalloc(1, sizeof(*server->known_specs));
    size_t slot = slot_of(spec);
    val_unref(server->known_specs->slots[slot].spec);
    server->known_specs->slots[slot].spec = val_ref(spec);
    server->known_specs->slots[slot].resource = rq->resource;
}

void decode_done(struct apiserver *server)
{
    for (size_t i = 0; server->known_specs && i < KNOWN_SLOTS; i++)
        val_unref(server->known_specs->slots[i].spec);
    free(server->known_specs);
    server->known_specs = NULL;
}

int decode_object(struct api_request *rq, const struct val **object)
{
    const struct kube_resource *k = &rq->resource->kube;
    const struct val *spec = val_get(*object, "spec");
    struct type_report report;
    if (rq->internal)
        return 0;
    if (rq->resource->crd)
        return decode_custom(rq, object);
    const struct type *type = type_of_kind(k->group, k->version, k->kind);
    if (!type)
        return strict_faults(rq, NULL, 0);
    bool known = is_known(rq, spec);
    const struct val *given = known ? val_set(rq->arena, *object, "spec", NULL) : *object;
    pace_allow();
    type_check(rq->arena, type, given, &report);
    struct cleaner cleaner = {.a = rq->arena, .wrong = report.wrong};
    const struct val *cleaned = clean_type(&cleaner, type, given);
    pace_forbid();
    if (cleaner.wrong.n)
        return api_fail(rq, ERR_BAD_REQUEST, "%s in version \"%s\" cannot be handled as a %s: %.*s",
                        k->kind, k->version, k->kind, STR_ARG(cleaner.wrong));
    if (!known && val_get(cleaned, "spec") == spec)
        remember(rq, spec);
    *object = known ? val_set(rq->arena, cleaned, "spec", spec) : cleaned;
    return strict_faults(rq, report.unknown.items, report.unknown.n);
}
