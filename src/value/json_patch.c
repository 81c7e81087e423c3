/* JSON patch (RFC 6902) and JSON merge patch (RFC 7386).
 *
 * Differences from RFC 6902 are kube-apiserver's (gopkg.in/evanphx/json-patch.v4): "replace" of a
 * missing object key sets it. The sentences of the errors are that library's too, since users search
 * for them. A malformed patch is ERR_BAD_REQUEST, one that does not apply is ERR_INVALID.
 *
 * Operations work on a draft (draft.h), so that a step costs what it changes. "copy" can double a document with
 * every step: what all copies add together has a ceiling. Read next: strategic_patch.c. */
#include "base/vec.h"
#include "value/draft.h"
#include "value/internal.h"

#define PATCH_MAX_OPERATIONS 10000 /* kube-apiserver's */
#define PATCH_MAX_COPY_BYTES                                                                       \
    (3u << 20) /* kube-apiserver's JSONPatchMaxCopyBytes, of all copies together */
#define PATCH_MAX_NODES (4u << 20)

struct pointer {
    struct str text;
    VEC(struct str) tokens;
};

enum op { OP_ADD, OP_REMOVE, OP_REPLACE, OP_MOVE, OP_COPY, OP_TEST };

static const char *const op_names[] = {"add", "remove", "replace", "move", "copy", "test"};

struct operation {
    enum op op;
    struct pointer path;
    struct pointer from;
    const struct val *value; /* NULL: not given */
};

struct patcher {
    struct arena *arena; /* of this patch alone */
    struct err *err;
    struct draft_part document;
    size_t copied; /* bytes, by all copies so far */
    const struct operation *now;
};

/* --- reading the patch */

/* ~1 is /, ~0 is ~ */
static struct str unescape(struct arena *a, struct str token)
{
    if (str_find(token, '~') < 0)
        return token;
    char *out = arena_alloc(a, token.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < token.n; i++) {
        bool escaped = token.p[i] == '~' && i + 1 < token.n &&
                       (token.p[i + 1] == '0' || token.p[i + 1] == '1');
        out[n++] = !escaped ? token.p[i] : token.p[i + 1] == '1' ? '/' : '~';
        i += escaped;
    }
    return (struct str){out, n};
}

static int pointer_read(struct arena *a, const struct val *v, const char *what, struct pointer *ret,
                        struct err *err)
{
    struct pointer p = {.text = val_as_str(v)};
    if (!val_is(v, VAL_STRING))
        return err_set(err, ERR_BAD_REQUEST, "json patch: \"%s\" must be a string", what);
    if (p.text.n > 0 && p.text.p[0] != '/')
        return err_set(err, ERR_BAD_REQUEST, "json patch: the %s \"%.*s\" must start with /", what,
                       STR_ARG(p.text));
    for (size_t start = 1, i = 1; i <= p.text.n && p.text.n > 0; i++) {
        if (i < p.text.n && p.text.p[i] != '/')
            continue;
        if (p.tokens.n > VAL_MAX_DEPTH)
            return err_set(err, ERR_BAD_REQUEST, "json patch: the %s has more than %d steps", what,
                           VAL_MAX_DEPTH);
        vec_push(&p.tokens, a, unescape(a, str_sub(p.text, start, i)));
        start = i + 1;
    }
    *ret = p;
    return 0;
}

static int operation_read(struct arena *a, const struct val *v, struct operation *ret,
                          struct err *err)
{
    struct str name = val_as_str(val_get(v, "op"));
    struct operation o = {.value = val_get(v, "value")};
    size_t i = 0;
    while (i < ARRAY_SIZE(op_names) && !str_is(name, op_names[i]))
        i++;
    if (i == ARRAY_SIZE(op_names))
        return err_set(err, ERR_BAD_REQUEST, "json patch: Unexpected kind: %.*s",
                       STR_ARG(str_sub(name, 0, 60)));
    o.op = (enum op)i;
    int r = pointer_read(a, val_get(v, "path"), "path", &o.path, err);
    if (r == 0 && (o.op == OP_MOVE || o.op == OP_COPY))
        r = pointer_read(a, val_get(v, "from"), "from", &o.from, err);
    if (r < 0)
        return r;
    if (!o.value && (o.op == OP_ADD || o.op == OP_REPLACE))
        return err_set(err, ERR_BAD_REQUEST,
                       "json patch: %s operation without a value at path %.*s", op_names[o.op],
                       STR_ARG(o.path.text));
    *ret = o;
    return 0;
}

