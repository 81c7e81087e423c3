"""Who owns which field: managedFields after every kind of write, and server-side apply over lists.

Cases as in cases.py; here managedFields are compared too (managed=True).
"""
import json

from cases import (APPLY, JSON_PATCH, MERGE, STRATEGIC, THING_CRD, THINGS, case, cm, container,
                   deployment, obj, pod, service, thing)

OWNED = dict(managed=True)


def owners(body):
    return {"managedFields": body["metadata"].get("managedFields")}


OWNERS = dict(managed=True, pick=owners)  # and nothing else of the answer


def agent(name):
    return {"User-Agent": name}


def template(labels, *containers, **spec):
    return {"metadata": {"labels": labels}, "spec": {"containers": list(containers) or [container()], **spec}}


RICH = container(
    "a", command=["sh"], args=["-c", "true"], ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
    env=[{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    envFrom=[{"configMapRef": {"name": "c"}}], resources={"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}},
    volumeMounts=[{"name": "v", "mountPath": "/v"}], livenessProbe={"exec": {"command": ["true"]}},
    lifecycle={"preStop": {"exec": {"command": ["true"]}}}, securityContext={"runAsUser": 1})
FULL = dict(
    volumes=[{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}],
    initContainers=[container("i")], tolerations=[{"key": "k", "operator": "Exists"}],
    hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x"]}], imagePullSecrets=[{"name": "s"}],
    nodeSelector={"a": "b"}, affinity={"nodeAffinity": {}}, securityContext={"fsGroup": 1},
    topologySpreadConstraints=[
        {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1, "labelSelector": {"matchLabels": {"a": "b"}}},
        {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1, "labelSelector": {"matchLabels": {"a": "b"}}}])


@case
def owners_of_creates(t):
    """One of each kind: what its maker owns. Defaults are its maker's, what admission adds is not."""
    t.account()
    core = {
        "pods": pod("p", [RICH], {"a": "b"}, **FULL),
        "services": service("s", selector={"a": "b"}, ports=[{"name": "x", "port": 53, "protocol": "UDP"}, {"name": "y", "port": 53}]),
        "configmaps": {**cm("c", x="1"), "immutable": False, "binaryData": {"b": "AA=="}},
        "secrets": obj("v1", "Secret", "s", stringData={"a": "b"}),
        "serviceaccounts": obj("v1", "ServiceAccount", "a", imagePullSecrets=[{"name": "x"}]),
        "persistentvolumeclaims": obj("v1", "PersistentVolumeClaim", "c", spec={
            "accessModes": ["ReadWriteOnce"], "storageClassName": "x", "resources": {"requests": {"storage": "1Gi"}}}),
        "events": obj("v1", "Event", "e", involvedObject={"kind": "Pod", "name": "p", "namespace": t.ns}, reason="R",
                      message="m", type="Normal", source={"component": "c"}),
        "limitranges": obj("v1", "LimitRange", "l", spec={"limits": [{"type": "Pod", "max": {"cpu": "64"}}]}),
        "resourcequotas": obj("v1", "ResourceQuota", "q", spec={"hard": {"pods": "100"}}),
    }
    for plural, body in core.items():
        t.post(plural, t.core(plural) + "?fieldManager=me", body, **OWNERS)
    batch = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}
    other = [
        ("apps/v1", "deployments", deployment("d", [{k: v for k, v in RICH.items() if k != "volumeMounts"}], **{"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}})),
        ("apps/v1", "replicasets", obj("apps/v1", "ReplicaSet", "r", spec={
            "replicas": 0, "selector": {"matchLabels": {"a": "r"}}, "template": template({"a": "r"})})),
        ("apps/v1", "statefulsets", obj("apps/v1", "StatefulSet", "s", spec={
            "replicas": 0, "serviceName": "s", "selector": {"matchLabels": {"a": "s"}}, "template": template({"a": "s"}),
            "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]})),
        ("apps/v1", "daemonsets", obj("apps/v1", "DaemonSet", "d", spec={
            "selector": {"matchLabels": {"a": "d"}}, "template": template({"a": "d"}, nodeSelector={"no": "where"})})),
        ("batch/v1", "jobs", obj("batch/v1", "Job", "j", spec=batch)),
        ("batch/v1", "cronjobs", obj("batch/v1", "CronJob", "c", spec={
            "schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": batch}})),
        ("networking.k8s.io/v1", "ingresses", obj("networking.k8s.io/v1", "Ingress", "i", spec={"rules": [{"http": {"paths": [{
            "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 1}}}}]}}]})),
        ("networking.k8s.io/v1", "networkpolicies", obj("networking.k8s.io/v1", "NetworkPolicy", "n", spec={"podSelector": {}})),
        ("rbac.authorization.k8s.io/v1", "roles", obj("rbac.authorization.k8s.io/v1", "Role", "r", rules=[
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])),
        ("rbac.authorization.k8s.io/v1", "rolebindings", obj(
            "rbac.authorization.k8s.io/v1", "RoleBinding", "b", subjects=[{"kind": "User", "name": "u"}],
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"})),
        ("coordination.k8s.io/v1", "leases", obj("coordination.k8s.io/v1", "Lease", "l", spec={
            "holderIdentity": "x", "leaseDurationSeconds": 10})),
        ("policy/v1", "poddisruptionbudgets", obj("policy/v1", "PodDisruptionBudget", "p", spec={
            "minAvailable": 1, "selector": {"matchLabels": {"a": "z"}}})),
        ("discovery.k8s.io/v1", "endpointslices", obj("discovery.k8s.io/v1", "EndpointSlice", "e", addressType="IPv4",
                                                      endpoints=[{"addresses": ["1.2.3.4"]}], ports=[{"port": 1}])),
        ("events.k8s.io/v1", "events", obj(
            "events.k8s.io/v1", "Event", "f", eventTime="2026-01-01T00:00:00.000000Z", reportingController="c",
            reportingInstance="i", action="A", reason="R", note="n", type="Normal",
            regarding={"kind": "Pod", "name": "p", "namespace": t.ns})),
        ("ray.io/v1", "rayclusters", obj("ray.io/v1", "RayCluster", "r", {"a": "b"}, spec={
            "rayVersion": "2.46.0", "headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [container("h")]}}}})),
    ]
    for api, plural, body in other:
        t.post(plural + " of " + api, t.path(api, plural) + "?fieldManager=me", body, **OWNERS)
    cluster = [
        ("/api/v1/namespaces", obj("v1", "Namespace", "suite-owned", {"a": "b"})),
        ("/api/v1/nodes", obj("v1", "Node", "suite-owned", spec={"unschedulable": True})),
        ("/api/v1/persistentvolumes", obj("v1", "PersistentVolume", "suite-owned", spec={
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/x"}})),
        ("/apis/storage.k8s.io/v1/storageclasses", obj("storage.k8s.io/v1", "StorageClass", "suite-owned", provisioner="x.y/z")),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", obj("scheduling.k8s.io/v1", "PriorityClass", "suite-owned", value=1)),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", obj("rbac.authorization.k8s.io/v1", "ClusterRole", "suite-owned", rules=[
            {"nonResourceURLs": ["/x"], "verbs": ["get"]}])),
    ]
    for path, body in cluster:
        t.post(path, path + "?fieldManager=me", body, **OWNERS)
        t.quiet("DELETE", path + "/suite-owned")


@case
def owners_of_updates(t):
    base = t.core("configmaps")
    a = base + "/a"
    t.post("by the agent's name", base, cm("a", {"l": "1"}, x="1"), headers=agent("kubectl/v1.35 (linux)"), **OWNED)
    t.patch("another adds and changes", a, {"data": {"x": "2", "y": "1"}}, MERGE, headers=agent("other/1"), **OWNED)
    t.patch("the same again changes nothing", a, {"data": {"x": "2"}}, MERGE, headers=agent("third/1"), **OWNED)
    t.patch("a field goes", a, {"data": {"y": None}}, MERGE, headers=agent("third/1"), **OWNED)
    t.patch("JSON patch", a + "?fieldManager=json", [{"op": "add", "path": "/data/z", "value": "1"}], JSON_PATCH, **OWNED)
    t.put("replace", a + "?fieldManager=put", cm("a", {"l": "2"}, x="2", w="1"), **OWNED)
    t.put("replace by the same", a + "?fieldManager=again", cm("a", {"l": "2"}, x="2", w="1"), **OWNED)
    t.patch("all of it goes", a + "?fieldManager=m", {"data": None, "metadata": {"labels": None}}, MERGE, **OWNED)
    t.patch("and comes again", a + "?fieldManager=m", {"data": {"a": "1"}}, MERGE, **OWNED)
    t.patch("the list is emptied", a + "?fieldManager=m", {"metadata": {"managedFields": [{}]}}, MERGE, **OWNED)
    t.patch("then nothing is tracked", a + "?fieldManager=m", {"data": {"b": "1"}}, MERGE, **OWNED)
    t.patch("until it is applied", a + "?fieldManager=n", cm("a", c="1"), APPLY, **OWNED)
    t.patch("finalizers are a set", a + "?fieldManager=f", {"metadata": {"finalizers": ["x.y/a", "x.y/b"]}}, MERGE, **OWNED)
    t.patch("one of them goes", a + "?fieldManager=g", {"metadata": {"finalizers": ["x.y/b"]}}, MERGE, **OWNED)
    t.patch("all of them", a + "?fieldManager=g", {"metadata": {"finalizers": None}}, MERGE, **OWNED)
    owner = t.get("read it", a, **OWNED)
    t.patch("owner references", a + "?fieldManager=o", {"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": owner.get("metadata.uid")}]}}, MERGE, **OWNED)
    for i in range(12):
        t.patch("many managers: %d" % i, a + "?fieldManager=m%02d" % i, {"data": {"k%d" % i: "1"}}, MERGE, **OWNED)
    t.get("metadata only", a, headers={"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}, **OWNED)


@case
def owners_of_pods(t):
    t.account()
    base = t.core("pods")
    p = base + "/p"
    t.post("create", base + "?fieldManager=me", pod("p", labels={"a": "b"}), **OWNERS)
    t.patch("label by strategic patch", p + "?fieldManager=you", {"metadata": {"labels": {"c": "d"}}}, STRATEGIC, **OWNERS)
    t.patch("image", p + "?fieldManager=you", {"spec": {"containers": [{"name": "a", "image": "busybox:2"}]}}, STRATEGIC, **OWNERS)
    status = {"status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
                         "conditions": [{"type": "Ready", "status": "True"}],
                         "containerStatuses": [{"name": "a", "image": "i", "imageID": "", "ready": True, "restartCount": 0,
                                                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}}
    t.patch("status", p + "/status?fieldManager=kubelet", status, STRATEGIC, **OWNERS)
    t.patch("status, a condition more", p + "/status?fieldManager=kubelet", {"status": {"conditions": [
        {"type": "Initialized", "status": "True"}]}}, STRATEGIC, **OWNERS)
    t.patch("status by another", p + "/status?fieldManager=other", {"status": {"phase": "Failed", "reason": "R"}}, MERGE, **OWNERS)
    t.patch("a toleration more", p + "?fieldManager=t", [
        {"op": "add", "path": "/spec/tolerations/-", "value": {"key": "new", "operator": "Exists"}}], JSON_PATCH, **OWNERS)
    t.patch("status applied", p + "/status?fieldManager=ap", obj("v1", "Pod", "p", status={
        "conditions": [{"type": "x.y/z", "status": "True"}]}), APPLY, **OWNERS)


@case
def owners_of_things(t):
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = json.loads(json.dumps(THING_CRD))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["ports"] = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                     "items": {"type": "object", "required": ["port"], "properties": {
                         "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"}}}}
    spec["tags"] = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    spec["whole"] = {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}}
    spec["plain"] = {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}
    t.quiet("POST", base, crd)
    t.wait_for(THINGS)
    things = t.path("suite.example.org/v1", "things")
    t.wait_for(things)
    a = things + "/a"
    more = dict(size=1, ports=[{"port": 53}, {"port": 53, "protocol": "UDP", "name": "n"}], tags=["x", "y"], whole={"a": "1"},
                plain=[{"a": "1"}], map={"k": 1}, open={"free": {"deep": [1, {"a": 2}]}})
    t.post("create", things + "?fieldManager=me", {**thing("a", **more), "metadata": {"name": "a", "labels": {"l": "1"}}}, **OWNED)
    t.patch("merge", a + "?fieldManager=you", {"spec": {"map": {"k": 2, "j": 1}, "open": {"free": {"other": 1}}}}, MERGE, **OWNED)
    t.patch("status", a + "/status?fieldManager=op", {"status": {"conditions": [{"type": "A"}], "x": {"y": 1}}}, MERGE, **OWNED)
    t.patch("apply", things + "/b?fieldManager=one", thing("b", **more), APPLY, **OWNED)
    t.patch("apply again", things + "/b?fieldManager=one", thing("b", **more), APPLY, **OWNED)
    t.patch("apply with parts given up", things + "/b?fieldManager=one", thing(
        "b", size=1, ports=[{"port": 53, "protocol": "UDP"}], tags=["y"], whole={"b": "1"}), APPLY, **OWNED)
    t.patch("a set grows by another", things + "/b?fieldManager=two", thing(
        "b", size=1, tags=["z"], ports=[{"port": 80}]), APPLY, **OWNED)
    t.patch("a conflict in an atomic map", things + "/b?fieldManager=two", thing("b", size=1, whole={"c": "1"}), APPLY)
    t.patch("a conflict in a keyed list", things + "/a?fieldManager=two", thing(
        "a", size=1, ports=[{"port": 53, "protocol": "UDP", "name": "other"}]), APPLY)
    t.patch("status applied", things + "/b/status?fieldManager=op", {
        **thing("b"), "status": {"x": {"y": 2}}, "spec": {"size": 3}}, APPLY, **OWNED)
    t.patch("twice in a keyed list", things + "/b?fieldManager=one", thing("b", size=1, ports=[{"port": 1}, {"port": 1}]), APPLY)
    t.patch("twice in a set", things + "/b?fieldManager=one", thing("b", size=1, tags=["x", "x"]), APPLY)
    t.patch("no key", things + "/b?fieldManager=one", thing("b", size=1, ports=[{"name": "x"}]), APPLY)
    t.quiet("DELETE", base + "/things.suite.example.org")
    t.wait_gone(base + "/things.suite.example.org")


@case
def apply_lists(t):
    s = t.core("services") + "/s?fieldManager=one"
    dns = service("s", selector={"a": "b"}, ports=[
        {"name": "tcp", "port": 53, "protocol": "TCP"}, {"name": "udp", "port": 53, "protocol": "UDP"}])
    t.patch("ports by port and protocol", s, dns, APPLY, **OWNED)
    t.patch("the same again", s, dns, APPLY, **OWNED)
    dns["spec"]["ports"].reverse()
    t.patch("in another order", s, dns, APPLY, **OWNED)
    dns["spec"]["ports"].append({"name": "web", "port": 80, "targetPort": 8080})
    t.patch("the protocol's default", s, dns, APPLY, **OWNED)
    t.patch("two are given up", s, service("s", selector={"a": "b"}, ports=[{"name": "udp", "port": 53, "protocol": "UDP"}]),
            APPLY, **OWNED)
    t.patch("another manager's port", t.core("services") + "/s?fieldManager=two", service("s", ports=[
        {"name": "x", "port": 99}]), APPLY, **OWNED)
    t.patch("a conflict in a port", t.core("services") + "/s?fieldManager=two", service("s", ports=[
        {"name": "x", "port": 99}, {"name": "other", "port": 53, "protocol": "UDP"}]), APPLY)
    t.patch("the whole selector", t.core("services") + "/s?fieldManager=two", service("s", selector={"c": "d"}), APPLY)
    t.patch("a port twice", s, service("s", ports=[{"name": "a", "port": 1}, {"name": "b", "port": 1}]), APPLY)
    t.patch("no port", s, service("s", ports=[{"name": "a"}]), APPLY)
    t.patch("no name", t.core("pods") + "/x?fieldManager=one", pod("x", [{"image": "a"}]), APPLY)
    t.patch("several faults", t.core("pods") + "/x?fieldManager=one", pod("x", [container("a"), container(
        "a", ports=[{"containerPort": 1}, {"containerPort": 1}])]), APPLY)
    t.account()
    p = t.core("pods") + "/p?fieldManager=one"
    t.patch("a pod", p, pod("p", [RICH], {"a": "b"}, **FULL), APPLY, **OWNED)
    t.patch("the pod again", p, pod("p", [RICH], {"a": "b"}, **FULL), APPLY, **OWNED)
    d = t.path("apps/v1", "deployments") + "/d?fieldManager="
    t.patch("a deployment", d + "one&dryRun=All", deployment("d", [RICH, container("b")], **{}), APPLY, **OWNED)
    bound = deployment("e", [RICH, container("b")])
    bound["spec"]["template"]["spec"].update(FULL)
    e = t.path("apps/v1", "deployments") + "/e?fieldManager="
    t.patch("a full deployment", e + "one", bound, APPLY, pick=spec_of)
    t.patch("again", e + "one", bound, APPLY, pick=spec_of)
    bound["spec"]["template"]["spec"]["topologySpreadConstraints"].reverse()
    bound["spec"]["template"]["spec"]["containers"][0] = container("a", ports=[{"containerPort": 80, "protocol": "UDP"}])
    t.patch("much is given up", e + "one", bound, APPLY, pick=spec_of)
    t.patch("a container more by another", e + "two", obj("apps/v1", "Deployment", "e", spec={"template": {"spec": {
        "containers": [{"name": "side", "image": "x"}], "hostAliases": [{"ip": "9.9.9.9", "hostnames": ["y"]}]}}}), APPLY, pick=spec_of)
    bound["spec"]["template"]["spec"]["containers"] = [container("b")]
    t.patch("the first container goes", e + "one", bound, APPLY, pick=spec_of)
    t.patch("replicas by patch", e + "scaler", {"spec": {"replicas": 0, "minReadySeconds": 3}}, MERGE, pick=spec_of)
    t.patch("which is a conflict", e + "one", {**bound, "spec": {**bound["spec"], "minReadySeconds": 4}}, APPLY)


def spec_of(body):
    return body["spec"]


@case
def apply_over_client_side(t):
    """kubectl takes over what it applied on its side before, without conflicts; others do not."""
    base = t.core("configmaps")

    def applied(name, **data):
        plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": t.ns}, "data": data}
        return {**plain, "metadata": {**plain["metadata"], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps(plain, separators=(",", ":")) + "\n"}}}

    t.post("by kubectl's side", base + "?fieldManager=kubectl-client-side-apply", applied("a", x="1", y="1"), **OWNED)
    t.patch("another manager may not", base + "/a?fieldManager=other", cm("a", x="2"), APPLY)
    t.patch("kubectl may", base + "/a?fieldManager=kubectl", cm("a", x="2", y="1"), APPLY, **OWNED)
    t.patch("and its annotation follows", base + "/a?fieldManager=kubectl", cm("a", x="3"), APPLY, **OWNED)
    t.post("one more", base + "?fieldManager=kubectl-client-side-apply", applied("b", x="1", y="1"), **OWNED)
    t.patch("edited", base + "/b?fieldManager=kubectl-edit", {"data": {"x": "edited"}}, MERGE, **OWNED)
    t.patch("what was edited is a conflict", base + "/b?fieldManager=kubectl", cm("b", x="2", y="2"), APPLY)
    t.patch("forced", base + "/b?fieldManager=kubectl&force=true", cm("b", x="2", y="2"), APPLY, **OWNED)
    t.post("created", base + "?fieldManager=kubectl-create", cm("c", x="1"), **OWNED)
    t.patch("no annotation, a conflict", base + "/c?fieldManager=kubectl", cm("c", x="2"), APPLY)
    t.patch("two managers in conflict", base + "/c?fieldManager=one", cm("c", y="1"), APPLY, only_status=True)
    t.patch("two conflicts", base + "/c?fieldManager=kubectl", cm("c", x="2", y="2"), APPLY,
            pick=lambda b: sorted(c["field"] for c in b["details"]["causes"]))
