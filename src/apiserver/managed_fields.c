/* Who owns which field. Each manager has an entry with a set of fields (FieldsV1): one for what it applies,
 * one per version for what it otherwise writes. A write takes the fields that it changes from all others.
 *
 * An object without entries stays without until it is applied: then all it has belongs to
 * "before-first-apply". Source: k8s.io/apimachinery pkg/util/managedfields/internal, the order of whose
 * managers (strip, time, cap, skip, last-applied) is kept. Read next: field_set.h. */
#include "apiserver/managed_fields.h"
#include "apiserver/failure.h"
#include "apiserver/field_set.h"

#include "base/utf8.h"
#include "base/vec.h"

#define MAX_UPDATE_MANAGERS 10
#define MANAGER_MAX_BYTES   128
#define LAST_APPLIED        "kubectl.kubernetes.io/last-applied-configuration"

struct entry {
    struct str manager, subresource, version;
    bool applied;
    const struct val *time, *fields; /* fields: a set; NULL: the entry is gone */
};

struct entries {
    VEC(struct entry) items;
};

static bool is_same_manager(const struct entry *x, const struct entry *y)
{
    return x->applied == y->applied && str_eq(x->manager, y->manager) &&
           str_eq(x->subresource, y->subresource) && (x->applied || str_eq(x->version, y->version));
}

static struct entry *find(struct entries *list, const struct entry *wanted)
{
    for (size_t i = 0; i < list->items.n; i++)
        if (is_same_manager(&list->items.items[i], wanted))
            return &list->items.items[i];
    return NULL;
}

static struct entry *find_or_add(struct arena *a, struct entries *list, const struct entry *wanted)
{
    struct entry *found = find(list, wanted);
    if (found)
        return found;
    vec_push(&list->items, a, *wanted);
    return &list->items.items[list->items.n - 1];
}

/* --- entries as values */

static void read_entries(struct arena *a, const struct val *list, struct entries *ret)
{
    for (size_t i = 0; i < val_len(list); i++) {
        const struct val *v = val_at(list, i);
        struct entry e = {.manager = val_as_str(val_get(v, "manager")),
                          .subresource = val_as_str(val_get(v, "subresource")),
                          .version = val_as_str(val_get(v, "apiVersion")),
                          .applied = str_is(val_as_str(val_get(v, "operation")), "Apply"),
                          .time = val_get(v, "time"),
                          .fields = set_read(val_get(v, "fieldsV1"))};
        struct entry *known = find_or_add(a, ret, &e);
        known->fields = set_union(a, known->fields, e.fields);
    }
}

/* Applied ones first, then by time, manager, version, subresource. */
static int entry_order(const void *x, const void *y)
{
    const struct entry *p = x, *q = y;
    if (p->applied != q->applied)
        return p->applied ? -1 : 1;
    int order = str_cmp(val_as_str(p->time), val_as_str(q->time));
    if (order == 0)
        order = str_cmp(p->manager, q->manager);
    if (order == 0)
        order = str_cmp(p->version, q->version);
    return order ? order : str_cmp(p->subresource, q->subresource);
}

static const struct val *text_or_none(struct arena *a, struct str s)
{
    return s.n ? val_string(a, s) : NULL;
}

static const struct val *entries_value(struct arena *a, struct entries *list)
{
    const struct val **items = arena_array_of(a, const struct val *, list->items.n + 1);
    size_t n = 0;
    if (list->items.n == 0)
        return NULL;
    qsort(list->items.items, list->items.n, sizeof(*list->items.items), entry_order);
    for (size_t i = 0; i < list->items.n; i++) {
        const struct entry *e = &list->items.items[i];
        if (e->fields)
            items[n++] = val_obj(a, "manager", text_or_none(a, e->manager), "operation",
                                 val_text(a, e->applied ? "Apply" : "Update"), "apiVersion",
                                 text_or_none(a, e->version), "time", e->time, "fieldsType",
                                 val_text(a, "FieldsV1"), "fieldsV1", e->fields, "subresource",
                                 text_or_none(a, e->subresource));
    }
    return n ? val_array(a, items, n) : NULL;
}