/* --- walking */

/* An index below limit. -1 is the last one: not in RFC 6902, but kube-apiserver takes it. */
static bool index_of(struct str token, size_t limit, size_t *ret)
{
    uint64_t i;
    bool from_end = token.n > 1 && token.p[0] == '-';
    struct str digits = str_sub(token, from_end, token.n);
    bool has_zero = digits.n > 1 && digits.p[0] == '0';
    if (has_zero || !str_to_u64(digits, &i) || (from_end ? i == 0 || i > limit : i >= limit))
        return false;
    *ret = from_end ? limit - i : i;
    return true;
}

static struct draft_part child(struct draft_part part, struct str token)
{
    size_t i;
    if (draft_is_list(part))
        return index_of(token, draft_len(part), &i) ? draft_item(part, i) : (struct draft_part){0};
    return draft_member(part, token);
}

static struct draft_part find(struct draft_part part, const struct pointer *p, size_t depth)
{
    for (size_t i = 0; draft_is_there(part) && i < depth; i++)
        part = child(part, p->tokens.items[i]);
    return part;
}

static int missing_path(const struct patcher *p, const char *op, struct str path)
{
    return err_set(p->err, ERR_INVALID,
                   "%s operation does not apply: doc is missing path: %.*s: missing value", op,
                   STR_ARG(str_sub(path, 0, 200)));
}

static int bad_index(const struct patcher *p, const char *op, struct str path, struct str token)
{
    return err_set(
        p->err, ERR_INVALID,
        "error in %s for path: '%.*s': Unable to access invalid index: %.*s: invalid index "
        "referenced",
        op, STR_ARG(str_sub(path, 0, 200)), STR_ARG(str_sub(token, 0, 60)));
}

/* What an edit does to the container that holds the last token. `part` absent: remove. */
struct edit {
    const char *op;
    const struct pointer *path;
    struct draft_part part;
    bool inserts; /* into lists, instead of replacing */
};

static int edit_list(const struct patcher *p, const struct edit *e, struct draft_part *list,
                     struct str token)
{
    size_t i, n = draft_len(*list);
    if (e->inserts && str_is(token, "-"))
        i = n;
    else if (!index_of(token, n + (e->inserts ? 1 : 0), &i))
        return bad_index(p, e->op, e->path->text, token);
    struct draft *open = draft_open(p->arena, list);
    if (!draft_is_there(e->part))
        draft_remove_item(open, i);
    else if (e->inserts)
        draft_insert_item(p->arena, open, i, e->part);
    else
        *draft_item_place(open, i) = e->part;
    return 0;
}

static int edit_leaf(const struct patcher *p, const struct edit *e, struct draft_part *container,
                     struct str token)
{
    if (draft_is_list(*container))
        return edit_list(p, e, container, token);
    if (!draft_is_map(*container))
        return missing_path(p, e->op, e->path->text);
    bool removes = !draft_is_there(e->part);
    if (removes && !draft_is_there(draft_member(*container, token)))
        return err_set(
            p->err, ERR_INVALID,
            "error in %s for path: '%.*s': Unable to remove nonexistent key: %.*s: missing "
            "value",
            e->op, STR_ARG(str_sub(e->path->text, 0, 200)), STR_ARG(str_sub(token, 0, 60)));
    struct draft *open = draft_open(p->arena, container);
    if (removes)
        draft_remove_member(p->arena, open, token);
    else
        draft_set_member(p->arena, open, token, e->part);
    return 0;
}

