/* One pass: is it ours to touch, is it valid, what surrounds the pods, the pods, the status.
 * Facts: KubeRay 1.6 raycluster_controller.go. Read next: pods.c, cluster_status.c. */
#include "core/reconcile/internal.h"

#include "base/utf8.h"

#define EVENT_NOTE_MAX_BYTES 1024 /* k8s.io/kubernetes pkg/apis/core/validation/events.go */

/* --- adding to the plan */

struct plan_action *pass_add(struct pass *p, enum plan_verb verb, unsigned stage)
{
    vec_push(&p->plan, p->a, ((struct plan_action){.verb = verb, .stage = stage}));
    return &p->plan.items[p->plan.n - 1];
}

void pass_again(struct pass *p, int64_t after_ms)
{
    p->again_ms = MIN_OF(p->again_ms, MAX_OF(after_ms, 1));
}

const struct val *reconcile_event(struct arena *a, const struct val *cluster, bool warning,
                                  const char *reason, const char *action, struct str note,
                                  time_ms now)
{
    const struct val *regarding =
        val_obj(a, "apiVersion", val_string(a, kube_api_version(cluster)), "kind",
                val_text(a, "RayCluster"), "name", val_string(a, kube_name(cluster)), "namespace",
                val_string(a, kube_ns(cluster)), "uid", val_string(a, kube_uid(cluster)),
                "resourceVersion", val_string(a, kube_resource_version(cluster)));
    return val_obj(a, "apiVersion", val_text(a, "events.k8s.io/v1"), "kind", val_text(a, "Event"),
                   "metadata", val_obj(a, "namespace", val_string(a, kube_ns(cluster))),
                   "eventTime", val_string(a, time_rfc3339_micro(a, now)), "reportingController",
                   val_text(a, "raycluster-controller"), "reportingInstance",
                   val_text(a, "raycluster-controller"), "type",
                   val_text(a, warning ? "Warning" : "Normal"), "reason", val_text(a, reason),
                   "action", val_text(a, action), "note",
                   val_string(a, utf8_cut(note, EVENT_NOTE_MAX_BYTES)), "regarding", regarding);
}

void pass_event(struct pass *p, bool warning, const char *reason, const char *action,
                struct str note)
{
    struct plan_action *event = pass_add(p, PLAN_EVENT, STAGE_LAST);
    event->group = "events.k8s.io";
    event->version = "v1";
    event->plural = "events";
    event->object = reconcile_event(p->a, p->world->cluster, warning, reason, action, note, p->now);
    event->name = str_of(reason);
    event->why = note;
}

struct base_kind { /* objects around the pods */
    const char *group, *version, *plural;
    const char *done_reason, *failed_reason;
};
static const struct base_kind kind_account = {"", "v1", "serviceaccounts", "CreatedServiceAccount",
                                              "FailedToCreateServiceAccount"};
static const struct base_kind kind_role = {"rbac.authorization.k8s.io", "v1", "roles",
                                           "CreatedRole", "FailedToCreateRole"};
static const struct base_kind kind_binding = {"rbac.authorization.k8s.io", "v1", "rolebindings",
                                              "CreatedRoleBinding", "FailedToCreateRoleBinding"};
static const struct base_kind kind_service = {"", "v1", "services", "CreatedService",
                                              "FailedToCreateService"};
static const struct base_kind kind_secret = {"", "v1", "secrets", "CreatedSecret",
                                             "FailedToCreateSecret"};
static const struct base_kind kind_ingress = {"networking.k8s.io", "v1", "ingresses",
                                              "CreatedIngress", "FailedToCreateIngress"};

static void create(struct pass *p, const struct base_kind *kind, unsigned stage,
                   const struct val *object, const char *why)
{
    struct plan_action *action = pass_add(p, PLAN_CREATE, stage);
    action->group = kind->group;
    action->version = kind->version;
    action->plural = kind->plural;
    action->object = object;
    action->name = kube_name(object);
    action->done_reason = kind->done_reason;
    action->failed_reason = kind->failed_reason;
    action->event_action = "Create";
    action->why = str_of(why);
}

/* --- who owns what */

bool pass_owns(const struct pass *p, const struct val *object)
{
    return str_eq(val_as_str(val_get(kube_controller_of(object), "uid")), p->cluster.uid);
}

const struct val *pass_conditions(const struct pass *p)
{
    return val_path(p->world->cluster, "status.conditions");
}

bool pass_suspends(const struct pass *p)
{
    return kube_condition_is(pass_conditions(p), "RayClusterSuspending", "True");
}

bool pass_is_suspended(const struct pass *p)
{
    return kube_condition_is(pass_conditions(p), "RayClusterSuspended", "True");
}

/* --- what surrounds the pods */