static const struct val *with_entries(struct arena *a, const struct val *object,
                                      struct entries *list)
{
    return val_set_path(a, object, "metadata.managedFields", entries_value(a, list));
}

/* --- what nobody owns */

static const struct val *parse_set(struct arena *a, const char *json)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    INVARIANT(val_parse_json(a, str_of(json), &v, &err) == 0);
    return v;
}

/* Identity and what the server keeps itself. */
static const struct val *strip(struct arena *a, const struct val *set)
{
    static const char identity[] =
        "{\"f:apiVersion\":{},\"f:kind\":{},\"f:metadata\":{\".\":{},\"f:name\":{},"
        "\"f:namespace\":{},\"f:creationTimestamp\":{},\"f:selfLink\":{},\"f:uid\":{},"
        "\"f:clusterName\":{},\"f:generation\":{},\"f:managedFields\":{},"
        "\"f:resourceVersion\":{}}}";
    return set ? set_minus(a, set, parse_set(a, identity)) : NULL;
}

/* The part that the path of the request cannot write. */
static const struct val *writable(const struct api_request *rq, const struct val *set)
{
    struct arena *a = rq->arena;
    bool status = str_is(rq->subresource, "status");
    if (!(rq->resource->flags & RES_STATUS))
        return set;
    if (!status)
        return set_without(a, set, parse_set(a, "{\"f:status\":{}}"));
    if (!rq->resource->crd)
        return set_without(a, set, parse_set(a, "{\"f:spec\":{}}"));
    const struct val *only = val_get(set, "f:status");
    return only ? val_obj(a, "f:status", only) : NULL;
}

/* What the request changes of what its path can write. */
static struct set_diff compare(const struct api_request *rq, const struct val *from,
                               const struct val *to)
{
    struct field_type root = field_root(rq->resource);
    struct set_diff d = set_compare(rq->arena, &root, from ? from : val_empty_object(), to);
    return (struct set_diff){.added = writable(rq, d.added),
                             .modified = writable(rq, d.modified),
                             .removed = writable(rq, d.removed)};
}

static const struct val *changed(struct arena *a, const struct set_diff *d)
{
    return set_union(a, d->modified, d->added);
}

/* --- the entry of this request */

static struct str manager_name(const struct api_request *rq)
{
    return utf8_cut(rq->field_manager, MANAGER_MAX_BYTES);
}

static struct entry own_entry(const struct api_request *rq, bool applied)
{
    return (struct entry){.manager = manager_name(rq),
                          .subresource = rq->subresource,
                          .version = str_of(rq->resource->api_version),
                          .applied = applied,
                          .time = val_string(rq->arena, time_rfc3339(rq->arena, rq->now))};
}

/* Everybody loses what changes under another's hand; `but` NULL: everybody. */
static void take_from_others(struct arena *a, struct entries *list, const struct entry *but,
                             const struct set_diff *d)
{
    const struct val *lost = set_union(a, changed(a, d), d->removed);
    for (size_t i = 0; i < list->items.n; i++) {
        struct entry *e = &list->items.items[i];
        if (!but || !is_same_manager(e, but))
            e->fields = set_minus(a, e->fields, lost);
    }
}

static size_t count_updates(const struct entries *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->items.n; i++)
        n += !list->items.items[i].applied && list->items.items[i].fields;
    return n;
}

static struct entry *oldest_update(struct entries *list, struct str version)
{
    struct entry *oldest = NULL;
    for (size_t i = 0; i < list->items.n; i++) {
        struct entry *e = &list->items.items[i];
        if (!e->applied && e->fields && (!version.p || str_eq(e->version, version)) &&
            !str_is(e->manager, "ancient-changes") && (!oldest || entry_order(e, oldest) < 0))
            oldest = e;
    }
    return oldest;
}

