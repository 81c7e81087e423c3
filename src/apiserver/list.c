/* GET of one object, and lists: selectors, pages, and what resourceVersion asks for.
 *
 * A page's `continue` says which key it ended at and the version the list began with. Later pages show
 * what is there now under that version: a watch from it brings whatever was missed, and when the
 * version is forgotten the answer is 410, as in Kubernetes. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/select.h"
#include "apiserver/write.h"

#include "base/pace.h"
#include "base/base64.h"

int api_ok(struct api_request *rq, int status, const struct val *object)
{
    rq->status = status;
    rq->answer = resource_show(rq->arena, rq->resource, val_keep(rq->arena, object));
    return 0;
}

int api_get(struct api_request *rq)
{
    struct str ns = rq->resource->kube.namespaced ? rq->ns : STR_NULL;
    const struct val *object = stored_object(rq->server, rq->resource, ns, rq->name);
    if (!object)
        return api_fail_not_found(rq, rq->resource, rq->name);
    return api_ok(rq, 200, object);
}

struct page {
    uint64_t revision;
    struct str ns, name;
    bool has_start;
};

static int read_continue(struct api_request *rq, struct page *page)
{
    struct str token = api_param(rq, "continue"), text, part;
    if (token.n == 0)
        return 0;
    const struct val *v;
    struct err err = ERR_INIT;
    if (!base64_decode(rq->arena, token, BASE64_URL, &text) ||
        val_parse_json(rq->arena, text, &v, &err) < 0 ||
        !str_to_u64(val_as_str(val_get(v, "rv")), &page->revision))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "invalid continue token: continue key is not valid: %.*s", STR_ARG(token));
    part = val_as_str(val_get(v, "start"));
    ptrdiff_t slash = str_find(part, '/');
    if (slash < 0)
        return api_fail(rq, ERR_BAD_REQUEST,
                        "invalid continue token: continue key is not valid: %.*s", STR_ARG(token));
    page->ns = str_sub(part, 0, (size_t)slash);
    page->name = str_sub(part, (size_t)slash + 1, part.n);
    page->has_start = true;
    size_t ignored;
    if (store_history_from(rq->server->store, page->revision, &ignored, &err) < 0)
        return api_fail_details(rq, 410, "Expired",
                                STR("The provided continue parameter is too old to display a "
                                    "consistent list result. You must start a new list without the "
                                    "continue parameter."),
                                NULL);
    return 0;
}

static struct str make_continue(struct api_request *rq, uint64_t revision, const struct val *last)
{
    struct arena *a = rq->arena;
    const struct val *v =
        val_obj(a, "v", val_text(a, "meta.k8s.io/v1"), "rv",
                val_textf(a, "%llu", (unsigned long long)revision), "start",
                val_textf(a, "%.*s/%.*s", STR_ARG(kube_ns(last)), STR_ARG(kube_name(last))));
    return base64_encode(a, val_json(a, v), BASE64_URL);
}

static int check_revision(struct api_request *rq)
{
    struct str text = rq->resource_version;
    uint64_t wanted;
    struct str match = api_param(rq, "resourceVersionMatch");
    struct api_causes causes = {.arena = rq->arena};
    if (match.n && text.n == 0) {
        cause_forbidden(&causes, STR("resourceVersionMatch"),
                        "resourceVersionMatch is forbidden unless resourceVersion is provided");
        return api_fail_options(rq, "ListOptions", &causes);
    }
    if (text.n == 0 || str_is(text, "0"))
        return 0;
    if (!str_to_u64(text, &wanted))
        return api_fail(
            rq, ERR_BAD_REQUEST,
            "invalid resource version: resourceVersion: Invalid value: \"%.*s\": strconv.ParseUint:"
            " parsing \"%.*s\": invalid syntax",
            STR_ARG(text), STR_ARG(text));
    uint64_t now = store_revision(rq->server->store);
    if (wanted > now) {
        struct arena *a = rq->arena;
        const struct val *cause = val_obj(a, "reason", val_text(a, "ResourceVersionTooLarge"),
                                          "message", val_text(a, "Too large resource version"));
        struct str message =
            arena_strf(a, "Timeout: Too large resource version: %llu, current: %llu",
                       (unsigned long long)wanted, (unsigned long long)now);
        return api_fail_details(
            rq, 504, "Timeout", message,
            val_obj(a, "causes", val_array(a, &cause, 1), "retryAfterSeconds", val_int(a, 1)));
    }
    struct err err = ERR_INIT;
    size_t index;
    bool exact = str_is(match, "Exact");
    if (exact && (store_history_from(rq->server->store, wanted, &index, &err) < 0 || wanted != now))
        return api_fail_details(rq, 410, "Expired",
                                arena_strf(rq->arena,
                                           "The resourceVersion for the provided list is too "
                                           "old."),
                                NULL);
    return 0;
}

static const struct val *list_value(struct api_request *rq, const struct val *const *items,
                                    size_t n, uint64_t revision, struct str continue_token,
                                    int64_t remaining)
{
    struct arena *a = rq->arena;
    const struct val *meta =
        val_obj(a, "resourceVersion", val_textf(a, "%llu", (unsigned long long)revision),
                "continue", continue_token.n ? val_string(a, continue_token) : NULL,
                "remainingItemCount", remaining > 0 ? val_int(a, remaining) : NULL);
    return val_obj(a, "apiVersion", val_text(a, rq->resource->api_version), "kind",
                   val_text(a, rq->resource->kube.list_kind), "metadata", meta, "items",
                   val_array(a, items, n));
}

/* At most `limit` objects as they are now, from the page's start; *ret_left: how many there are from there. The
 * list is the request's own, however long it takes to look at it. */
