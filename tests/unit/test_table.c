/* Rows of Tables: every built-in kind's cells at a fixed time, a CRD's columns, the forms of a Table. */
#include "apiserver/answer.h"
#include "apiserver/watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

/* 2026-11-23T12:00:00Z; objects are made at 11:55:00 unless they say otherwise: age 5m. */
#define NOW  ((time_ms)1795435200000LL)
#define META "metadata: {name: x, namespace: d, creationTimestamp: '2026-11-23T11:55:00Z'"

static const struct {
    const char *group, *kind, *object, *cells;
} rows[] = {
    /* pods: what goes on */
    {"", "Pod", "{" META "}, spec: {containers: [{name: a}]}, status: {phase: Pending}}",
     "x|0/1|Pending|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {nodeName: n1, containers: [{name: a}, {name: b}], readinessGates: "
     "[{conditionType: g}, {conditionType: h}]}, status: {phase: Running, podIPs: [{ip: "
     "127.1.0.2}], "
     "nominatedNodeName: n2, conditions: [{type: g, status: 'True'}], containerStatuses: [{name: "
     "a, "
     "ready: true, state: {running: {}}, restartCount: 1, lastState: {terminated: {finishedAt: "
     "'2026-11-23T11:58:00Z'}}}, {name: b, ready: false, state: {running: {}}, restartCount: 2}]}}",
     "x|1/2|Running|3 (2m ago)|5m|127.1.0.2|n1|n2|1/2"},
    {"", "Pod",
     "{" META "}, spec: {initContainers: [{name: i}, {name: j}], containers: [{name: a}]}, status: "
     "{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}, "
     "restartCount: 0}, {name: j, state: {running: {}}, restartCount: 4}]}}",
     "x|0/1|Init:1/2|4|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {initContainers: [{name: i}], containers: [{name: a}]}, status: {phase: "
     "Pending, initContainerStatuses: [{name: i, state: {waiting: {reason: CrashLoopBackOff}}, "
     "restartCount: 2}]}}",
     "x|0/1|Init:CrashLoopBackOff|2|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {initContainers: [{name: i}], containers: [{name: a}]}, status: {phase: "
     "Failed, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3, signal: 9}}}]}}",
     "x|0/1|Init:Signal:9|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META
     "}, spec: {initContainers: [{name: s, restartPolicy: Always}], containers: [{name: a}]}"
     ", status: {phase: Running, initContainerStatuses: [{name: s, started: true, ready: true, "
     "restartCount: 1, state: {running: {}}}], containerStatuses: [{name: a, ready: true, state: "
     "{running: {}}, restartCount: 0}]}}",
     "x|2/2|Running|1|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {containers: [{name: a}]}, status: {phase: Running, containerStatuses: "
     "[{name: a, ready: false, state: {waiting: {reason: CrashLoopBackOff}}, restartCount: 7}]}}",
     "x|0/1|CrashLoopBackOff|7|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {containers: [{name: a}]}, status: {phase: Failed, containerStatuses: "
     "[{name: a, ready: false, state: {terminated: {exitCode: 137}}, restartCount: 0}]}}",
     "x|0/1|ExitCode:137|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {containers: [{name: a}]}, status: {phase: Succeeded, containerStatuses: "
     "[{name: a, state: {terminated: {exitCode: 0, reason: Completed}}, restartCount: 0}]}}",
     "x|0/1|Completed|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {containers: [{name: a}, {name: b}]}, status: {phase: Running, "
     "containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: "
     "b,"
     " ready: true, state: {running: {}}}]}}",
     "x|1/2|NotReady|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META
     ", deletionTimestamp: '2026-11-23T11:59:00Z'}, spec: {containers: [{name: a}]}, status: "
     "{phase: Running}}",
     "x|0/1|Terminating|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META
     ", deletionTimestamp: '2026-11-23T11:59:00Z'}, spec: {containers: [{name: a}]}, status: "
     "{phase: Failed, reason: Evicted}}",
     "x|0/1|Evicted|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META
     ", deletionTimestamp: '2026-11-23T11:59:00Z'}, spec: {containers: [{name: a}]}, status: "
     "{phase: Running, reason: NodeLost}}",
     "x|0/1|Unknown|0|5m|<none>|<none>|<none>|<none>"},
    {"", "Pod",
     "{" META "}, spec: {containers: [{name: a}]}, status: {phase: Pending, conditions: [{type: "
     "PodScheduled, status: 'False', reason: SchedulingGated}]}}",
     "x|0/1|SchedulingGated|0|5m|<none>|<none>|<none>|<none>"},
    /* the network */
    {"", "Service",
     "{" META
     "}, spec: {type: NodePort, clusterIPs: [10.0.0.1], ports: [{port: 80, nodePort: 30001, "
     "protocol: TCP}, {port: 53, protocol: UDP}], selector: {a: b, c: d}}}",
     "x|NodePort|10.0.0.1|<none>|80:30001/TCP,53/UDP|5m|a=b,c=d"},
    {"", "Service", "{" META "}, spec: {type: ClusterIP, clusterIPs: [None], ports: []}}",
     "x|ClusterIP|None|<none>|<none>|5m|<none>"},
    {"", "Service", "{" META "}, spec: {type: LoadBalancer, clusterIPs: [10.0.0.1]}}",
     "x|LoadBalancer|10.0.0.1|<pending>|<none>|5m|<none>"},
    {"", "Service",
     "{" META
     "}, spec: {type: LoadBalancer, clusterIPs: [10.0.0.1], externalIPs: [9.9.9.9]}, status: "
     "{loadBalancer: {ingress: [{ip: 2.2.2.2}, {hostname: a.example}]}}}",
     "x|LoadBalancer|10.0.0.1|2.2.2.2,a.example,9.9.9.9|<none>|5m|<none>"},
    {"", "Service", "{" META "}, spec: {type: ExternalName, externalName: a.example}}",
     "x|ExternalName|<none>|a.example|<none>|5m|<none>"},
    {"", "Endpoints", "{" META "}}", "x|<none>|5m"},
    {"", "Endpoints",
     "{" META "}, subsets: [{addresses: [{ip: 1.1.1.1}, {ip: 1.1.1.2}], ports: [{port: 80}, {port: "
     "81}]}]}",
     "x|1.1.1.1:80,1.1.1.2:80,1.1.1.1:81 + 1 more...|5m"},
    {"discovery.k8s.io", "EndpointSlice",
     "{" META "}, addressType: IPv4, ports: [{port: 80}, {name: q}], endpoints: [{addresses: "
     "[1.1.1.1]}]}",
     "x|IPv4|80,q|1.1.1.1|5m"},
    {"discovery.k8s.io", "EndpointSlice", "{" META "}, addressType: IPv4}",
     "x|IPv4|<unset>|<unset>|5m"},
    {"networking.k8s.io", "Ingress",
     "{" META
     "}, spec: {ingressClassName: nginx, rules: [{host: a}, {host: b}, {}, {host: c}, {host: "
     "d}], tls: [{}]}}",
     "x|nginx|a,b,c + 2 more...||80, 443|5m"},
    {"networking.k8s.io", "NetworkPolicy", "{" META "}, spec: {podSelector: {}}}", "x|<none>|5m"},
    /* nodes, namespaces, events, leases */
    {"", "Node",
     "{" META ", labels: {node-role.kubernetes.io/worker: '', kubernetes.io/role: gpu}}, spec: "
     "{unschedulable: true}, status: {conditions: [{type: Ready, status: 'True'}], addresses: "
     "[{type: "
     "InternalIP, address: 127.0.0.9}], nodeInfo: {kubeletVersion: v1.35.4, osImage: Debian}}}",
     "x|Ready,SchedulingDisabled|gpu,worker|5m|v1.35.4|127.0.0.9|<none>|Debian|<unknown>|<"
     "unknown>"},
    {"", "Node", "{" META "}, status: {conditions: [{type: Ready, status: Unknown}]}}",
     "x|NotReady|<none>|5m||<none>|<none>|<unknown>|<unknown>|<unknown>"},
    {"", "Node", "{" META "}}", "x|Unknown|<none>|5m||<none>|<none>|<unknown>|<unknown>|<unknown>"},
    {"", "Namespace", "{" META "}, status: {phase: Active}}", "x|Active|5m"},
    {"", "Event",
     "{" META
     "}, type: Normal, reason: Why, message: ' what\n', count: 3, involvedObject: {kind: Pod, "
     "name: p, fieldPath: 'spec.containers{a}'}, source: {component: me, host: h}, firstTimestamp: "
     "'2026-11-23T11:50:00Z', lastTimestamp: '2026-11-23T11:59:30Z'}",
     "30s|Normal|Why|pod/p|spec.containers{a}|me, h|what|10m|3|x"},
    {"events.k8s.io", "Event",
     "{" META "}, type: Warning, reason: R, note: told, regarding: {kind: Node}, eventTime: "
     "'2026-11-23T11:59:00.000000Z', reportingController: c}",
     "60s|Warning|R|node||c|told|60s|1|x"},
    {"", "Event",
     "{" META
     "}, series: {count: 9, lastObservedTime: '2026-11-23T11:59:55.000000Z'}, involvedObject: "
     "{kind: Pod, name: p}}",
     "5s|||pod/p||||<unknown>|9|x"},
    {"coordination.k8s.io", "Lease", "{" META "}, spec: {holderIdentity: me}}", "x|me|5m"},
    /* configuration, accounts */
    {"", "ConfigMap", "{" META "}, data: {a: b}, binaryData: {c: ''}}", "x|2|5m"},
    {"", "Secret", "{" META "}, type: Opaque, data: {a: b}}", "x|Opaque|1|5m"},
    {"", "ServiceAccount", "{" META "}}", "x|5m"},
    {"rbac.authorization.k8s.io", "Role", "{" META "}}", "x|2026-11-23T11:55:00Z"},
    {"rbac.authorization.k8s.io", "RoleBinding",
     "{" META
     "}, roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: User, name:"
     " v}, {kind: Group, name: g}, {kind: ServiceAccount, name: s, namespace: m}]}",
     "x|Role/r|5m|u, v|g|m/s"},
    {"", "ResourceQuota",
     "{" META "}, status: {hard: {pods: '3', limits.cpu: '2'}, used: {pods: '1'}}}",
     "x|pods: 1/3|limits.cpu: 0/2|5m"},
    {"scheduling.k8s.io", "PriorityClass",
     "{" META "}, value: 7, globalDefault: true, preemptionPolicy: Never}", "x|7|true|5m|Never"},
    {"apiextensions.k8s.io", "CustomResourceDefinition", "{" META "}}", "x|2026-11-23T11:55:00Z"},
    /* storage */
    {"storage.k8s.io", "StorageClass",
     "{" META
     ", annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, provisioner: p}",
     "x (default)|p|Delete|Immediate|false|5m"},
    {"", "PersistentVolumeClaim",
     "{" META
     "}, spec: {volumeName: v, storageClassName: c, volumeMode: Filesystem}, status: {phase: "
     "Bound, capacity: {storage: 1Gi}, accessModes: [ReadWriteMany, ReadWriteOnce]}}",
     "x|Bound|v|1Gi|RWO,RWX|c|<unset>|5m|Filesystem"},
    {"", "PersistentVolumeClaim", "{" META "}, status: {phase: Pending}}",
     "x|Pending|||||<unset>|5m|<unset>"},
    {"", "PersistentVolume",
     "{" META
     "}, spec: {capacity: {storage: 5Gi}, accessModes: [ReadOnlyMany], claimRef: {namespace: "
     "d, name: c}, persistentVolumeReclaimPolicy: Retain}, status: {phase: Bound}}",
     "x|5Gi|ROX|Retain|Bound|d/c||<unset>||5m|<unset>"},
    /* workloads */
    {"apps", "Deployment",
     "{" META "}, spec: {replicas: 3, selector: {matchLabels: {b: c}, matchExpressions: [{key: a, "
     "operator: In, values: [z, u]}, {key: d, operator: DoesNotExist}]}, template: {spec: "
     "{containers: "
     "[{name: p, image: i}, {name: q, image: j}]}}}, status: {readyReplicas: 1, updatedReplicas: "
     "2, "
     "availableReplicas: 1}}",
     "x|1/3|2|1|5m|p,q|i,j|a in (u,z),b=c,!d"},
    {"apps", "ReplicaSet", "{" META "}, spec: {replicas: 2}, status: {replicas: 1}}",
     "x|2|1|0|5m|||<none>"},
    {"apps", "StatefulSet", "{" META "}, spec: {replicas: 2}}", "x|0/2|5m||"},
    {"apps", "DaemonSet", "{" META "}, status: {desiredNumberScheduled: 2}}",
     "x|2|0|0|0|0|<none>|5m|||<none>"},
    {"batch", "Job",
     "{" META
     "}, spec: {completions: 2}, status: {succeeded: 1, startTime: '2026-11-23T11:59:00Z'}}",
     "x|Running|1/2|60s|5m|||<none>"},
    {"batch", "Job",
     "{" META
     "}, spec: {parallelism: 3}, status: {startTime: '2026-11-23T11:56:00Z', completionTime: "
     "'2026-11-23T11:56:20Z', conditions: [{type: Complete, status: 'True'}]}}",
     "x|Complete|0/1 of 3|20s|5m|||<none>"},
    {"batch", "CronJob", "{" META "}, spec: {schedule: '* * * * *', suspend: false}}",
     "x|* * * * *|<none>|False|0|<none>|5m|||<none>"},
    {"policy", "PodDisruptionBudget",
     "{" META "}, spec: {minAvailable: 1}, status: {disruptionsAllowed: 2}}", "x|1|N/A|2|5m"},
};

