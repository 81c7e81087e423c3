/* YAML text to values: libyaml's events, composed by Kubernetes' rules.
 *
 * What sigs.k8s.io/yaml does on the way from YAML to JSON happens here too: keys become strings,
 * dates stay text, a float with a whole value becomes an int (1.0 is written 1 in JSON), .inf and
 * .nan are errors. Merge keys are applied where they stand, later keys win, and in a list of maps
 * the earlier map wins, as go-yaml v2 does. Unlike it, a key written twice in one map is an error.
 *
 * Aliases cost nothing (values are shared) but count with the size of what they stand for, so that
 * a document cannot grow without bound in the hands of those who walk or print it.
 *
 * Read next: yaml_scalar.c, yaml_out.c. */
#include "base/map.h"
#include "base/pace.h"
#include "base/vec.h"
#include "base/base64.h"
#include "base/utf8.h"
#include "value/internal.h"
#include "value/yaml_scalar.h"

#include <math.h>
#include <yaml.h>

struct anchor {
    const struct val *value; /* NULL while the anchored node itself is being read */
    size_t nodes;
};

struct reader {
    yaml_parser_t parser;
    struct arena *arena; /* of this parse alone */
    const char *name;
    struct str text;
    size_t taken; /* of the text, by the parser */
    struct map anchors;
    size_t nodes;
    unsigned depth;
    struct err *err;
};

struct entry {
    struct str key;
    const struct val *value;
    yaml_mark_t mark;
    size_t order;
    bool is_merged;
};
struct entries { /* a vector (base/vec.h) with a name */
    struct entry *items;
    size_t n;
    size_t size;
};

/* --- errors */

static int fail(const struct reader *r, yaml_mark_t mark, const char *format, ...)
    PRINTF_LIKE(3, 4);

static int fail(const struct reader *r, yaml_mark_t mark, const char *format, ...)
{
    struct buf text = BUF_INIT(1024);
    va_list args;
    va_start(args, format);
    buf_addfv(&text, format, args);
    va_end(args);
    err_set(r->err, ERR_BAD_REQUEST, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1,
            buf_c(&text));
    buf_done(&text);
    return -(int)r->err->code;
}

