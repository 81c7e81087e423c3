/* Status objects: every failure's words, reason and details, as kube-apiserver says them.
 * Source: k8s.io/apimachinery pkg/api/errors/errors.go and pkg/util/validation/field/errors.go. */
#include "apiserver/failure.h"

#include "base/pace.h"

const struct val *api_status(struct arena *a, int code, const char *reason, struct str message,
                             const struct val *details)
{
    return val_obj(a, "kind", val_text(a, "Status"), "apiVersion", val_text(a, "v1"), "metadata",
                   val_empty_object(), "status", val_text(a, "Failure"), "message",
                   val_string(a, message), "reason",
                   reason && reason[0] ? val_text(a, reason) : NULL, "details", details, "code",
                   val_int(a, code));
}

const struct val *api_status_success(struct arena *a, const struct val *details)
{
    return val_obj(a, "kind", val_text(a, "Status"), "apiVersion", val_text(a, "v1"), "metadata",
                   val_empty_object(), "status", val_text(a, "Success"), "details", details);
}

int api_fail_details(struct api_request *rq, int status, const char *reason, struct str message,
                     const struct val *details)
{
    rq->status = status;
    rq->answer = api_status(rq->arena, status, reason, message, details);
    enum err_code code = err_from_http(status, reason);
    return -(int)(code ? code : ERR_BUG);
}

static const char *reason_of(enum err_code code)
{
    return err_reason(code);
}

int api_fail(struct api_request *rq, enum err_code code, const char *format, ...)
{
    struct buf text cleanup(buf_done) = BUF_INIT(64u << 10);
    va_list args;
    va_start(args, format);
    buf_addfv(&text, format, args);
    va_end(args);
    int status = err_http_status(code);
    rq->status = status;
    rq->answer = api_status(rq->arena, status, reason_of(code), buf_str(&text), NULL);
    return -(int)code;
}

int api_fail_err(struct api_request *rq, const struct err *err)
{
    return api_fail(rq, err->code, "%s", err->text);
}

const char *api_plural_group(struct api_request *rq)
{
    const struct kube_resource *k = &rq->resource->kube;
    if (!k->group[0])
        return k->plural;
    return arena_strf(rq->arena, "%s.%s", k->plural, k->group).p;
}

static const struct val *group_or_null(struct arena *a, const struct resource *r)
{
    return r->kube.group[0] ? val_text(a, r->kube.group) : NULL;
}

int api_fail_not_found(struct api_request *rq, const struct resource *r, struct str name)
{
    struct arena *a = rq->arena;
    const char *dot = r->kube.group[0] ? "." : "";
    struct str text = arena_strf(a, "%s%s%s \"%.*s\" not found", r->kube.plural, dot, r->kube.group,
                                 STR_ARG(name));
    return api_fail_details(rq, 404, "NotFound", text,
                            val_obj(a, "name", val_string(a, name), "group", group_or_null(a, r),
                                    "kind", val_text(a, r->kube.plural)));
}

int api_fail_exists(struct api_request *rq, struct str name)
{
    struct arena *a = rq->arena;
    struct str text =
        arena_strf(a, "%s \"%.*s\" already exists", api_plural_group(rq), STR_ARG(name));
    return api_fail_details(rq, 409, "AlreadyExists", text,
                            val_obj(a, "name", val_string(a, name), "group",
                                    group_or_null(a, rq->resource), "kind",
                                    val_text(a, rq->resource->kube.plural)));
}

int api_fail_conflict(struct api_request *rq, struct str name, const char *why)
{
    struct arena *a = rq->arena;
    struct str text = arena_strf(a, "Operation cannot be fulfilled on %s \"%.*s\": %s",
                                 api_plural_group(rq), STR_ARG(name), why);
    return api_fail_details(rq, 409, "Conflict", text,
                            val_obj(a, "name", val_string(a, name), "group",
                                    group_or_null(a, rq->resource), "kind",
                                    val_text(a, rq->resource->kube.plural)));
}

