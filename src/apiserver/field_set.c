/* See field_set.h. Members are sorted by key, so that two sets are walked side by side. */
#include "apiserver/field_set.h"

#include "base/vec.h"

#define SELF "."

bool set_has(const struct val *node)
{
    return node && (val_len(node) == 0 || val_get(node, SELF));
}

const struct val *set_read(const struct val *fields)
{
    return val_len(fields) ? fields : NULL;
}

/* Two nodes, child by child. */
struct pair {
    const struct val *x, *y;
    size_t i, k;
};

static bool pair_next(struct pair *p, struct str *ret_key, const struct val **ret_x,
                      const struct val **ret_y)
{
    bool more_x = p->i < val_len(p->x), more_y = p->k < val_len(p->y);
    if (!more_x && !more_y)
        return false;
    int order = !more_x   ? 1
                : !more_y ? -1
                          : str_cmp(val_key_at(p->x, p->i), val_key_at(p->y, p->k));
    *ret_key = order <= 0 ? val_key_at(p->x, p->i) : val_key_at(p->y, p->k);
    *ret_x = order <= 0 ? val_member_at(p->x, p->i++) : NULL;
    *ret_y = order >= 0 ? val_member_at(p->y, p->k++) : NULL;
    return true;
}

struct children {
    VEC(struct val_member) items;
};

static void add_child(struct arena *a, struct children *c, struct str key, const struct val *node)
{
    struct val_member member = {key, node};
    if (node)
        vec_push(&c->items, a, member);
}

static const struct val *node_of(struct arena *a, struct children *c, bool self)
{
    if (c->items.n == 0)
        return self ? val_empty_object() : NULL;
    if (self)
        add_child(a, c, STR(SELF), val_empty_object());
    return val_object(a, c->items.items, c->items.n);
}

typedef const struct val *(*set_fn)(struct arena *, const struct val *, const struct val *);

static const struct val *combine(struct arena *a, const struct val *x, const struct val *y,
                                 set_fn fn, bool self)
{
    struct pair p = {.x = x, .y = y};
    struct children children = {0};
    struct str key;
    const struct val *cx, *cy;
    while (pair_next(&p, &key, &cx, &cy))
        if (!str_is(key, SELF))
            add_child(a, &children, key, fn(a, cx, cy));
    return node_of(a, &children, self);
}

const struct val *set_union(struct arena *a, const struct val *x, const struct val *y)
{
    if (x == y || !x || !y)
        return x ? x : y;
    return combine(a, x, y, set_union, set_has(x) || set_has(y));
}

const struct val *set_minus(struct arena *a, const struct val *x, const struct val *y)
{
    if (x == y || !x)
        return NULL;
    if (!y)
        return x;
    return combine(a, x, y, set_minus, set_has(x) && !set_has(y));
}

const struct val *set_both(struct arena *a, const struct val *x, const struct val *y)
{
    if (x == y || !x || !y)
        return x == y ? x : NULL;
    return combine(a, x, y, set_both, set_has(x) && set_has(y));
}

const struct val *set_without(struct arena *a, const struct val *x, const struct val *drop)
{
    if (!x || set_has(drop))
        return NULL;
    if (!drop)
        return x;
    return combine(a, x, drop, set_without, set_has(x));
}

/* --- paths */

/* f:name -> .name   k:{"a":1} -> [a=1]   v:"x" -> [="x"] */
void set_add_step(struct arena *a, struct str key, struct buf *out)
{
    struct str rest = str_sub(key, 2, key.n);
    struct err ignored = ERR_INIT;
    const struct val *id;
    if (str_starts(key, STR("f:"))) {
        buf_addf(out, ".%.*s", STR_ARG(rest));
    } else if (str_starts(key, STR("v:"))) {
        buf_addf(out, "[=%.*s]", STR_ARG(rest));
    } else if (val_parse_json(a, rest, &id, &ignored) == 0) {
        for (size_t i = 0; i < val_len(id); i++)
            buf_addf(out, "%s%.*s=%.*s", i ? "," : "[", STR_ARG(val_key_at(id, i)),
                     STR_ARG(val_json(a, val_member_at(id, i))));
        buf_addc(out, ']');
    }
}

struct path_walk {
    struct arena *a;
    set_path_fn fn;
    void *ctx;
    struct buf path;
};

static void walk_paths(struct path_walk *w, const struct val *node, bool root)
{
    if (!root && set_has(node))
        w->fn(w->ctx, arena_str(w->a, buf_str(&w->path)));
    for (size_t i = 0; i < val_len(node); i++) {
        size_t n = w->path.n;
        if (str_is(val_key_at(node, i), SELF))
            continue;
        set_add_step(w->a, val_key_at(node, i), &w->path);
        walk_paths(w, val_member_at(node, i), false);
        w->path.n = n;
    }
}

void set_each_path(struct arena *a, const struct val *set, set_path_fn fn, void *ctx)
{
    struct path_walk w = {.a = a, .fn = fn, .ctx = ctx, .path = BUF_INIT(SET_MAX_PATH_BYTES)};
    walk_paths(&w, set, true);
    buf_done(&w.path);
}
