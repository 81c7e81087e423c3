/* Reads protobuf bodies into values, with the field numbers of proto_table.c and the shapes of the table of
 * types. Every length is checked against what is left; nesting has VAL_MAX_DEPTH as its ceiling.
 * Source: protobuf.dev "Encoding", k8s.io/apimachinery pkg/runtime/serializer/protobuf. */
#include "apiserver/protobuf.h"
#include "apiserver/pki.h"
#include "base/base64.h"

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
    while (rest.n && str_split(&rest, ' ', &word) && str_split(&rest, ' ', &name))
        if (str_to_u64(word, &n) && n == number)
            return name;
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

/* What is read of a message so far: lists and maps grow here, and become values once. */
struct field_room {
    struct type_field field;
    VEC(const struct val *) items;  /* of a list */
    VEC(struct val_member) members; /* of a map */
    const struct val *one;          /* of neither */
};

struct message_room {
    VEC(struct field_room) fields;
};

static struct field_room *room_for(struct reader *r, struct message_room *room,
                                   const struct type_field *f)
{
    for (size_t i = 0; i < room->fields.n; i++)
        if (str_eq(room->fields.items[i].field.name, f->name))
            return &room->fields.items[i];
    struct field_room fresh = {.field = *f};
    vec_push(&room->fields, r->a, fresh);
    return &room->fields.items[room->fields.n - 1];
}

/* Go writes a field that is no pointer always; what JSON leaves out there (omitempty) was never said. */
static bool was_said(const struct type_field *f, const struct val *v)
{
    bool zero = (val_is(v, VAL_STRING) && val_len(v) == 0) || v == val_bool(false) ||
                (val_is(v, VAL_INT) && val_as_int(v, 1) == 0);
    if (!v || val_is(v, VAL_NULL))
        return false;
    return !zero || f->pointer || f->always || str_is(f->type, "x") || str_is(f->type, "q");
}

static const struct val *room_object(struct reader *r, const struct message_room *room)
{
    VEC(struct val_member) members = {0};
    for (size_t i = 0; i < room->fields.n; i++) {
        const struct field_room *f = &room->fields.items[i];
        struct val_member member = {f->field.name, f->one};
        if (f->field.shape == '{')
            member.value = val_object(r->a, f->members.items, f->members.n);
        else if (f->field.shape == '[')
            member.value = val_array(r->a, f->items.items, f->items.n);
        else if (!was_said(&f->field, f->one))
            continue;
        vec_push(&members, r->a, member);
    }
    return val_object(r->a, members.items, members.n);
}

static int read_message(struct reader *r, const struct type *type, const struct proto_type *proto,
                        struct str in, int depth, struct message_room *room);

static int read_type(struct reader *r, struct str name, struct str in, int depth,
                     const struct val **ret)
{
    const struct type *type = type_find(name);
    const struct proto_type *proto = proto_find(name);
    struct message_room room = {0};
    *ret = val_empty_object();
    if (!type || !proto)
        return 0;
    if (depth > VAL_MAX_DEPTH)
        return broken(r, "nested too deep");
    int rc = read_message(r, type, proto, in, depth, &room);
    if (rc == 0)
        *ret = room_object(r, &room);
    return rc;
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
        *ret = val_string(r->a, base64_encode(r->a, item->data, BASE64_STANDARD));
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
static int append_packed(struct reader *r, struct field_room *room, struct str in)
{
    while (in.n) {
        struct item item = {0};
        const struct val *v;
        if (!take_varint(&in, &item.n))
            return broken(r, "a list of numbers is cut off");
        int rc = read_scalar(r, room->field.type.p[0], &item, &v);
        if (rc < 0)
            return rc;
        vec_push(&room->items, r->a, v);
    }
    return 0;
}

static int add_map_entry(struct reader *r, struct field_room *room, struct str in, int depth)
{
    struct item key = {0}, value = {0};
    struct val_member member;
    small_field(in, 1, &key);
    if (!small_field(in, 2, &value))
        value.wire = WIRE_BYTES;
    int rc = read_one(r, room->field.type, &value, depth, &member.value);
    if (rc < 0)
        return rc;
    member.key = key.data.p ? key.data : STR("");
    vec_push(&room->members, r->a, member);
    return 0;
}

static int add_item(struct reader *r, struct field_room *room, const struct item *item, int depth)
{
    struct str type = room->field.type;
    const struct val *v;
    if (type_is_scalar(type) && strchr("ilb", type.p[0]) && item->wire == WIRE_BYTES)
        return append_packed(r, room, item->data);
    int rc = read_one(r, type, item, depth, &v);
    if (rc == 0)
        vec_push(&room->items, r->a, v);
    return rc;
}

static int add_field(struct reader *r, struct field_room *room, const struct item *item, int depth)
{
    if (room->field.shape == '{')
        return add_map_entry(r, room, item->data, depth);
    if (room->field.shape == '[')
        return add_item(r, room, item, depth);
    return read_one(r, room->field.type, item, depth, &room->one);
}

static int read_message(struct reader *r, const struct type *type, const struct proto_type *proto,
                        struct str in, int depth, struct message_room *room)
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
            if (inner && depth <= VAL_MAX_DEPTH)
                rc = read_message(r, type, inner, item.data, depth + 1, room);
        } else if (name.n && type_field_find(type, name, &f)) {
            rc = add_field(r, room_for(r, room, &f), &item, depth);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
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
    object = val_set(a, object, "apiVersion", val_string(a, version.data));
    *ret = val_set(a, object, "kind", val_string(a, kind.data));
    return 0;
}
