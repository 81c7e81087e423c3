/* From a URI to a request: escapes, query parameters, and the path's resource.
 *
 * Everything here reads bytes that a stranger wrote; see tests/fuzz/fuzz_apiserver.c. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"

struct str api_param(const struct api_request *rq, const char *key)
{
    for (size_t i = 0; i < rq->params_n; i++)
        if (str_is(rq->params[i].key, key))
            return rq->params[i].value;
    return STR_NULL;
}

/* Source: strconv.ParseBool, as apimachinery's conversion of query parameters uses it ("" is true). */
bool api_param_true(const struct api_request *rq, const char *key)
{
    for (size_t i = 0; i < rq->params_n; i++) {
        if (!str_is(rq->params[i].key, key))
            continue;
        struct str v = rq->params[i].value;
        return !(str_is(v, "false") || str_is(v, "0") || str_is(v, "False") || str_is(v, "f") ||
                 str_is(v, "F") || str_is(v, "FALSE"));
    }
    return false;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool decode(struct arena *a, struct str s, bool plus_is_space, struct str *ret)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.n || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
                return false;
            c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
            i += 2;
            if (c == '\0')
                return false;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *ret = (struct str){out, n};
    return true;
}

bool uri_parse(struct arena *a, struct str uri, struct str *ret_path, struct api_param *params,
               size_t max, size_t *ret_n)
{
    ptrdiff_t mark = str_find(uri, '?');
    struct str path = mark < 0 ? uri : str_sub(uri, 0, (size_t)mark);
    struct str query = mark < 0 ? STR_NULL : str_sub(uri, (size_t)mark + 1, uri.n);
    size_t n = 0;
    struct str pair;
    while (query.n && str_split(&query, '&', &pair)) {
        if (pair.n == 0)
            continue;
        if (n == max)
            return false;
        ptrdiff_t equals = str_find(pair, '=');
        struct str key = equals < 0 ? pair : str_sub(pair, 0, (size_t)equals);
        struct str value = equals < 0 ? STR_NULL : str_sub(pair, (size_t)equals + 1, pair.n);
        if (!decode(a, key, true, &params[n].key) || !decode(a, value, true, &params[n].value))
            return false;
        n++;
    }
    *ret_path = path;
    *ret_n = n;
    return path.n > 0 && path.p[0] == '/';
}

/* --- routing */

struct parts {
    struct str items[API_MAX_PATH_PARTS];
    size_t n;
};

static bool split_path(struct arena *a, struct str path, struct parts *ret)
{
    struct str part;
    while (path.n && str_split(&path, '/', &part)) {
        if (part.n == 0)
            continue;
        if (ret->n == API_MAX_PATH_PARTS || !decode(a, part, false, &ret->items[ret->n]))
            return false;
        ret->n++;
    }
    return true;
}

static enum api_verb verb_of(struct str method, bool named, bool watch)
{
    if (str_is(method, "GET") || str_is(method, "HEAD"))
        return watch ? API_WATCH : named ? API_GET : API_LIST;
    if (str_is(method, "POST"))
        return API_CREATE;
    if (str_is(method, "PUT"))
        return API_UPDATE;
    if (str_is(method, "PATCH"))
        return API_PATCH;
    if (str_is(method, "DELETE"))
        return named ? API_DELETE : API_DELETE_COLLECTION;
    return _API_VERB_MAX;
}

static enum route no_such_path(struct api_request *rq)
{
    api_fail_details(rq, 404, "NotFound", STR("the server could not find the requested resource"),
                     val_empty_object());
    return ROUTE_FAILED;
}

static enum route wrong_method(struct api_request *rq)
{
    api_fail_details(rq, 405, "MethodNotAllowed",
                     STR("the server does not allow this method on the requested resource"),
                     val_empty_object());
    return ROUTE_FAILED;
}

/* What follows the version: [watch/] [namespaces/NS/] plural [/name [/subresource]]. */
static enum route route_rest(struct api_request *rq, struct str group, struct str version,
                             const struct parts *p, size_t i, struct str method)
{
    bool old_watch = i < p->n && str_is(p->items[i], "watch");
    if (old_watch)
        i++;
    bool in_ns = p->n - i >= 3 && str_is(p->items[i], "namespaces") &&
                 !(p->n - i == 3 &&
                   (str_is(p->items[i + 2], "status") || str_is(p->items[i + 2], "finalize")));
    if (in_ns) {
        rq->ns = p->items[i + 1];
        i += 2;
    }
    if (i >= p->n || p->n - i > 3)
        return no_such_path(rq);
    rq->resource = resources_find(&rq->server->resources, group, version, p->items[i]);
    if (!rq->resource || (in_ns && !rq->resource->kube.namespaced))
        return no_such_path(rq);
    rq->name = p->n - i > 1 ? p->items[i + 1] : STR_NULL;
    rq->subresource = p->n - i > 2 ? p->items[i + 2] : STR_NULL;
    if (rq->resource->kube.namespaced && !in_ns && rq->name.n)
        return no_such_path(rq);
    bool watch = old_watch || api_param_true(rq, "watch");
    rq->verb = verb_of(method, rq->name.n > 0, watch && rq->subresource.n == 0);
    bool all_ns = rq->resource->kube.namespaced && !in_ns;
    bool bad_create = rq->verb == API_CREATE && (rq->subresource.n == 0) == (rq->name.n > 0);
    bool bad_change = (rq->verb == API_UPDATE || rq->verb == API_PATCH) && rq->name.n == 0;
    if (rq->verb == _API_VERB_MAX || bad_create || bad_change ||
        (all_ns && rq->verb != API_LIST && rq->verb != API_WATCH))
        return wrong_method(rq);
    return ROUTE_RESOURCE;
}

enum route route_path(struct api_request *rq, struct str path, struct str method)
{
    struct parts p = {.n = 0};
    if (!split_path(rq->arena, path, &p))
        return no_such_path(rq);
    if (p.n >= 3 && str_is(p.items[0], "api"))
        return route_rest(rq, STR_NULL, p.items[1], &p, 2, method);
    if (p.n >= 4 && str_is(p.items[0], "apis"))
        return route_rest(rq, p.items[1], p.items[2], &p, 3, method);
    return ROUTE_OTHER;
}
