/* DELETE: preconditions, grace, finalizers, and the propagation policy.
 *
 * Pods die in two steps: the first marks them (deletionTimestamp, grace), the node ends them and
 * deletes again with gracePeriodSeconds=0. Pods that no node has go at once.
 * Source: k8s.io/apiserver pkg/registry/{rest/delete.go,generic/registry/store.go},
 * k8s.io/kubernetes pkg/registry/core/pod/strategy.go. Read next: gc.c, namespace.c. */
#include "apiserver/failure.h"
#include "apiserver/internal.h"
#include "apiserver/select.h"
#include "apiserver/write.h"

#include "base/pace.h"

struct delete_options {
    int64_t grace; /* seconds, -1: not said */
    struct str policy, uid, revision;
    bool orphan, orphan_given;
};

static int check_options_kind(struct api_request *rq)
{
    const struct val *body = rq->body;
    struct str kind = kube_kind(body), version = kube_api_version(body);
    if (body && !val_is(body, VAL_OBJECT) && !val_is(body, VAL_NULL))
        return api_fail(rq, ERR_BAD_REQUEST, "DeleteOptions: expected an object");
    if (kind.n && !str_is(kind, "DeleteOptions"))
        return api_fail(rq, ERR_BAD_REQUEST,
                        "no kind \"%.*s\" is registered for version \"%.*s\" in scheme "
                        "\"pkg/runtime/scheme.go:111\"",
                        STR_ARG(kind), STR_ARG(version));
    return 0;
}

static int check_policy(struct api_request *rq, const struct delete_options *o)
{
    static const char *const known[] = {"Foreground", "Background", "Orphan", "nil"};
    struct api_causes causes = {.arena = rq->arena};
    const struct val *list = val_empty_array(), *given = val_string(rq->arena, o->policy);
    bool ok = o->policy.n == 0;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        ok = ok || (i < 3 && str_is(o->policy, known[i]));
        list = val_append(rq->arena, list, val_text(rq->arena, known[i]));
    }
    if (!ok)
        cause_unsupported(&causes, STR("propagationPolicy"), given, list);
    else if (o->policy.n && o->orphan_given)
        cause_invalid(&causes, STR("propagationPolicy"), given,
                      "orphanDependents and deletionPropagation cannot be both set");
    return causes.items.n ? api_fail_options(rq, "DeleteOptions", &causes) : 0;
}

static int read_options(struct api_request *rq, struct delete_options *ret)
{
    const struct val *body = rq->body;
    struct delete_options o = {.grace = -1};
    int rc = check_options_kind(rq);
    if (rc < 0)
        return rc;
    o.grace = val_as_int(val_get(body, "gracePeriodSeconds"), -1);
    o.policy = val_as_str(val_get(body, "propagationPolicy"));
    o.orphan = val_is_true(val_get(body, "orphanDependents"));
    o.orphan_given = val_get(body, "orphanDependents") || api_param(rq, "orphanDependents").n;
    o.uid = val_path_str(body, "preconditions.uid");
    o.revision = val_path_str(body, "preconditions.resourceVersion");
    struct str grace = api_param(rq, "gracePeriodSeconds"),
               policy = api_param(rq, "propagationPolicy");
    if (grace.n && !str_to_i64(grace, &o.grace))
        return api_fail(rq, ERR_BAD_REQUEST, "gracePeriodSeconds: \"%.*s\" is no number",
                        STR_ARG(grace));
    if (policy.n)
        o.policy = policy;
    if (api_param_true(rq, "orphanDependents"))
        o.orphan = true;
    if (val_len(val_get(body, "dryRun")) > 0)
        rq->dry_run = true;
    rc = check_policy(rq, &o);
    if (rc < 0)
        return rc;
    *ret = o;
    return 0;
}

static int precondition_failure(struct api_request *rq, const struct val *object, const char *why)
{
    struct arena *a = rq->arena;
    const struct kube_resource *k = &rq->resource->kube;
    struct str name = kube_name(object);
    struct str text = arena_strf(a, "Operation cannot be fulfilled on %s%s%s \"%.*s\": %s", k->kind,
                                 k->group[0] ? "." : "", k->group, STR_ARG(name), why);
    return api_fail_details(rq, 409, "Conflict", text,
                            val_obj(a, "name", val_string(a, name), "group",
                                    k->group[0] ? val_text(a, k->group) : NULL, "kind",
                                    val_text(a, k->kind)));
}

