/* OpenAPI v3, one document a group version: what kubectl asks for validation, patches and `explain`.
 *
 * Schemas of built-in kinds come from the table of types, those of custom resources from their CRD.
 * Operations carry the kind (x-kubernetes-group-version-kind) and, on PATCH, the parameters that the
 * server understands; kubectl looks for nothing else.
 * Source: k8s.io/kube-openapi and k8s.io/kubectl's use of it (1.35).
 *
 * Read next: types.h, openapi_paths.c. */
#include "apiserver/openapi.h"
#include "apiserver/answer.h"
#include "apiserver/internal.h"

#define REF_PREFIX "#/components/schemas/"

/* --- names: "core.v1.Pod" is io.k8s.api.core.v1.Pod */

static const struct {
    const char *short_prefix, *prefix;
} prefixes[] = {
    {"meta.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."},
    {"apiextensions.v1.", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."},
    {"", "io.k8s.api."},
};

struct str openapi_type_name(struct arena *a, struct str type)
{
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        struct str start = str_of(prefixes[i].short_prefix);
        if (str_starts(type, start))
            return arena_strf(a, "%s%.*s", prefixes[i].prefix,
                              STR_ARG(str_sub(type, start.n, type.n)));
    }
    return type;
}

/* RayCluster of ray.io/v1 is io.ray.v1.RayCluster. */
static struct str custom_name(struct arena *a, const struct resource *r)
{
    struct str rest = str_of(r->kube.group), part, name = STR("");
    while (str_split(&rest, '.', &part))
        name = name.n ? arena_strf(a, "%.*s.%.*s", STR_ARG(part), STR_ARG(name)) : part;
    return arena_strf(a, "%.*s.%s.%s", STR_ARG(name), r->kube.version, r->kube.kind);
}

static const struct type *built_in_type(const struct resource *r)
{
    return r->crd ? NULL : type_of_kind(r->kube.group, r->kube.version, r->kube.kind);
}

struct str openapi_kind_name(struct arena *a, const struct resource *r)
{
    const struct type *type = built_in_type(r);
    return type ? openapi_type_name(a, str_of(type->name)) : custom_name(a, r);
}

const struct val *openapi_ref(struct arena *a, struct str name)
{
    return val_obj(a, "$ref", val_textf(a, REF_PREFIX "%.*s", STR_ARG(name)));
}

const struct val *openapi_gvk(struct arena *a, const struct resource *r)
{
    return val_obj(a, "group", val_text(a, r->kube.group), "version", val_text(a, r->kube.version),
                   "kind", val_text(a, r->kube.kind));
}

/* --- schemas of built-in types */

struct schemas {
    struct arena *a;
    const struct val *all;           /* by full name */
    VEC(const struct type *) wanted; /* referred to; made in this order */
    struct map seen;
};

static void want(struct schemas *s, const struct type *type)
{
    INVARIANT(type);
    if (map_set(&s->seen, str_of(type->name), (void *)(uintptr_t)type) == NULL)
        vec_push(&s->wanted, s->a, type);
}

static const struct val *scalar_schema(struct arena *a, char letter)
{
    static const struct {
        char letter;
        const char *type, *format;
    } scalars[] = {
        {'s', "string", NULL},        {'i', "integer", "int32"},    {'l', "integer", "int64"},
        {'f', "number", "double"},    {'b', "boolean", NULL},       {'y', "string", "byte"},
        {'t', "string", "date-time"}, {'u', "string", "date-time"}, {'o', "object", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scalars); i++) {
        if (scalars[i].letter == letter)
            return val_obj(a, "type", val_text(a, scalars[i].type), "format",
                           scalars[i].format ? val_text(a, scalars[i].format) : NULL);
    }
    if (letter == 'S')
        return val_obj(a, "type", val_text(a, "array"), "items", scalar_schema(a, 's'));
    const struct val *either[] = {
        val_obj(a, "type", val_text(a, letter == 'q' ? "string" : "integer")),
        val_obj(a, "type", val_text(a, letter == 'q' ? "number" : "string"))};
    return val_obj(a, "oneOf", val_array(a, either, ARRAY_SIZE(either)), "format",
                   letter == 'x' ? val_text(a, "int-or-string") : NULL);
}

static const struct val *one_schema(struct schemas *s, struct str type)
{
    if (type_is_scalar(type))
        return scalar_schema(s->a, type.p[0]);
    want(s, type_find(type));
    return openapi_ref(s->a, openapi_type_name(s->a, type));
}

static const struct val *key_list(struct arena *a, struct str keys)
{
    const struct val *list = val_empty_array();
    struct str key;
    while (str_split(&keys, '+', &key))
        list = val_append(a, list, val_string(a, key));
    return list;
}