static const struct val *yaml(struct arena *a, const char *text)
{
    const struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_yaml(a, "test", str_of(text), &v, &err) < 0)
        fail_msg("%s: %s", err.text, text);
    return v;
}

static struct resource resource_of(const char *group, const char *kind)
{
    return (struct resource){.kube = {.group = group, .version = "v1", .kind = kind},
                             .api_version = "v1"};
}

static struct str cells_text(struct arena *a, const struct val *row)
{
    const struct val *cells = val_get(row, "cells");
    struct str text = STR("");
    for (size_t i = 0; i < val_len(cells); i++) {
        const struct val *cell = val_at(cells, i);
        struct str shown = val_is(cell, VAL_STRING) ? val_as_str(cell) : val_json(a, cell);
        text = arena_strf(a, "%.*s%s%.*s", STR_ARG(text), i ? "|" : "", STR_ARG(shown));
    }
    return text;
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena *a = arena_new();
        struct resource r = resource_of(rows[i].group, rows[i].kind);
        const struct val *table =
            table_of_objects(a, &r, yaml(a, rows[i].object), true, STR("None"), NOW);
        assert_int_equal(val_len(val_get(table, "rows")), 1);
        const struct val *row = val_at(val_get(table, "rows"), 0);
        assert_string_equal(arena_c(a, cells_text(a, row)), rows[i].cells);
        assert_int_equal(val_len(val_get(row, "cells")),
                         val_len(val_get(table, "columnDefinitions")));
        arena_free(a);
    }
}

