/* What is asked by writing but is not an object of its own: reviews, bindings, evictions, tokens, scale,
 * namespaces/finalize. Source: k8s.io/kubernetes pkg/registry/{authorization,authentication,core/pod}. */
#include "apiserver/auth.h"
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/write.h"

static int answer_review(struct api_request *rq, const struct val *status)
{
    struct arena *a = rq->arena;
    const struct val *answer = val_set(a, rq->body, "kind", val_text(a, rq->resource->kube.kind));
    answer = val_set(a, answer, "apiVersion", val_text(a, rq->resource->api_version));
    if (!val_get(answer, "metadata"))
        answer = val_set(a, answer, "metadata", val_obj(a, "creationTimestamp", val_null()));
    rq->status = 201;
    rq->answer = val_set(a, answer, "status", status);
    return 0;
}

static const struct val *user_info(struct arena *a, const struct api_user *user)
{
    const struct val *groups = val_empty_array();
    for (size_t i = 0; i < user->groups_n; i++)
        groups = val_append(a, groups, val_string(a, user->groups[i]));
    return val_obj(a, "username", val_string(a, user->name), "uid",
                   user->uid.n ? val_string(a, user->uid) : NULL, "groups", groups);
}

static int self_subject_review(struct api_request *rq)
{
    return answer_review(rq, val_obj(rq->arena, "userInfo", user_info(rq->arena, rq->user)));
}

static bool ask(struct api_request *rq, const struct api_user *user, const struct val *spec)
{
    const struct val *r = val_get(spec, "resourceAttributes"),
                     *p = val_get(spec, "nonResourceAttributes");
    if (p)
        return authorize_path(user, "GET", val_as_str(val_get(p, "path")));
    return authorize_ask(rq->server, user, val_as_c(val_get(r, "verb")),
                         val_as_str(val_get(r, "group")), val_as_str(val_get(r, "resource")),
                         val_as_str(val_get(r, "subresource")), val_as_str(val_get(r, "namespace")),
                         val_as_str(val_get(r, "name")));
}

static int access_review(struct api_request *rq)
{
    struct arena *a = rq->arena;
    const struct val *spec = val_get(rq->body, "spec");
    struct api_user other = *rq->user;
    if (strncmp(rq->resource->kube.plural, "self", 4) != 0) {
        const struct val *groups = val_get(spec, "groups");
        other = (struct api_user){.name = val_as_str(val_get(spec, "user"))};
        for (size_t i = 0; i < val_len(groups) && other.groups_n < USER_MAX_GROUPS; i++) {
            other.groups[other.groups_n++] = val_as_str(val_at(groups, i));
            other.is_admin =
                other.is_admin || str_is(val_as_str(val_at(groups, i)), "system:masters");
        }
    }
    bool allowed = ask(rq, &other, spec);
    return answer_review(rq, val_obj(a, "allowed", val_bool(allowed)));
}

static int rules_review(struct api_request *rq)
{
    struct arena *a = rq->arena;
    const struct val *all = val_array(a, (const struct val *[]){val_text(a, "*")}, 1);
    const struct val *get = val_array(a, (const struct val *[]){val_text(a, "get")}, 1);
    const struct val *open = val_obj(
        a, "verbs", rq->user->is_admin ? all : get, "nonResourceURLs",
        rq->user->is_admin
            ? all
            : val_array(a, (const struct val *[]){val_text(a, "/api/*"), val_text(a, "/apis/*")},
                        2));
    const struct val *rules = val_empty_array();
    if (rq->user->is_admin)
        rules = val_append(a, rules, val_obj(a, "verbs", all, "apiGroups", all, "resources", all));
    return answer_review(rq, val_obj(a, "resourceRules", rules, "nonResourceRules",
                                     val_array(a, &open, 1), "incomplete",
                                     val_bool(!rq->user->is_admin)));
}

