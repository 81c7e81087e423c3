/* An applied configuration laid over the live object, and what its manager gave up taken out.
 *
 * Source: structured-merge-diff typed/merge.go and merge/update.go. */
#include "apiserver/field_set.h"

#include "base/map.h"
#include "base/vec.h"

/* --- merging */

static const struct val *merge_maps(struct arena *a, const struct field_type *t,
                                    const struct val *live, const struct val *config)
{
    VEC(struct val_member) changes = {0};
    for (size_t i = 0; i < val_len(config); i++) {
        struct field_type inner;
        struct str key = val_key_at(config, i);
        const struct val *was = val_gets(live, key), *zero;
        field_member(a, t, key, &inner, &zero);
        struct val_member change = {key, field_merge(a, &inner, was, val_member_at(config, i))};
        if (change.value != was)
            vec_push(&changes, a, change);
    }
    return val_set_members(a, live, changes.items, changes.n);
}

/* One side of a merge: the items' names, and where each name stands first. */
struct side {
    const struct val *list;
    struct str *ids; /* NULL: it has none */
    struct map at;   /* id -> place + 1 */
};

static void side_init(struct arena *a, const struct field_type *t, enum field_form form,
                      const struct val *list, struct side *s)
{
    size_t n = val_len(list);
    *s = (struct side){.list = list, .ids = arena_array_of(a, struct str, n + 1)};
    for (size_t i = 0; i < n; i++) {
        s->ids[i] = STR_NULL;
        if (field_item_id(a, t, form, val_at(list, i), &s->ids[i]) && !map_get(&s->at, s->ids[i]))
            map_set(&s->at, s->ids[i], (void *)(uintptr_t)(i + 1));
    }
}

static size_t place_of(const struct side *s, struct str id)
{
    return id.p ? (size_t)(uintptr_t)map_get(&s->at, id) - 1 : SIZE_MAX;
}

struct list_merge {
    struct arena *a;
    struct field_type item;
    struct side live, config;
    VEC(const struct val *) out;
};

/* Takes config's item i, with what live has of it below. */
static void take(struct list_merge *m, size_t i)
{
    const struct val *item = val_at(m->config.list, i);
    size_t was = place_of(&m->live, m->config.ids[i]);
    if (was != SIZE_MAX)
        item = field_merge(m->a, &m->item, val_at(m->live.list, was), item);
    vec_push(&m->out, m->a, item);
}

/* Items that both have follow config's order, others stay where they are: before the one they stood
 * before. */
static void merge_items(struct list_merge *m)
{
    size_t n_config = val_len(m->config.list), next = 0;
    for (size_t i = 0; i < val_len(m->live.list); i++) {
        size_t wanted = place_of(&m->config, m->live.ids[i]), shared = next;
        if (wanted == SIZE_MAX) {
            vec_push(&m->out, m->a, val_at(m->live.list, i));
            continue;
        }
        while (shared < n_config && place_of(&m->live, m->config.ids[shared]) == SIZE_MAX)
            shared++;
        if (wanted != shared)
            continue; /* taken already, or when config's order comes to it */
        while (next <= shared)
            take(m, next++);
    }
    while (next < n_config)
        take(m, next++);
}

static const struct val *merge_lists(struct arena *a, const struct field_type *t,
                                     enum field_form form, const struct val *live,
                                     const struct val *config)
{
    struct list_merge m = {.a = a, .item = field_item(t)};
    side_init(a, t, form, live, &m.live);
    side_init(a, t, form, config, &m.config);
    merge_items(&m);
    map_done(&m.live.at);
    map_done(&m.config.at);
    return val_array(a, m.out.items, m.out.n);
}

const struct val *field_merge(struct arena *a, const struct field_type *t, const struct val *live,
                              const struct val *config)
{
    enum field_form form = field_form(t, config);
    if (live == config || !live || val_type(live) != val_type(config) || form == FIELD_LEAF)
        return config;
    return form == FIELD_MAP ? merge_maps(a, t, live, config)
                             : merge_lists(a, t, form, live, config);
}

