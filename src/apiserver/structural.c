/* See structural.h. What a type's fields are stands in the table of types; what controller-gen writes on top
 * of it into a definition (defaults, bounds, forms of scalars, metadata of embedded objects) stands here.
 *
 * Source: the definitions that KubeRay 1.6 and 1.7 publish, which tests/kube/definition compares with. */
#include "apiserver/structural.h"

#include "apiserver/types.h"
#include "base/map.h"

struct expansion {
    struct arena *a;
    struct map types;         /* name -> const struct val *: made once */
    const struct val *extras; /* type -> field -> what is added to its schema */
};

/* Members of a field's schema that are not in the table of types. */
static const char extras_yaml[] =
    "core.v1.ConfigMapEnvSource: {name: &empty {default: ''}}\n"
    "core.v1.ConfigMapKeySelector: {name: *empty}\n"
    "core.v1.ConfigMapProjection: {name: *empty}\n"
    "core.v1.ConfigMapVolumeSource: {name: *empty}\n"
    "core.v1.SecretEnvSource: {name: *empty}\n"
    "core.v1.SecretKeySelector: {name: *empty}\n"
    "core.v1.SecretProjection: {name: *empty}\n"
    "core.v1.LocalObjectReference: {name: *empty}\n"
    "core.v1.GRPCAction: {service: *empty}\n"
    "core.v1.FileKeySelector: {optional: {default: false}}\n"
    "core.v1.ContainerPort: {protocol: &tcp {default: TCP}}\n"
    "core.v1.ServicePort: {protocol: *tcp}\n"
    "core.v1.AzureDiskVolumeSource: {fsType: {default: ext4}, readOnly: {default: false}}\n"
    "core.v1.ISCSIVolumeSource: {iscsiInterface: {default: default}}\n"
    "core.v1.RBDVolumeSource: {keyring: {default: /etc/ceph/keyring}, pool: {default: rbd}, user: "
    "{default: admin}}\n"
    "core.v1.ScaleIOVolumeSource: {fsType: {default: xfs}, storageMode: {default: "
    "ThinProvisioned}}\n"
    "meta.v1.Condition:\n"
    "  message: {maxLength: 32768}\n"
    "  observedGeneration: {minimum: 0}\n"
    "  reason: {maxLength: 1024, minLength: 1, pattern: "
    "'^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$'}\n"
    "  status: {enum: ['True', 'False', Unknown]}\n"
    "  type: {maxLength: 316, pattern: &qualified "
    "'^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
    ")?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$'}\n"
    "core.v1.PortStatus: {error: {$required: true, maxLength: 316, pattern: *qualified}}\n";

/* Forms of the table's letters (types.h). Quantities and int-or-strings have no type. */
static const struct {
    char letter;
    const char *schema;
} scalars[] = {
    {'s', "{\"type\":\"string\"}"},
    {'i', "{\"type\":\"integer\",\"format\":\"int32\"}"},
    {'l', "{\"type\":\"integer\",\"format\":\"int64\"}"},
    {'f', "{\"type\":\"number\"}"},
    {'b', "{\"type\":\"boolean\"}"},
    {'y', "{\"type\":\"string\",\"format\":\"byte\"}"},
    {'t', "{\"type\":\"string\",\"format\":\"date-time\"}"},
    {'u', "{\"type\":\"string\",\"format\":\"date-time\"}"},
    {'o', "{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}"},
    {'S', "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"},
    {'x', "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}],"
          "\"x-kubernetes-int-or-string\":true}"},
    {'q', "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"pattern\":\"^(\\\\+|-)?(([0-"
          "9]+(\\\\.[0-9]*)?)"
          "|(\\\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\\\+|-)?(([0-9]+(\\\\.[0-9]*)?)|(\\\\.[0-"
          "9]+))))?$\","
          "\"x-kubernetes-int-or-string\":true}"},
};

/* metadata of an object inside another: controller-gen's generateEmbeddedObjectMeta. */
static const char embedded_metadata[] =
    "{\"type\":\"object\",\"properties\":{\"annotations\":{\"type\":\"object\","
    "\"additionalProperties\":{\"type\":\"string\"}},\"finalizers\":{\"type\":\"array\",\"items\":{"
    "\"type\":\"string\"}},\"labels\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
    "\"string\"}},\"name\":{\"type\":\"string\"},\"namespace\":{\"type\":\"string\"}}}";

