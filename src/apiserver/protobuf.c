/* Reads protobuf bodies into values, with the field numbers of proto_table.c and the shapes of the table of
 * types. Every length is checked against what is left; nesting has VAL_MAX_DEPTH as its ceiling.
 * Source: protobuf.dev "Encoding", k8s.io/apimachinery pkg/runtime/serializer/protobuf. */
#include "apiserver/protobuf.h"

static const char envelope[4] = {'k', '8', 's', '\0'};

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* One field as it stands in the bytes. */
struct item {
    uint64_t number;
    enum wire wire;
    uint64_t n;      /* varint, fixed */
    struct str data; /* bytes */
};

static bool take_varint(struct str *in, uint64_t *ret)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64 && in->n > 0; shift += 7) {
        uint8_t byte = (uint8_t)in->p[0];
        *in = str_sub(*in, 1, in->n);
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = n;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct str *in, size_t bytes, uint64_t *ret)
{
    if (in->n < bytes)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n |= (uint64_t)(uint8_t)in->p[i] << (8 * i);
    *in = str_sub(*in, bytes, in->n);
    *ret = n;
    return true;
}

static bool take_item(struct str *in, struct item *ret)
{
    uint64_t tag, length;
    if (!take_varint(in, &tag))
        return false;
    *ret = (struct item){.number = tag >> 3, .wire = (enum wire)(tag & 7)};
    switch (ret->wire) {
    case WIRE_VARINT:
        return take_varint(in, &ret->n);
    case WIRE_FIXED64:
        return take_fixed(in, 8, &ret->n);
    case WIRE_FIXED32:
        return take_fixed(in, 4, &ret->n);
    case WIRE_BYTES:
        if (!take_varint(in, &length) || length > in->n)
            return false;
        ret->data = str_sub(*in, 0, (size_t)length);
        *in = str_sub(*in, (size_t)length, in->n);
        return true;
    }
    return false;
}

static int compare(const void *key, const void *item)
{
    return str_cmp(*(const struct str *)key, str_of(((const struct proto_type *)item)->name));
}

static const struct proto_type *proto_find(struct str name)
{
    return bsearch(&name, proto_table, proto_table_n, sizeof(*proto_table), compare);
}

/* The name that a number has in a message; empty: unknown, to be passed over. */
static struct str name_of(const struct proto_type *proto, uint64_t number)
{
    struct str rest = str_of(proto->fields), word, name;
    uint64_t n;
    while (rest.n && str_split(&rest, ' ', &word) && str_split(&rest, ' ', &name)) {
        if (str_to_u64(word, &n) && n == number)
            return name;
    }
    return STR_NULL;
}

struct reader {
    struct arena *a;
    struct err *err;
};

static int broken(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_BAD_REQUEST, "the protobuf body is broken: %s", what);
}

static int read_message(struct reader *r, const struct type *type, const struct proto_type *proto,
                        struct str in, int depth, const struct val **object);

static int read_type(struct reader *r, struct str name, struct str in, int depth,
                     const struct val **ret)
{
    const struct type *type = type_find(name);
    const struct proto_type *proto = proto_find(name);
    *ret = val_empty_object();
    if (!type || !proto)
        return 0;
    if (depth > VAL_MAX_DEPTH)
        return broken(r, "nested too deep");
    return read_message(r, type, proto, in, depth, ret);
}

/* The n-th number or text of a small message, as Time, Quantity and IntOrString are. */
static bool small_field(struct str in, uint64_t number, struct item *ret)
{
    struct item item;
    bool found = false;
    while (in.n && take_item(&in, &item)) {
        if (item.number == number) {
            *ret = item;
            found = true;
        }
    }
    return found;
}

static const struct val *time_value(struct reader *r, struct str in, bool micro)
{
    struct item seconds = {0}, nanos = {0};
    if (!small_field(in, 1, &seconds))
        return val_null();
    small_field(in, 2, &nanos);
    int64_t limit = 253402300799; /* the last second of the year 9999 */
    int64_t s = (int64_t)seconds.n < 0 || (int64_t)seconds.n > limit ? 0 : (int64_t)seconds.n;
    time_ms t = s * 1000 + (int64_t)(nanos.n % 1000000000u) / 1000000;
    return val_string(r->a, micro ? time_rfc3339_micro(r->a, t) : time_rfc3339(r->a, t));
}