static int token_review(struct api_request *rq)
{
    struct arena *a = rq->arena;
    struct api_user user;
    struct str bearer = arena_strf(a, "Bearer %s", val_as_c(val_path(rq->body, "spec.token")));
    if (!auth_user(rq->server, a, NULL, bearer, &user))
        return answer_review(rq, val_obj(a, "error", val_text(a, "invalid bearer token"), "user",
                                         val_empty_object()));
    return answer_review(rq,
                         val_obj(a, "authenticated", val_bool(true), "user", user_info(a, &user)));
}

/* --- pods */

static int write_back(struct api_request *rq, const struct resource *r, const struct val *object)
{
    const struct val *answer;
    if (rq->dry_run)
        return 0;
    int rc = api_internal(rq->server, rq->arena, API_UPDATE, r, kube_ns(object), kube_name(object),
                          object, &answer);
    if (rc < 0) {
        rq->answer = answer;
        rq->status = (int)val_as_int(val_get(answer, "code"), 500);
        return rc;
    }
    rq->wrote = true;
    return 0;
}

static int created_status(struct api_request *rq)
{
    rq->status = 201;
    rq->answer =
        val_set(rq->arena, api_status_success(rq->arena, NULL), "code", val_int(rq->arena, 201));
    return 0;
}

static int bind_pod(struct api_request *rq)
{
    struct arena *a = rq->arena;
    const struct resource *pods =
        resources_find(&rq->server->resources, STR_NULL, STR("v1"), STR("pods"));
    struct str name = rq->name.n ? rq->name : kube_name(rq->body);
    struct str node = val_path_str(rq->body, "target.name");
    const struct val *pod = latest_object(rq->server, pods, rq->ns, name);
    if (!pod)
        return api_fail_not_found(rq, pods, name);
    val_keep(a, pod);
    struct str now = val_path_str(pod, "spec.nodeName");
    if (node.n == 0)
        return api_fail(rq, ERR_INVALID, "Binding \"%.*s\" is invalid: target.name: Required value",
                        STR_ARG(name));
    struct str why = kube_is_deleting(pod)
                         ? arena_strf(a, "pod %.*s is being deleted, cannot be assigned to a host",
                                      STR_ARG(name))
                     : now.n ? arena_strf(a, "pod %.*s is already assigned to node \"%.*s\"",
                                          STR_ARG(name), STR_ARG(now))
                             : STR_NULL;
    if (why.n)
        return api_fail_details(
            rq, 409, "Conflict",
            arena_strf(a, "Operation cannot be fulfilled on pods/binding \"%.*s\": %.*s",
                       STR_ARG(name), STR_ARG(why)),
            val_obj(a, "name", val_string(a, name), "kind", val_text(a, "pods/binding")));
    const struct val *bound = val_set_path(a, pod, "spec.nodeName", val_string(a, node));
    const struct val *conditions =
        kube_condition_set(a, val_path(pod, "status.conditions"), "PodScheduled", "True", STR_NULL,
                           STR_NULL, -1, rq->now);
    int rc = write_back(rq, pods, val_set_path(a, bound, "status.conditions", conditions));
    return rc < 0 ? rc : created_status(rq);
}

static int evict(struct api_request *rq)
{
    const struct val *answer;
    const struct val *options = val_get(rq->body, "deleteOptions");
    if (rq->dry_run)
        return created_status(rq);
    int rc = api_internal(rq->server, rq->arena, API_DELETE, rq->resource, rq->ns, rq->name,
                          options, &answer);
    if (rc < 0) {
        rq->answer = answer;
        rq->status = (int)val_as_int(val_get(answer, "code"), 500);
        return rc;
    }
    rq->wrote = true;
    return created_status(rq);
}

/* --- serviceaccounts/token. Source of the limits: pkg/apis/authentication/validation. */

#define TOKEN_SECONDS     3600 /* when nothing is asked for */
#define TOKEN_MIN_SECONDS 600
#define TOKEN_MAX_SECONDS (INT64_C(1) << 32)