/* The child's place in the container, which is opened for it. The child exists. */
static struct draft_part *open_child(const struct patcher *p, struct draft_part *container,
                                     struct str token)
{
    size_t i = 0;
    bool is_list = draft_is_list(*container);
    if (is_list)
        (void)index_of(token, draft_len(*container), &i);
    struct draft *open = draft_open(p->arena, container);
    return is_list ? draft_item_place(open, i) : draft_member_place(p->arena, open, token);
}

static int edit(struct patcher *p, const struct edit *e)
{
    size_t depth = e->path->tokens.n;
    if (depth == 0 && !draft_is_there(e->part))
        return err_set(p->err, ERR_INVALID, "the whole document cannot be removed");
    if (depth == 0) {
        p->document = e->part;
        return 0;
    }
    if (!draft_is_there(find(p->document, e->path, depth - 1)))
        return missing_path(p, e->op, e->path->text);
    struct draft_part *at = &p->document;
    for (size_t i = 0; i + 1 < depth; i++)
        at = open_child(p, at, e->path->tokens.items[i]);
    return edit_leaf(p, e, at, e->path->tokens.items[depth - 1]);
}

/* --- operations */

static int do_set(struct patcher *p)
{
    struct edit e = {
        op_names[p->now->op], &p->now->path, {.value = p->now->value}, p->now->op == OP_ADD};
    return edit(p, &e);
}

static int do_remove(struct patcher *p)
{
    struct edit e = {"remove", &p->now->path, {0}, false};
    return edit(p, &e);
}

static bool is_inside(struct str path, struct str from)
{
    return str_starts(path, from) && path.n > from.n && path.p[from.n] == '/';
}

static int find_from(struct patcher *p, struct draft_part *ret)
{
    *ret = find(p->document, &p->now->from, p->now->from.tokens.n);
    if (draft_is_there(*ret))
        return 0;
    return err_set(p->err, ERR_INVALID,
                   "%s operation does not apply: doc is missing from path: %.*s: missing value",
                   op_names[p->now->op], STR_ARG(str_sub(p->now->from.text, 0, 200)));
}

static int do_move(struct patcher *p)
{
    struct draft_part part;
    int r = find_from(p, &part);
    if (r < 0)
        return r;
    if (is_inside(p->now->path.text, p->now->from.text))
        return err_set(p->err, ERR_INVALID, "move operation does not apply: %.*s is inside %.*s",
                       STR_ARG(str_sub(p->now->path.text, 0, 120)),
                       STR_ARG(str_sub(p->now->from.text, 0, 120)));
    struct edit away = {"move", &p->now->from, {0}, false};
    struct edit here = {"move", &p->now->path, part, true};
    r = edit(p, &away);
    return r < 0 ? r : edit(p, &here);
}

static int do_copy(struct patcher *p)
{
    struct draft_part part;
    int r = find_from(p, &part);
    if (r < 0)
        return r;
    size_t left = PATCH_MAX_COPY_BYTES - p->copied;
    if (draft_exceeds(part, VAL_MAX_DEPTH, &left))
        return err_set(p->err, ERR_INVALID,
                       "Unable to complete the copy, the accumulated size increase of copy is too "
                       "large: the limit is %u bytes",
                       PATCH_MAX_COPY_BYTES);
    p->copied = PATCH_MAX_COPY_BYTES - left;
    part = (struct draft_part){.value = draft_value(p->arena, part, VAL_MAX_DEPTH)};
    struct edit e = {"copy", &p->now->path, part, true};
    return edit(p, &e);
}

static bool is_number(const struct val *v)
{
    return val_is(v, VAL_INT) || val_is(v, VAL_FLOAT);
}

static int do_test(struct patcher *p)
{
    const struct pointer *path = &p->now->path;
    size_t depth = path->tokens.n;
    if (!draft_is_there(find(p->document, path, depth - (depth > 0))))
        return missing_path(p, "test", path->text);
    struct draft_part found = find(p->document, path, depth);
    const struct val *wanted = p->now->value ? p->now->value : val_null();
    bool same = draft_equals(found, wanted) ||
                (!draft_is_there(found) && val_is(wanted, VAL_NULL)) ||
                (is_number(found.value) && is_number(wanted) &&
                 !(val_as_double(found.value, 0) < val_as_double(wanted, 0)) &&
                 !(val_as_double(found.value, 0) > val_as_double(wanted, 0)));
    if (!same)
        return err_set(p->err, ERR_INVALID, "testing value %.*s failed: test failed",
                       STR_ARG(str_sub(path->text, 0, 200)));
    return 0;
}