static int check_preconditions(struct api_request *rq, const struct delete_options *o,
                               const struct val *object)
{
    if (o->uid.n && !str_eq(o->uid, kube_uid(object)))
        return precondition_failure(
            rq, object,
            arena_strf(
                rq->arena,
                "the UID in the precondition (%.*s) does not match the UID in record (%.*s). "
                "The object might have been deleted and then recreated",
                STR_ARG(o->uid), STR_ARG(kube_uid(object)))
                .p);
    if (o->revision.n && !str_eq(o->revision, kube_resource_version(object)))
        return precondition_failure(
            rq, object,
            arena_strf(rq->arena,
                       "the ResourceVersion in the precondition (%.*s) does not match the "
                       "ResourceVersion in record (%.*s). The object might have been modified",
                       STR_ARG(o->revision), STR_ARG(kube_resource_version(object)))
                .p);
    return 0;
}

static int64_t grace_of(const struct api_request *rq, const struct delete_options *o,
                        const struct val *object)
{
    if (!(rq->resource->flags & RES_GRACEFUL))
        return 0;
    struct str phase = val_path_str(object, "status.phase");
    bool over = str_is(phase, "Failed") || str_is(phase, "Succeeded");
    if (val_path_str(object, "spec.nodeName").n == 0 || over)
        return 0;
    int64_t grace = o->grace;
    if (grace < 0)
        grace = val_path_int(object, "spec.terminationGracePeriodSeconds", 30);
    return grace < 0 ? 1 : grace;
}

static const struct val *mark(struct api_request *rq, const struct val *object, int64_t grace)
{
    struct arena *a = rq->arena;
    const struct val *meta = val_get(object, "metadata");
    time_ms at = rq->now + grace * 1000;
    meta = val_set(a, meta, "deletionTimestamp", val_string(a, time_rfc3339(a, at)));
    meta = val_set(a, meta, "deletionGracePeriodSeconds", val_int(a, grace));
    if ((rq->resource->flags & RES_GENERATION) && !kube_is_deleting(object))
        meta = val_set(a, meta, "generation", val_int(a, kube_generation(object) + 1));
    return val_set(a, object, "metadata", meta);
}

static const struct val *with_policy(struct api_request *rq, const struct delete_options *o,
                                     const struct val *object)
{
    struct arena *a = rq->arena;
    if (str_is(o->policy, "Foreground"))
        return with_finalizer(a, without_finalizer(a, object, "orphan"), "foregroundDeletion");
    if (str_is(o->policy, "Orphan") || o->orphan)
        return with_finalizer(a, without_finalizer(a, object, "foregroundDeletion"), "orphan");
    return object;
}

static int answer_gone(struct api_request *rq, const struct val *object)
{
    if (rq->resource->flags & RES_RETURNS)
        return api_ok(rq, 200, object);
    struct arena *a = rq->arena;
    const struct kube_resource *k = &rq->resource->kube;
    const struct val *details =
        val_obj(a, "name", val_get(val_get(object, "metadata"), "name"), "group",
                k->group[0] ? val_text(a, k->group) : NULL, "kind", val_text(a, k->plural), "uid",
                val_get(val_get(object, "metadata"), "uid"));
    rq->status = 200;
    rq->answer = api_status_success(a, details);
    return 0;
}

/* Namespaces go through Terminating; namespace.c empties them and takes the finalizer off. */
static const struct val *mark_namespace(struct api_request *rq, const struct val *object)
{
    object = val_set_path(rq->arena, object, "metadata.deletionGracePeriodSeconds", NULL);
    return val_set_path(rq->arena, object, "status.phase", val_text(rq->arena, "Terminating"));
}

