/* metav1.Table: what `kubectl get` prints, made by the server.
 *
 * Built-in kinds have printers (table_kinds.c, table_pod.c); a CustomResourceDefinition brings
 * additionalPrinterColumns; whatever has neither shows its name and when it was created.
 * Source: k8s.io/apiserver pkg/registry/rest/table.go and k8s.io/apiextensions-apiserver
 * pkg/registry/customresource/tableconvertor (1.35).
 *
 * Read next: table.h. */
#include "apiserver/table.h"
#include "apiserver/answer.h"

/* --- cells */

void table_cell(struct table_row *row, const struct val *value)
{
    INVARIANT(row->n < TABLE_MAX_CELLS);
    row->cells[row->n++] = value ? value : val_null();
}

void table_cell_str(struct table_row *row, struct str s)
{
    table_cell(row, val_string(row->a, s));
}

void table_cell_text(struct table_row *row, const char *text)
{
    table_cell_str(row, str_of(text));
}

void table_cell_textf(struct table_row *row, const char *format, ...)
{
    struct buf text = BUF_INIT(1u << 20);
    va_list args;
    va_start(args, format);
    buf_addfv(&text, format, args);
    va_end(args);
    table_cell_str(row, buf_str(&text));
    buf_done(&text);
}

void table_cell_int(struct table_row *row, int64_t i)
{
    table_cell(row, val_int(row->a, i));
}

struct str table_age(struct table_row *row, const struct val *timestamp)
{
    time_ms t;
    if (!time_parse_rfc3339(val_as_str(timestamp), &t))
        return STR("<unknown>");
    return time_human(row->a, row->now - t);
}

void table_cell_age(struct table_row *row, const struct val *object)
{
    table_cell_str(row, table_age(row, val_path(object, "metadata.creationTimestamp")));
}

struct str table_labels(struct arena *a, const struct val *labels)
{
    struct str text = STR("");
    for (size_t i = 0; i < val_len(labels); i++)
        text = arena_strf(a, "%.*s%s%.*s=%s", STR_ARG(text), i ? "," : "",
                          STR_ARG(val_key_at(labels, i)), val_as_c(val_member_at(labels, i)));
    return text.n ? text : STR("<none>");
}

/* --- label selectors as text */

struct requirement {
    struct str key, text;
};

static int compare_requirements(const void *a, const void *b)
{
    return str_cmp(((const struct requirement *)a)->key, ((const struct requirement *)b)->key);
}

