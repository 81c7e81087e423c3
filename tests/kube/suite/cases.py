"""The requests of the behaviour suite, case by case. A case gets a Tester `t` whose namespace is its
own; every t.get, t.post ... is one recorded step, compared with what the other server answered.

Read next: run.py (how they are recorded and compared), known.py (differences that are meant).
"""
import json
import time

CASES = []
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"}
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def case(function):
    CASES.append(function)
    return function


# --- objects

def obj(api, kind, name, labels=None, annotations=None, **rest):
    meta = {"name": name} if name else {}
    if labels:
        meta["labels"] = labels
    if annotations:
        meta["annotations"] = annotations
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def cm(name, labels=None, **data):
    return obj("v1", "ConfigMap", name, labels, data=data)


def container(name="a", **rest):
    return {"name": name, "image": "busybox:1", **rest}


def pod(name, containers=None, labels=None, **spec):
    return obj("v1", "Pod", name, labels, spec={"containers": containers or [container()], **spec})


def service(name, **spec):
    return obj("v1", "Service", name, spec=spec)


def thing(name, **spec):
    return obj("suite.example.org/v1", "Thing", name, spec=spec)


THINGS = "/apis/suite.example.org/v1"
THING_CRD = obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.suite.example.org", spec={
    "group": "suite.example.org", "scope": "Namespaced",
    "names": {"kind": "Thing", "plural": "things", "singular": "thing", "shortNames": ["th"]},
    "versions": [{
        "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
            "spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
                "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 4},
                "list": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                "either": {"x-kubernetes-int-or-string": True},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "maybe": {"type": "string", "nullable": True},
                "inner": {"type": "object", "default": {}, "properties": {
                    "deep": {"type": "boolean", "default": True}}}}},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}]})


# --- objects of one kind, from birth to death

@case
def configmaps(t):
    base = t.core("configmaps")
    t.post("create", base, cm("a", x="1"))
    t.post("create again", base, cm("a", x="1"))
    t.get("get", base + "/a")
    t.get("get what is not there", base + "/none")
    t.put("replace", base + "/a", cm("a", x="2", y="3"))
    t.put("replace with another name", base + "/a", cm("b"))
    t.put("replace what is not there", base + "/none", cm("none"))
    t.patch("merge patch", base + "/a", {"data": {"x": None, "z": "4"}}, MERGE)
    t.patch("patch what is not there", base + "/none", {"data": {}}, MERGE)
    t.delete("delete", base + "/a")
    t.delete("delete again", base + "/a")
    t.get("get after delete", base + "/a")


@case
def creation_faults(t):
    base = t.core("configmaps")
    t.post("no name", base, cm(None))
    t.post("bad name", base, cm("Bad_Name"))
    t.post("too long a name", base, cm("a" * 254))
    t.post("bad label", base, cm("a", {"bad key!": "v"}))
    t.post("bad label value", base, cm("a", {"k": "-v"}))
    t.post("bad annotation", base, obj("v1", "ConfigMap", "a", annotations={"/x": "y"}))
    t.post("bad key in data", base, cm("a", **{"a/b": "x"}))
    t.post("wrong kind", base, obj("v1", "Secret", "a"))
    t.post("wrong version", base, obj("v2", "ConfigMap", "a"))
    t.post("no kind", base, {"metadata": {"name": "a"}})
    t.post("other namespace", base, {"apiVersion": "v1", "kind": "ConfigMap",
                                     "metadata": {"name": "a", "namespace": "elsewhere"}})
    t.post("with resourceVersion", base, {"apiVersion": "v1", "kind": "ConfigMap",
                                          "metadata": {"name": "a", "resourceVersion": "5"}})
    t.post("with uid", base, {"apiVersion": "v1", "kind": "ConfigMap",
                              "metadata": {"name": "b", "uid": "5b3b1b9e-1111-4222-8333-444455556666"}})
    t.post("missing namespace", "/api/v1/namespaces/no-such-namespace/configmaps", cm("a"))
    t.post("data of a wrong type", base, obj("v1", "ConfigMap", "a", data={"x": 5}))
    t.post("data is a list", base, obj("v1", "ConfigMap", "a", data=[]))
    t.post("owner without uid", base, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "c", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]}})
    t.post("two controllers", base, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "c", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in "xy"]}})
    t.post("bad finalizer", base, {"apiVersion": "v1", "kind": "ConfigMap",
                                   "metadata": {"name": "d", "finalizers": ["no slash"]}})


@case
def bodies(t):
    base = t.core("configmaps")
    j = {"Content-Type": "application/json"}
    t.post("malformed JSON", base, "{\"a\": ", headers=j)
    t.post("not an object", base, "[]", headers=j)
    t.post("empty body", base, "", headers=j)
    t.post("wrong content type", base, "x", headers={"Content-Type": "text/plain"})
    t.post("YAML", base, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: b}\n",
           headers={"Content-Type": "application/yaml"})
    t.post("too large", base, json.dumps(cm("big", x="y" * (3 << 20))), headers=j)
    t.post("too large a configmap", base, cm("big", x="y" * (1 << 20), z="y" * 100))
    t.patch("unknown patch type", base + "/yaml", {}, "application/x-other+json")
    t.patch("malformed patch", base + "/yaml", "{", MERGE)
    t.patch("JSON patch that is no list", base + "/yaml", "{}", JSON_PATCH)
    t.get("not acceptable", base, headers={"Accept": "text/html"})
    t.get("YAML answer", base + "/yaml", headers={"Accept": "application/yaml"}, only_type=True)


@case
def generate_name(t):
    base = t.core("configmaps")
    t.post("generateName", base, {"apiVersion": "v1", "kind": "ConfigMap",
                                  "metadata": {"generateName": "gen-"}})
    t.post("name wins", base, {"apiVersion": "v1", "kind": "ConfigMap",
                               "metadata": {"generateName": "gen-", "name": "fixed"}})


@case
def conflicts(t):
    base = t.core("configmaps")
    first = t.post("create", base, cm("a", x="1"))
    t.put("update with the right version", base + "/a",
          {**cm("a", x="2"), "metadata": {"name": "a", "resourceVersion": first.get("metadata.resourceVersion")}})
    t.put("update with an old version", base + "/a",
          {**cm("a", x="3"), "metadata": {"name": "a", "resourceVersion": first.get("metadata.resourceVersion")}})
    t.put("update with a bad version", base + "/a",
          {**cm("a", x="3"), "metadata": {"name": "a", "resourceVersion": "abc"}})
    t.put("update with another uid", base + "/a",
          {**cm("a", x="3"), "metadata": {"name": "a", "uid": "5b3b1b9e-1111-4222-8333-444455556666"}})
    t.patch("patch with an old version", base + "/a",
            {"metadata": {"resourceVersion": first.get("metadata.resourceVersion")}, "data": {"q": "1"}}, MERGE)
    same = t.get("before", base + "/a")
    again = t.put("update that changes nothing", base + "/a", same.body)
    t.note("its version stayed", same.get("metadata.resourceVersion") == again.get("metadata.resourceVersion"))
    t.delete("delete with another uid", base + "/a",
             {"preconditions": {"uid": "5b3b1b9e-1111-4222-8333-444455556666"}})
    t.delete("delete with an old version", base + "/a", {"preconditions": {
        "resourceVersion": first.get("metadata.resourceVersion")}})
    t.delete("delete with its uid", base + "/a", {"preconditions": {"uid": same.get("metadata.uid")}})