static const struct val *parse(struct arena *a, const char *json)
{
    const struct val *v;
    struct err err = ERR_INIT;
    if (val_parse_json(a, str_of(json), &v, &err) < 0)
        BUG(err.text);
    return v;
}

static const struct val *expand_type(struct expansion *x, struct str name);

static const struct val *one_schema(struct expansion *x, struct str type)
{
    for (size_t i = 0; type_is_scalar(type) && i < ARRAY_SIZE(scalars); i++)
        if (scalars[i].letter == type.p[0])
            return parse(x->a, scalars[i].schema);
    return expand_type(x, type);
}

static const struct val *with_list_type(struct arena *a, const struct val *schema, struct str keys)
{
    const struct val *list = val_empty_array();
    struct str key;
    bool is_word = str_is(keys, "set") || str_is(keys, "atomic");
    schema = val_set(a, schema, "x-kubernetes-list-type",
                     is_word ? val_string(a, keys) : val_text(a, "map"));
    while (!is_word && str_split(&keys, '+', &key))
        list = val_append(a, list, val_string(a, key));
    return is_word ? schema : val_set(a, schema, "x-kubernetes-list-map-keys", list);
}

static const struct val *field_schema(struct expansion *x, const struct type_field *f)
{
    struct arena *a = x->a;
    const struct val *schema = one_schema(x, f->type);
    if (f->shape == '{')
        schema = val_obj(a, "type", val_text(a, "object"), "additionalProperties", schema,
                         "x-kubernetes-map-type", f->whole ? val_text(a, "atomic") : NULL);
    if (f->shape != '[')
        return schema;
    schema = val_obj(a, "type", val_text(a, "array"), "items", schema);
    if (f->whole)
        return with_list_type(a, schema, STR("atomic"));
    return f->list_keys.n ? with_list_type(a, schema, f->list_keys) : schema;
}

static const struct val *make_type(struct expansion *x, struct str name)
{
    struct arena *a = x->a;
    const struct type *type = type_find(name);
    const struct val *extras = val_gets(x->extras, name), *properties = val_empty_object();
    const struct val *required = val_empty_array();
    struct type_field f;
    if (!type)
        BUG("a definition names a type that is not in the table");
    for (size_t cursor = 0; type_next_field(type, &cursor, &f);) {
        const struct val *extra = val_gets(extras, f.name), *schema = field_schema(x, &f);
        bool is_required = f.required || val_is_true(val_get(extra, "$required"));
        extra = val_set(a, extra, "$required", NULL);
        properties = val_sets(a, properties, f.name, extra ? val_merge(a, schema, extra) : schema);
        if (is_required)
            required = val_append(a, required, val_string(a, f.name));
    }
    return val_obj(a, "type", val_text(a, "object"), "properties", properties, "required",
                   val_len(required) ? required : NULL, "x-kubernetes-map-type",
                   type_is_atomic(type) ? val_text(a, "atomic") : NULL);
}

static const struct val *expand_type(struct expansion *x, struct str name)
{
    const struct val *known = map_get(&x->types, name);
    if (known)
        return known;
    known =
        str_is(name, "meta.v1.ObjectMeta") ? parse(x->a, embedded_metadata) : make_type(x, name);
    map_set(&x->types, name, (void *)(uintptr_t)known);
    return known;
}

static const struct val *expand(void *ctx, struct str key, size_t i, const struct val *v)
{
    struct expansion *x = ctx;
    const struct val *name = val_get(v, "$type");
    if (val_is(v, VAL_NULL))
        return NULL;
    if (!val_is(v, VAL_OBJECT) && !val_is(v, VAL_ARRAY))
        return v;
    if (!name)
        return val_map(x->a, v, expand, x);
    const struct val *beside = val_map(x->a, val_set(x->a, v, "$type", NULL), expand, x);
    return val_merge(x->a, expand_type(x, val_as_str(name)), beside);
}

const struct val *structural_expand(struct arena *a, const struct val *schema)
{
    struct expansion x = {.a = a};
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "extras", str_of(extras_yaml), &x.extras, &err) < 0)
        BUG(err.text);
    const struct val *all = expand(&x, STR_NULL, 0, schema);
    map_done(&x.types);
    return all;
}