static int compare_strs(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct str sorted_values(struct arena *a, const struct val *values)
{
    size_t n = val_len(values);
    struct str *items = arena_array_of(a, struct str, n + 1), text = STR("");
    for (size_t i = 0; i < n; i++)
        items[i] = val_as_str(val_at(values, i));
    qsort(items, n, sizeof(*items), compare_strs);
    for (size_t i = 0; i < n; i++)
        text = arena_strf(a, "%.*s%s%.*s", STR_ARG(text), i ? "," : "", STR_ARG(items[i]));
    return text;
}

static struct str expression_text(struct arena *a, const struct val *expression)
{
    struct str key = val_path_str(expression, "key"), op = val_path_str(expression, "operator");
    struct str values = sorted_values(a, val_get(expression, "values"));
    if (str_is(op, "Exists"))
        return key;
    if (str_is(op, "DoesNotExist"))
        return arena_strf(a, "!%.*s", STR_ARG(key));
    return arena_strf(a, "%.*s %s (%.*s)", STR_ARG(key), str_is(op, "In") ? "in" : "notin",
                      STR_ARG(values));
}

struct str table_selector(struct arena *a, const struct val *selector)
{
    const struct val *match = val_get(selector, "matchLabels");
    const struct val *expressions = val_get(selector, "matchExpressions");
    VEC(struct requirement) all = {0};
    for (size_t i = 0; i < val_len(match); i++) {
        struct str key = val_key_at(match, i);
        struct requirement r = {
            key, arena_strf(a, "%.*s=%s", STR_ARG(key), val_as_c(val_member_at(match, i)))};
        vec_push(&all, a, r);
    }
    for (size_t i = 0; i < val_len(expressions); i++) {
        const struct val *expression = val_at(expressions, i);
        struct requirement r = {val_path_str(expression, "key"), expression_text(a, expression)};
        vec_push(&all, a, r);
    }
    if (all.n == 0)
        return STR("");
    qsort(all.items, all.n, sizeof(*all.items), compare_requirements);
    struct str text = STR("");
    for (size_t i = 0; i < all.n; i++)
        text = arena_strf(a, "%.*s%s%.*s", STR_ARG(text), i ? "," : "", STR_ARG(all.items[i].text));
    return text;
}

/* --- columns that a CRD brings */

static const struct val *crd_columns(struct arena *a, const struct resource *r)
{
    const struct val *columns = val_get(r->crd_version, "additionalPrinterColumns");
    if (val_len(columns))
        return columns;
    const struct val *age = val_obj(a, "name", val_text(a, "Age"), "type", val_text(a, "date"),
                                    "jsonPath", val_text(a, ".metadata.creationTimestamp"),
                                    "description", val_text(a, "When it was created."));
    return val_array(a, &age, 1);
}

static const struct val *cell_of_column(struct table_row *row, const struct val *column,
                                        const struct val *object)
{
    struct arena *a = row->a;
    struct str type = val_path_str(column, "type");
    const struct val *v = table_follow(a, val_path_str(column, "jsonPath"), object);
    time_ms t;
    if (!v || val_is(v, VAL_NULL))
        return val_null();
    if (str_is(type, "string"))
        return val_is(v, VAL_STRING) ? v : val_string(a, val_json(a, v));
    if (str_is(type, "date")) {
        if (!val_is(v, VAL_STRING))
            return val_null();
        return time_parse_rfc3339(val_as_str(v), &t) ? val_string(a, table_age(row, v))
                                                     : val_text(a, "<invalid>");
    }
    if (str_is(type, "boolean"))
        return val_is(v, VAL_BOOL) ? v : val_null();
    if (!val_is(v, VAL_INT) && !val_is(v, VAL_FLOAT))
        return val_null();
    if (str_is(type, "integer"))
        return val_is(v, VAL_INT) ? v : val_int(a, (int64_t)val_as_double(v, 0));
    return str_is(type, "number") ? v : val_null();
}

/* --- column definitions */

static const struct val *definition(struct arena *a, const struct table_column *column)
{
    return val_obj(a, "name", val_text(a, column->name), "type", val_text(a, column->type),
                   "format", val_text(a, column->format), "description", val_text(a, column->about),
                   "priority", val_int(a, column->priority));
}

static const struct table_column plain_columns[] = {
    {"Name", "string", "name", "The object's name.", 0},
    {"Created At", "date", "", "When it was created.", 0},
};

static const struct val *crd_definition(struct arena *a, const struct val *column)
{
    struct str about = val_path_str(column, "description");
    if (!about.n)
        about = arena_strf(a, "Custom resource definition column (in JSONPath format): %s",
                           val_as_c(val_get(column, "jsonPath")));
    struct table_column c = {val_as_c(val_get(column, "name")), val_as_c(val_get(column, "type")),
                             val_as_c(val_get(column, "format")), arena_c(a, about),
                             (int)val_path_int(column, "priority", 0)};
    return definition(a, &c);
}

static const struct val *definitions(struct arena *a, const struct resource *r)
{
    const struct table_printer *printer = table_printer_find(r->kube.group, r->kube.kind);
    const struct table_column *columns = printer && !r->crd ? printer->columns : plain_columns;
    size_t n = r->crd ? 1 : printer ? printer->columns_n : ARRAY_SIZE(plain_columns);
    const struct val *all = val_empty_array();
    const struct val *more = r->crd ? crd_columns(a, r) : NULL;
    for (size_t i = 0; i < n; i++)
        all = val_append(a, all, definition(a, &columns[i]));
    for (size_t i = 0; i < val_len(more); i++)
        all = val_append(a, all, crd_definition(a, val_at(more, i)));
    return all;
}

/* --- rows */

static const struct val *metadata_of(struct arena *a, const struct val *object)
{
    return val_obj(a, "kind", val_text(a, "PartialObjectMetadata"), "apiVersion",
                   val_text(a, "meta.k8s.io/v1"), "metadata", val_get(object, "metadata"));
}

static const struct val *shown_object(struct arena *a, const struct resource *r,
                                      const struct val *object, struct str include)
{
    if (str_is(include, "None"))
        return val_null();
    if (!str_is(include, "Object"))
        return metadata_of(a, object);
    object = val_set(a, object, "apiVersion", val_text(a, r->api_version));
    return val_set(a, object, "kind", val_text(a, r->kube.kind));
}

/* Neither a printer nor a CRD: name and time, and a nil list of rows where there is none. */
static bool is_plain(const struct resource *r)
{
    return !r->crd && !table_printer_find(r->kube.group, r->kube.kind);
}

static const struct val *cells_of(struct table_row *row, const struct resource *r,
                                  const struct val *object)
{
    const struct val *columns = r->crd ? crd_columns(row->a, r) : NULL;
    if (is_plain(r)) {
        table_cell_str(row, kube_name(object));
        table_cell(row, val_path(object, "metadata.creationTimestamp"));
    } else if (!r->crd) {
        table_printer_find(r->kube.group, r->kube.kind)->cells(row, object);
    }
    if (!r->crd)
        return val_array(row->a, row->cells, row->n);
    const struct val **cells = arena_array_of(row->a, const struct val *, val_len(columns) + 1);
    cells[0] = val_string(row->a, kube_name(object));
    for (size_t i = 0; i < val_len(columns); i++)
        cells[i + 1] = cell_of_column(row, val_at(columns, i), object);
    return val_array(row->a, cells, val_len(columns) + 1);
}

static const struct val *row_of(struct arena *a, const struct resource *r, const struct val *object,
                                struct str include, time_ms now)
{
    struct table_row row = {.a = a, .now = now};
    const struct val *cells = cells_of(&row, r, object);
    return val_obj(a, "cells", cells, "conditions", row.conditions, "object",
                   shown_object(a, r, object, include));
}

static bool is_list(const struct val *answer)
{
    return val_is(val_get(answer, "items"), VAL_ARRAY) && str_ends(kube_kind(answer), STR("List"));
}

/* A list's metadata as it is; of a single object only the version counts. */
static const struct val *table_metadata(struct arena *a, const struct val *answer)
{
    const struct val *metadata = val_get(answer, "metadata");
    if (is_list(answer))
        return metadata ? metadata : val_empty_object();
    return val_obj(a, "resourceVersion", val_get(metadata, "resourceVersion"));
}

const struct val *table_of_objects(struct arena *a, const struct resource *r,
                                   const struct val *answer, bool with_columns,
                                   struct str include_object, time_ms now)
{
    if (str_is(kube_kind(answer), "Status") || str_is(kube_kind(answer), "Table"))
        return answer;
    const struct val *items = val_get(answer, "items");
    size_t n = is_list(answer) ? val_len(items) : 1;
    const struct val **rows = arena_array_of(a, const struct val *, n + 1);
    for (size_t i = 0; i < n; i++)
        rows[i] = row_of(a, r, is_list(answer) ? val_at(items, i) : answer, include_object, now);
    return val_obj(a, "kind", val_text(a, "Table"), "apiVersion", val_text(a, "meta.k8s.io/v1"),
                   "metadata", table_metadata(a, answer), "columnDefinitions",
                   with_columns ? definitions(a, r) : val_null(), "rows",
                   n == 0 && is_plain(r) ? val_null() : val_array(a, rows, n));
}

const struct val *partial_metadata(struct arena *a, const struct val *answer)
{
    if (str_is(kube_kind(answer), "Status"))
        return answer;
    if (!is_list(answer))
        return metadata_of(a, answer);
    const struct val *items = val_get(answer, "items");
    const struct val **parts = arena_array_of(a, const struct val *, val_len(items) + 1);
    for (size_t i = 0; i < val_len(items); i++)
        parts[i] = metadata_of(a, val_at(items, i));
    return val_obj(a, "kind", val_text(a, "PartialObjectMetadataList"), "apiVersion",
                   val_text(a, "meta.k8s.io/v1"), "metadata", val_get(answer, "metadata"), "items",
                   val_array(a, parts, val_len(items)));
}