static const struct val *list_marks(struct arena *a, const struct type_field *f,
                                    const struct val *schema)
{
    bool is_set = str_is(f->list_keys, "set"), is_map = f->list_keys.n && !is_set;
    const char *strategy = f->merge && f->retain_keys ? "merge,retainKeys"
                           : f->merge                 ? "merge"
                           : f->retain_keys           ? "retainKeys"
                                                      : NULL;
    if (strategy)
        schema = val_set(a, schema, "x-kubernetes-patch-strategy", val_text(a, strategy));
    if (f->merge_key.n)
        schema = val_set(a, schema, "x-kubernetes-patch-merge-key", val_string(a, f->merge_key));
    if (is_map)
        schema = val_set(a, schema, "x-kubernetes-list-map-keys", key_list(a, f->list_keys));
    if (is_map || is_set)
        schema = val_set(a, schema, "x-kubernetes-list-type", val_text(a, is_map ? "map" : "set"));
    if (f->whole)
        schema = val_set(a, schema, "x-kubernetes-map-type", val_text(a, "atomic"));
    return schema;
}

/* A reference may have nothing beside it, so it goes into allOf where something is said about it. */
static const struct val *wrapped(struct arena *a, const struct val *schema)
{
    if (!val_get(schema, "$ref"))
        return schema;
    return val_obj(a, "allOf", val_array(a, &schema, 1));
}

static const struct val *field_schema(struct schemas *s, const struct type *type,
                                      const struct type_field *f)
{
    struct arena *a = s->a;
    const char *about = openapi_about(type->name, f->name);
    const struct val *schema = one_schema(s, f->type);
    if (f->shape == '[')
        schema = val_obj(a, "type", val_text(a, "array"), "items", wrapped(a, schema));
    else if (f->shape == '{')
        schema = val_obj(a, "type", val_text(a, "object"), "additionalProperties", schema);
    else
        schema = wrapped(a, schema);
    if (about)
        schema = val_set(a, schema, "description", val_text(a, about));
    return list_marks(a, f, schema);
}

static const struct val *type_schema(struct schemas *s, const struct type *type)
{
    struct arena *a = s->a;
    const struct val *properties = val_empty_object(), *required = NULL;
    const char *about = openapi_about(type->name, STR(""));
    struct type_field f;
    for (size_t cursor = 0; type_next_field(type, &cursor, &f);) {
        properties = val_sets(a, properties, f.name, field_schema(s, type, &f));
        if (f.required)
            required =
                val_append(a, required ? required : val_empty_array(), val_string(a, f.name));
    }
    return val_obj(a, "type", val_text(a, "object"), "properties", properties, "required", required,
                   "description", about ? val_text(a, about) : NULL, "x-kubernetes-map-type",
                   type_is_atomic(type) ? val_text(a, "atomic") : NULL);
}

static void make_wanted(struct schemas *s)
{
    for (size_t i = 0; i < s->wanted.n; i++) {
        const struct type *type = s->wanted.items[i];
        struct str name = openapi_type_name(s->a, str_of(type->name));
        if (!val_gets(s->all, name))
            s->all = val_sets(s->a, s->all, name, type_schema(s, type));
    }
}

/* --- kinds */

static const struct val *with_gvk(struct arena *a, const struct val *gvk, const struct val *schema)
{
    return val_set(a, schema, "x-kubernetes-group-version-kind", val_array(a, &gvk, 1));
}

static const struct val *list_schema(struct schemas *s, const struct resource *r)
{
    struct arena *a = s->a;
    const struct val *item = wrapped(a, openapi_ref(a, openapi_kind_name(a, r)));
    const struct val *required = val_text(a, "items"), *text = scalar_schema(a, 's');
    const struct val *gvk = val_set(a, openapi_gvk(a, r), "kind", val_text(a, r->kube.list_kind));
    const struct val *items = val_obj(a, "type", val_text(a, "array"), "items", item);
    const struct val *properties = val_obj(a, "apiVersion", text, "kind", text, "items", items,
                                           "metadata", one_schema(s, STR("meta.v1.ListMeta")));
    return with_gvk(a, gvk,
                    val_obj(a, "type", val_text(a, "object"), "required",
                            val_array(a, &required, 1), "properties", properties));
}

static const struct val *custom_schema(struct schemas *s, const struct resource *r)
{
    struct arena *a = s->a;
    const struct val *schema = val_path(r->crd_version, "schema.openAPIV3Schema");
    const struct val *text = scalar_schema(a, 's'), *properties = val_get(schema, "properties");
    if (!schema)
        schema = val_obj(a, "type", val_text(a, "object"), "x-kubernetes-preserve-unknown-fields",
                         val_bool(true));
    properties = val_set(a, properties, "apiVersion", text);
    properties = val_set(a, properties, "kind", text);
    properties =
        val_set(a, properties, "metadata", wrapped(a, one_schema(s, STR("meta.v1.ObjectMeta"))));
    return val_set(a, schema, "properties", properties);
}