/* The head's account is another one now. KubeRay leaves the binding as it was made. */
static void bind_account(struct pass *p)
{
    const struct val *wanted = render_role_binding(p->a, &p->cluster);
    struct str account = val_path_str(wanted, "subjects[0].name");
    VAL_EACH_ITEM (subject, val_get(p->world->binding, "subjects"))
        if (str_eq(val_as_str(val_get(subject, "name")), account))
            return;
    if (!pass_owns(p, p->world->binding))
        return;
    struct plan_action *action = pass_add(p, PLAN_PATCH, STAGE_HEAD);
    action->group = kind_binding.group;
    action->version = kind_binding.version;
    action->plural = kind_binding.plural;
    action->name = kube_name(p->world->binding);
    action->object = val_obj(p->a, "subjects", val_get(wanted, "subjects"));
    action->why = STR("the head's account is another one");
}

static void base_rights(struct pass *p)
{
    const struct world *w = p->world;
    if (!p->cluster.autoscaling)
        return;
    struct str own = val_path_str(p->cluster.head.pod_template, "spec.serviceAccountName");
    if (!w->account && own.n) {
        p->account_missing = true;
        pass_event(p, true, "AutoscalerServiceAccountNotFound", "Reconcile",
                   arena_strf(p->a,
                              "Failed to reconcile RayCluster %.*s/%.*s: the head's "
                              "serviceAccountName %.*s does not "
                              "exist; create it, pods that need it cannot start before",
                              STR_ARG(p->cluster.ns), STR_ARG(p->cluster.name), STR_ARG(own)));
    } else if (!w->account) {
        create(p, &kind_account, STAGE_BASE, render_service_account(p->a, &p->cluster),
               "autoscaling is on and the head's account is missing");
    }
    if (!w->role)
        create(p, &kind_role, STAGE_BASE, render_role(p->a, &p->cluster), "autoscaling is on");
    if (!w->binding)
        create(p, &kind_binding, STAGE_HEAD, render_role_binding(p->a, &p->cluster),
               "autoscaling is on");
    else
        bind_account(p);
}

static const struct val *service_named(const struct pass *p, struct str name)
{
    for (size_t i = 0; i < p->world->n_services; i++)
        if (str_eq(kube_name(p->world->services[i]), name))
            return p->world->services[i];
    return NULL;
}

static bool is_head_service(const struct pass *p, const struct val *service)
{
    return str_eq(kube_label(service, RAY_LABEL_CLUSTER), p->cluster.name) &&
           str_is(kube_label(service, RAY_LABEL_NODE_TYPE), "head");
}

const struct val *pass_head_service(const struct pass *p)
{
    for (size_t i = 0; i < p->world->n_services; i++)
        if (is_head_service(p, p->world->services[i]))
            return p->world->services[i];
    return service_named(p, raycluster_head_service(p->a, &p->cluster));
}

/* False when the spec asks for a serve service that cannot be made: pods then wait, as in KubeRay. */
static bool base_services(struct pass *p)
{
    const struct val *serve;
    struct err err;
    bool several_hosts = false;
    if (!pass_head_service(p))
        create(p, &kind_service, STAGE_BASE, render_head_service(p->a, &p->cluster, p->options),
               "the head service is missing");
    for (size_t i = 0; i < p->cluster.n_groups; i++)
        several_hosts = several_hosts || p->cluster.groups[i].hosts > 1;
    if (several_hosts && !service_named(p, render_headless_service_name(p->a, &p->cluster)))
        create(p, &kind_service, STAGE_BASE, render_headless_service(p->a, &p->cluster),
               "a group has several hosts a replica");
    if (!p->cluster.serve_service || service_named(p, render_serve_service_name(p->a, &p->cluster)))
        return true;
    if (render_serve_service(p->a, &p->cluster, &serve, &err) < 0) {
        pass_event(p, true, "FailedToCreateService", "Create",
                   arena_strf(p->a, "%s: %s", err.field, err.text));
        return false;
    }
    create(p, &kind_service, STAGE_BASE, serve, "the serve service is asked for");
    return true;
}

static bool base_objects(struct pass *p)
{
    base_rights(p);
    if (val_is_true(val_get(p->cluster.head.spec, "enableIngress")) && !p->world->ingress)
        create(p, &kind_ingress, STAGE_BASE, render_ingress(p->a, &p->cluster), "enableIngress");
    if (p->cluster.token_auth && !p->world->auth_secret && p->world->fresh_token.n &&
        !val_path_str(p->cluster.spec, "authOptions.secretName").n &&
        !val_is_true(val_path(p->cluster.spec, "authOptions.enableK8sTokenAuth")))
        create(p, &kind_secret, STAGE_BASE,
               render_auth_secret(p->a, &p->cluster, p->world->fresh_token),
               "token authentication is on");
    return base_services(p);
}