static const char crd_version[] =
    "additionalPrinterColumns:\n"
    "- {name: status, type: string, jsonPath: .status.state}\n"
    "- {name: ready, type: string, jsonPath: '.status.conditions[?(@.type==\"Ready\")].status'}\n"
    "- {name: n, type: integer, jsonPath: .spec.count}\n"
    "- {name: label, type: string, jsonPath: '.metadata.labels.a\\.b/c'}\n"
    "- {name: second, type: string, jsonPath: '.spec.list[1].k'}\n"
    "- {name: map, type: string, jsonPath: .spec.map, description: All of it.}\n"
    "- {name: age, type: date, jsonPath: .metadata.creationTimestamp, priority: 1}\n"
    "- {name: flag, type: boolean, jsonPath: .spec.flag}\n";

static void test_crd_columns(void **state)
{
    struct arena *a = arena_new();
    struct resource r = resource_of("example.org", "Thing");
    r.crd = val_empty_object();
    r.crd_version = yaml(a, crd_version);
    const struct val *full = yaml(
        a, "{" META
           ", labels: {a.b/c: l}}, spec: {count: 4, list: [{k: u}, {k: w}], map: {p: 1}, flag: "
           "true}, status: {state: ok, conditions: [{type: Other, status: 'False'}, {type: Ready, "
           "status: 'True'}]}}");
    const struct val *table = table_of_objects(a, &r, full, true, STR(""), NOW);
    const struct val *row = val_at(val_get(table, "rows"), 0);
    assert_string_equal(arena_c(a, cells_text(a, row)), "x|ok|True|4|l|w|{\"p\":1}|5m|true");
    assert_string_equal(val_as_c(val_path(table, "columnDefinitions[1].description")),
                        "Custom resource definition column (in JSONPath format): .status.state");
    assert_string_equal(val_as_c(val_path(table, "columnDefinitions[6].description")),
                        "All of it.");
    assert_int_equal(val_path_int(table, "columnDefinitions[7].priority", 0), 1);

    table = table_of_objects(a, &r, yaml(a, "{" META "}, spec: {count: many, flag: 3}}"), true,
                             STR(""), NOW);
    row = val_at(val_get(table, "rows"), 0);
    assert_string_equal(arena_c(a, cells_text(a, row)), "x|null|null|null|null|null|null|5m|null");

    r.crd_version = val_empty_object();
    table = table_of_objects(a, &r, full, true, STR(""), NOW);
    assert_string_equal(arena_c(a, cells_text(a, val_at(val_get(table, "rows"), 0))), "x|5m");
    arena_free(a);
}