static void add_kind(struct schemas *s, const struct resource *r)
{
    struct arena *a = s->a;
    struct str name = openapi_kind_name(a, r);
    const struct type *type = built_in_type(r);
    if (!r->crd && !type)
        return;
    const struct val *schema = type ? type_schema(s, type) : custom_schema(s, r);
    s->all = val_sets(a, s->all, name, with_gvk(a, openapi_gvk(a, r), schema));
    if (!(r->flags & RES_CREATE_ONLY))
        s->all = val_sets(a, s->all, arena_strf(a, "%.*sList", STR_ARG(name)), list_schema(s, r));
}

/* --- documents */

static const struct val *info(struct arena *a)
{
    return val_obj(a, "title", val_text(a, "Kubernetes"), "version", val_text(a, API_VERSION_GIT));
}

static const struct val *document(struct apiserver *server, struct arena *a, struct str group,
                                  struct str version)
{
    struct schemas s = {.a = a, .all = val_empty_object()};
    const struct val *paths = val_empty_object();
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (!str_is(group, r->kube.group) || !str_is(version, r->kube.version))
            continue;
        add_kind(&s, r);
        paths = openapi_add_paths(a, paths, r);
    }
    want(&s, type_find(STR("meta.v1.DeleteOptions")));
    make_wanted(&s);
    map_done(&s.seen);
    if (val_len(paths) == 0)
        return NULL;
    s.all = val_set(a, s.all, "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
                    val_obj(a, "type", val_text(a, "object")));
    return val_obj(a, "openapi", val_text(a, "3.0.0"), "info", info(a), "paths", paths,
                   "components", val_obj(a, "schemas", s.all));
}

static struct str path_of(struct arena *a, const struct resource *r)
{
    return arena_strf(a, "%s/%s", r->kube.group[0] ? "apis" : "api", r->api_version);
}

/* Changes whenever the document does. */
static struct str hash_of(struct apiserver *server, struct arena *a, const struct resource *of)
{
    uint64_t hash = str_hash(str_of(API_VERSION_GIT));
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        if (strcmp(r->api_version, of->api_version) == 0)
            hash = (hash ^ (r->crd ? val_hash(val_get(r->crd, "spec")) : i)) * 1099511628211u;
    }
    return arena_strf(a, "%016llX", (unsigned long long)hash);
}

static const struct val *index_document(struct apiserver *server, struct arena *a)
{
    const struct val *paths = val_empty_object();
    for (size_t i = 0; i < server->resources.items.n; i++) {
        const struct resource *r = server->resources.items.items[i];
        struct str path = path_of(a, r);
        if (val_gets(paths, path))
            continue;
        const struct val *url = val_textf(a, "/openapi/v3/%.*s?hash=%.*s", STR_ARG(path),
                                          STR_ARG(hash_of(server, a, r)));
        paths = val_sets(a, paths, path, val_obj(a, "serverRelativeURL", url));
    }
    return val_obj(a, "paths", paths);
}

const struct val *openapi_v3_answer(struct apiserver *server, struct arena *a, struct str path)
{
    const struct str root = STR("/openapi/v3");
    if (!str_starts(path, root))
        return NULL;
    struct str rest = str_sub(path, root.n, path.n), parts[5] = {{NULL, 0}};
    size_t n = 0;
    while (n < ARRAY_SIZE(parts) && str_split(&rest, '/', &parts[n]))
        n++;
    if (n == 0 || (n <= 2 && parts[0].n == 0 && parts[1].n == 0))
        return index_document(server, a);
    if (n == 3 && str_is(parts[1], "api"))
        return document(server, a, STR(""), parts[2]);
    if (n == 4 && str_is(parts[1], "apis") && parts[2].n)
        return document(server, a, parts[2], parts[3]);
    return NULL;
}

/* The old form, which kubectl asks for only where v3 is missing: no definitions. */
const struct val *openapi_v2_answer(struct apiserver *server, struct arena *a)
{
    (void)server;
    return val_obj(a, "swagger", val_text(a, "2.0"), "info", info(a), "paths", val_empty_object(),
                   "definitions", val_empty_object());
}

/* A text of less than 128 bytes as a protobuf field. */
static void add_field(struct buf *out, char number, struct str text)
{
    buf_addc(out, (char)(number << 3 | 2));
    buf_addc(out, (char)text.n);
    buf_add(out, text);
}

/* The same document as a message of gnostic's openapi.v2: Document{swagger = 1, info = 2}, Info{title = 1,
 * version = 2}. kubectl asks for it in this form only, and goes on without where a kind is not in it. */
void openapi_v2_protobuf(struct arena *a, struct buf *out)
{
    struct buf about cleanup(buf_done) = BUF_INIT(120);
    add_field(&about, 1, val_as_str(val_get(info(a), "title")));
    add_field(&about, 2, val_as_str(val_get(info(a), "version")));
    add_field(out, 1, STR("2.0"));
    add_field(out, 2, buf_str(&about));
}