/* Too many writers: the oldest go together into one. */
static void cap_updates(struct arena *a, struct entries *list)
{
    while (count_updates(list) > MAX_UPDATE_MANAGERS) {
        struct entry old = *oldest_update(list, STR_NULL);
        struct entry ancient = {.manager = STR("ancient-changes"), .version = old.version};
        find(list, &old)->fields = NULL;
        if (!find(list, &ancient)) { /* the first two of a version make it */
            struct entry *second = oldest_update(list, old.version);
            ancient.fields = second ? second->fields : NULL;
            ancient.time = second ? second->time : old.time;
            if (second)
                second->fields = NULL;
        }
        struct entry *bucket = find_or_add(a, list, &ancient);
        bucket->fields = set_union(a, bucket->fields, old.fields);
        if (entry_order(&old, bucket) > 0)
            bucket->time = old.time;
    }
}

static void track_update(struct api_request *rq, struct entries *list, const struct entry *own,
                         const struct val *from, const struct val *to)
{
    struct arena *a = rq->arena;
    struct set_diff d = compare(rq, from, to);
    take_from_others(a, list, NULL, &d);
    const struct val *fields = strip(a, changed(a, &d));
    if (!fields)
        return;
    struct entry *mine = find_or_add(a, list, own);
    mine->fields = set_union(a, mine->fields, fields);
    mine->time = own->time;
}

/* A client may set the list, or empty it by a list with one empty entry; by way of a subresource not. */
static void entries_before(struct api_request *rq, const struct val *live, const struct val *object,
                           struct entries *ret)
{
    const struct val *given = val_path(object, "metadata.managedFields");
    bool reset = val_len(given) == 1 && val_len(val_at(given, 0)) == 0;
    if (rq->subresource.n == 0 && reset)
        return;
    if (rq->subresource.n == 0)
        read_entries(rq->arena, given, ret);
    if (ret->items.n == 0)
        read_entries(rq->arena, val_path(live, "metadata.managedFields"), ret);
}

const struct val *managed_update(struct api_request *rq, const struct val *live,
                                 const struct val *object)
{
    struct arena *a = rq->arena;
    struct entries list = {0};
    struct entry own = own_entry(rq, false);
    entries_before(rq, live, object, &list);
    object = val_set_path(a, object, "metadata.managedFields", NULL);
    if (live && list.items.n == 0)
        return object;
    track_update(rq, &list, &own, live, resource_show(a, rq->resource, object));
    cap_updates(a, &list);
    return with_entries(a, object, &list);
}

/* --- conflicts */

struct conflicts {
    struct arena *a;
    const struct entry *entry;
    const struct val *causes;
    struct str text; /* of the entry: "kubectl-edit" using v1 */
    struct buf *lines, *single;
    size_t n;
};

static void add_conflict(void *ctx, struct str path)
{
    struct conflicts *c = ctx;
    struct arena *a = c->a;
    if (c->n++ >= API_MAX_CAUSES)
        return;
    buf_addf(c->lines, "\n- %.*s", STR_ARG(path));
    if (c->n == 1)
        buf_addf(c->single, "conflict with %.*s: %.*s", STR_ARG(c->text), STR_ARG(path));
    c->causes = val_append(a, c->causes,
                           val_obj(a, "reason", val_text(a, "FieldManagerConflict"), "message",
                                   val_textf(a, "conflict with %.*s", STR_ARG(c->text)), "field",
                                   val_string(a, path)));
}

static struct str entry_text(struct arena *a, const struct entry *e)
{
    struct str text = arena_strf(a, "\"%.*s\"", STR_ARG(e->manager));
    if (e->subresource.n)
        text =
            arena_strf(a, "%.*s with subresource \"%.*s\"", STR_ARG(text), STR_ARG(e->subresource));
    return e->applied ? text : arena_strf(a, "%.*s using %.*s", STR_ARG(text), STR_ARG(e->version));
}