/* Alpha gates of KubeRay's that are not served: said, never half done. */
static void refuse_features(struct pass *p)
{
    static const char *const fields[] = {"networkPolicy", "historyServerOptions"};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (val_is(val_get(p->cluster.spec, fields[i]), VAL_OBJECT))
            pass_event(p, true, "FeatureNotServed", "Validate",
                       arena_strf(p->a, "spec.%s is not served by this operator and has no effect",
                                  fields[i]));
    if (val_is_true(val_path(p->cluster.spec, "tlsOptions.enabled")))
        pass_event(p, true, "FeatureNotServed", "Validate",
                   STR("spec.tlsOptions.enabled is not served by this operator: Ray's traffic is "
                       "not encrypted"));
}

/* --- the pass */

static bool is_valid(struct pass *p)
{
    struct err err = ERR_INIT;
    const char *reason = NULL;
    const char *what = "spec";
    if (raycluster_validate_metadata(&p->cluster, &err) < 0) {
        reason = "InvalidRayClusterMetadata";
        what = "metadata";
    } else if (raycluster_validate_spec(p->a, &p->cluster, &err) < 0) {
        reason = "InvalidRayClusterSpec";
    }
    if (!reason)
        return true;
    struct str message = arena_strf(p->a, "%s%s%s", err.field, err.field[0] ? ": " : "", err.text);
    const struct val *told = kube_condition(pass_conditions(p), "RayClusterSpecInvalid");
    if (!str_eq(val_as_str(val_get(told, "message")), message))
        pass_event(p, true, reason, "Validate",
                   arena_strf(p->a, "The RayCluster %s is invalid %.*s/%.*s: %.*s", what,
                              STR_ARG(p->cluster.ns), STR_ARG(p->cluster.name), STR_ARG(message)));
    pass_status_invalid(p, reason, message);
    return false;
}

/* Only changes to objects: events and status do not make the world differ. */
static bool changes_objects(const struct pass *p)
{
    for (size_t i = 0; i < p->plan.n; i++)
        if (p->plan.items[i].verb != PLAN_EVENT && p->plan.items[i].verb != PLAN_STATUS)
            return true;
    return false;
}

static int by_stage(const void *x, const void *y)
{
    const struct plan_action *a = x, *b = y;
    return a->stage < b->stage ? -1 : a->stage > b->stage;
}

/* Stable: the order within a stage is the order of adding. */
static void sort_by_stage(struct pass *p)
{
    struct plan_action *sorted = arena_array_of(p->a, struct plan_action, p->plan.n + 1);
    size_t n = 0;
    for (unsigned stage = 0; stage <= STAGE_LAST; stage++)
        for (size_t i = 0; i < p->plan.n; i++)
            if (p->plan.items[i].stage == stage)
                sorted[n++] = p->plan.items[i];
    for (size_t i = 1; i < n; i++)
        INVARIANT(by_stage(&sorted[i - 1], &sorted[i]) <= 0);
    p->plan.items = sorted;
}

int reconcile_cluster(struct arena *a, const struct world *world, time_ms now, uint64_t seed,
                      const struct render_options *options, struct plan *ret, struct err *err)
{
    struct pass p = {.a = a,
                     .world = world,
                     .options = options,
                     .now = now,
                     .rng = {seed},
                     .again_ms = RECONCILE_RESYNC_MS};
    int rc = raycluster_read(a, world->cluster, &p.cluster, err);
    if (rc < 0)
        return rc;
    bool hands_off = p.cluster.managed_elsewhere || kube_is_deleting(world->cluster);
    if (!hands_off && is_valid(&p)) {
        if (pass_suspends(&p) && pass_is_suspended(&p)) {
            pass_event(
                &p, true, "InvalidRayClusterStatus", "Validate",
                STR("conditions RayClusterSuspending and RayClusterSuspended are both True"));
            pass_again(&p, 2000);
        } else {
            refuse_features(&p);
            if (base_objects(&p))
                pass_pods(&p);
            if (!changes_objects(&p) || world->failure_reason.n)
                pass_status(&p);
        }
        sort_by_stage(&p);
    }
    *ret = (struct plan){
        .items = p.plan.items, .n = p.plan.n, .again_ms = p.again_ms, .held_back = p.held_back};
    return 0;
}

const struct val *plan_value(struct arena *a, const struct plan *plan)
{
    static const char *const verbs[_PLAN_VERB_MAX] = {[PLAN_CREATE] = "create",
                                                      [PLAN_DELETE] = "delete",
                                                      [PLAN_PATCH] = "patch",
                                                      [PLAN_STATUS] = "status",
                                                      [PLAN_EVENT] = "event"};
    const struct val *list = val_empty_array();
    for (size_t i = 0; i < plan->n; i++) {
        const struct plan_action *action = &plan->items[i];
        list = val_append(a, list,
                          val_obj(a, "do", val_text(a, verbs[action->verb]), "what",
                                  val_text(a, action->plural ? action->plural : "rayclusters"),
                                  "name", action->name.n ? val_string(a, action->name) : NULL,
                                  "why", val_string(a, action->why), "stage",
                                  val_int(a, action->stage), "object", action->object));
    }
    return list;
}
