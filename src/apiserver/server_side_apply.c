/* Server-side apply, thin: each manager's last applied fields are kept in managedFields (FieldsV1), so
 * that a field which it leaves out next time goes away, unless another manager applied it too.
 * Lists are merged by key where Kubernetes' types say so (listType=map), replaced elsewhere.
 * Source: k8s.io/kubernetes documentation "Server-Side Apply", structured-merge-diff's FieldsV1 form. */
#include "apiserver/server_side_apply.h"
#include "apiserver/failure.h"

/* The listType=map lists of the kinds served, by the list's own name. */
static const struct {
    const char *list, *key;
} list_keys[] = {
    {"containers", "name"},
    {"initContainers", "name"},
    {"ephemeralContainers", "name"},
    {"env", "name"},
    {"volumes", "name"},
    {"volumeMounts", "mountPath"},
    {"imagePullSecrets", "name"},
    {"conditions", "type"},
    {"ownerReferences", "uid"},
    {"hostAliases", "ip"},
    {"secrets", "name"},
    {"volumeDevices", "devicePath"},
};

static const char *list_key(struct api_request *rq, struct str name, const struct val *list)
{
    if (rq->resource->crd && !str_is(name, "ownerReferences"))
        return NULL;
    if (str_is(name, "ports") && val_is(list, VAL_ARRAY))
        return val_get(val_at(list, 0), "containerPort") ? "containerPort"
               : val_get(val_at(list, 0), "port")        ? "port"
                                                         : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(list_keys); i++) {
        if (str_is(name, list_keys[i].list))
            return list_keys[i].key;
    }
    return NULL;
}

static size_t find_keyed(const struct val *list, const char *key, const struct val *wanted)
{
    for (size_t i = 0; i < val_len(list); i++) {
        if (wanted && val_get(val_at(list, i), key) == wanted)
            return i;
    }
    return SIZE_MAX;
}

static const struct val *lay_over(struct api_request *rq, struct str name, const struct val *live,
                                  const struct val *config);

static const struct val *lay_over_object(struct api_request *rq, const struct val *live,
                                         const struct val *config)
{
    VEC(struct val_member) changes = {0};
    for (size_t i = 0; i < val_len(config); i++) {
        struct str key = val_key_at(config, i);
        const struct val *was = val_gets(live, key);
        struct val_member change = {key, lay_over(rq, key, was, val_member_at(config, i))};
        if (change.value != was)
            vec_push(&changes, rq->arena, change);
    }
    return val_set_members(rq->arena, live, changes.items, changes.n);
}

static const struct val *lay_over_list(struct api_request *rq, const char *key,
                                       const struct val *live, const struct val *config)
{
    VEC(const struct val *) items = {0};
    for (size_t i = 0; i < val_len(live); i++)
        vec_push(&items, rq->arena, val_at(live, i));
    for (size_t i = 0; i < val_len(config); i++) {
        const struct val *item = val_at(config, i);
        size_t at = find_keyed(live, key, val_get(item, key));
        if (at == SIZE_MAX)
            vec_push(&items, rq->arena, item);
        else
            items.items[at] = lay_over(rq, STR_NULL, items.items[at], item);
    }
    return val_array(rq->arena, items.items, items.n);
}

static const struct val *lay_over(struct api_request *rq, struct str name, const struct val *live,
                                  const struct val *config)
{
    const char *key = list_key(rq, name, config);
    if (val_is(config, VAL_OBJECT) && val_is(live, VAL_OBJECT))
        return lay_over_object(rq, live, config);
    if (key && val_is(config, VAL_ARRAY) && val_is(live, VAL_ARRAY))
        return lay_over_list(rq, key, live, config);
    return config;
}

/* --- FieldsV1 */

static const struct val *fields_of(struct api_request *rq, struct str name, const struct val *v)
{
    struct arena *a = rq->arena;
    VEC(struct val_member) fields = {0};
    const char *key = list_key(rq, name, v);
    for (size_t i = 0; val_is(v, VAL_OBJECT) && i < val_len(v); i++) {
        struct str k = val_key_at(v, i);
        struct val_member field = {arena_strf(a, "f:%.*s", STR_ARG(k)),
                                   fields_of(rq, k, val_member_at(v, i))};
        vec_push(&fields, a, field);
    }
    for (size_t i = 0; key && val_is(v, VAL_ARRAY) && i < val_len(v); i++) {
        struct str id = val_json(a, val_obj(a, key, val_get(val_at(v, i), key)));
        struct val_member field = {arena_strf(a, "k:%.*s", STR_ARG(id)),
                                   fields_of(rq, STR_NULL, val_at(v, i))};
        vec_push(&fields, a, field);
    }
    return val_object(a, fields.items, fields.n);
}

