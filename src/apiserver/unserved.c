/* What is accepted and not acted on says so at once: a Warning, which kubectl prints, and an Event, which
 * `kubectl describe` shows. Without a word it would be waited for, or relied on, for ever.
 *
 * A row goes when its controller, or its enforcement, comes. Where other controllers stand behind the API
 * (apiserver_config.alone is false) nothing is said. */
#include "apiserver/internal.h"
#include "apiserver/write.h"

#include "base/timefmt.h"

#define REASON "NotActedOn"

enum told { WARNS, WARNS_AND_EVENT };

struct unserved {
    const char *table; /* of the resource */
    enum told told;
    bool (*applies)(const struct val *object); /* NULL: always */
    const char *text;
};

/* --- of Services */

static bool is_of_type(const struct val *service, const char *type)
{
    return str_is(val_path_str(service, "spec.type"), type);
}

static bool is_load_balancer(const struct val *service)
{
    return is_of_type(service, "LoadBalancer");
}

static bool is_node_port(const struct val *service)
{
    return is_of_type(service, "NodePort");
}

static bool is_external_name(const struct val *service)
{
    return is_of_type(service, "ExternalName");
}

static bool maps_a_port(const struct val *service)
{
    VAL_EACH_ITEM (port, val_path(service, "spec.ports")) {
        int64_t target = val_path_int(port, "targetPort", 0);
        if (target > 0 && target != val_path_int(port, "port", 0))
            return true;
    }
    return false;
}

/* --- of pods */

static bool any_container(const struct val *pod, bool (*is)(const struct val *container))
{
    VAL_EACH_ITEM (container, val_path(pod, "spec.containers"))
        if (is(container))
            return true;
    VAL_EACH_ITEM (container, val_path(pod, "spec.initContainers"))
        if (is(container))
            return true;
    return false;
}

static bool names_a_user(const struct val *holder)
{
    const struct val *context = val_get(holder, "securityContext");
    return val_get(context, "runAsUser") || val_get(context, "runAsGroup") ||
           val_is_true(val_get(context, "runAsNonRoot"));
}

static bool runs_as_somebody(const struct val *pod)
{
    return names_a_user(val_get(pod, "spec")) || any_container(pod, names_a_user);
}

static bool has_host_port(const struct val *container)
{
    VAL_EACH_ITEM (port, val_get(container, "ports"))
        if (val_path_int(port, "hostPort", 0) > 0)
            return true;
    return false;
}

static bool wants_host_ports(const struct val *pod)
{
    return any_container(pod, has_host_port);
}