static yaml_mark_t mark_at(struct str text, size_t offset)
{
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset && i < text.n; i++) {
        mark.column++;
        if (text.p[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

/* The byte at a mark; marks count characters, so the line is looked up in the text. */
static char char_at(struct str text, yaml_mark_t mark)
{
    struct str line = STR_NULL;
    for (size_t i = 0; i <= mark.line; i++)
        if (!str_split(&text, '\n', &line))
            return '\0';
    return mark.column < line.n ? line.p[mark.column] : '\0';
}

static int fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "out of memory";
    if (p->error == YAML_READER_ERROR)
        return fail(r, mark_at(r->text, p->problem_offset), "%s", problem);
    if (char_at(r->text, p->problem_mark) == '\t')
        return fail(r, p->problem_mark, "a tab cannot indent YAML or start a word; use spaces (%s)",
                    problem);
    if (p->context && p->context_mark.line != p->problem_mark.line)
        return fail(r, p->problem_mark, "%s %s that starts in line %zu", problem, p->context,
                    p->context_mark.line + 1);
    return fail(r, p->problem_mark, "%s%s%s", problem, p->context ? " " : "",
                p->context ? p->context : "");
}

/* --- scalars */

/* What sigs.k8s.io/yaml makes of a float by way of JSON. */
static int number_value(struct reader *r, yaml_mark_t mark, double d, const struct val **ret)
{
    if (!isfinite(d))
        return fail(r, mark, "JSON has no infinity and no NaN: quote it if it is meant as text");
    bool is_whole = d == floor(d) && d >= -0x1p63 && d < 0x1p63;
    *ret = is_whole ? val_int(r->arena, (int64_t)d) : val_float(r->arena, d);
    return 0;
}

static int scalar_value(struct reader *r, yaml_mark_t mark, struct str text, struct yaml_scalar s,
                        const struct val **ret)
{
    switch (s.kind) {
    case YAML_KIND_NULL:
        *ret = val_null();
        return 0;
    case YAML_KIND_BOOL:
        *ret = val_bool(s.b);
        return 0;
    case YAML_KIND_INT:
        *ret = s.fits ? val_int(r->arena, s.i) : val_float(r->arena, s.d);
        return 0;
    case YAML_KIND_FLOAT:
        return number_value(r, mark, s.d, ret);
    case YAML_KIND_STRING:
    case YAML_KIND_TIMESTAMP:
    case YAML_KIND_MERGE:
        break;
    }
    *ret = val_string(r->arena, text);
    return 0;
}

static int binary_value(struct reader *r, yaml_mark_t mark, struct str text, const struct val **ret)
{
    struct str decoded;
    if (!base64_decode(r->arena, text, BASE64_STANDARD, &decoded))
        return fail(r, mark, "!!binary value contains invalid base64 data");
    if (!utf8_is_clean(decoded))
        return fail(r, mark, "!!binary value is not UTF-8 text, which JSON cannot hold");
    *ret = val_string(r->arena, decoded);
    return 0;
}

static const struct {
    const char *tag;
    enum yaml_kind kind;
} tags[] = {{YAML_STR_TAG, YAML_KIND_STRING},  {YAML_NULL_TAG, YAML_KIND_NULL},
            {YAML_BOOL_TAG, YAML_KIND_BOOL},   {YAML_INT_TAG, YAML_KIND_INT},
            {YAML_FLOAT_TAG, YAML_KIND_FLOAT}, {YAML_TIMESTAMP_TAG, YAML_KIND_TIMESTAMP}};

/* A scalar with an explicit tag. Tags of other people's make text. */
static int tagged_value(struct reader *r, yaml_mark_t mark, const char *tag, struct str text,
                        const struct val **ret)
{
    if (strcmp(tag, "tag:yaml.org,2002:binary") == 0)
        return binary_value(r, mark, text, ret);
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        if (strcmp(tag, tags[i].tag) != 0)
            continue;
        if (tags[i].kind == YAML_KIND_STRING)
            break;
        struct yaml_scalar s = yaml_scalar_resolve(text);
        bool is_int_as_float = tags[i].kind == YAML_KIND_FLOAT && s.kind == YAML_KIND_INT;
        if (s.kind != tags[i].kind && !is_int_as_float)
            return fail(r, mark, "cannot read `%.*s` as a !!%s", STR_ARG(str_sub(text, 0, 80)),
                        strrchr(tag, ':') + 1);
        return scalar_value(r, mark, text, s, ret);
    }
    *ret = val_string(r->arena, text);
    return 0;
}

static struct str scalar_text(const yaml_event_t *event)
{
    return (struct str){(const char *)event->data.scalar.value, event->data.scalar.length};
}

static int compose_scalar(struct reader *r, const yaml_event_t *event, const struct val **ret)
{
    const char *tag = (const char *)event->data.scalar.tag;
    struct str text = scalar_text(event);
    if (tag)
        return tagged_value(r, event->start_mark, tag, text, ret);
    if (!event->data.scalar.plain_implicit) {
        *ret = val_string(r->arena, text);
        return 0;
    }
    return scalar_value(r, event->start_mark, text, yaml_scalar_resolve(text), ret);
}

/* --- keys */

/* Go's FormatFloat(f, 'g', -1, 32), by which sigs.k8s.io/yaml makes keys of floats. */
static struct str float_key(struct arena *a, double d)
{
    char text[48];
    int digits = 1;
    for (; digits < 9; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits - 1, d);
        if ((float)str_c_to_double(text) == (float)d)
            break;
    }
    snprintf(text, sizeof(text), "%.*e", digits - 1, d);
    int64_t exponent = 0;
    const char *e = strchr(text, 'e');
    str_to_i64(str_of(e + (e[1] == '+' ? 2 : 1)), &exponent);
    if (exponent >= -4 && exponent < 21 && exponent < MAX_OF(digits, 6))
        snprintf(text, sizeof(text), "%.*f", (int)MAX_OF(digits - 1 - exponent, 0), d);
    return arena_str(a, str_of(text));
}