static const struct val *config_fields(struct api_request *rq, const struct val *config)
{
    struct arena *a = rq->arena;
    config = val_set(a, val_set(a, config, "apiVersion", NULL), "kind", NULL);
    const struct val *meta = val_get(config, "metadata");
    static const char *const identity[] = {
        "name", "namespace", "managedFields", "creationTimestamp", "uid", "resourceVersion"};
    for (size_t i = 0; i < ARRAY_SIZE(identity); i++)
        meta = val_set(a, meta, identity[i], NULL);
    config = val_set(a, config, "metadata", val_len(meta) ? meta : NULL);
    return fields_of(rq, STR_NULL, config);
}

static bool is_own_entry(const struct api_request *rq, const struct val *entry)
{
    return str_eq(val_as_str(val_get(entry, "manager")), rq->field_manager) &&
           str_is(val_as_str(val_get(entry, "operation")), "Apply") &&
           str_eq(val_as_str(val_get(entry, "subresource")), rq->subresource);
}

/* By time, then by manager. */
static const struct val *insert_entry(struct arena *a, const struct val *entries,
                                      const struct val *entry)
{
    size_t n = val_len(entries), at = n;
    const struct val **list = arena_array_of(a, const struct val *, n + 1);
    struct str manager = val_as_str(val_get(entry, "manager")),
               time = val_as_str(val_get(entry, "time"));
    while (at > 0) {
        const struct val *before = val_at(entries, at - 1);
        int order = str_cmp(val_as_str(val_get(before, "time")), time);
        if (order < 0 ||
            (order == 0 && str_cmp(val_as_str(val_get(before, "manager")), manager) <= 0))
            break;
        at--;
    }
    for (size_t i = 0; i <= n; i++)
        list[i] = i < at ? val_at(entries, i) : i == at ? entry : val_at(entries, i - 1);
    return val_array(a, list, n + 1);
}

const struct val *apply_managed_fields(struct api_request *rq, const struct val *live,
                                       const struct val *config)
{
    struct arena *a = rq->arena;
    const struct val *entries = val_path(live, "metadata.managedFields");
    const struct val *fields = config_fields(rq, config);
    const struct val *entry = val_obj(
        a, "manager", val_string(a, rq->field_manager), "operation", val_text(a, "Apply"),
        "apiVersion", val_text(a, rq->resource->api_version), "time",
        val_string(a, time_rfc3339(a, rq->now)), "fieldsType", val_text(a, "FieldsV1"), "fieldsV1",
        fields, "subresource", rq->subresource.n ? val_string(a, rq->subresource) : NULL);
    for (size_t i = 0; i < val_len(entries); i++) {
        const struct val *old = val_at(entries, i);
        if (!is_own_entry(rq, old))
            continue;
        bool same = val_get(old, "fieldsV1") == fields;
        return val_set_at(a, entries, i, same ? old : entry);
    }
    return insert_entry(a, entries, entry);
}

/* True when another manager's entry owns the path in `trail`. */
static bool held_by_other(struct api_request *rq, const struct val *entries,
                          const struct str *trail, size_t depth)
{
    for (size_t i = 0; i < val_len(entries); i++) {
        const struct val *entry = val_at(entries, i);
        if (is_own_entry(rq, entry))
            continue;
        const struct val *at = val_get(entry, "fieldsV1");
        for (size_t k = 0; at && k < depth; k++)
            at = val_gets(at, trail[k]);
        if (at)
            return true;
    }
    return false;
}

struct give_up {
    struct api_request *rq;
    const struct val *entries;
    struct str trail[VAL_MAX_DEPTH];
};

static const struct val *give_up_fields(struct give_up *g, size_t depth, const struct val *live,
                                        const struct val *was, const struct val *is);

/* What is left of `live`, the member or item at the trail; NULL: it is removed. */
static const struct val *give_up_part(struct give_up *g, size_t depth, const struct val *live,
                                      const struct val *was, const struct val *is)
{
    bool is_item = str_starts(g->trail[depth], STR("k:"));
    bool whole = is_item || val_len(was) == 0;
    if (!is && whole && !held_by_other(g->rq, g->entries, g->trail, depth + 1))
        return NULL;
    const struct val *rest = give_up_fields(g, depth + 1, live, was, is);
    bool emptied = !is_item && !is && rest != live && val_len(rest) == 0;
    return emptied ? NULL : rest;
}