@case
def immutable_objects(t):
    base = t.core("configmaps")
    t.post("create", base, {**cm("a", x="1"), "immutable": True})
    t.patch("change data", base + "/a", {"data": {"x": "2"}}, MERGE)
    t.patch("make mutable", base + "/a", {"immutable": False}, MERGE)
    t.patch("a label is fine", base + "/a", {"metadata": {"labels": {"k": "v"}}}, MERGE)
    base = t.core("secrets")
    t.post("secret", base, obj("v1", "Secret", "s", stringData={"a": "b"}, data={"c": "ZA=="}))
    t.post("secret with bad base64", base, obj("v1", "Secret", "t", data={"c": "!"}))
    t.patch("change its type", base + "/s", {"type": "x/y"}, MERGE)
    t.post("dockerconfigjson without its key", base,
           obj("v1", "Secret", "u", type="kubernetes.io/dockerconfigjson"))
    t.post("tls without its keys", base, obj("v1", "Secret", "u", type="kubernetes.io/tls"))


# --- lists

@case
def lists(t):
    base = t.core("configmaps")
    for i in range(5):
        t.post("create %d" % i, base, cm("c%d" % i, {"n": str(i), "suite": "yes", "odd": str(i % 2)}))
    mine = "labelSelector=suite%3Dyes"
    t.get("all", base + "?" + mine)
    for name, selector in {"equal": "n=1", "two": "suite=yes,odd=1", "not equal": "suite=yes,n!=1",
                           "in": "n in (0,3)", "notin": "suite=yes,n notin (0,3)", "exists": "odd",
                           "not exists": "!odd,suite", "double equal": "n==2", "greater": "n>2",
                           "broken": "n in (", "bad key": "a b=c", "bad value": "n=a b"}.items():
        t.get("labels: " + name, base + "?labelSelector=" + t.quote(selector))
    t.get("field name", base + "?fieldSelector=metadata.name%3Dc2")
    t.get("field name not", base + "?" + mine + "&fieldSelector=metadata.name!%3Dc2")
    t.get("field namespace", base + "?" + mine + "&fieldSelector=metadata.namespace%3Dother")
    t.get("field unknown", base + "?fieldSelector=spec.x%3D1")
    t.get("field broken", base + "?fieldSelector=metadata.name")
    page = t.get("first page", base + "?limit=2&" + mine)
    more = page.get("metadata.continue", "")
    page = t.get("second page", base + "?limit=2&%s&continue=%s" % (mine, t.quote(more)))
    more = page.get("metadata.continue", "")
    t.get("last page", base + "?limit=2&%s&continue=%s" % (mine, t.quote(more)))
    t.get("bad continue", base + "?limit=2&continue=garbage")
    t.get("bad limit", base + "?limit=x")
    t.get("negative limit", base + "?limit=-1&" + mine)
    t.get("resourceVersion 0", base + "?resourceVersion=0&" + mine)
    t.get("bad resourceVersion", base + "?resourceVersion=x")
    t.get("match without version", base + "?resourceVersionMatch=Exact")
    t.get("version of the future", base + "?resourceVersion=999999999")
    t.get("all namespaces", "/api/v1/configmaps?" + mine)
    t.get("an empty list", t.core("pods"))
    t.get("list in a missing namespace", "/api/v1/namespaces/no-such-namespace/pods")
    t.get("metadata only", base + "?" + mine, headers=PARTIAL)
    t.delete("delete some", base + "?labelSelector=odd%3D1")
    t.get("the others are left", base + "?" + mine)
    t.delete("delete all of mine", base + "?" + mine)
    t.get("none is left", base + "?" + mine)


# --- watches

@case
def watches(t):
    base = t.core("configmaps")
    first = t.post("create a", base, cm("a", {"suite": "yes"}, x="1"))
    start = first.get("metadata.resourceVersion")
    t.post("create b", base, cm("b", {"suite": "yes"}))
    t.patch("change a", base + "/a", {"data": {"x": "2"}}, MERGE)
    t.patch("b leaves the selection", base + "/b", {"metadata": {"labels": {"suite": "no"}}}, MERGE)
    t.patch("b comes back", base + "/b", {"metadata": {"labels": {"suite": "yes"}}}, MERGE)
    t.delete("delete b", base + "/b")
    t.delete("delete a", base + "/a")
    mine = base + "?watch=1&labelSelector=suite%3Dyes&timeoutSeconds=1"
    t.watch("from a version", mine + "&resourceVersion=" + start)
    t.watch("by name", base + "?watch=1&fieldSelector=metadata.name%3Da&timeoutSeconds=1&resourceVersion=" + start)
    t.watch("old form", "/api/v1/watch/namespaces/%s/configmaps?timeoutSeconds=1&labelSelector=suite%%3Dyes&resourceVersion=%s"
            % (t.ns, start))
    t.post("create c", base, cm("c", {"suite": "yes"}))
    t.watch("from now: what exists comes first", mine)
    t.watch("version 0", mine + "&resourceVersion=0")
    t.watch("as Table", mine + "&resourceVersion=" + start, headers=TABLE)
    t.watch("bad version", base + "?watch=1&timeoutSeconds=1&resourceVersion=x")
    t.watch("initial events without bookmarks", mine + "&sendInitialEvents=true")
    t.watch("initial events", mine + "&sendInitialEvents=true&allowWatchBookmarks=true"
            "&resourceVersionMatch=NotOlderThan", most=2)
    t.watch("a live change", mine, during=lambda: t.quiet("POST", base, cm("d", {"suite": "yes"})), most=2)


# --- patches