static struct str special_float_key(double d)
{
    if (isnan(d))
        return STR(".nan");
    return d > 0 ? STR(".inf") : STR("-.inf");
}

static int compose_key(struct reader *r, const yaml_event_t *event, struct str *ret)
{
    if (event->type != YAML_SCALAR_EVENT)
        return fail(r, event->start_mark, "a key must be a word, not a map, a list or an alias");
    struct str text = scalar_text(event);
    bool is_plain = event->data.scalar.plain_implicit && !event->data.scalar.tag;
    struct yaml_scalar s = yaml_scalar_resolve(text);
    if (is_plain && s.kind == YAML_KIND_FLOAT && !isfinite(s.d)) {
        *ret = special_float_key(s.d);
        return 0;
    }
    if (is_plain && (s.kind == YAML_KIND_FLOAT || (s.kind == YAML_KIND_INT && !s.fits))) {
        *ret = float_key(r->arena, s.d);
        return 0;
    }
    const struct val *v;
    int result = compose_scalar(r, event, &v);
    if (result < 0)
        return result;
    if (val_is(v, VAL_NULL))
        return fail(r, event->start_mark, "a key must not be null");
    *ret = val_is(v, VAL_STRING) ? arena_str(r->arena, val_as_str(v)) : val_json(r->arena, v);
    return 0;
}

static bool is_merge_key(const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT || !str_is(scalar_text(event), "<<"))
        return false;
    const char *tag = (const char *)event->data.scalar.tag;
    return tag ? strcmp(tag, "tag:yaml.org,2002:merge") == 0 : event->data.scalar.plain_implicit;
}

/* --- nodes */

static int next_event(struct reader *r, yaml_event_t *event)
{
    pace_steps(4);
    return yaml_parser_parse(&r->parser, event) ? 0 : fail_parser(r);
}

static int count_nodes(struct reader *r, yaml_mark_t mark, size_t n)
{
    r->nodes += n;
    if (r->nodes <= VAL_MAX_YAML_NODES)
        return 0;
    return fail(r, mark, "the document has more than %u nodes once its aliases are expanded",
                VAL_MAX_YAML_NODES);
}

static int compose(struct reader *r, const yaml_event_t *event, const struct val **ret);

/* The node that starts with the next event. */
static int compose_next(struct reader *r, const struct val **ret)
{
    yaml_event_t event cleanup(yaml_event_delete);
    int result = next_event(r, &event);
    return result < 0 ? result : compose(r, &event, ret);
}

static int compose_list(struct reader *r, const struct val **ret)
{
    VEC(const struct val *) items = {0};
    for (;;) {
        yaml_event_t event cleanup(yaml_event_delete);
        int result = next_event(r, &event);
        if (result < 0)
            return result;
        if (event.type == YAML_SEQUENCE_END_EVENT)
            break;
        const struct val *item;
        result = compose(r, &event, &item);
        if (result < 0)
            return result;
        vec_push(&items, r->arena, item);
    }
    *ret = val_array(r->arena, items.items, items.n);
    return 0;
}

static void merge_map(struct reader *r, struct entries *all, yaml_mark_t mark,
                      const struct val *map)
{
    for (size_t i = 0; i < val_len(map); i++) {
        struct entry e = {val_key_at(map, i), val_member_at(map, i), mark, all->n, true};
        pace_step();
        vec_push(all, r->arena, e);
    }
}