/* The index of the item that "k:{...}" names, or SIZE_MAX. */
static size_t item_named(struct arena *a, const struct val *list, struct str key)
{
    const struct val *id;
    struct err ignored = ERR_INIT;
    if (val_parse_json(a, str_sub(key, 2, key.n), &id, &ignored) < 0 || val_len(id) == 0)
        return SIZE_MAX;
    return find_keyed(list, arena_c(a, val_key_at(id, 0)), val_member_at(id, 0));
}

/* Member or item by member or item: what is there, and what is left of it. */
struct leftover {
    VEC(struct val_member) members;
    const struct val **items; /* NULL: gone */
};

static void give_up_one(struct give_up *g, size_t depth, const struct val *live,
                        struct leftover *left, const struct val *was, const struct val *is)
{
    struct str key = g->trail[depth], name = str_sub(key, 2, key.n);
    if (str_starts(key, STR("f:")) && val_gets(live, name)) {
        const struct val *now = val_gets(live, name);
        struct val_member change = {name, give_up_part(g, depth, now, was, is)};
        if (change.value != now)
            vec_push(&left->members, g->rq->arena, change);
    } else if (str_starts(key, STR("k:")) && left->items) {
        size_t at = item_named(g->rq->arena, live, key);
        if (at != SIZE_MAX && left->items[at])
            left->items[at] = give_up_part(g, depth, left->items[at], was, is);
    }
}

static const struct val *give_up_fields(struct give_up *g, size_t depth, const struct val *live,
                                        const struct val *was, const struct val *is)
{
    struct arena *a = g->rq->arena;
    struct leftover left = {0};
    size_t n = val_is(live, VAL_ARRAY) ? val_len(live) : 0, kept = 0;
    if (depth >= VAL_MAX_DEPTH)
        return live;
    if (n > 0)
        left.items = arena_array_of(a, const struct val *, n);
    for (size_t i = 0; i < n; i++)
        left.items[i] = val_at(live, i);
    for (size_t i = 0; i < val_len(was); i++) {
        struct str key = val_key_at(was, i);
        const struct val *before = val_member_at(was, i), *after = val_gets(is, key);
        if (after && (val_len(after) == 0 || after == before))
            continue;
        g->trail[depth] = key;
        give_up_one(g, depth, live, &left, before, after);
    }
    if (!left.items)
        return left.members.n ? val_set_members(a, live, left.members.items, left.members.n) : live;
    for (size_t i = 0; i < n; i++) {
        if (left.items[i])
            left.items[kept++] = left.items[i];
    }
    return val_array(a, left.items, kept);
}

/* --- conflicts */

struct conflict {
    struct str manager, path;
    size_t entry; /* in managedFields */
    struct str trail[VAL_MAX_DEPTH];
    size_t depth;
};

struct conflicts {
    struct api_request *rq;
    const struct val *entries;
    VEC(struct conflict) items;
    struct str trail[VAL_MAX_DEPTH];
};

static void note_conflict(struct conflicts *c, size_t depth, struct str path)
{
    for (size_t i = 0; i < val_len(c->entries); i++) {
        const struct val *entry = val_at(c->entries, i), *at = val_get(entry, "fieldsV1");
        for (size_t k = 0; at && k < depth; k++)
            at = val_gets(at, c->trail[k]);
        if (!at || is_own_entry(c->rq, entry) || c->items.n >= API_MAX_CAUSES)
            continue;
        struct conflict found = {val_as_str(val_get(entry, "manager")), path, i, {{0}}, depth};
        memcpy(found.trail, c->trail, depth * sizeof(*c->trail));
        vec_push(&c->items, c->rq->arena, found);
    }
}

/* Walks the applied fields: where a leaf's value would change, others who own it are in conflict. */
static void find_conflicts(struct conflicts *c, size_t depth, struct str path,
                           const struct val *fields, const struct val *live,
                           const struct val *config)
{
    struct arena *a = c->rq->arena;
    for (size_t i = 0; depth < VAL_MAX_DEPTH && i < val_len(fields); i++) {
        struct str key = val_key_at(fields, i), name = str_sub(key, 2, key.n), at;
        const struct val *inner = val_member_at(fields, i), *now, *wanted, *id;
        struct err ignored = ERR_INIT;
        c->trail[depth] = key;
        if (str_starts(key, STR("f:"))) {
            now = val_gets(live, name);
            wanted = val_gets(config, name);
            at = arena_strf(a, "%.*s.%.*s", STR_ARG(path), STR_ARG(name));
        } else {
            if (val_parse_json(a, name, &id, &ignored) < 0 || val_len(id) == 0)
                continue;
            const char *list_key_name = arena_c(a, val_key_at(id, 0));
            size_t l = find_keyed(live, list_key_name, val_member_at(id, 0));
            now = l == SIZE_MAX ? NULL : val_at(live, l);
            wanted = val_at(config, find_keyed(config, list_key_name, val_member_at(id, 0)));
            at = arena_strf(a, "%.*s[%s=%.*s]", STR_ARG(path), list_key_name,
                            STR_ARG(val_json(a, val_member_at(id, 0))));
        }
        if (val_len(inner))
            find_conflicts(c, depth + 1, at, inner, now, wanted);
        else if (now && now != wanted)
            note_conflict(c, depth + 1, at);
    }
}