static const struct val *int_or_text(struct reader *r, struct str in)
{
    struct item kind = {0}, number = {0}, text = {0};
    small_field(in, 1, &kind);
    small_field(in, 2, &number);
    small_field(in, 3, &text);
    return kind.n == 1 ? val_string(r->a, text.data) : val_int(r->a, (int32_t)number.n);
}

static int read_raw(struct reader *r, struct str in, const struct val **ret)
{
    struct item raw = {0};
    if (!small_field(in, 1, &raw) || raw.data.n == 0) {
        *ret = val_null();
        return 0;
    }
    return val_parse_json(r->a, raw.data, ret, r->err);
}

static int read_scalar(struct reader *r, char letter, const struct item *item,
                       const struct val **ret)
{
    struct item text = {0};
    double d;
    switch (letter) {
    case 's':
        *ret = val_string(r->a, item->data.p ? item->data : STR(""));
        return 0;
    case 'i':
        *ret = val_int(r->a, (int32_t)item->n);
        return 0;
    case 'l':
        *ret = val_int(r->a, (int64_t)item->n);
        return 0;
    case 'b':
        *ret = val_bool(item->n != 0);
        return 0;
    case 'f':
        memcpy(&d, &item->n, sizeof(d));
        *ret = val_float(r->a, d);
        return 0;
    case 'y':
        *ret = val_string(r->a, base64_text(r->a, item->data, false));
        return 0;
    case 't':
    case 'u':
        *ret = time_value(r, item->data, letter == 'u');
        return 0;
    case 'q':
        small_field(item->data, 1, &text);
        *ret = val_string(r->a, text.data.n ? text.data : STR("0"));
        return 0;
    case 'x':
        *ret = int_or_text(r, item->data);
        return 0;
    default:
        return read_raw(r, item->data, ret);
    }
}

static int read_one(struct reader *r, struct str type, const struct item *item, int depth,
                    const struct val **ret)
{
    return type_is_scalar(type) ? read_scalar(r, type.p[0], item, ret)
                                : read_type(r, type, item->data, depth + 1, ret);
}

/* Repeated numbers may come packed into one field. */
static int append_packed(struct reader *r, char letter, struct str in, const struct val **list)
{
    while (in.n) {
        struct item item = {0};
        const struct val *v;
        if (!take_varint(&in, &item.n))
            return broken(r, "a list of numbers is cut off");
        int rc = read_scalar(r, letter, &item, &v);
        if (rc < 0)
            return rc;
        *list = val_append(r->a, *list, v);
    }
    return 0;
}

static int add_map_entry(struct reader *r, const struct type_field *f, struct str in, int depth,
                         const struct val **map)
{
    struct item key = {0}, value = {0};
    const struct val *v;
    small_field(in, 1, &key);
    if (!small_field(in, 2, &value))
        value.wire = WIRE_BYTES;
    int rc = read_one(r, f->type, &value, depth, &v);
    if (rc == 0)
        *map = val_sets(r->a, *map, key.data, v);
    return rc;
}

static int add_field(struct reader *r, const struct type_field *f, const struct item *item,
                     int depth, const struct val **object)
{
    const struct val *now = val_gets(*object, f->name), *v = NULL;
    int rc;
    if (f->shape == '{') {
        v = now ? now : val_empty_object();
        rc = add_map_entry(r, f, item->data, depth, &v);
    } else if (f->shape == '[') {
        const struct val *list = now ? now : val_empty_array();
        bool number = type_is_scalar(f->type) && strchr("ilb", f->type.p[0]);
        if (number && item->wire == WIRE_BYTES) {
            rc = append_packed(r, f->type.p[0], item->data, &list);
            v = list;
        } else if ((rc = read_one(r, f->type, item, depth, &v)) == 0) {
            v = val_append(r->a, list, v);
        }
    } else {
        rc = read_one(r, f->type, item, depth, &v);
    }
    if (rc == 0)
        *object = val_sets(r->a, *object, f->name, v);
    return rc;
}