static int merge_value(struct reader *r, struct entries *all, yaml_mark_t mark, const struct val *v)
{
    if (val_is(v, VAL_OBJECT)) {
        merge_map(r, all, mark, v);
        return 0;
    }
    bool is_list = val_is(v, VAL_ARRAY);
    for (size_t i = val_len(v); is_list && i > 0; i--) {
        if (!val_is(val_at(v, i - 1), VAL_OBJECT))
            return fail(r, mark, "map merge requires map or sequence of maps as the value");
        merge_map(r, all, mark, val_at(v, i - 1));
    }
    return is_list ? 0 : fail(r, mark, "map merge requires map or sequence of maps as the value");
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    pace_step();
    int order = str_cmp(a->key, b->key);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int finish_map(struct reader *r, struct entries *all, const struct val **ret)
{
    if (all->n > 1)
        qsort(all->items, all->n, sizeof(*all->items), compare_entries);
    struct val_member *members = arena_array_of(r->arena, struct val_member, all->n + 1);
    const struct entry *written = NULL; /* the last one that was not merged in */
    for (size_t i = 0; i < all->n; i++) {
        const struct entry *e = &all->items[i];
        members[i] = (struct val_member){e->key, e->value};
        if (e->is_merged)
            continue;
        if (written && str_eq(written->key, e->key))
            return fail(r, e->mark, "key \"%.*s\" is already set in this map (line %zu)",
                        STR_ARG(str_sub(e->key, 0, 80)), written->mark.line + 1);
        written = e;
    }
    *ret = val_object(r->arena, members, all->n);
    return 0;
}

static int compose_entry(struct reader *r, const yaml_event_t *key, struct entries *all)
{
    struct entry e = {.mark = key->start_mark, .order = all->n};
    bool merges = is_merge_key(key);
    int result = count_nodes(r, key->start_mark, 1);
    if (result == 0 && !merges)
        result = compose_key(r, key, &e.key);
    if (result == 0)
        result = compose_next(r, &e.value);
    if (result < 0)
        return result;
    if (merges)
        return merge_value(r, all, key->start_mark, e.value);
    vec_push(all, r->arena, e);
    return 0;
}

static int compose_map(struct reader *r, const struct val **ret)
{
    struct entries all = {0};
    for (;;) {
        yaml_event_t event cleanup(yaml_event_delete);
        int result = next_event(r, &event);
        if (result < 0)
            return result;
        if (event.type == YAML_MAPPING_END_EVENT)
            break;
        result = compose_entry(r, &event, &all);
        if (result < 0)
            return result;
    }
    return finish_map(r, &all, ret);
}

static int compose_alias(struct reader *r, const yaml_event_t *event, const struct val **ret)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct anchor *anchor = map_get(&r->anchors, str_of(name));
    if (!anchor)
        return fail(r, event->start_mark, "unknown anchor '%s' referenced", name);
    if (!anchor->value)
        return fail(r, event->start_mark, "anchor '%s' value contains itself", name);
    *ret = anchor->value;
    return count_nodes(r, event->start_mark, anchor->nodes);
}