/* --- giving up */

struct pruning {
    struct arena *a;
    const struct field_type *t;
    enum field_form form;
    const struct val *last, *kept;
};

static const struct val *prune_part(void *ctx, struct str key, size_t i, const struct val *v)
{
    const struct pruning *p = ctx;
    struct field_type inner;
    const struct val *zero;
    struct str id;
    bool named = false;
    if (p->form == FIELD_MAP) {
        named = field_member(p->a, p->t, key, &inner, &zero);
        id = arena_strf(p->a, "f:%.*s", STR_ARG(key));
    } else {
        inner = field_item(p->t);
        if (!field_item_id(p->a, p->t, p->form, v, &id))
            return v;
    }
    const struct val *last = val_gets(p->last, id), *kept = val_gets(p->kept, id);
    if (!last)
        return v;
    /* A struct's field goes with what was set in it. */
    bool was = set_has(last) || named, stays = kept && (set_has(kept) || named);
    if (was && !stays)
        return NULL;
    const struct val *rest = field_prune(p->a, &inner, v, last, kept);
    return rest != v && val_len(rest) == 0 ? NULL : rest;
}

const struct val *field_prune(struct arena *a, const struct field_type *t, const struct val *v,
                              const struct val *last, const struct val *kept)
{
    struct pruning p = {a, t, field_form(t, v), last, kept};
    return p.form == FIELD_LEAF || !last ? v : val_map(a, v, prune_part, &p);
}

/* --- faults of an applied configuration */

static struct str step_path(struct arena *a, struct str path, struct str id)
{
    struct buf text cleanup(buf_done) = BUF_INIT(SET_MAX_PATH_BYTES);
    buf_add(&text, path);
    set_add_step(a, id, &text);
    return arena_str(a, buf_str(&text));
}

static void check_items(struct arena *a, const struct field_type *t, enum field_form form,
                        const struct val *v, struct str path, struct buf *ret_faults)
{
    struct map seen cleanup(map_done) = {0};
    struct field_type item = field_item(t);
    for (size_t i = 0; i < val_len(v); i++) {
        struct str id;
        if (!field_item_id(a, t, form, val_at(v, i), &id)) {
            buf_addf(ret_faults,
                     "\n  %.*s: element %zu: associative list with keys has an element that omits "
                     "all key fields [%.*s] (and doesn't have default values for any key fields)",
                     STR_ARG(path), i, STR_ARG(field_key_names(a, t)));
            continue;
        }
        if (map_set(&seen, id, &seen)) {
            buf_addf(ret_faults, "\n  %.*s: duplicate entries for key ", STR_ARG(path));
            set_add_step(a, id, ret_faults);
        }
        field_check_lists(a, &item, val_at(v, i), step_path(a, path, id), ret_faults);
    }
}

void field_check_lists(struct arena *a, const struct field_type *t, const struct val *v,
                       struct str path, struct buf *ret_faults)
{
    enum field_form form = field_form(t, v);
    if (form == FIELD_LIST_MAP || form == FIELD_LIST_SET)
        check_items(a, t, form, v, path, ret_faults);
    for (size_t i = 0; form == FIELD_MAP && i < val_len(v); i++) {
        struct field_type inner;
        const struct val *zero;
        struct str key = val_key_at(v, i);
        bool named = field_member(a, t, key, &inner, &zero);
        if (!named && field_is_struct(t))
            buf_addf(ret_faults, "\n  %.*s.%.*s: field not declared in schema", STR_ARG(path),
                     STR_ARG(key));
        if (field_form(&inner, val_member_at(v, i)) != FIELD_LEAF)
            field_check_lists(a, &inner, val_member_at(v, i),
                              arena_strf(a, "%.*s.%.*s", STR_ARG(path), STR_ARG(key)), ret_faults);
    }
}