static int conflict_failure(struct api_request *rq, const struct conflicts *c)
{
    struct arena *a = rq->arena;
    const struct val *causes = val_empty_array();
    struct buf text cleanup(buf_done) = BUF_INIT(64u << 10);
    size_t n = c->items.n;
    buf_addf(&text, "Apply failed with %zu conflict%s: ", n, n == 1 ? "" : "s");
    if (n == 1)
        buf_addf(&text, "conflict with \"%.*s\": %.*s", STR_ARG(c->items.items[0].manager),
                 STR_ARG(c->items.items[0].path));
    else
        buf_addf(&text, "conflicts with \"%.*s\":", STR_ARG(c->items.items[0].manager));
    for (size_t i = 0; i < n; i++) {
        const struct conflict *one = &c->items.items[i];
        if (n > 1)
            buf_addf(&text, "\n- %.*s", STR_ARG(one->path));
        causes = val_append(a, causes,
                            val_obj(a, "reason", val_text(a, "FieldManagerConflict"), "message",
                                    val_textf(a, "conflict with \"%.*s\"", STR_ARG(one->manager)),
                                    "field", val_string(a, one->path)));
    }
    return api_fail_details(rq, 409, "Conflict", buf_str(&text), val_obj(a, "causes", causes));
}

static const struct val *without_path(struct arena *a, const struct val *fields,
                                      const struct str *trail, size_t depth)
{
    if (depth == 1)
        return val_sets(a, fields, trail[0], NULL);
    const struct val *inner = without_path(a, val_gets(fields, trail[0]), trail + 1, depth - 1);
    return val_sets(a, fields, trail[0], val_len(inner) ? inner : NULL);
}

/* With force the others lose what they had in conflict; who has nothing left goes. */
static const struct val *take_over(struct api_request *rq, const struct val *live,
                                   const struct conflicts *c)
{
    struct arena *a = rq->arena;
    const struct val *entries = c->entries;
    for (size_t i = 0; i < c->items.n; i++) {
        const struct conflict *one = &c->items.items[i];
        const struct val *entry = val_at(entries, one->entry);
        const struct val *left =
            without_path(a, val_get(entry, "fieldsV1"), one->trail, one->depth);
        entries = val_set_at(a, entries, one->entry, val_set(a, entry, "fieldsV1", left));
    }
    for (size_t i = val_len(entries); i-- > 0;) {
        if (val_len(val_get(val_at(entries, i), "fieldsV1")) == 0)
            entries = val_remove_at(a, entries, i);
    }
    return val_set_path(a, live, "metadata.managedFields", entries);
}

int apply_to(struct api_request *rq, const struct val *live, const struct val *config,
             const struct val **ret)
{
    struct arena *a = rq->arena;
    const struct val *entries = val_path(live, "metadata.managedFields"), *was = NULL;
    const struct val *fields = config_fields(rq, config);
    struct conflicts *c = arena_new_of(a, struct conflicts);
    c->rq = rq;
    c->entries = entries;
    find_conflicts(c, 0, STR(""), fields, live, config);
    if (c->items.n && !rq->force)
        return conflict_failure(rq, c);
    if (c->items.n) {
        live = take_over(rq, live, c);
        entries = val_path(live, "metadata.managedFields");
    }
    for (size_t i = 0; i < val_len(entries); i++) {
        if (is_own_entry(rq, val_at(entries, i)))
            was = val_get(val_at(entries, i), "fieldsV1");
    }
    const struct val *managed = apply_managed_fields(rq, live, config);
    const struct val *result = live;
    if (was) {
        struct give_up *g = arena_new_of(a, struct give_up);
        g->rq = rq;
        g->entries = entries;
        result = give_up_fields(g, 0, result, was, fields);
    }
    config = val_set_path(a, config, "metadata.managedFields", NULL);
    result = lay_over(rq, STR_NULL, result, config);
    *ret = val_set_path(a, result, "metadata.managedFields", managed);
    return 0;
}