static const struct val *what_is_there(struct api_request *rq, const struct page *page,
                                       uint64_t limit, size_t *ret_left)
{
    struct store_range range = store_list(rq->server->store, rq->resource->table, rq->ns);
    size_t start = page->has_start ? store_range_after(range, page->ns, page->name) : 0;
    size_t n = (size_t)MIN_OF(limit, (uint64_t)(range.n - start));
    const struct val **items = xmalloc((n + 1) * sizeof(*items));
    for (size_t i = 0; i < n; i++)
        items[i] = range.items[start + i]->value;
    const struct val *list = val_array(rq->arena, items, n);
    free(items);
    *ret_left = range.n - start;
    return list;
}

int api_list(struct api_request *rq)
{
    struct arena *a = rq->arena;
    struct api_select select;
    struct page page = {0};
    int rc = select_parse(rq, a, &select);
    if (rc == 0)
        rc = check_revision(rq);
    if (rc == 0)
        rc = read_continue(rq, &page);
    if (rc < 0)
        return rc;
    uint64_t limit = UINT64_MAX;
    size_t left;
    int64_t wanted = 0;
    struct str limit_text = api_param(rq, "limit");
    if (limit_text.n && !str_to_i64(limit_text, &wanted))
        return api_fail(rq, ERR_BAD_REQUEST, "strconv.ParseInt: parsing \"%.*s\": invalid syntax",
                        STR_ARG(limit_text));
    if (wanted > 0)
        limit = (uint64_t)wanted;
    uint64_t revision = page.has_start ? page.revision : store_revision(rq->server->store);
    const struct val *all = what_is_there(rq, &page, select.everything ? limit : UINT64_MAX, &left);
    VEC(const struct val *) items = {0};
    const struct val *last = NULL;
    size_t i = 0;
    pace_allow();
    for (; i < val_len(all) && items.n < limit; i++) {
        last = val_at(all, i);
        if (select_matches(&select, rq->resource, last))
            vec_push(&items, a, resource_show(a, rq->resource, last));
    }
    pace_forbid();
    left -= i;
    bool more = left > 0;
    rq->status = 200;
    rq->answer = list_value(rq, items.items, items.n, revision,
                            more ? make_continue(rq, revision, last) : STR_NULL,
                            more && select.everything ? (int64_t)left : 0);
    return 0;
}