static int (*const actions[])(struct patcher *) = {
    [OP_ADD] = do_set,   [OP_REMOVE] = do_remove, [OP_REPLACE] = do_set,
    [OP_MOVE] = do_move, [OP_COPY] = do_copy,     [OP_TEST] = do_test};

int val_patch_json(struct arena *a, const struct val *v, const struct val *ops,
                   const struct val **ret, struct err *err)
{
    if (!val_is(ops, VAL_ARRAY))
        return err_set(err, ERR_BAD_REQUEST, "json patch: the patch must be a list of operations");
    if (val_len(ops) > PATCH_MAX_OPERATIONS)
        return err_set(err, ERR_TOO_LARGE,
                       "The allowed maximum operations in a JSON patch is %d, got %zu",
                       PATCH_MAX_OPERATIONS, val_len(ops));
    struct arena *mine cleanup(cleanup_arena) = arena_new();
    struct patcher p = {.arena = mine, .err = err, .document = {.value = v}};
    for (size_t i = 0; i < val_len(ops); i++) {
        struct operation o;
        int r = operation_read(mine, val_at(ops, i), &o, err);
        p.now = &o;
        if (r == 0)
            r = actions[o.op](&p);
        if (r < 0)
            return r;
    }
    const struct val *out = draft_value(mine, p.document, VAL_MAX_DEPTH + 1);
    size_t budget = PATCH_MAX_NODES;
    if (!out || val_exceeds(out, VAL_MAX_DEPTH, &budget))
        return err_set(err, ERR_INVALID, "the patched object is nested too deep or too large");
    *ret = val_keep(a, out);
    return 0;
}

/* --- merge patch */

struct members {
    VEC(struct val_member) list;
};

static const struct val *members_object(struct arena *a, struct members *m)
{
    const struct val *v = val_object(a, m->list.items, m->list.n);
    vec_done(&m->list);
    return v;
}

const struct val *val_patch_merge(struct arena *a, const struct val *v, const struct val *patch)
{
    if (!patch || !val_is(patch, VAL_OBJECT))
        return patch ? patch : v;
    if (!val_is(v, VAL_OBJECT))
        v = val_empty_object();
    struct members out = {0};
    for (size_t i = 0; i < val_len(v); i++) {
        struct val_member m = {val_key_at(v, i), val_member_at(v, i)};
        if (!val_gets(patch, m.key))
            vec_push(&out.list, NULL, m);
    }
    for (size_t i = 0; i < val_len(patch); i++) {
        struct val_member m = {val_key_at(patch, i), val_member_at(patch, i)};
        if (val_is(m.value, VAL_NULL))
            continue;
        m.value = val_patch_merge(a, val_gets(v, m.key), m.value);
        vec_push(&out.list, NULL, m);
    }
    return members_object(a, &out);
}

const struct val *val_diff_merge(struct arena *a, const struct val *from, const struct val *to)
{
    if (from == to)
        return val_empty_object();
    if (!val_is(from, VAL_OBJECT) || !val_is(to, VAL_OBJECT))
        return to ? to : val_null();
    struct members out = {0};
    for (size_t i = 0; i < val_len(from); i++) {
        struct val_member m = {val_key_at(from, i), val_null()};
        if (!val_gets(to, m.key))
            vec_push(&out.list, NULL, m);
    }
    for (size_t i = 0; i < val_len(to); i++) {
        struct val_member m = {val_key_at(to, i), val_member_at(to, i)};
        const struct val *old = val_gets(from, m.key);
        if (old == m.value)
            continue;
        if (old)
            m.value = val_diff_merge(a, old, m.value);
        vec_push(&out.list, NULL, m);
    }
    return members_object(a, &out);
}