static int make_token(struct api_request *rq)
{
    struct arena *a = rq->arena;
    const struct val *account = latest_object(rq->server, rq->resource, rq->ns, rq->name);
    if (!account)
        return api_fail_not_found(rq, rq->resource, rq->name);
    int64_t seconds = val_path_int(rq->body, "spec.expirationSeconds", TOKEN_SECONDS);
    if (seconds < TOKEN_MIN_SECONDS)
        return api_fail(
            rq, ERR_INVALID,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid "
            "value: %lld: may not specify a duration less than 10 minutes",
            (long long)seconds);
    if (seconds > TOKEN_MAX_SECONDS)
        return api_fail(
            rq, ERR_INVALID,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid "
            "value: %lld: may not specify a duration larger than 2^32 seconds",
            (long long)seconds);
    struct auth_token wanted = {
        .ns = rq->ns, .account = rq->name, .uid = kube_uid(account), .seconds = seconds};
    struct str token = auth_token_make(rq->server, a, &wanted, rq->now);
    const struct val *status = val_obj(a, "token", val_string(a, token), "expirationTimestamp",
                                       val_string(a, time_rfc3339(a, rq->now + seconds * 1000)));
    const struct val *spec =
        val_set(a, val_get(rq->body, "spec"), "expirationSeconds", val_int(a, seconds));
    rq->status = 201;
    rq->answer =
        val_obj(a, "kind", val_text(a, "TokenRequest"), "apiVersion",
                val_text(a, "authentication.k8s.io/v1"), "metadata",
                val_obj(a, "name", val_string(a, rq->name), "namespace", val_string(a, rq->ns)),
                "spec", spec, "status", status);
    return 0;
}

/* --- scale */

static const struct val *scale_of(struct arena *a, const struct val *object)
{
    const struct val *meta = val_get(object, "metadata");
    const struct val *labels = val_path(object, "spec.selector.matchLabels");
    struct buf selector cleanup(buf_done) = BUF_INIT(8192);
    for (size_t i = 0; i < val_len(labels); i++)
        buf_addf(&selector, "%s%.*s=%s", i ? "," : "", STR_ARG(val_key_at(labels, i)),
                 val_as_c(val_member_at(labels, i)));
    return val_obj(
        a, "kind", val_text(a, "Scale"), "apiVersion", val_text(a, "autoscaling/v1"), "metadata",
        val_obj(a, "name", val_get(meta, "name"), "namespace", val_get(meta, "namespace"), "uid",
                val_get(meta, "uid"), "resourceVersion", val_get(meta, "resourceVersion"),
                "creationTimestamp", val_get(meta, "creationTimestamp")),
        "spec",
        val_obj(a, "replicas",
                val_path_int(object, "spec.replicas", 0) ? val_path(object, "spec.replicas")
                                                         : NULL),
        "status",
        val_obj(a, "replicas", val_int(a, val_path_int(object, "status.replicas", 0)), "selector",
                val_string(a, buf_str(&selector))));
}

static int scale(struct api_request *rq)
{
    struct arena *a = rq->arena;
    const struct val *object = latest_object(rq->server, rq->resource, rq->ns, rq->name);
    if (!object)
        return api_fail_not_found(rq, rq->resource, rq->name);
    val_keep(a, object);
    const struct val *wanted = scale_of(a, object);
    if (rq->verb == API_UPDATE)
        wanted = rq->body;
    else if (rq->verb == API_PATCH)
        wanted = val_patch_merge(a, wanted, rq->body);
    if (rq->verb != API_GET) {
        const struct val *replicas = val_path(wanted, "spec.replicas");
        if (val_as_int(replicas, -1) < 0)
            return api_fail(rq, ERR_INVALID,
                            "Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid "
                            "value: must be greater than or equal to 0",
                            STR_ARG(rq->name));
        struct str revision = kube_resource_version(wanted);
        if (revision.n && !str_eq(revision, kube_resource_version(object)))
            return api_fail_conflict(rq, rq->name,
                                     "the object has been modified; please apply your changes "
                                     "to the latest version and try again");
        int rc = write_back(rq, rq->resource, val_set_path(a, object, "spec.replicas", replicas));
        if (rc < 0)
            return rc;
        object = latest_object(rq->server, rq->resource, rq->ns, rq->name);
    }
    rq->status = 200;
    rq->answer = scale_of(a, val_keep(a, object));
    return 0;
}