static bool shares_the_host(const struct val *pod)
{
    static const char *const names[] = {"hostNetwork", "hostPID", "hostIPC"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (val_is_true(val_get(val_get(pod, "spec"), names[i])))
            return true;
    return false;
}

static bool has_limits(const struct val *container)
{
    const struct val *limits = val_path(container, "resources.limits");
    return val_get(limits, "cpu") || val_get(limits, "memory");
}

static bool is_limited(const struct val *pod)
{
    return any_container(pod, has_limits);
}

static bool has_grpc_probe(const struct val *container)
{
    return val_path(container, "livenessProbe.grpc") ||
           val_path(container, "readinessProbe.grpc") || val_path(container, "startupProbe.grpc");
}

static bool is_probed_by_grpc(const struct val *pod)
{
    return any_container(pod, has_grpc_probe);
}

#define NO_PODS ": no controller of this kind runs here, so no pods are made"

static const struct unserved rows[] = {
    {"apps/deployments", WARNS_AND_EVENT, NULL, "Deployment is stored only" NO_PODS},
    {"apps/replicasets", WARNS_AND_EVENT, NULL, "ReplicaSet is stored only" NO_PODS},
    {"apps/statefulsets", WARNS_AND_EVENT, NULL, "StatefulSet is stored only" NO_PODS},
    {"apps/daemonsets", WARNS_AND_EVENT, NULL, "DaemonSet is stored only" NO_PODS},
    {"replicationcontrollers", WARNS_AND_EVENT, NULL,
     "ReplicationController is stored only" NO_PODS},
    {"batch/jobs", WARNS_AND_EVENT, NULL, "Job is stored only" NO_PODS},
    {"batch/cronjobs", WARNS_AND_EVENT, NULL,
     "CronJob is stored only: no controller of this kind runs here, so no jobs are made"},
    {"networking.k8s.io/ingresses", WARNS_AND_EVENT, NULL,
     "Ingress is stored only: no ingress controller runs here, so nothing is routed"},
    {"networking.k8s.io/networkpolicies", WARNS_AND_EVENT, NULL,
     "NetworkPolicy is stored only: it is not enforced here"},
    {"policy/poddisruptionbudgets", WARNS_AND_EVENT, NULL,
     "PodDisruptionBudget is stored only: evictions do not heed it here"},
    {"resourcequotas", WARNS_AND_EVENT, NULL,
     "ResourceQuota is stored only: it is not enforced here"},
    {"limitranges", WARNS_AND_EVENT, NULL,
     "LimitRange is stored only: it sets no defaults and is not enforced here"},
    {"scheduling.k8s.io/priorityclasses", WARNS, NULL,
     "PriorityClass decides who is placed first: running pods are not preempted here"},
    {"services", WARNS_AND_EVENT, is_load_balancer,
     "spec.type LoadBalancer: no load balancer here, the external address stays pending"},
    {"services", WARNS_AND_EVENT, is_node_port,
     "spec.type NodePort: node ports are not opened here; the Service's name works in pods"},
    {"services", WARNS_AND_EVENT, is_external_name,
     "spec.type ExternalName: the name is not resolved in pods here"},
    {"services", WARNS_AND_EVENT, maps_a_port,
     "spec.ports: ports are not mapped here, a Service's name leads to its pods: connect to "
     "targetPort"},
    {"pods", WARNS_AND_EVENT, runs_as_somebody,
     "securityContext: runAsUser, runAsGroup and runAsNonRoot have no effect here, containers run "
     "as the user who runs mobula"},
    {"pods", WARNS_AND_EVENT, wants_host_ports,
     "hostPort has no effect here: connect to the pod's own address"},
    {"pods", WARNS_AND_EVENT, shares_the_host,
     "hostNetwork, hostPID and hostIPC have no effect here"},
    {"pods", WARNS_AND_EVENT, is_probed_by_grpc,
     "grpc probes fail here: use exec, httpGet or tcpSocket"},
    {"pods", WARNS, is_limited, /* no event: every Ray pod has limits */
     "resources.limits: the scheduler counts cpu and memory, they are not enforced here"},
};

static void tell_event(struct api_request *rq, const struct val *object, const char *text)
{
    struct arena *a = rq->arena;
    struct str ns = kube_ns(object).n ? kube_ns(object) : STR("default");
    struct str name =
        kube_event_name(a, kube_name(object), (uint64_t)loop_random(rq->server->loop));
    struct str now = time_rfc3339(a, rq->now);
    const struct val *about =
        val_obj(a, "apiVersion", val_text(a, rq->resource->api_version), "kind",
                val_text(a, rq->resource->kube.kind), "name", val_string(a, kube_name(object)),
                "namespace", kube_ns(object).n ? val_string(a, kube_ns(object)) : NULL, "uid",
                val_string(a, kube_uid(object)), "resourceVersion",
                val_path(object, "metadata.resourceVersion"));
    const struct val *source = val_obj(a, "component", val_text(a, "mobula"));
    const struct val *event = val_obj(
        a, "metadata", val_obj(a, "name", val_string(a, name), "namespace", val_string(a, ns)),
        "involvedObject", about, "type", val_text(a, "Warning"), "reason", val_text(a, REASON),
        "message", val_text(a, text), "source", source, "reportingComponent", val_text(a, "mobula"),
        "firstTimestamp", val_string(a, now), "lastTimestamp", val_string(a, now), "count",
        val_int(a, 1));
    const struct resource *events = resources_by_table(&rq->server->resources, STR("events"));

    (void)api_internal(rq->server, a, API_CREATE, events, ns, STR_NULL, event, NULL);
}

void unserved_tell(struct api_request *rq, const struct val *object, bool is_new)
{
    if (!rq->server->alone || rq->internal || rq->subresource.n)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct unserved *row = &rows[i];
        if (strcmp(row->table, rq->resource->table) != 0 || (row->applies && !row->applies(object)))
            continue;
        vec_push(&rq->warnings, rq->arena, str_of(row->text));
        if (is_new && !rq->dry_run && row->told == WARNS_AND_EVENT)
            tell_event(rq, object, row->text);
    }
}