static void test_forms(void **state)
{
    struct arena *a = arena_new();
    struct resource r = resource_of("", "ConfigMap");
    const struct val *list = yaml(
        a,
        "{kind: ConfigMapList, apiVersion: v1, metadata: {resourceVersion: '9', continue: c, "
        "remainingItemCount: 2}, items: [{metadata: {name: a, resourceVersion: '3'}}, {metadata: "
        "{name: b}}]}");
    const struct val *table = table_of_objects(a, &r, list, true, STR(""), NOW);
    assert_int_equal(val_len(val_get(table, "rows")), 2);
    assert_ptr_equal(val_get(table, "metadata"), val_get(list, "metadata"));
    assert_string_equal(val_as_c(val_path(table, "rows[0].object.kind")), "PartialObjectMetadata");
    assert_string_equal(val_as_c(val_path(table, "rows[1].object.metadata.name")), "b");
    assert_string_equal(val_as_c(val_path(table, "rows[1].cells[2]")), "<unknown>");

    table = table_of_objects(a, &r, list, false, STR("Object"), NOW);
    assert_true(val_is(val_get(table, "columnDefinitions"), VAL_NULL));
    assert_string_equal(val_as_c(val_path(table, "rows[0].object.kind")), "ConfigMap");
    table = table_of_objects(a, &r, val_path(list, "items[0]"), false, STR("None"), NOW);
    assert_true(val_is(val_path(table, "rows[0].object"), VAL_NULL));
    assert_string_equal(val_path_str(table, "metadata.resourceVersion").p, "3");

    const struct val *status = yaml(a, "{kind: Status, apiVersion: v1, code: 404}");
    assert_ptr_equal(table_of_objects(a, &r, status, true, STR(""), NOW), status);
    assert_ptr_equal(partial_metadata(a, status), status);
    const struct val *parts = partial_metadata(a, list);
    assert_string_equal(val_as_c(val_get(parts, "kind")), "PartialObjectMetadataList");
    assert_string_equal(val_as_c(val_path(parts, "items[1].metadata.name")), "b");
    arena_free(a);
}

static void test_ended_pod_says_so(void **state)
{
    struct arena *a = arena_new();
    struct resource r = resource_of("", "Pod");
    const struct val *pod = yaml(a, "{" META "}, spec: {}, status: {phase: Succeeded}}");
    const struct val *table = table_of_objects(a, &r, pod, true, STR("None"), NOW);
    assert_string_equal(val_as_c(val_path(table, "rows[0].conditions[0].reason")), "Succeeded");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_crd_columns),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_ended_pod_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
