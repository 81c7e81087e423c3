"""Protobuf bodies: what a real kube-apiserver encodes, the embedded one must read as the same object.

wire.py REAL EMBEDDED (kubeconfigs of both; TAP). For each object a dry run on the real server answers once
in JSON and once in protobuf; both answers are sent to the embedded server as dry runs: what it makes of them
must be equal. Objects hold empty texts, zeros and false, which are a value of their own in some
fields (pointers in Go) and nothing in others.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fields  # noqa: E402
import normal  # noqa: E402
from cases import cm, container, obj, pod, service  # noqa: E402
from client import Client  # noqa: E402

PROTOBUF = "application/vnd.kubernetes.protobuf"


def objects():
    """Kinds and bodies of the case that creates one of each, then those with empty parts."""
    found = []

    class Collector:
        ns = "default"

        def core(self, rest):
            return "/api/v1/namespaces/default/" + rest

        def path(self, api, rest):
            return "/apis/%s/namespaces/default/%s" % (api, rest)

        def post(self, name, path, body, **how):
            if not path.startswith("/apis/ray.io"):
                found.append((name, path.split("?")[0], body))

        def account(self):
            pass

        def quiet(self, *args, **how):
            pass

    fields.owners_of_creates(Collector())
    core = "/api/v1/namespaces/default/"
    found += [
        ("empty label", core + "configmaps", cm("x", {"e": ""}, k="", **{"l": "1"})),
        ("empty annotation", core + "configmaps", obj("v1", "ConfigMap", "x", annotations={"a": ""}, data={})),
        ("no class", core + "persistentvolumeclaims", obj("v1", "PersistentVolumeClaim", "x", spec={
            "storageClassName": "", "volumeName": "", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}})),
        ("a pod's zeros", core + "pods", pod("x", [container(
            "a", args=["", "x"], env=[{"name": "A", "value": ""}], stdin=False, tty=False,
            securityContext={"runAsUser": 0, "privileged": False, "runAsNonRoot": False},
            livenessProbe={"httpGet": {"port": 80, "path": ""}, "initialDelaySeconds": 0})],
            {"e": ""}, terminationGracePeriodSeconds=0, automountServiceAccountToken=False, hostname="",
            tolerations=[{"operator": "Exists", "key": "", "tolerationSeconds": 0, "effect": "NoExecute"}],
            nodeSelector={"a": ""}, securityContext={"fsGroup": 0, "runAsNonRoot": False})),
        ("a service's zeros", core + "services", service(
            "x", selector={"a": ""}, publishNotReadyAddresses=False, ports=[{"port": 80, "name": "", "nodePort": 0}])),
        ("no replicas", "/apis/apps/v1/namespaces/default/deployments", obj("apps/v1", "Deployment", "x", spec={
            "replicas": 0, "paused": False, "minReadySeconds": 0, "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {"a": ""}}, "template": {
                "metadata": {"labels": {"a": ""}}, "spec": {"containers": [container()]}}})),
        ("an empty secret", core + "secrets", obj("v1", "Secret", "x", data={"a": ""}, immutable=False)),
    ]
    return found


def made_of(embedded, path, answer, kind):
    body = answer.raw if isinstance(answer.raw, bytes) else answer.raw.encode()
    got = embedded.request("POST", path + "?dryRun=All&fieldManager=m", body, {"Content-Type": kind})
    return got.status, normal.normal(got.body, managed=True)


def raw_request(client, path, body, accept):
    connection, response = client.open("POST", path + "?dryRun=All&fieldManager=m", body, {"Accept": accept})
    answer = type("Raw", (), {"status": response.status, "raw": response.read()})()
    connection.close()
    return answer


def main(real_config, embedded_config):
    real, embedded = Client(real_config), Client(embedded_config)
    failed, all_objects = 0, objects()
    print("1..%d" % len(all_objects))
    for i, (name, path, body) in enumerate(all_objects, 1):
        answers = [raw_request(real, path, body, kind) for kind in ("application/json", PROTOBUF)]
        if any(a.status != 201 for a in answers):
            print("not ok %d - %s\n#   the real server answers %s" % (i, name, answers[0].raw[:300]))
            failed += 1
            continue
        want = made_of(embedded, path, answers[0], "application/json")
        got = made_of(embedded, path, answers[1], PROTOBUF)
        found = normal.differences(want[1], got[1]) if want[0] == got[0] == 201 else [("status", want, got)]
        failed += bool(found)
        print("%sok %d - %s" % ("not " if found else "", i, name))
        for where, theirs, mine in found[:6]:
            print("#   %s\n#     from JSON:     %s\n#     from protobuf: %s" % (where, str(theirs)[:300], str(mine)[:300]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