@case
def patches(t):
    base = t.core("pods")
    t.account()
    t.post("create", base, pod("p", [container("a"), container("b")], {"k": "v"}))
    p = base + "/p"
    t.patch("strategic: image of one container", p,
            {"spec": {"containers": [{"name": "b", "image": "other:2"}]}}, STRATEGIC)
    t.patch("strategic: label", p, {"metadata": {"labels": {"l": "1", "k": None}}}, STRATEGIC)
    t.patch("strategic: finalizers are a set", p, {"metadata": {"finalizers": ["x.org/a"]}}, STRATEGIC)
    t.patch("strategic: one more", p, {"metadata": {"finalizers": ["x.org/b"]}}, STRATEGIC)
    t.patch("strategic: delete from it", p,
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.org/a"]}}, STRATEGIC)
    t.patch("merge: replaces lists", p, {"metadata": {"finalizers": None}}, MERGE)
    t.patch("merge: containers may not change", p, {"spec": {"containers": [{"name": "a", "image": "x"}]}}, MERGE)
    t.patch("json: add and test", p, [{"op": "test", "path": "/metadata/labels/l", "value": "1"},
                                      {"op": "add", "path": "/metadata/labels/m", "value": "2"},
                                      {"op": "remove", "path": "/metadata/labels/l"}], JSON_PATCH)
    t.patch("json: a test that fails", p, [{"op": "test", "path": "/metadata/labels/m", "value": "3"}], JSON_PATCH)
    t.patch("json: missing path", p, [{"op": "remove", "path": "/metadata/labels/none"}], JSON_PATCH)
    t.patch("json: replace of a missing path", p, [{"op": "replace", "path": "/metadata/labels/none", "value": "x"}],
            JSON_PATCH)
    t.patch("json: bad operation", p, [{"op": "jump", "path": "/metadata"}], JSON_PATCH)
    t.patch("wrong type", p, {"spec": {"nodeName": 5}}, MERGE)
    t.patch("name may not change", p, {"metadata": {"name": "q"}}, MERGE)
    t.patch("uid may not change", p, {"metadata": {"uid": "other"}}, MERGE)
    t.patch("nothing", p, {}, MERGE)
    t.patch("status is not touched here", p, {"status": {"phase": "Running"}}, MERGE)
    t.delete("delete", p + "?gracePeriodSeconds=0")


@case
def apply(t):
    base = t.core("configmaps")
    a = base + "/a?fieldManager=one"
    t.patch("create by apply", a, cm("a", x="1", y="2"), APPLY, managed=True)
    t.patch("the same again", a, cm("a", x="1", y="2"), APPLY, managed=True)
    t.patch("a field given up goes away", a, cm("a", x="1"), APPLY, managed=True)
    t.patch("another manager adds", base + "/a?fieldManager=two", cm("a", z="9"), APPLY, managed=True)
    t.patch("conflict", base + "/a?fieldManager=two", cm("a", x="other"), APPLY)
    t.patch("forced", base + "/a?fieldManager=two&force=true", cm("a", x="other"), APPLY, managed=True)
    t.patch("the same value is shared", base + "/a?fieldManager=one", cm("a", x="other"), APPLY, managed=True)
    t.patch("no manager", base + "/a", cm("a", x="1"), APPLY)
    t.patch("wrong name", base + "/b?fieldManager=one", cm("a", x="1"), APPLY)
    t.patch("no kind", a, {"metadata": {"name": "a"}}, APPLY)
    t.patch("managedFields may not be given", a, {**cm("a"), "metadata": {
        "name": "a", "managedFields": [{"manager": "x"}]}}, APPLY)
    t.patch("force without apply", base + "/a?force=true", {}, MERGE)
    t.account()
    pods = t.core("pods")
    t.patch("a pod", pods + "/p?fieldManager=one", pod("p", labels={"a": "b"}), APPLY)
    t.patch("its label by another", pods + "/p?fieldManager=two", obj("v1", "Pod", "p", {"c": "d"}), APPLY)
    t.patch("an env list by key", t.path("apps/v1", "deployments") + "/d?fieldManager=one",
            deployment("d", [container("a", env=[{"name": "A", "value": "1"}])]), APPLY)
    t.patch("another manager's env", t.path("apps/v1", "deployments") + "/d?fieldManager=two",
            obj("apps/v1", "Deployment", "d", spec={"template": {"spec": {"containers": [
                {"name": "a", "env": [{"name": "B", "value": "2"}]}]}}}), APPLY)
    t.patch("the first one's env again", t.path("apps/v1", "deployments") + "/d?fieldManager=one",
            deployment("d", [container("a", env=[{"name": "C", "value": "3"}])]), APPLY)
    t.post("manager of a create", base + "?fieldManager=me", cm("m", x="1"), managed=True)
    t.patch("manager of a patch", base + "/m?fieldManager=you", {"data": {"y": "2"}}, MERGE, managed=True)


def deployment(name, containers=None, replicas=0, **spec):
    return obj("apps/v1", "Deployment", name, spec={
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers or [container()]}},
        **spec})


# --- what writes mean

@case
def dry_run(t):
    base = t.core("configmaps")
    t.post("create", base + "?dryRun=All", cm("a", x="1"))
    t.get("nothing is there", base + "/a")
    t.post("bad value", base + "?dryRun=Some", cm("a"))
    t.post("really", base, cm("a", x="1"))
    t.put("replace", base + "/a?dryRun=All", cm("a", x="2"))
    t.patch("patch", base + "/a?dryRun=All", {"data": {"y": "3"}}, MERGE)
    t.delete("delete", base + "/a?dryRun=All")
    t.delete("delete by body", base + "/a", {"dryRun": ["All"]})
    t.get("it is as it was", base + "/a")


@case
def field_validation(t):
    base = t.core("configmaps")
    bad = {**cm("a"), "dat": {"x": "y"}}
    t.post("strict", base + "?fieldValidation=Strict", bad)
    t.post("warn", base + "?fieldValidation=Warn", bad)
    t.post("ignore", base + "?fieldValidation=Ignore", {**bad, "metadata": {"name": "b"}})
    t.post("bad value", base + "?fieldValidation=Maybe", bad)
    t.post("nothing said", base, {**bad, "metadata": {"name": "c"}})
    t.post("a field twice", base + "?fieldValidation=Strict",
           '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"1","a":"2"}}',
           headers={"Content-Type": "application/json"})
    pods = t.core("pods") + "?fieldValidation=Strict"
    t.account()
    t.post("deep", pods, pod("p", [container(imag="x", ports=[{"containerport": 1}])], nodename="x"))
    t.put("update", base + "/a?fieldValidation=Strict", bad)
    t.patch("merge patch", base + "/a?fieldValidation=Strict", {"dat": {}}, MERGE)
    t.patch("apply", base + "/a?fieldValidation=Strict&fieldManager=m", bad, APPLY)


@case
def wrong_types(t):
    t.account()
    base = t.core("pods")
    t.post("number for text", base, pod("p", [container(image=5)]))
    t.post("text for number", base, pod("p", priority="high"))
    t.post("text for boolean", base, pod("p", hostNetwork="yes"))
    t.post("object for list", base, obj("v1", "Pod", "p", spec={"containers": {}}))
    t.post("text for object", base, obj("v1", "Pod", "p", spec="x"))
    t.post("fraction for integer", base, pod("p", priority=1.5))
    t.post("bad quantity", base, pod("p", [container(resources={"limits": {"cpu": "much"}})]))
    t.post("bad time", base, {"apiVersion": "v1", "kind": "Pod",
                              "metadata": {"name": "p", "creationTimestamp": "yesterday"}})