static int read_message(struct reader *r, const struct type *type, const struct proto_type *proto,
                        struct str in, int depth, const struct val **object)
{
    while (in.n) {
        struct item item;
        struct type_field f;
        int rc = 0;
        if (!take_item(&in, &item))
            return broken(r, arena_strf(r->a, "%s is cut off", type->name).p);
        struct str name = name_of(proto, item.number);
        if (name.n && name.p[0] == '~') {
            const struct proto_type *inner = proto_find(name);
            rc = inner && depth <= VAL_MAX_DEPTH
                     ? read_message(r, type, inner, item.data, depth + 1, object)
                     : 0;
        } else if (name.n && type_field_find(type, name, &f)) {
            rc = add_field(r, &f, &item, depth, object);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Fields that are no pointers in Go are always written; what is zero there is left out, as omitempty does
 * in JSON. Numbers and booleans not named here are pointers: their zero means something. */
static const char *const plain_fields[] = {"stdin",
                                           "stdinOnce",
                                           "tty",
                                           "hostIPC",
                                           "hostNetwork",
                                           "hostPID",
                                           "readOnly",
                                           "paused",
                                           "publishNotReadyAddresses",
                                           "unschedulable",
                                           "minReadySeconds",
                                           "generation",
                                           "initialDelaySeconds",
                                           "timeoutSeconds",
                                           "periodSeconds",
                                           "successThreshold",
                                           "failureThreshold",
                                           "hostPort",
                                           "nodePort",
                                           "count",
                                           "observedGeneration",
                                           "healthCheckNodePort",
                                           "globalDefault",
                                           "allowWatchBookmarks",
                                           "readyReplicas",
                                           "availableReplicas",
                                           "updatedReplicas",
                                           "unavailableReplicas",
                                           "fullyLabeledReplicas",
                                           "active",
                                           "succeeded",
                                           "failed"};

static bool is_zero(struct str key, const struct val *v)
{
    if (val_is(v, VAL_NULL) || (val_is(v, VAL_STRING) && val_len(v) == 0))
        return true;
    bool zero = (val_is(v, VAL_INT) && val_as_int(v, 1) == 0) || v == val_bool(false);
    for (size_t i = 0; zero && i < ARRAY_SIZE(plain_fields); i++) {
        if (str_is(key, plain_fields[i]))
            return true;
    }
    return false;
}

static const struct val *without_zeros(struct arena *a, const struct val *v)
{
    const struct val *result = v;
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < val_len(v); i++) {
        const struct val *member = val_member_at(v, i);
        const struct val *kept =
            is_zero(val_key_at(v, i), member) ? NULL : without_zeros(a, member);
        if (kept != member)
            result = val_sets(a, result, val_key_at(v, i), kept);
    }
    for (size_t i = 0; val_is(v, VAL_ARRAY) && i < val_len(v); i++)
        result = val_set_at(a, result, i, without_zeros(a, val_at(v, i)));
    return result;
}

int protobuf_parse(struct arena *a, struct str bytes, const struct val **ret, struct err *err)
{
    struct reader r = {a, err};
    struct item meta = {0}, raw = {0}, version = {0}, kind = {0};
    const struct val *object = val_empty_object();
    if (!str_starts(bytes, (struct str){envelope, sizeof(envelope)}))
        return broken(&r, "it does not begin with k8s\\0");
    struct str rest = str_sub(bytes, sizeof(envelope), bytes.n);
    if (!small_field(rest, 1, &meta) || !small_field(meta.data, 1, &version) ||
        !small_field(meta.data, 2, &kind))
        return broken(&r, "it does not say its kind");
    small_field(rest, 2, &raw);
    ptrdiff_t slash = str_find(version.data, '/');
    struct str group = slash < 0 ? STR("") : str_sub(version.data, 0, (size_t)slash);
    struct str plain =
        slash < 0 ? version.data : str_sub(version.data, (size_t)slash + 1, version.data.n);
    bool options = str_is(kind.data, "DeleteOptions");
    const struct type *type =
        options ? type_find(STR("meta.v1.DeleteOptions"))
                : type_of_kind(arena_c(a, group), arena_c(a, plain), arena_c(a, kind.data));
    if (!type)
        return err_set(err, ERR_MEDIA_TYPE, "%.*s %.*s is not read from protobuf; send it as JSON",
                       STR_ARG(version.data), STR_ARG(kind.data));
    int rc = read_type(&r, str_of(type->name), raw.data, 0, &object);
    if (rc < 0)
        return rc;
    object = without_zeros(a, object);
    object = val_set(a, object, "apiVersion", val_string(a, version.data));
    *ret = val_set(a, object, "kind", val_string(a, kind.data));
    return 0;
}