static int finalize(struct api_request *rq)
{
    const struct val *old = latest_object(rq->server, rq->resource, STR_NULL, rq->name);
    if (!old)
        return api_fail_not_found(rq, rq->resource, rq->name);
    val_keep(rq->arena, old);
    const struct val *left = val_path(rq->body, "spec.finalizers");
    bool internal = rq->internal;
    rq->internal = true;
    int rc = update_to(
        rq, old, val_set_path(rq->arena, old, "spec.finalizers", val_len(left) ? left : NULL));
    rq->internal = internal;
    return rc;
}

static int not_served(struct api_request *rq)
{
    return api_fail(rq, ERR_NOT_ALLOWED, "%s/%.*s is not served by this API server",
                    rq->resource->kube.plural, STR_ARG(rq->subresource));
}

/* --- the table */

static const struct {
    const char *plural, *subresource; /* subresource NULL: the resource itself */
    unsigned verbs;                   /* bits of enum api_verb */
    int (*run)(struct api_request *rq);
} rows[] = {
    {"selfsubjectreviews", NULL, 1u << API_CREATE, self_subject_review},
    {"selfsubjectaccessreviews", NULL, 1u << API_CREATE, access_review},
    {"subjectaccessreviews", NULL, 1u << API_CREATE, access_review},
    {"localsubjectaccessreviews", NULL, 1u << API_CREATE, access_review},
    {"selfsubjectrulesreviews", NULL, 1u << API_CREATE, rules_review},
    {"tokenreviews", NULL, 1u << API_CREATE, token_review},
    {"bindings", NULL, 1u << API_CREATE, bind_pod},
    {"pods", "binding", 1u << API_CREATE, bind_pod},
    {"pods", "eviction", 1u << API_CREATE, evict},
    {"pods", "exec", ~0u, not_served},
    {"pods", "attach", ~0u, not_served},
    {"pods", "portforward", ~0u, not_served},
    {"pods", "proxy", ~0u, not_served},
    {"services", "proxy", ~0u, not_served},
    {"serviceaccounts", "token", 1u << API_CREATE, make_token},
    {"namespaces", "finalize", 1u << API_UPDATE, finalize},
    {"deployments", "scale", 1u << API_GET | 1u << API_UPDATE | 1u << API_PATCH, scale},
    {"replicasets", "scale", 1u << API_GET | 1u << API_UPDATE | 1u << API_PATCH, scale},
    {"statefulsets", "scale", 1u << API_GET | 1u << API_UPDATE | 1u << API_PATCH, scale},
    {"replicationcontrollers", "scale", 1u << API_GET | 1u << API_UPDATE | 1u << API_PATCH, scale},
};

static size_t row_of(const struct api_request *rq)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool same = strcmp(rows[i].plural, rq->resource->kube.plural) == 0 &&
                    str_is(rq->subresource, rows[i].subresource ? rows[i].subresource : "");
        if (same && (rows[i].verbs & 1u << rq->verb) && !rq->resource->crd)
            return i;
    }
    return ARRAY_SIZE(rows);
}

bool api_virtual_serves(const struct api_request *rq)
{
    return row_of(rq) < ARRAY_SIZE(rows);
}

int api_virtual(struct api_request *rq)
{
    return rows[row_of(rq)].run(rq);
}