int api_fail_forbidden(struct api_request *rq, struct str name, const char *format, ...)
{
    struct arena *a = rq->arena;
    struct buf why cleanup(buf_done) = BUF_INIT(16u << 10);
    va_list args;
    va_start(args, format);
    buf_addfv(&why, format, args);
    va_end(args);
    struct str quoted = name.n ? arena_strf(a, " \"%.*s\"", STR_ARG(name)) : STR_NULL;
    struct str text = arena_strf(a, "%s%.*s is forbidden: %s", api_plural_group(rq),
                                 STR_ARG(quoted), buf_c(&why));
    return api_fail_details(rq, 403, "Forbidden", text,
                            val_obj(a, "name", name.n ? val_string(a, name) : NULL, "group",
                                    group_or_null(a, rq->resource), "kind",
                                    val_text(a, rq->resource->kube.plural)));
}

/* Said before in the same words: then it is only listed. */
static bool is_repeated(const struct api_causes *causes, size_t i)
{
    const struct api_cause *c = &causes->items.items[i];
    for (size_t k = 0; k < i; k++) {
        const struct api_cause *before = &causes->items.items[k];
        if (str_eq(before->field, c->field) && str_eq(before->message, c->message))
            return true;
    }
    return false;
}

int api_fail_invalid_as(struct api_request *rq, const char *kind, const char *group,
                        struct str name, const struct api_causes *causes)
{
    struct arena *a = rq->arena;
    struct buf text cleanup(buf_done) = BUF_INIT(256u << 10);
    buf_addf(&text, "%s%s%s \"%.*s\" is invalid: ", kind, group[0] ? "." : "", group,
             STR_ARG(name));
    size_t different = 0, said = 0;
    for (size_t i = 0; i < causes->items.n; i++)
        different += !is_repeated(causes, i);
    if (different > 1)
        buf_addc(&text, '[');
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < causes->items.n; i++) {
        const struct api_cause *c = &causes->items.items[i];
        if (!is_repeated(causes, i))
            buf_addf(&text, "%s%.*s: %.*s", said++ ? ", " : "", STR_ARG(c->field),
                     STR_ARG(c->message));
        list = val_append(a, list,
                          val_obj(a, "reason", val_text(a, c->reason), "message",
                                  val_string(a, c->message), "field", val_string(a, c->field)));
    }
    if (different > 1)
        buf_addc(&text, ']');
    return api_fail_details(rq, 422, "Invalid", buf_str(&text),
                            val_obj(a, "name", name.n ? val_string(a, name) : NULL, "group",
                                    group[0] ? val_text(a, group) : NULL, "kind",
                                    kind[0] ? val_text(a, kind) : NULL, "causes", list));
}

int api_fail_invalid(struct api_request *rq, struct str name, const struct api_causes *causes)
{
    const struct kube_resource *k = &rq->resource->kube;
    return api_fail_invalid_as(rq, k->kind, k->group, name, causes);
}

int api_fail_options(struct api_request *rq, const char *kind, const struct api_causes *causes)
{
    return api_fail_invalid_as(rq, kind, "meta.k8s.io", STR_NULL, causes);
}

/* --- causes */

static void cause_add(struct api_causes *c, const char *reason, struct str field,
                      struct str message)
{
    if (c->items.n >= API_MAX_CAUSES)
        return;
    struct api_cause cause = {reason, arena_str(c->arena, field), message};
    vec_push(&c->items, c->arena, cause);
}

/* More are not told; what a client may repeat 100,000 times costs no text. */
static bool is_full(const struct api_causes *c)
{
    pace_step();
    return c->items.n >= API_MAX_CAUSES;
}

static struct str with_detail(struct arena *a, struct str text, const char *detail)
{
    return detail && detail[0] ? arena_strf(a, "%.*s: %s", STR_ARG(text), detail) : text;
}

/* Values inside messages: strings in quotes, the rest as JSON, both cut where nobody would read on. */
#define SHOWN_MAX_BYTES 4096

static struct str shown(struct arena *a, const struct val *value)
{
    struct buf text cleanup(buf_done) = BUF_INIT(SHOWN_MAX_BYTES);
    bool is_long = val_is(value, VAL_STRING) && val_len(value) > SHOWN_MAX_BYTES / 2;
    if (is_long)
        value = val_string(a, str_sub(val_as_str(value), 0, SHOWN_MAX_BYTES / 2));
    double d = val_as_double(value, 0.5);
    if (val_is(value, VAL_FLOAT) && d == (double)val_as_int(value, INT64_MIN))
        buf_addf(&text, "%.0f", d);
    else
        val_print_json(value, &text);
    return arena_strf(a, "%s%s", buf_c(&text), is_long || text.failed ? "..." : "");
}