static int by_manager(const void *x, const void *y)
{
    const struct entry *p = *(const struct entry *const *)x, *q = *(const struct entry *const *)y;
    return str_cmp(p->manager, q->manager);
}

static int conflict_failure(struct api_request *rq, struct entries *list, const struct entry *own,
                            const struct val *taken)
{
    struct arena *a = rq->arena;
    struct buf lines cleanup(buf_done) = BUF_INIT(64u << 10),
                     single cleanup(buf_done) = BUF_INIT(8192),
                     text cleanup(buf_done) = BUF_INIT(128u << 10);
    struct conflicts c = {.a = a, .causes = val_empty_array(), .lines = &lines, .single = &single};
    const struct entry **sorted = arena_array_of(a, const struct entry *, list->items.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < list->items.n; i++)
        if (!is_same_manager(&list->items.items[i], own))
            sorted[n++] = &list->items.items[i];
    qsort(sorted, n, sizeof(*sorted), by_manager);
    for (size_t i = 0; i < n; i++) {
        const struct val *mine = set_both(a, sorted[i]->fields, taken);
        c.text = entry_text(a, sorted[i]);
        if (mine)
            buf_addf(&lines, "%sconflicts with %.*s:", lines.n ? "\n" : "", STR_ARG(c.text));
        set_each_path(a, mine, add_conflict, &c);
    }
    buf_addf(&text, "Apply failed with %zu conflict%s: %s", c.n, c.n == 1 ? "" : "s",
             buf_c(c.n == 1 ? &single : &lines));
    return api_fail_details(rq, 409, "Conflict", buf_str(&text), val_obj(a, "causes", c.causes));
}

/* What others have of it. */
static const struct val *claimed_by_others(struct arena *a, const struct entries *list,
                                           const struct entry *own, const struct val *taken)
{
    const struct val *all = NULL;
    for (size_t i = 0; i < list->items.n; i++)
        if (!is_same_manager(&list->items.items[i], own))
            all = set_union(a, all, set_both(a, list->items.items[i].fields, taken));
    return all;
}

/* Fields that client-side apply set and nobody changed since: kubectl may take them without force. */
static const struct val *last_applied_fields(struct api_request *rq, const struct val *live)
{
    struct arena *a = rq->arena;
    struct field_type root = field_root(rq->resource);
    struct str text = kube_annotation(live, LAST_APPLIED);
    const struct val *last;
    struct err ignored = ERR_INIT;
    if (!text.n || !str_is(manager_name(rq), "kubectl") ||
        val_parse_json(a, text, &last, &ignored) < 0 ||
        !str_is(kube_api_version(last), rq->resource->api_version))
        return NULL;
    struct set_diff d = set_compare(a, &root, last, live);
    const struct val *fields = set_minus(a, set_of(a, &root, last), changed(a, &d));
    return set_minus(a, fields, d.removed);
}

/* kubectl's annotation follows what it applies, as long as there is one. */
static const struct val *with_last_applied(struct api_request *rq, const struct val *object,
                                           const struct val *config)
{
    struct arena *a = rq->arena;
    if (!str_is(manager_name(rq), "kubectl") || !kube_annotation(object, LAST_APPLIED).n)
        return object;
    const struct val *meta = val_get(config, "metadata");
    const struct val *annotations = val_set(a, val_get(meta, "annotations"), LAST_APPLIED, NULL);
    meta = val_set(a, meta, "annotations", val_len(annotations) ? annotations : NULL);
    struct str text = val_json(a, val_set(a, config, "metadata", meta));
    annotations =
        val_set(a, kube_annotations(object), LAST_APPLIED, val_textf(a, "%.*s\n", STR_ARG(text)));
    return val_set_path(a, object, "metadata.annotations", annotations);
}

/* --- apply */