static int delete_object(struct api_request *rq, const struct delete_options *o,
                         const struct val *object)
{
    struct str ns = arena_str(rq->arena, kube_ns(object)),
               name = arena_str(rq->arena, kube_name(object));
    const struct val *done;
    bool deleting = kube_is_deleting(object);
    bool is_namespace = strcmp(rq->resource->table, "namespaces") == 0;
    int64_t grace = grace_of(rq, o, object);
    const struct val *wanted = with_policy(rq, o, object);
    bool stays = finalizer_count(wanted) > 0 || grace > 0 ||
                 (is_namespace && val_len(val_path(object, "spec.finalizers")) > 0);
    int rc;
    if (!stays) {
        bool graceful = (rq->resource->flags & RES_GRACEFUL) != 0;
        const struct val *last = graceful ? mark(rq, wanted, 0) : wanted;
        rc = commit_delete(rq, ns, name, last, &done);
        return rc < 0 ? rc : answer_gone(rq, done);
    }
    int64_t before = val_path_int(object, "metadata.deletionGracePeriodSeconds", 0);
    if (!deleting || grace < before)
        wanted = mark(rq, wanted, grace);
    if (is_namespace)
        wanted = mark_namespace(rq, wanted);
    if (wanted == object)
        return api_ok(rq, 200, object);
    rc = commit_put(rq, ns, name, wanted, &done);
    return rc < 0 ? rc : api_ok(rq, 200, done);
}

static int check_protected(struct api_request *rq, struct str name)
{
    static const char *const kept[] = {"default", "kube-system", "kube-public"};
    if (rq->internal || strcmp(rq->resource->table, "namespaces") != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (str_is(name, kept[i]))
            return api_fail_forbidden(rq, name, "this namespace may not be deleted");
    return 0;
}

int api_delete(struct api_request *rq)
{
    struct delete_options o;
    struct str ns = rq->resource->kube.namespaced ? rq->ns : STR_NULL;
    int rc = read_options(rq, &o);
    if (rc < 0)
        return rc;
    const struct val *object = latest_object(rq->server, rq->resource, ns, rq->name);
    if (!object)
        return api_fail_not_found(rq, rq->resource, rq->name);
    rc = check_protected(rq, rq->name);
    if (rc == 0)
        rc = check_preconditions(rq, &o, object);
    return rc < 0 ? rc : delete_object(rq, &o, val_keep(rq->arena, object));
}

/* Of the object as it is by now; one that has gone, or another one of its name, is left alone. */
static int delete_chosen(struct api_request *rq, const struct delete_options *o,
                         const struct val *chosen)
{
    struct str ns = rq->resource->kube.namespaced ? kube_ns(chosen) : STR_NULL;
    const struct val *now = latest_object(rq->server, rq->resource, ns, kube_name(chosen));
    if (!now || !str_eq(kube_uid(now), kube_uid(chosen)))
        return 0;
    struct arena *whole = rq->arena; /* what one deletion needs goes with it */
    rq->arena = arena_new();
    int rc = delete_object(rq, o, val_keep(rq->arena, now));
    const struct val *answer = val_ref(rq->answer);
    arena_free(rq->arena);
    rq->arena = whole;
    rq->answer = answer ? val_keep(whole, answer) : NULL;
    val_unref(answer);
    return rc;
}

int api_delete_collection(struct api_request *rq)
{
    struct delete_options o;
    struct api_select select = {0};
    int rc = read_options(rq, &o);
    if (rc == 0)
        rc = select_parse(rq, rq->arena, &select);
    if (rc < 0)
        return rc;
    struct store_values all =
        store_latest_list(rq->server->store, rq->arena, rq->resource->table, rq->ns);
    VEC(const struct val *) chosen = {0};
    for (size_t i = 0; i < all.n && !rq->server->stopping; i++) {
        const struct val *object = all.items[i];
        if (!select_matches(&select, rq->resource, object))
            continue;
        vec_push(&chosen, rq->arena, object);
        rc = delete_chosen(rq, &o, object);
        if (rc < 0)
            return rc;
        pace_point();
    }
    const struct val *items = val_array(rq->arena, chosen.items, chosen.n);
    rq->status = 200;
    rq->answer = val_obj(rq->arena, "apiVersion", val_text(rq->arena, rq->resource->api_version),
                         "kind", val_text(rq->arena, rq->resource->kube.list_kind), "metadata",
                         val_obj(rq->arena, "resourceVersion",
                                 val_textf(rq->arena, "%llu",
                                           (unsigned long long)store_revision(rq->server->store))),
                         "items", items);
    return 0;
}
