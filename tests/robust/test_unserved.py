#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is accepted and not acted on says so at once: a Warning header and an Event.

    test_unserved.py MOBULA

TAP. `mobula apiserver` alone; no node, no Ray. Every kind that is served is either acted on, and listed here with
by whom, or it warns.
"""
import os
import sys

from robust import Server, check, run_all

MOBULA = sys.argv[1]
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Always"}}
JOB = {"template": {"spec": dict(TEMPLATE["spec"], restartPolicy="Never")}}
OWN = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}


def service(**spec):
    return dict({"selector": {"a": "b"}, "ports": [{"port": 80}]}, **spec)


def pod(container=None, **spec):
    return dict({"containers": [dict({"name": "c", "image": "i"}, **(container or {}))]}, **spec)


# kind: (name of the case, spec, words of the warning or None, is there an event)
CASES = {
    "Deployment": [("", OWN, "no pods", True)],
    "ReplicaSet": [("", OWN, "no pods", True)],
    "StatefulSet": [("", dict(OWN, serviceName="s"), "no pods", True)],
    "DaemonSet": [("", OWN, "no pods", True)],
    "ReplicationController": [("", {"selector": {"a": "b"}, "template": TEMPLATE}, "no pods", True)],
    "Job": [("", JOB, "no pods", True)],
    "CronJob": [("", {"schedule": "* * * * *", "jobTemplate": {"spec": JOB}}, "no jobs", True)],
    "Ingress": [("", {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}, "nothing is routed", True)],
    "NetworkPolicy": [("", {"podSelector": {}}, "not enforced", True)],
    "PodDisruptionBudget": [("", {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}, "evictions", True)],
    "ResourceQuota": [("", {"hard": {"cpu": "1"}}, "not enforced", True)],
    "LimitRange": [("", {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}, "not enforced", True)],
    "PriorityClass": [("", None, "not preempted", False)],
    "Service": [("a plain one", service(), None, False),
                ("headless", service(clusterIP="None"), None, False),
                ("the same target port", service(ports=[{"port": 80, "targetPort": 80}]), None, False),
                ("LoadBalancer", service(type="LoadBalancer"), "stays pending", True),
                ("NodePort", service(type="NodePort"), "not opened", True),
                ("ExternalName", {"type": "ExternalName", "externalName": "example.org"}, "not resolved", True),
                ("another target port", service(ports=[{"port": 80, "targetPort": 8080}]), "not mapped", True)],
    "Pod": [("a plain one", pod(), None, False),
            ("requests alone", pod({"resources": {"requests": {"cpu": "1"}}}), None, False),
            ("runAsUser", pod(securityContext={"runAsUser": 1000}), "runAsUser", True),
            ("runAsGroup of a container", pod({"securityContext": {"runAsGroup": 5}}), "runAsUser", True),
            ("runAsNonRoot of an init container", pod(initContainers=[
                {"name": "i", "image": "i", "securityContext": {"runAsNonRoot": True}}]), "runAsNonRoot", True),
            ("hostPort", pod({"ports": [{"containerPort": 80, "hostPort": 80}]}), "hostPort", True),
            ("hostNetwork", pod(hostNetwork=True), "hostNetwork", True),
            ("hostPID", pod(hostPID=True), "hostPID", True),
            ("a grpc probe", pod({"livenessProbe": {"grpc": {"port": 1}}}), "grpc", True),
            ("limits", pod({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}), "not enforced", False)],
}
ACTED_ON = {  # by whom
    "Binding": "the API", "ConfigMap": "volumes, environment", "Endpoints": "data", "Event": "expires", "Namespace": "the API",
    "Node": "the scheduler", "PersistentVolumeClaim": "the node", "PersistentVolume": "the node", "PodTemplate": "data",
    "Secret": "volumes, environment", "ServiceAccount": "tokens", "ControllerRevision": "data", "TokenReview": "the API",
    "SelfSubjectReview": "the API", "SelfSubjectAccessReview": "the API", "SelfSubjectRulesReview": "the API",
    "SubjectAccessReview": "the API", "LocalSubjectAccessReview": "the API", "Lease": "data", "EndpointSlice": "data",
    "ClusterRoleBinding": "the API", "ClusterRole": "the API", "RoleBinding": "the API", "Role": "the API",
    "StorageClass": "data", "CustomResourceDefinition": "the API", "RayCluster": "the operator",
}


def kinds(api):
    """kind -> (apiVersion, path of its collection in the namespace default)"""
    found = {}
    versions = [("v1", "/api/v1")]
    for group in api.call("GET", "/apis")[1]["groups"]:
        version = group["preferredVersion"]["groupVersion"]
        versions.append((version, "/apis/" + version))
    for version, path in versions:
        for r in api.call("GET", path)[1]["resources"]:
            if "/" not in r["name"] and "create" in r["verbs"]:
                found.setdefault(r["kind"], (version, path + ("/namespaces/default/" if r["namespaced"] else "/") + r["name"]))
    return found


def create(api, kind, where, name, spec, query=""):
    version, path = where
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    body.update({"value": 5} if spec is None else {"spec": spec})
    status, answer, warnings = api.call_with_warnings("POST", path + query, body)
    if status != 201:
        raise RuntimeError("%s %s: %s %s" % (kind, name, status, answer))
    return answer, warnings


def events_of(api, uid):
    events = api.call("GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid=" + uid)[1]["items"]
    return [e for e in events if e["type"] == "Warning" and e["reason"] == "NotActedOn"]


def test_warned(folder):
    with Server(MOBULA, os.path.join(folder, "state"), folder) as server:
        api = server.api()
        served = kinds(api)
        check("every kind is acted on or warns", set(served) == set(ACTED_ON) | set(CASES),
              set(served) ^ (set(ACTED_ON) | set(CASES)))
        for kind, cases in CASES.items():
            for n, (case, spec, words, has_event) in enumerate(cases):
                name = "%s-%d" % (kind.lower(), n)
                _, warnings = create(api, kind, served[kind], name + "-dry", spec, "?dryRun=All")
                check("%s %s: the dry run says it too" % (kind, case), bool(warnings) == bool(words), warnings)
                made, warnings = create(api, kind, served[kind], name, spec)
                check("%s %s: warns" % (kind, case) if words else "%s %s: no word" % (kind, case),
                      len(warnings) == (1 if words else 0) and all(words in w for w in warnings), warnings)
                events = events_of(api, made["metadata"]["uid"])
                check("%s %s: %s" % (kind, case, "an event" if has_event else "no event"),
                      len(events) == has_event and all(words in e["message"] and e["involvedObject"]["name"] == name
                                                       and e["involvedObject"]["kind"] == kind for e in events), events)
        check("a dry run leaves no event", not [
            e for e in api.call("GET", "/api/v1/namespaces/default/events")[1]["items"]
            if e["involvedObject"]["name"].endswith("-dry")])
        path = served["Service"][1] + "/service-0"
        status, _, warnings = api.call_with_warnings("PATCH", path, {"spec": {"type": "NodePort"}},
                                                     {"Content-Type": "application/merge-patch+json"})
        check("a change that brings it about warns", status == 200 and len(warnings) == 1 and "not opened" in warnings[0], warnings)


if __name__ == "__main__":
    run_all(test_warned)
