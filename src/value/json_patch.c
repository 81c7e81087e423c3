/* JSON patch (RFC 6902) and JSON merge patch (RFC 7386).
 *
 * Differences from RFC 6902 are kube-apiserver's (gopkg.in/evanphx/json-patch.v4): "replace" of a
 * missing object key sets it. The sentences of the errors are that library's too, since users search
 * for them. A malformed patch is ERR_BAD_REQUEST, one that does not apply is ERR_INVALID.
 *
 * "copy" can double a document with every step; values are shared, so that costs nothing here, but
 * the result has a ceiling in nodes and depth. Read next: strategic_patch.c. */
#include "base/vec.h"
#include "value/internal.h"

#define PATCH_MAX_OPERATIONS 10000 /* kube-apiserver's */
#define PATCH_MAX_NODES      (4u << 20)

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
    struct arena *arena;
    struct err *err;
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

static const struct val *child(const struct val *v, struct str token)
{
    size_t i;
    if (val_is(v, VAL_ARRAY))
        return index_of(token, val_len(v), &i) ? val_at(v, i) : NULL;
    return val_gets(v, token);
}

static const struct val *find(const struct val *v, const struct pointer *p)
{
    for (size_t i = 0; v && i < p->tokens.n; i++)
        v = child(v, p->tokens.items[i]);
    return v;
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

/* What an edit does to the container that holds the last token. value NULL: remove. */
struct edit {
    const char *op;
    const struct pointer *path;
    const struct val *value;
    bool inserts; /* into arrays, instead of replacing */
};

static int edit_array(const struct patcher *p, const struct edit *e, const struct val *array,
                      struct str token, const struct val **ret)
{
    size_t i, n = val_len(array);
    if (e->inserts && str_is(token, "-"))
        i = n;
    else if (!index_of(token, n + (e->inserts ? 1 : 0), &i))
        return bad_index(p, e->op, e->path->text, token);
    if (!e->value)
        *ret = val_remove_at(p->arena, array, i);
    else if (e->inserts)
        *ret = val_insert_at(p->arena, array, i, e->value);
    else
        *ret = val_set_at(p->arena, array, i, e->value);
    return 0;
}

static int edit_leaf(const struct patcher *p, const struct edit *e, const struct val *container,
                     struct str token, const struct val **ret)
{
    if (val_is(container, VAL_ARRAY))
        return edit_array(p, e, container, token, ret);
    if (!val_is(container, VAL_OBJECT))
        return missing_path(p, e->op, e->path->text);
    if (!e->value && !val_gets(container, token))
        return err_set(
            p->err, ERR_INVALID,
            "error in %s for path: '%.*s': Unable to remove nonexistent key: %.*s: missing "
            "value",
            e->op, STR_ARG(str_sub(e->path->text, 0, 200)), STR_ARG(str_sub(token, 0, 60)));
    *ret = val_sets(p->arena, container, token, e->value);
    return 0;
}

/* Containers on the way exist, so the recursion is no deeper than the document. */
static int edit_at(const struct patcher *p, const struct edit *e, const struct val *v, size_t i,
                   const struct val **ret)
{
    struct str token = e->path->tokens.items[i];
    if (i + 1 == e->path->tokens.n)
        return edit_leaf(p, e, v, token, ret);
    const struct val *inner = child(v, token), *changed;
    if (!inner)
        return missing_path(p, e->op, e->path->text);
    int r = edit_at(p, e, inner, i + 1, &changed);
    if (r < 0)
        return r;
    size_t at;
    if (val_is(v, VAL_ARRAY) && index_of(token, val_len(v), &at))
        *ret = val_set_at(p->arena, v, at, changed);
    else
        *ret = val_sets(p->arena, v, token, changed);
    return 0;
}

static int edit(const struct patcher *p, const struct edit *e, const struct val *v,
                const struct val **ret)
{
    if (e->path->tokens.n > 0)
        return edit_at(p, e, v, 0, ret);
    if (!e->value)
        return err_set(p->err, ERR_INVALID, "the whole document cannot be removed");
    *ret = e->value;
    return 0;
}

/* --- operations */

static int do_set(const struct patcher *p, const struct val *v, const struct val **ret)
{
    struct edit e = {op_names[p->now->op], &p->now->path, p->now->value, p->now->op == OP_ADD};
    return edit(p, &e, v, ret);
}

static int do_remove(const struct patcher *p, const struct val *v, const struct val **ret)
{
    struct edit e = {"remove", &p->now->path, NULL, false};
    return edit(p, &e, v, ret);
}

static bool is_inside(struct str path, struct str from)
{
    return str_starts(path, from) && path.n > from.n && path.p[from.n] == '/';
}

static int do_move_or_copy(const struct patcher *p, const struct val *v, const struct val **ret)
{
    const char *op = op_names[p->now->op];
    const struct val *value = find(v, &p->now->from);
    if (!value)
        return err_set(p->err, ERR_INVALID,
                       "%s operation does not apply: doc is missing from path: %.*s: missing value",
                       op, STR_ARG(str_sub(p->now->from.text, 0, 200)));
    if (p->now->op == OP_MOVE) {
        if (is_inside(p->now->path.text, p->now->from.text))
            return err_set(p->err, ERR_INVALID,
                           "move operation does not apply: %.*s is inside %.*s",
                           STR_ARG(str_sub(p->now->path.text, 0, 120)),
                           STR_ARG(str_sub(p->now->from.text, 0, 120)));
        struct edit away = {op, &p->now->from, NULL, false};
        int r = edit(p, &away, v, &v);
        if (r < 0)
            return r;
    }
    struct edit e = {op, &p->now->path, value, true};
    return edit(p, &e, v, ret);
}

static bool is_number(const struct val *v)
{
    return val_is(v, VAL_INT) || val_is(v, VAL_FLOAT);
}

static int do_test(const struct patcher *p, const struct val *v, const struct val **ret)
{
    struct pointer holder = p->now->path;
    holder.tokens.n -= holder.tokens.n > 0;
    if (!find(v, &holder))
        return missing_path(p, "test", p->now->path.text);
    const struct val *found = find(v, &p->now->path);
    const struct val *wanted = p->now->value ? p->now->value : val_null();
    bool same = found == wanted || (!found && val_is(wanted, VAL_NULL)) ||
                (is_number(found) && is_number(wanted) &&
                 !(val_as_double(found, 0) < val_as_double(wanted, 0)) &&
                 !(val_as_double(found, 0) > val_as_double(wanted, 0)));
    if (!same)
        return err_set(p->err, ERR_INVALID, "testing value %.*s failed: test failed",
                       STR_ARG(str_sub(p->now->path.text, 0, 200)));
    *ret = v;
    return 0;
}

static int (*const actions[])(const struct patcher *, const struct val *, const struct val **) = {
    [OP_ADD] = do_set,           [OP_REMOVE] = do_remove,     [OP_REPLACE] = do_set,
    [OP_MOVE] = do_move_or_copy, [OP_COPY] = do_move_or_copy, [OP_TEST] = do_test};

int val_patch_json(struct arena *a, const struct val *v, const struct val *ops,
                   const struct val **ret, struct err *err)
{
    if (!val_is(ops, VAL_ARRAY))
        return err_set(err, ERR_BAD_REQUEST, "json patch: the patch must be a list of operations");
    if (val_len(ops) > PATCH_MAX_OPERATIONS)
        return err_set(err, ERR_TOO_LARGE,
                       "The allowed maximum operations in a JSON patch is %d, got %zu",
                       PATCH_MAX_OPERATIONS, val_len(ops));
    /* Of each step only the result is kept, until the next one: steps are copies of what they touch. */
    struct arena *steps[] = {arena_new(), arena_new()};
    int r = 0;
    size_t turn = 0; /* the step that does not hold v: a test leaves v where it is */
    for (size_t i = 0; r == 0 && i < val_len(ops); i++) {
        struct operation o;
        const struct val *before = v;
        struct arena *now = steps[turn];
        arena_reset(now);
        r = operation_read(now, val_at(ops, i), &o, err);
        struct patcher p = {now, err, &o};
        if (r == 0)
            r = actions[o.op](&p, v, &v);
        turn ^= v != before;
    }
    if (r == 0)
        val_keep(a, v);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        arena_free(steps[i]);
    if (r < 0)
        return r;
    size_t budget = PATCH_MAX_NODES;
    if (val_exceeds(v, VAL_MAX_DEPTH, &budget))
        return err_set(err, ERR_TOO_LARGE, "the patched object is nested too deep or too large");
    *ret = v;
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
