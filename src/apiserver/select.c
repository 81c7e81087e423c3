/* Which objects a list or watch means: label selectors and the field selectors that Kubernetes offers
 * for each kind. Source: the GetAttrs/…FieldLabelConversion functions of k8s.io/kubernetes
 * pkg/apis/core/v1/conversion.go. */
#include "apiserver/failure.h"
#include "apiserver/select.h"

struct field_row {
    const char *table;
    const char *fields[20];
};

static const struct field_row field_rows[] = {
    {"pods",
     {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
      "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"}},
    {"nodes", {"spec.unschedulable"}},
    {"events",
     {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
      "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
      "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
      "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid"}},
    {"namespaces", {"status.phase"}},
    {"secrets", {"type"}},
    {"services", {"spec.clusterIP", "spec.type"}},
    {"batch/jobs", {"status.successful"}},
    {"apps/replicasets", {"status.replicas"}},
};

static bool is_selectable(const struct resource *r, struct str path)
{
    if (str_is(path, "metadata.name"))
        return true;
    if (str_is(path, "metadata.namespace"))
        return r->kube.namespaced || !r->crd;
    const struct val *offered = val_get(r->crd_version, "selectableFields");
    for (size_t i = 0; i < val_len(offered); i++) {
        struct str json_path = val_path_str(val_at(offered, i), "jsonPath");
        if (str_eq(str_sub(json_path, 1, json_path.n), path))
            return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(field_rows); i++) {
        if (strcmp(field_rows[i].table, r->table) != 0)
            continue;
        for (size_t k = 0; k < ARRAY_SIZE(field_rows[i].fields) && field_rows[i].fields[k]; k++)
            if (str_is(path, field_rows[i].fields[k]))
                return true;
    }
    return false;
}

static bool has_own_fields(const struct resource *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(field_rows); i++)
        if (strcmp(field_rows[i].table, r->table) == 0)
            return true;
    return r->crd != NULL;
}

/* In storage form events are core/v1. */
static struct str stored_path(struct arena *a, struct str path)
{
    if (str_starts(path, STR("regarding.")))
        return arena_strf(a, "involvedObject.%.*s", STR_ARG(str_sub(path, 10, path.n)));
    return arena_str(a, path);
}

static int parse_field(struct api_request *rq, struct arena *a, struct str term,
                       struct api_select *select)
{
    ptrdiff_t at = str_find(term, '=');
    if (at < 1)
        return api_fail(rq, ERR_BAD_REQUEST, "invalid selector: '%.*s'; can't understand '%.*s'",
                        STR_ARG(rq->field_selector), STR_ARG(term));
    __typeof__(*select->fields.items) field = {.negate = term.p[at - 1] == '!'};
    size_t value_at = (size_t)at + 1;
    if (value_at < term.n && term.p[value_at] == '=')
        value_at++;
    field.path = str_trim(str_sub(term, 0, field.negate ? (size_t)at - 1 : (size_t)at));
    field.value = arena_str(a, str_trim(str_sub(term, value_at, term.n)));
    if (!is_selectable(rq->resource, field.path) && has_own_fields(rq->resource))
        return api_fail(rq, ERR_BAD_REQUEST, "field label not supported: %.*s",
                        STR_ARG(field.path));
    if (!is_selectable(rq->resource, field.path))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "\"%.*s\" is not a known field selector: only \"metadata.name\", "
                        "\"metadata.namespace\"",
                        STR_ARG(field.path));
    field.path = stored_path(a, field.path);
    vec_push(&select->fields, a, field);
    return 0;
}

int select_parse(struct api_request *rq, struct arena *a, struct api_select *ret)
{
    struct err err = ERR_INIT;
    struct api_select select = {0};
    if (rq->label_selector.n &&
        kube_selector_parse(a, arena_str(a, rq->label_selector), &select.labels, &err) < 0)
        return api_fail(rq, ERR_BAD_REQUEST, "unable to parse requirement: %s", err.text);
    struct str rest = rq->field_selector, term;
    while (rest.n && str_split(&rest, ',', &term)) {
        term = str_trim(term);
        int rc = term.n ? parse_field(rq, a, term, &select) : 0;
        if (rc < 0)
            return rc;
    }
    if (rq->name.n && (rq->verb == API_WATCH || rq->verb == API_LIST)) {
        __typeof__(*select.fields.items) field = {.path = STR("metadata.name"),
                                                  .value = arena_str(a, rq->name)};
        vec_push(&select.fields, a, field);
    }
    select.everything = !select.labels && select.fields.n == 0;
    *ret = select;
    return 0;
}

static struct str field_text(const struct val *object, struct str path, char *number, size_t size)
{
    const struct val *v = val_path(object, path.p);
    if (str_is(path, "source") && val_is(v, VAL_OBJECT))
        v = val_get(v, "component");
    if (val_is(v, VAL_STRING))
        return val_as_str(v);
    if (val_is(v, VAL_BOOL))
        return val_is_true(v) ? STR("true") : STR("false");
    if (val_is(v, VAL_INT)) {
        int n = snprintf(number, size, "%lld", (long long)val_as_int(v, 0));
        return (struct str){number, (size_t)n};
    }
    if (str_is(path, "spec.unschedulable") || str_is(path, "spec.hostNetwork"))
        return STR("false");
    return STR_NULL;
}

bool select_matches(const struct api_select *select, const struct resource *r,
                    const struct val *object)
{
    if (select->everything)
        return true;
    if (select->labels && !kube_selector_matches(select->labels, kube_labels(object)))
        return false;
    for (size_t i = 0; i < select->fields.n; i++) {
        char number[24];
        struct str text = field_text(object, select->fields.items[i].path, number, sizeof(number));
        if (str_eq(text, select->fields.items[i].value) == select->fields.items[i].negate)
            return false;
    }
    return true;
}