@case
def finalizers_and_deletion(t):
    base = t.core("configmaps")
    body = cm("a", x="1")
    body["metadata"]["finalizers"] = ["x.org/hold"]
    t.post("create", base, body)
    t.delete("delete waits", base + "/a")
    t.get("it is marked", base + "/a")
    t.delete("delete again", base + "/a")
    t.patch("may still change", base + "/a", {"data": {"x": "2"}}, MERGE)
    t.patch("no new finalizers", base + "/a", {"metadata": {"finalizers": ["x.org/hold", "x.org/more"]}}, MERGE)
    t.patch("the last finalizer goes", base + "/a", {"metadata": {"finalizers": None}}, MERGE)
    t.get("and so does it", base + "/a")
    t.post("create b", base, cm("b"))
    t.delete("foreground", base + "/b", {"propagationPolicy": "Foreground"})
    t.until_gone(base + "/b")
    t.post("create c", base, cm("c"))
    t.delete("orphan", base + "/c", {"propagationPolicy": "Orphan"})
    t.until_gone(base + "/c")
    t.post("create d", base, cm("d"))
    t.delete("bad policy", base + "/d", {"propagationPolicy": "Maybe"})
    t.delete("two policies", base + "/d", {"propagationPolicy": "Orphan", "orphanDependents": True})
    t.delete("unknown body", base + "/d", {"kind": "Pod", "apiVersion": "v1"})


@case
def garbage(t):
    base = t.core("configmaps")
    owner = t.post("owner", base, cm("owner"))
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.get("metadata.uid")}
    child = cm("child", x="1")
    child["metadata"]["ownerReferences"] = [ref]
    t.post("child", base, child)
    t.delete("the owner goes", base + "/owner")
    t.until_gone(base + "/child")
    t.get("the child went", base + "/child")
    owner = t.post("owner again", base, cm("owner"))
    child["metadata"]["ownerReferences"] = [{**ref, "uid": owner.get("metadata.uid")}]
    t.post("child again", base, child)
    t.delete("orphaning", base + "/owner", {"propagationPolicy": "Orphan"})
    t.until_gone(base + "/owner")
    t.get("the child stays, without owner", base + "/child")
    owner = t.post("third owner", base, cm("owner"))
    blocked = cm("blocked")
    blocked["metadata"]["ownerReferences"] = [{**ref, "uid": owner.get("metadata.uid"), "blockOwnerDeletion": True}]
    t.post("third child", base, blocked)
    t.delete("foreground", base + "/owner", {"propagationPolicy": "Foreground"})
    t.until_gone(base + "/owner")
    t.get("the child went first", base + "/blocked")
    stray = cm("stray")
    stray["metadata"]["ownerReferences"] = [{**ref, "uid": "5b3b1b9e-1111-4222-8333-444455556666"}]
    t.post("an owner that never was", base, stray)
    t.until_gone(base + "/stray")


@case
def namespaces(t):
    base = "/api/v1/namespaces"
    t.post("create", base, obj("v1", "Namespace", "suite-other", {"a": "b"}))
    t.post("create again", base, obj("v1", "Namespace", "suite-other"))
    t.post("bad name", base, obj("v1", "Namespace", "Bad.Name"))
    t.get("get", base + "/suite-other")
    t.wait_for(base + "/suite-other/serviceaccounts/default")
    t.get("its account", base + "/suite-other/serviceaccounts/default")
    t.wait_for(base + "/suite-other/configmaps/kube-root-ca.crt")
    t.post("something in it", base + "/suite-other/configmaps", cm("a"))
    held = cm("held")
    held["metadata"]["finalizers"] = ["x.org/hold"]
    t.post("something that stays", base + "/suite-other/configmaps", held)
    t.delete("delete", base + "/suite-other")
    t.wait_gone(base + "/suite-other/configmaps/a")
    t.post("no more in it", base + "/suite-other/secrets", obj("v1", "Secret", "s"))
    t.patch("let go", base + "/suite-other/configmaps/held", {"metadata": {"finalizers": None}}, MERGE)
    t.until_gone(base + "/suite-other")
    t.get("it is gone", base + "/suite-other")
    t.delete("default may not go", base + "/default")
    t.delete("kube-system may not go", base + "/kube-system")
    t.delete("no collection", base)


# --- kinds

@case
def pods(t):
    t.account()
    base = t.core("pods")
    t.post("the least", base, pod("p"))
    t.post("more", base, pod("q", [container(
        "a", command=["sh"], args=["-c", "true"], env=[{"name": "A", "value": "b"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        ports=[{"containerPort": 80, "name": "http"}], imagePullPolicy="Never",
        resources={"requests": {"cpu": "0.5", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "1024Mi", "nvidia.com/gpu": 1}},
        livenessProbe={"httpGet": {"path": "/", "port": "http"}}, readinessProbe={"exec": {"command": ["true"]}},
        startupProbe={"tcpSocket": {"port": 80}}, lifecycle={"preStop": {"exec": {"command": ["true"]}}},
        volumeMounts=[{"name": "v", "mountPath": "/v"}], image="repo/x")],
        initContainers=[container("i", image="repo/y:latest")], restartPolicy="Never",
        volumes=[{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1G"}},
                 {"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}}],
        nodeSelector={"a": "b"}, tolerations=[{"key": "k", "operator": "Exists"}],
        terminationGracePeriodSeconds=5, hostname="h", subdomain="s"))
    t.post("generic ephemeral", base, pod("r", volumes=[{"name": "d", "downwardAPI": {"items": [
        {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}, {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "n", "persistentVolumeClaim": {"claimName": "c"}}]))
    t.get("by phase", base + "?fieldSelector=status.phase%3DPending")
    t.get("by node", base + "?fieldSelector=spec.nodeName%3Dnone")
    t.get("by restart policy", base + "?fieldSelector=spec.restartPolicy%3DNever")
    t.get("by an unknown field", base + "?fieldSelector=spec.priority%3D1")
    p = base + "/p"
    t.patch("status", p + "/status", {"status": {"phase": "Running", "podIP": "127.0.1.1", "podIPs": [{"ip": "127.0.1.1"}],
            "conditions": [{"type": "Ready", "status": "True"}]}}, STRATEGIC)
    t.patch("status by key", p + "/status", {"status": {"conditions": [{"type": "X", "status": "True"}]}}, STRATEGIC)
    t.patch("status writes no spec", p + "/status", {"spec": {"nodeName": "n"}, "metadata": {"labels": {"x": "y"}}}, MERGE)
    t.get("status alone", p + "/status")
    t.patch("image", p, {"spec": {"containers": [{"name": "a", "image": "new:1"}]}}, STRATEGIC)
    t.patch("node name may not change", p, {"spec": {"nodeName": "n"}}, MERGE)
    t.patch("deadline", p, {"spec": {"activeDeadlineSeconds": 60}}, MERGE)
    t.post("bind", p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
                                    "target": {"kind": "Node", "name": "n1"}})
    t.post("bind again", p + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
                                          "target": {"kind": "Node", "name": "n2"}})
    t.get("bound", p)
    t.delete("graceful", p)
    t.get("terminating", p)
    t.delete("shorter", p + "?gracePeriodSeconds=3")
    t.delete("now", p, {"gracePeriodSeconds": 0})
    t.get("gone", p)
    t.delete("never ran: at once", base + "/q")
    t.get("gone too", base + "/q")
    t.delete("negative grace", base + "/r", {"gracePeriodSeconds": -1})
    t.post("evict", base + "/r/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "r"}})
    t.post("evict what is not there", base + "/none/eviction",
           {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "none"}})
    t.get("logs of what is not there", base + "/none/log")
    t.get("unknown subresource", base + "/none/nix")


@case
def pod_faults(t):
    t.account()
    base = t.core("pods")
    bad = {
        "no containers": obj("v1", "Pod", "p", spec={}),
        "no spec": obj("v1", "Pod", "p"),
        "no image": pod("p", [{"name": "a"}]),
        "no container name": pod("p", [{"image": "x"}]),
        "same container twice": pod("p", [container("a"), container("a")]),
        "bad container name": pod("p", [container("A_b")]),
        "bad restart policy": pod("p", restartPolicy="Sometimes"),
        "bad pull policy": pod("p", [container(imagePullPolicy="Maybe")]),
        "request over limit": pod("p", [container(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}})]),
        "negative request": pod("p", [container(resources={"requests": {"cpu": "-1"}})]),
        "gpu request without limit": pod("p", [container(resources={"requests": {"nvidia.com/gpu": 1}})]),
        "bad resource name": pod("p", [container(resources={"limits": {"gpu": 1}})]),
        "mount without volume": pod("p", [container(volumeMounts=[{"name": "v", "mountPath": "/x"}])]),
        "volume without source is emptyDir": pod("p-volume", volumes=[{"name": "v"}]),
        "two volume sources": pod("p", volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
        "volume twice": pod("p", volumes=[{"name": "v"}, {"name": "v"}]),
        "bad env name": pod("p", [container(env=[{"name": "", "value": "x"}])]),
        "env with two sources": pod("p", [container(env=[{"name": "A", "value": "x", "valueFrom": {
            "fieldRef": {"fieldPath": "metadata.name"}}}])]),
        "bad fieldRef": pod("p", [container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}])]),
        "bad port": pod("p", [container(ports=[{"containerPort": 70000}])]),
        "port name twice": pod("p", [container(ports=[{"containerPort": 1, "name": "x"}, {"containerPort": 2, "name": "x"}])]),
        "bad probe": pod("p", [container(livenessProbe={"periodSeconds": 1})]),
        "probe with two": pod("p", [container(livenessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}})]),
        "unknown priority class": pod("p", priorityClassName="nix"),
        "unknown account": pod("p", serviceAccountName="nix"),
        "negative grace": pod("p", terminationGracePeriodSeconds=-1),
        "bad toleration": pod("p", tolerations=[{"operator": "Exists", "value": "x"}]),
        "bad dns policy": pod("p", dnsPolicy="x"),
        "bad node selector": pod("p", nodeSelector={"a b": "c"}),
        "bad hostname": pod("p", hostname="A_b"),
        "init container with a readiness probe": pod("p", initContainers=[container("i", readinessProbe={
            "exec": {"command": ["x"]}})]),
        "bad affinity": pod("p", affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}}}),
    }
    for name, body in bad.items():
        t.post(name, base, body)