static int check_config(struct api_request *rq, const struct val *config)
{
    struct arena *a = rq->arena;
    const struct kube_resource *k = &rq->resource->kube;
    struct field_type root = field_root(rq->resource);
    struct buf faults cleanup(buf_done) = BUF_INIT(64u << 10);
    field_check_lists(a, &root, config, STR(""), &faults);
    if (faults.n == 0)
        return 0;
    struct str list = buf_str(&faults); /* "\n  " before each */
    bool one = str_find(str_sub(list, 1, list.n), '\n') < 0;
    struct str text =
        arena_strf(a, "failed to create typed patch object (%.*s/%.*s; %s/%s, Kind=%s): %s%.*s",
                   STR_ARG(kube_ns(config)), STR_ARG(kube_name(config)), k->group, k->version,
                   k->kind, one ? "" : "errors:", STR_ARG(one ? str_sub(list, 3, list.n) : list));
    return api_fail_details(rq, 500, "", text, NULL);
}

static void own_before_first_apply(struct api_request *rq, const struct val *live,
                                   struct entries *list)
{
    struct entry before = own_entry(rq, false);
    before.manager = STR("before-first-apply");
    before.subresource = STR_NULL;
    if (live && list->items.n == 0)
        track_update(rq, list, &before, NULL, live);
}

static const struct val *all_fields(struct arena *a, const struct entries *list)
{
    const struct val *all = NULL;
    for (size_t i = 0; i < list->items.n; i++)
        all = set_union(a, all, list->items.items[i].fields);
    return all;
}

int managed_apply(struct api_request *rq, const struct val *live, const struct val *config,
                  const struct val **ret)
{
    struct arena *a = rq->arena;
    struct field_type root = field_root(rq->resource);
    struct entries list = {0};
    struct entry own = own_entry(rq, true);
    int rc = check_config(rq, config);
    if (rc < 0)
        return rc;
    read_entries(a, val_path(live, "metadata.managedFields"), &list);
    own_before_first_apply(rq, live, &list);
    const struct val *bare = val_set_path(a, live, "metadata.managedFields", NULL);
    const struct val *result = live ? field_merge(a, &root, bare, config) : config;
    struct entry *mine = find_or_add(a, &list, &own);
    const struct val *last = mine->fields;
    mine->fields = writable(rq, set_of(a, &root, config));
    mine->version = own.version;
    result = field_prune(a, &root, result, last, all_fields(a, &list));
    struct set_diff d = compare(rq, live ? bare : NULL, result);
    const struct val *taken = changed(a, &d);
    const struct val *theirs = claimed_by_others(a, &list, &own, taken);
    if (!rq->force)
        theirs = set_minus(a, theirs, theirs ? last_applied_fields(rq, live) : NULL);
    if (theirs && !rq->force)
        return conflict_failure(rq, &list, &own, theirs);
    take_from_others(a, &list, &own, &d);
    mine->fields = strip(a, mine->fields);
    if (result != bare)
        mine->time = own.time;
    result = with_last_applied(rq, result, config);
    *ret = with_entries(a, result, &list);
    return 0;
}

/* --- nothing but a time */

static bool is_same_but_time(struct arena *a, const struct val *x, const struct val *y)
{
    bool same = val_len(x) == val_len(y);
    for (size_t i = 0; same && i < val_len(x); i++)
        same = val_set(a, val_at(x, i), "time", NULL) == val_set(a, val_at(y, i), "time", NULL);
    return same;
}

const struct val *managed_settle(struct api_request *rq, const struct val *live,
                                 const struct val *object)
{
    struct arena *a = rq->arena;
    const struct val *before = val_path(live, "metadata.managedFields"),
                     *after = val_path(object, "metadata.managedFields");
    if (before == after || !is_same_but_time(a, before, after))
        return object;
    const struct val *kept = val_set_path(a, object, "metadata.managedFields", before);
    return kept == live ? live : object;
}