static const char *anchor_name(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return (const char *)event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return (const char *)event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return (const char *)event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

static int compose_content(struct reader *r, const yaml_event_t *event, const struct val **ret)
{
    if (event->type == YAML_SCALAR_EVENT)
        return compose_scalar(r, event, ret);
    if (r->depth == VAL_MAX_DEPTH)
        return fail(r, event->start_mark, "nested deeper than %d levels", VAL_MAX_DEPTH);
    r->depth++;
    int result =
        event->type == YAML_MAPPING_START_EVENT ? compose_map(r, ret) : compose_list(r, ret);
    r->depth--;
    return result;
}

static int compose(struct reader *r, const yaml_event_t *event, const struct val **ret)
{
    if (event->type == YAML_ALIAS_EVENT)
        return compose_alias(r, event, ret);
    size_t before = r->nodes;
    int result = count_nodes(r, event->start_mark, 1);
    if (result < 0)
        return result;
    const char *name = anchor_name(event);
    struct anchor *anchor = name ? arena_new_of(r->arena, struct anchor) : NULL;
    if (anchor)
        map_set(&r->anchors, str_of(name), anchor);
    result = compose_content(r, event, ret);
    if (result == 0 && anchor) {
        anchor->value = *ret;
        anchor->nodes = r->nodes - before;
    }
    return result;
}

/* --- documents */

struct documents {
    VEC(const struct val *) items;
};

static int read_documents(struct reader *r, struct documents *ret)
{
    for (;;) {
        yaml_event_t event cleanup(yaml_event_delete);
        int result = next_event(r, &event);
        if (result < 0)
            return result;
        if (event.type == YAML_STREAM_END_EVENT)
            return 0;
        if (event.type != YAML_DOCUMENT_START_EVENT)
            continue; /* the stream's start, a document's end */
        map_done(&r->anchors);
        r->anchors = (struct map){0};
        const struct val *v;
        result = compose_next(r, &v);
        if (result < 0)
            return result;
        vec_push(&ret->items, r->arena, v);
    }
}

/* Text for the parser, in pieces: one scalar may be as long as the document, and here is where its reading can
 * be paused. */
#define PIECE_BYTES 1024

static int give_piece(void *ctx, unsigned char *to, size_t size, size_t *ret_n)
{
    struct reader *r = ctx;
    struct str piece = str_sub(r->text, r->taken, r->taken + MIN_OF(size, (size_t)PIECE_BYTES));
    if (piece.n)
        memcpy(to, piece.p, piece.n);
    r->taken += piece.n;
    *ret_n = piece.n;
    pace_steps(piece.n);
    return 1;
}

static int parse_documents(struct arena *mine, const char *name, struct str text,
                           struct documents *ret, struct err *err)
{
    if (text.n > VAL_MAX_TEXT_BYTES)
        return err_set(err, ERR_TOO_LARGE, "%s: the text has %zu bytes, the ceiling is %u", name,
                       text.n, VAL_MAX_TEXT_BYTES);
    struct reader r = {.arena = mine, .name = name, .text = text, .err = err};
    INVARIANT(yaml_parser_initialize(&r.parser));
    yaml_parser_set_input(&r.parser, give_piece, &r);
    int result = read_documents(&r, ret);
    yaml_parser_delete(&r.parser);
    map_done(&r.anchors);
    return result;
}

/* JSON is read as JSON where it can be: libyaml refuses pairs of \u surrogates. */
static const struct val *try_json(struct arena *a, struct str text)
{
    struct str trimmed = str_trim(text);
    struct err ignored = ERR_INIT;
    const struct val *v = NULL;
    bool looks_so = trimmed.n > 0 && trimmed.p[0] && strchr("{[\"", trimmed.p[0]);
    return looks_so && val_parse_json(a, trimmed, &v, &ignored) == 0 ? v : NULL;
}

int val_parse_yaml(struct arena *a, const char *name, struct str text, const struct val **ret,
                   struct err *err)
{
    struct arena *mine cleanup(cleanup_arena) = arena_new();
    struct documents docs = {0};
    int r = parse_documents(mine, name, text, &docs, err);
    if (r < 0)
        return r;
    while (docs.items.n > 1 && val_is(docs.items.items[docs.items.n - 1], VAL_NULL))
        docs.items.n--; /* a "---" at the end begins nothing */
    if (docs.items.n > 1)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: %zu documents where one was expected (split at ---)", name,
                       docs.items.n);
    *ret = docs.items.n == 1 ? val_keep(a, docs.items.items[0]) : val_null();
    return 0;
}

int val_parse_yaml_docs(struct arena *a, const char *name, struct str text, struct val_docs *ret,
                        struct err *err)
{
    struct arena *mine cleanup(cleanup_arena) = arena_new();
    struct documents docs = {0};
    const struct val *json = try_json(mine, text);
    int r = 0;
    if (json)
        vec_push(&docs.items, mine, json);
    else
        r = parse_documents(mine, name, text, &docs, err);
    if (r < 0)
        return r;
    struct val_docs out = {.items = arena_array_of(a, const struct val *, docs.items.n + 1)};
    for (size_t i = 0; i < docs.items.n; i++)
        if (!val_is(docs.items.items[i], VAL_NULL))
            out.items[out.n++] = val_keep(a, docs.items.items[i]);
    *ret = out;
    return 0;
}