@case
def services(t):
    base = t.core("services")
    t.post("the least", base, service("a", ports=[{"port": 80}], selector={"a": "b"}))
    t.post("headless", base, service("h", clusterIP="None", ports=[{"port": 80, "name": "x"}, {"port": 81, "name": "y"}]))
    t.post("node port", base, service("n", type="NodePort", ports=[{"port": 80}]))
    t.post("load balancer", base, service("l", type="LoadBalancer", ports=[{"port": 80}]))
    t.post("external name", base, service("e", type="ExternalName", externalName="a.example.org"))
    t.post("no ports", base, service("x", selector={"a": "b"}))
    t.post("bad port", base, service("x", ports=[{"port": 0}]))
    t.post("ports without names", base, service("x", ports=[{"port": 1}, {"port": 2}]))
    t.post("port twice", base, service("x", ports=[{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]))
    t.post("bad protocol", base, service("x", ports=[{"port": 1, "protocol": "X"}]))
    t.post("bad type", base, service("x", type="X", ports=[{"port": 1}]))
    t.post("bad name", base, service("1x", ports=[{"port": 1}]))
    t.post("bad address", base, service("x", clusterIP="nix", ports=[{"port": 1}]))
    t.post("bad affinity", base, service("x", sessionAffinity="X", ports=[{"port": 1}]))
    t.patch("ports by key", base + "/a", {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}, STRATEGIC)
    t.patch("a port more", base + "/h", {"spec": {"ports": [{"port": 82, "name": "z"}]}}, STRATEGIC)
    t.patch("address may not change", base + "/a", {"spec": {"clusterIP": "10.96.3.3"}}, MERGE)
    t.patch("to headless may not", base + "/a", {"spec": {"clusterIP": "None"}}, MERGE)
    t.patch("selector", base + "/a", {"spec": {"selector": {"c": "d"}}}, STRATEGIC)
    t.put("replace keeps the address", base + "/a", service("a", ports=[{"port": 81}]))
    t.delete("delete", base + "/a")


@case
def roles(t):
    rbac = "rbac.authorization.k8s.io/v1"
    base, bindings = t.path(rbac, "roles"), t.path(rbac, "rolebindings")
    t.post("role", base, obj(rbac, "Role", "r", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]))
    t.post("empty", base, obj(rbac, "Role", "none"))
    t.post("no verbs", base, obj(rbac, "Role", "x", rules=[{"apiGroups": [""], "resources": ["pods"]}]))
    t.post("no resources", base, obj(rbac, "Role", "x", rules=[{"apiGroups": [""], "verbs": ["get"]}]))
    t.post("no groups", base, obj(rbac, "Role", "x", rules=[{"resources": ["pods"], "verbs": ["get"]}]))
    t.post("paths in a role", base, obj(rbac, "Role", "x", rules=[{"nonResourceURLs": ["/x"], "verbs": ["get"]}]))
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    t.post("binding", bindings, obj(rbac, "RoleBinding", "b", roleRef=ref,
                                    subjects=[{"kind": "ServiceAccount", "name": "default", "namespace": t.ns},
                                              {"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}]))
    t.post("account without namespace", bindings, obj(rbac, "RoleBinding", "x", roleRef=ref, subjects=[
        {"kind": "ServiceAccount", "name": "default"}]))
    t.post("bad subject", bindings, obj(rbac, "RoleBinding", "x", roleRef=ref, subjects=[{"kind": "Cat", "name": "c"}]))
    t.post("no role", bindings, obj(rbac, "RoleBinding", "x", subjects=[]))
    t.patch("role may not change", bindings + "/b", {"roleRef": {"name": "other"}}, MERGE)
    t.delete("delete", base + "/r")


@case
def leases(t):
    api = "coordination.k8s.io/v1"
    base = t.path(api, "leases")
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": "2026-01-02T03:04:05.000006Z",
            "renewTime": "2026-01-02T03:04:05.000006Z", "leaseTransitions": 1}
    t.post("create", base, obj(api, "Lease", "l", spec=spec))
    t.put("renew", base + "/l", obj(api, "Lease", "l", spec={**spec, "leaseDurationSeconds": 20}))
    t.post("bad duration", base, obj(api, "Lease", "x", spec={"leaseDurationSeconds": 0}))
    t.post("bad transitions", base, obj(api, "Lease", "x", spec={"leaseTransitions": -1}))
    t.post("bad time", base, obj(api, "Lease", "x", spec={"renewTime": "now"}))
    t.delete("delete", base + "/l")


@case
def events(t):
    base = t.core("events")
    body = obj("v1", "Event", "e", type="Normal", reason="Why", message="what", count=1,
               firstTimestamp="2026-01-02T03:04:05Z", lastTimestamp="2026-01-02T03:04:05Z",
               source={"component": "suite"},
               involvedObject={"kind": "Pod", "name": "p", "namespace": t.ns, "apiVersion": "v1", "uid": "u"})
    t.post("create", base, body)
    t.patch("count", base + "/e", {"count": 2}, MERGE)
    t.get("by object", base + "?fieldSelector=involvedObject.name%3Dp,type%3DNormal")
    t.get("by another object", base + "?fieldSelector=involvedObject.name%3Dq")
    t.get("in the newer form", t.path("events.k8s.io/v1", "events") + "/e")
    t.post("about another namespace", base, {**body, "metadata": {"name": "f"},
                                            "involvedObject": {"kind": "Pod", "namespace": "elsewhere"}})
    t.post("the newer form", t.path("events.k8s.io/v1", "events"), obj(
        "events.k8s.io/v1", "Event", "g", type="Warning", reason="R", note="n", action="A",
        eventTime="2026-01-02T03:04:05.000000Z", reportingController="suite.org/c", reportingInstance="i",
        regarding={"kind": "Pod", "name": "p", "namespace": t.ns}))
    t.post("the newer form, no action", t.path("events.k8s.io/v1", "events"), obj(
        "events.k8s.io/v1", "Event", "h", type="Warning", reason="R", eventTime="2026-01-02T03:04:05.000000Z",
        reportingController="suite.org/c", reportingInstance="i", regarding={"kind": "Pod", "namespace": t.ns}))
    t.get("seen in the old form", base + "/g")


@case
def accounts_and_claims(t):
    t.account()
    accounts = t.core("serviceaccounts")
    t.post("account", accounts, obj("v1", "ServiceAccount", "s", imagePullSecrets=[{"name": "x"}]))
    t.delete("delete account", accounts + "/s")
    claims = t.core("persistentvolumeclaims")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "manual"}
    t.post("claim", claims, obj("v1", "PersistentVolumeClaim", "c", spec=spec))
    t.post("no modes", claims, obj("v1", "PersistentVolumeClaim", "x", spec={**spec, "accessModes": []}))
    t.post("no size", claims, obj("v1", "PersistentVolumeClaim", "x", spec={**spec, "resources": {}}))
    t.post("bad mode", claims, obj("v1", "PersistentVolumeClaim", "x", spec={**spec, "accessModes": ["Often"]}))
    t.patch("size of an unbound claim", claims + "/c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}, MERGE)
    t.patch("class may not change", claims + "/c", {"spec": {"storageClassName": "other"}}, MERGE)
    t.delete("delete claim", claims + "/c")


@case
def nodes(t):
    base = "/api/v1/nodes"
    t.post("create", base, obj("v1", "Node", "suite-node", {"a": "b"}, spec={"taints": [
        {"key": "k", "effect": "NoSchedule"}]}, status={"capacity": {"cpu": "4", "memory": "1Gi"}}))
    t.patch("status", base + "/suite-node/status", {"status": {
        "capacity": {"cpu": "8"}, "conditions": [{"type": "Ready", "status": "True", "reason": "R"}]}}, STRATEGIC)
    t.patch("unschedulable", base + "/suite-node", {"spec": {"unschedulable": True}}, STRATEGIC)
    t.post("bad taint", base, obj("v1", "Node", "suite-bad", spec={"taints": [{"key": "k", "effect": "Now"}]}))
    t.get("by name", base + "?fieldSelector=metadata.name%3Dsuite-node")
    t.get("table", base + "/suite-node", headers=TABLE)
    t.delete("delete", base + "/suite-node")


@case
def workloads(t):
    t.account()
    base = t.path("apps/v1", "deployments")
    t.post("create", base, deployment("d"))
    t.get("scale", base + "/d/scale")
    t.patch("scale up", base + "/d/scale", {"spec": {"replicas": 0}}, MERGE)
    t.post("selector does not match", base, {**deployment("x"), "spec": {
        **deployment("x")["spec"], "selector": {"matchLabels": {"app": "other"}}}})
    t.post("no selector", base, obj("apps/v1", "Deployment", "x", spec={"template": deployment("x")["spec"]["template"]}))
    t.patch("selector may not change", base + "/d", {"spec": {"selector": {"matchLabels": {"app": "e"}}}}, MERGE)
    t.post("negative replicas", base, deployment("x", replicas=-1))
    t.delete("delete", base + "/d")
    jobs = t.path("batch/v1", "jobs")
    t.post("job", jobs, obj("batch/v1", "Job", "j", spec={"suspend": True, "template": {"spec": {
        "restartPolicy": "Never", "containers": [container()]}}}))
    t.post("job that restarts", jobs, obj("batch/v1", "Job", "x", spec={"template": {"spec": {"containers": [container()]}}}))
    t.delete("delete the job", jobs + "/j", {"propagationPolicy": "Background"})


# --- custom resources

@case
def definitions(t):
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = base + "/things.suite.example.org"
    t.post("create", base, THING_CRD)
    t.wait_for(THINGS)
    t.wait_for(crd, lambda a: any(c["type"] == "Established" and c["status"] == "True"
                                  for c in a.get("status.conditions", [])))
    t.get("get", crd)
    t.get("discovery", THINGS)
    t.get("discovery of the group", "/apis/suite.example.org")
    wrong = json.loads(json.dumps(THING_CRD))
    wrong["metadata"]["name"] = "other.suite.example.org"
    t.post("name and plural differ", base, wrong)
    wrong["metadata"]["name"] = "things.suite.example.org"
    del wrong["spec"]["versions"][0]["schema"]
    t.post("no schema", base, {**wrong, "spec": {**wrong["spec"], "group": "other.example.org"},
                               "metadata": {"name": "things.other.example.org"}})
    t.post("no versions", base, {**wrong, "spec": {**wrong["spec"], "versions": [], "group": "other.example.org"},
                                 "metadata": {"name": "things.other.example.org"}})
    t.patch("scope may not change", crd, {"spec": {"scope": "Cluster"}}, MERGE)

    things = t.path("suite.example.org/v1", "things")
    t.post("a thing", things, thing("a", size=3))
    t.post("defaults and pruning", things, {**thing("b", size=3, other=1, list=["x"], map={"k": 1}, open={"free": {"x": 1}},
                                                    either="5", maybe=None), "extra": 1})
    for name, spec in {"too small": {"size": 0}, "too big": {"size": 10}, "missing": {}, "text": {"size": "3"},
                       "fraction": {"size": 1.5}, "null": {"size": None}, "enum": {"size": 1, "color": "blue"},
                       "pattern": {"size": 1, "code": "AB"}, "length": {"size": 1, "code": "abcde"},
                       "items": {"size": 1, "list": ["a", "b", "c"]}, "item type": {"size": 1, "list": [1]},
                       "map type": {"size": 1, "map": {"k": "v"}}, "int or string": {"size": 1, "either": True}}.items():
        t.post("schema: " + name, things, thing("x", **spec))
    t.post("schema: several", things, thing("x", size=0, color="blue", code="ABCDE"),
           pick=lambda b: sorted(c["field"] for c in b["details"]["causes"]))
    t.post("no spec", things, obj("suite.example.org/v1", "Thing", "x"))
    t.post("unknown fields, strict", things + "?fieldValidation=Strict", {**thing("x", size=1, other=1), "extra": 2})
    t.post("unknown fields, warn", things + "?fieldValidation=Warn", {**thing("warned", size=1, other=1), "extra": 2})
    t.patch("merge patch", things + "/a", {"spec": {"size": 4}}, MERGE)
    t.patch("status of the main resource is left alone", things + "/a", {"status": {"x": 1}}, MERGE)
    t.patch("status", things + "/a/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, MERGE)
    t.patch("status writes no spec", things + "/a/status", {"spec": {"size": 9}}, MERGE)
    t.patch("strategic is refused", things + "/a", {"spec": {"size": 5}}, STRATEGIC)
    t.patch("labels do not count as a generation", things + "/a", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    t.put("no version, no update", things + "/a", thing("a", size=6))
    t.patch("json patch", things + "/a", [{"op": "replace", "path": "/spec/size", "value": 7}], JSON_PATCH)
    t.patch("json patch that breaks the schema", things + "/a", [{"op": "replace", "path": "/spec/size", "value": 77}], JSON_PATCH)
    t.patch("apply", things + "/c?fieldManager=m", thing("c", size=2), APPLY, managed=True)
    t.patch("apply what the schema forbids", things + "/c?fieldManager=m", thing("c", size=22), APPLY)
    t.get("table", things + "?labelSelector=x", headers=TABLE)
    t.get("list", things)
    t.get("all namespaces", THINGS + "/things")
    t.get("fields", things + "?fieldSelector=metadata.name%3Da")
    t.get("unknown field", things + "?fieldSelector=spec.size%3D7")
    t.delete("delete a thing", things + "/a")
    t.delete("delete with foreground", things + "/b", {"propagationPolicy": "Background"})
    t.delete("the definition goes", crd)
    t.until_gone(crd)
    t.wait_gone(things)
    t.get("and its things", things)


@case
def rayclusters(t):
    base = t.path("ray.io/v1", "rayclusters")
    group = {"groupName": "g", "replicas": 1, "minReplicas": 0, "maxReplicas": 2, "rayStartParams": {},
             "template": {"spec": {"containers": [container("w")]}}}
    spec = {"rayVersion": "2.46.0", "headGroupSpec": {"rayStartParams": {}, "template": {
        "spec": {"containers": [container("h")]}}}, "workerGroupSpecs": [group]}
    ray = "ray.io/v1"
    t.post("create", base, obj(ray, "RayCluster", "r", spec=spec))
    t.post("no head", base, obj(ray, "RayCluster", "x", spec={"workerGroupSpecs": [group]}))
    t.post("group without name", base, obj(ray, "RayCluster", "x", spec={**spec, "workerGroupSpecs": [
        {k: v for k, v in group.items() if k != "groupName"}]}))
    t.post("replicas of a wrong type", base, obj(ray, "RayCluster", "x", spec={**spec, "workerGroupSpecs": [
        {**group, "replicas": "one"}]}))
    t.patch("status", base + "/r/status", {"status": {"state": "ready", "desiredWorkerReplicas": 1}}, MERGE)
    t.patch("replicas", base + "/r", [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2}], JSON_PATCH)
    t.get("table", base, headers=TABLE)
    t.get("discovery", "/apis/ray.io/v1", pick=lambda b: [r for r in b["resources"] if r["name"].startswith("raycluster")])
    t.delete("delete", base + "/r")


# --- tables

@case
def tables(t):
    t.account()
    pods_ = t.core("pods")
    t.quiet("POST", pods_, pod("p", [container("a"), container("b")], {"suite": "yes"}))
    t.quiet("PATCH", pods_ + "/p/status", {"status": {
        "phase": "Running", "podIP": "127.0.1.1", "podIPs": [{"ip": "127.0.1.1"}], "containerStatuses": [
            {"name": "a", "ready": True, "restartCount": 1, "image": "", "imageID": "", "state": {"running": {}},
             "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T03:04:05Z"}}},
            {"name": "b", "ready": False, "restartCount": 0, "image": "", "imageID": "",
             "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}, {"Content-Type": STRATEGIC})
    t.get("pods", pods_, headers=TABLE)
    t.get("one pod", pods_ + "/p", headers=TABLE)
    t.get("without objects", pods_ + "?includeObject=None", headers=TABLE)
    t.get("with objects", pods_ + "?includeObject=Object", headers=TABLE)
    t.get("bad includeObject", pods_ + "?includeObject=X", headers=TABLE)
    t.get("what is not there", pods_ + "/none", headers=TABLE)
    t.quiet("POST", t.core("services"), service("s", ports=[{"port": 80}]))
    t.quiet("POST", t.core("configmaps"), cm("c", {"suite": "yes"}, a="b"))
    t.quiet("POST", t.core("secrets"), obj("v1", "Secret", "s", data={"a": "Yg=="}))
    t.quiet("POST", t.path("apps/v1", "deployments"), deployment("d"))
    rbac = "rbac.authorization.k8s.io/v1"
    t.quiet("POST", t.path(rbac, "roles"), obj(rbac, "Role", "r"))
    t.quiet("POST", t.path(rbac, "rolebindings"), obj(rbac, "RoleBinding", "b", roleRef={
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, subjects=[{"kind": "User", "name": "u"}]))
    t.quiet("POST", t.core("persistentvolumeclaims"), obj("v1", "PersistentVolumeClaim", "p", spec={
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "manual"}))
    for path in ("services", "secrets", "persistentvolumeclaims", "configmaps?labelSelector=suite",
                 "serviceaccounts", "limitranges", "resourcequotas", "podtemplates", "replicationcontrollers"):
        t.get(path, t.core(path), headers=TABLE)
    for api, plural in (("apps/v1", "deployments"), ("apps/v1", "statefulsets"), ("apps/v1", "daemonsets"),
                        ("batch/v1", "jobs"), ("batch/v1", "cronjobs"), (rbac, "roles"), (rbac, "rolebindings"),
                        ("networking.k8s.io/v1", "ingresses"), ("policy/v1", "poddisruptionbudgets"),
                        ("coordination.k8s.io/v1", "leases")):
        t.get(plural, t.path(api, plural), headers=TABLE)
    t.get("namespaces", "/api/v1/namespaces/default", headers=TABLE)
    t.get("priority classes", "/apis/scheduling.k8s.io/v1/priorityclasses", headers=TABLE)
    t.get("storage classes", "/apis/storage.k8s.io/v1/storageclasses", headers=TABLE)
    t.get("definitions", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=none", headers=TABLE)


# --- what the server says of itself

@case
def discovery(t):
    served = ("bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes",
              "persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "replicationcontrollers",
              "resourcequotas", "secrets", "serviceaccounts", "services")
    not_served = ("nodes/proxy", "pods/proxy", "services/proxy", "pods/resize")

    def resources(body):
        listed = [{k: v for k, v in r.items() if k != "storageVersionHash"} for r in body["resources"]]
        return sorted((r for r in listed if r["name"].split("/")[0] in served or body["groupVersion"] != "v1"
                       if r["name"] not in not_served), key=lambda r: r["name"])

    t.get("/api", "/api")
    t.get("/api/v1", "/api/v1", pick=resources)
    for group in ("apps", "batch", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "policy",
                  "rbac.authorization.k8s.io", "apiextensions.k8s.io", "authorization.k8s.io"):
        t.get("group " + group, "/apis/" + group)
        t.get("resources of " + group, "/apis/" + group + "/v1", pick=resources)
    t.get("resources of scheduling", "/apis/scheduling.k8s.io/v1", pick=resources)
    aggregated = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    t.get("aggregated /apis", "/apis", headers=aggregated,
          pick=lambda b: [i for i in b["items"] if i["metadata"]["name"] in ("apps", "coordination.k8s.io", "policy")])
    t.get("aggregated /api", "/api", headers=aggregated, pick=lambda b: sorted(
        (r for r in b["items"][0]["versions"][0]["resources"] if r["resource"] in ("configmaps", "services", "namespaces")),
        key=lambda r: r["resource"]) and [r["resource"] for r in b["items"][0]["versions"][0]["resources"] if r["resource"] in served])
    t.get("version", "/version", pick=lambda b: [b["major"], b["minor"]])
    for path in ("/healthz", "/livez", "/readyz", "/readyz?verbose=0"):
        t.get(path, path)
    t.get("openapi index", "/openapi/v3", pick=lambda b: [p for p in ("api/v1", "apis/apps/v1") if p in b["paths"]])
    t.get("openapi of core", "/openapi/v3/api/v1", pick=lambda b: [
        b["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]["x-kubernetes-patch-merge-key"],
        sorted(b["components"]["schemas"]["io.k8s.api.core.v1.Container"]["properties"]),
        b["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]["x-kubernetes-group-version-kind"]])


@case
def unknown_paths(t):
    for path in ("/nix", "/api/v2", "/api/v1/nix", "/apis/nix", "/apis/apps/v2", "/apis/apps/v1/nix",
                 "/apis/nix.org/v1/things", "/api/v1/namespaces/default/nix", "/api/v1/namespaces/default/nix/x",
                 "/api/v1/namespaces/default/pods/x/y/z"):
        t.get(path, path)
    t.post("POST to one object", t.core("configmaps") + "/a", cm("a"))
    t.put("PUT to a collection", t.core("configmaps"), cm("a"))
    t.patch("PATCH of a collection", t.core("configmaps"), {}, MERGE)
    t.get("namespaced kind without namespace", "/api/v1/pods/x")
    t.post("create without namespace", "/api/v1/configmaps", cm("a"))
    t.get("cluster kind in a namespace", "/api/v1/namespaces/default/nodes")


# --- who may do what

@case
def identities(t):
    t.get("nobody", "/api/v1/namespaces", anonymous=True)
    t.get("nobody, any path", "/version", anonymous=True, only_status=True)
    t.get("a bad token", "/api/v1/namespaces", anonymous=True, headers={"Authorization": "Bearer nix"})
    t.account()
    accounts = t.core("serviceaccounts")
    t.post("account", accounts, obj("v1", "ServiceAccount", "weak"))
    token = t.post("token", accounts + "/weak/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}},
        pick=lambda b: [b["kind"], b["spec"].get("expirationSeconds"), bool(b["status"]["token"])])
    who = {"headers": {"Authorization": "Bearer " + str(token.get("status.token"))}, "anonymous": True}
    base = t.core("configmaps")
    t.get("may not list", base, **who)
    t.get("may not get", base + "/a", **who)
    t.get("may not see nodes", "/api/v1/nodes", **who)
    t.get("may not see all namespaces", "/api/v1/configmaps", **who)
    t.post("may not create", base, cm("a"), **who)
    t.get("may see the version", "/version", pick=lambda b: b["major"], **who)
    rbac = "rbac.authorization.k8s.io/v1"
    t.post("role", t.path(rbac, "roles"), obj(rbac, "Role", "r", rules=[
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": ["get"]}]))
    t.post("binding", t.path(rbac, "rolebindings"), obj(rbac, "RoleBinding", "b", roleRef={
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, subjects=[
            {"kind": "ServiceAccount", "name": "weak", "namespace": t.ns}]))
    time.sleep(0.5)
    t.post("now it may create", base, cm("a", {"suite": "yes"}), **who)
    t.get("and list", base + "?labelSelector=suite", **who)
    t.delete("but not delete", base + "/a", **who)
    t.patch("nor patch", base + "/a", {}, MERGE, **who)
    t.get("one secret only", t.core("secrets") + "/one", **who)
    t.get("no other", t.core("secrets") + "/two", **who)
    t.get("no other namespace", "/api/v1/namespaces/default/configmaps", **who)
    t.post("grants nothing that it has not", t.path(rbac, "roles"), obj(rbac, "Role", "x", rules=[
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]), **who)
    as_weak = {"Impersonate-User": "system:serviceaccount:%s:weak" % t.ns}
    t.get("as another who may", base + "?labelSelector=suite", headers=as_weak)
    t.delete("as another who may not", base + "/a", headers=as_weak)
    t.get("as somebody", base, headers={"Impersonate-User": "somebody"})
    t.get("as somebody of a group", base + "?labelSelector=suite",
          headers={"Impersonate-User": "somebody", "Impersonate-Group": "system:masters"})
    t.get("who may not act as another", base, anonymous=True,
          headers={**who["headers"], "Impersonate-User": "admin"})
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    def ask(verb, resource, **more):
        return obj("authorization.k8s.io/v1", "SelfSubjectAccessReview", None, spec={"resourceAttributes": {
            "namespace": t.ns, "verb": verb, "resource": resource, **more}})
    t.post("may I", review, ask("list", "configmaps"), pick=lambda b: b["status"]["allowed"], **who)
    t.post("may I not", review, ask("delete", "pods"), pick=lambda b: b["status"]["allowed"], **who)
    t.post("admin may", review, ask("delete", "pods"), pick=lambda b: b["status"]["allowed"])
    t.post("who am I", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
           obj("authentication.k8s.io/v1", "SelfSubjectReview", None),
           pick=lambda b: [b["status"]["userInfo"]["username"], sorted(b["status"]["userInfo"]["groups"])], **who)
    t.post("token review", "/apis/authentication.k8s.io/v1/tokenreviews", obj(
        "authentication.k8s.io/v1", "TokenReview", None, spec={"token": token.get("status.token")}),
        pick=lambda b: [b["status"]["authenticated"], b["status"]["user"]["username"]])
    t.post("token review of nonsense", "/apis/authentication.k8s.io/v1/tokenreviews", obj(
        "authentication.k8s.io/v1", "TokenReview", None, spec={"token": "nix"}),
        pick=lambda b: b["status"].get("authenticated", False))
    t.post("token of an account that is not there", accounts + "/none/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