void cause_required(struct api_causes *c, struct str field, const char *detail)
{
    if (is_full(c))
        return;
    cause_add(c, "FieldValueRequired", field, with_detail(c->arena, STR("Required value"), detail));
}

void cause_invalid(struct api_causes *c, struct str field, const struct val *value,
                   const char *detail)
{
    if (is_full(c))
        return;
    struct str text = arena_strf(c->arena, "Invalid value: %.*s", STR_ARG(shown(c->arena, value)));
    cause_add(c, "FieldValueInvalid", field, with_detail(c->arena, text, detail));
}

void cause_invalid_text(struct api_causes *c, struct str field, struct str value,
                        const char *detail)
{
    if (is_full(c))
        return;
    struct str text = arena_strf(c->arena, "Invalid value: %.*s", STR_ARG(value));
    cause_add(c, "FieldValueInvalid", field, with_detail(c->arena, text, detail));
}

void cause_forbidden(struct api_causes *c, struct str field, const char *detail)
{
    if (is_full(c))
        return;
    cause_add(c, "FieldValueForbidden", field, with_detail(c->arena, STR("Forbidden"), detail));
}

void cause_duplicate(struct api_causes *c, struct str field, const struct val *value)
{
    if (is_full(c))
        return;
    cause_add(c, "FieldValueDuplicate", field,
              arena_strf(c->arena, "Duplicate value: %.*s", STR_ARG(shown(c->arena, value))));
}

void cause_not_found(struct api_causes *c, struct str field, const struct val *value)
{
    if (is_full(c))
        return;
    cause_add(c, "FieldValueNotFound", field,
              arena_strf(c->arena, "Not found: %.*s", STR_ARG(shown(c->arena, value))));
}

void cause_type(struct api_causes *c, struct str field, const struct val *value, const char *detail)
{
    if (is_full(c))
        return;
    struct str text = arena_strf(c->arena, "Invalid value: %.*s", STR_ARG(shown(c->arena, value)));
    cause_add(c, "FieldValueTypeInvalid", field, with_detail(c->arena, text, detail));
}

void cause_too_long(struct api_causes *c, struct str field, int64_t most)
{
    if (is_full(c))
        return;
    cause_add(c, "FieldValueTooLong", field,
              arena_strf(c->arena, "Too long: may not be more than %lld bytes", (long long)most));
}

void cause_too_many(struct api_causes *c, struct str field, size_t n, int64_t most)
{
    if (is_full(c))
        return;
    cause_add(c, "FieldValueTooMany", field,
              arena_strf(c->arena, "Too many: %zu: must have at most %lld item%s", n,
                         (long long)most, most == 1 ? "" : "s"));
}

void cause_unsupported(struct api_causes *c, struct str field, const struct val *value,
                       const struct val *supported)
{
    if (is_full(c))
        return;
    struct buf text cleanup(buf_done) = BUF_INIT(16u << 10);
    buf_addf(&text, "Unsupported value: %.*s", STR_ARG(shown(c->arena, value)));
    for (size_t i = 0; i < val_len(supported); i++)
        buf_addf(&text, "%s%.*s",
                 i ? ", " : ": supported values: ", STR_ARG(shown(c->arena, val_at(supported, i))));
    cause_add(c, "FieldValueNotSupported", field, arena_str(c->arena, buf_str(&text)));
}

/* --- paths */

struct str field_join(struct arena *a, struct str path, const char *key)
{
    return path.n ? arena_strf(a, "%.*s.%s", STR_ARG(path), key) : str_of(key);
}

struct str field_index(struct arena *a, struct str path, size_t i)
{
    return arena_strf(a, "%.*s[%zu]", STR_ARG(path), i);
}

struct str field_key(struct arena *a, struct str path, struct str key)
{
    return arena_strf(a, "%.*s[%.*s]", STR_ARG(path), STR_ARG(key));
}
