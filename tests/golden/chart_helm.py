#!/usr/bin/env python3
"""The chart beside real Helm and the published charts. By hand: neither is part of `make test`.

    chart_helm.py HELM CHARTS diff MOBULA    every key x version x role x (set, empty, null), and the odd cases
    chart_helm.py HELM CHARTS goldens        writes chart/NAME-VERSION.json for the values files below

CHARTS holds one folder a version: helm-chart/ray-cluster of KubeRay's tag ray-operator/v<version>. HELM is Helm 3.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

VERSIONS = ["1.1.0", "1.2.2", "1.3.2", "1.4.2", "1.5.2", "1.6.2", "1.7.0"]
FOLDER = pathlib.Path(__file__).resolve().parent / "chart"
# Values files that this script made goldens of; the others came with their goldens.
GOLDENS = ["defaults", "small-group", "own-group", "nothing-left", "keys", "empty-keys", "null-keys", "spread", "redis"]
# One value of each key that some version reads in some group, and of others that none reads.
KEYS = {
    "image": {"repository": "a/b", "tag": "c", "pullPolicy": "Always"}, "labels": {"a": "b"}, "annotations": {"x": "y"},
    "serviceAccountName": "sa", "rayStartParams": {"num-cpus": "2", "x": 1}, "initArgs": {"block": "true"},
    "containerEnv": [{"name": "A", "value": "b"}], "envFrom": [{"secretRef": {"name": "s"}}],
    "ports": [{"containerPort": 1, "name": "p"}], "resources": {"limits": {"cpu": 2}}, "nodeSelector": {"n1": "m"},
    "tolerations": [{"key": "k"}], "affinity": {"nodeAffinity": {"a": 1}}, "securityContext": {"runAsUser": 1},
    "volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "sidecarContainers": [{"name": "s", "image": "i"}], "initContainers": [{"name": "i", "image": "i"}],
    "command": ["a"], "args": ["b"], "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}, "restartPolicy": "Never",
    "priorityClassName": "high", "priority": 7, "podSecurityContext": {"fsGroup": 3},
    "dnsConfig": {"nameservers": ["1.1.1.1"]}, "topologySpreadConstraints": [{"maxSkew": 1}], "runtimeClassName": "rc",
    "resourceClaims": [{"name": "g"}], "replicas": 2, "minReplicas": 1, "maxReplicas": 9, "numOfHosts": 2,
    "disabled": True, "groupName": "gg", "rayVersion": "2.9.9", "enableInTreeAutoscaling": True,
    "autoscalerOptions": {"idleTimeoutSeconds": 5}, "headService": {"metadata": {"annotations": {"a": "b"}}},
    "suspend": True, "idleTimeoutSeconds": 7, "nodeName": "nn", "hostNetwork": True, "terminationGracePeriodSeconds": 5,
    "schedulerName": "x", "imagePullPolicy": "Always", "startupProbe": {"a": 1}, "livenessProbe": {"a": 1},
    "dnsPolicy": "None", "scaleStrategy": {"a": []}, "serviceType": "NodePort", "template": {"spec": {}},
    "extraPorts": [1], "ingressOptions": {"a": 1}, "enableIngress": True, "priorityClass": "x", "env": [{"name": "A"}],
}
TOPS = {
    "imagePullSecrets": [[{"name": "x"}], [], None], "annotations": [{"a": "b"}, {}, None],
    "common": [{"containerEnv": [{"name": "C", "value": "d"}]}, {"containerEnv": []}, {}, None],
    "service": [{"type": "NodePort"}, {"type": ""}, {"type": None}], "nameOverride": ["nn", "", None],
    "fullnameOverride": ["ff", "", None], "image": [{"tag": "x"}, {"repository": "", "tag": ""}],
    "gcsFaultTolerance": [
        {"enabled": True, "redisAddress": "a"}, {"enabled": True}, {"enabled": False, "redisAddress": "a"},
        {"enabled": True, "redisAddress": "a", "redisPassword": {"value": "x"}, "redisUsername": {"value": "u"},
         "externalStorageNamespace": "nn"}],
    "additionalWorkerGroups": [None, {}, {"smallGroup": None}, {"a": {"replicas": 1}, "b": {"replicas": 2}}, {"g": {}},
                               {"smallGroup": {"disabled": False}}, {"smallGroup": {}}],
    "worker": [None, {}], "head": [None, {}],
}
# Where the chart's own template fails and ours goes on: docs/differences-chart.md.
LENIENT = "the chart's template fails here"


def variants(value):
    empty = {list: [], dict: {}, bool: False, int: 0, str: ""}[type(value)]
    return [value, empty, None]


def cases():
    yield "nothing", {}
    for key, value in KEYS.items():
        for item in variants(value):
            for role in ("head", "worker", "extra", "small"):
                values = {role: {key: item}}
                if role == "extra":
                    values = {"additionalWorkerGroups": {"g": {"replicas": 1, "containerEnv": [], key: item}}}
                if role == "small":
                    values = {"additionalWorkerGroups": {"smallGroup": {"disabled": False, key: item}}}
                yield f"{role}.{key}={json.dumps(item)}", values
    for key, items in TOPS.items():
        for item in items:
            yield f"{key}={json.dumps(item)}", {key: item}


def run(command, text):
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=dict(os.environ, HOME=home))
    if done.returncode:
        return None, done.stderr.strip()
    return [doc for doc in yaml.safe_load_all(done.stdout) if doc], done.stderr


def differences(helm, ours, path=""):
    if helm == ours:
        return
    if isinstance(helm, dict) and isinstance(ours, dict):
        for key in sorted(set(helm) | set(ours), key=str):
            yield from differences(helm.get(key, "(left out)"), ours.get(key, "(left out)"), f"{path}.{key}")
    elif isinstance(helm, list) and isinstance(ours, list) and len(helm) == len(ours):
        for i, pair in enumerate(zip(helm, ours)):
            yield from differences(*pair, f"{path}[{i}]")
    else:
        yield f"{path}: Helm {json.dumps(helm)[:90]}, ours {json.dumps(ours)[:90]}"


def compare(helm, charts, mobula, version, name, values):
    """Lines of what differs; the key alone is warned about exactly where it changes nothing for Helm."""
    text = yaml.safe_dump(values)
    expected, error = run([helm, "template", "ado-ray", charts / version, "-f", "-"], text)
    found, said = run([mobula, "template", "ado-ray", "ray-cluster", "--version", version, "-f", "-"], text)
    if expected is None and found is not None:
        return [f"{LENIENT}: {error.splitlines()[0][-120:]}"]
    if found is None:
        return [] if expected is None else [f"stricter: {said}"]
    return list(differences(expected, found))


def diff(helm, charts, mobula):
    seen, n = {}, 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [(version, name, pool.submit(compare, helm, charts, mobula, version, name, values))
                for name, values in cases() for version in VERSIONS]
        for version, name, job in jobs:
            n += 1
            for line in job.result():
                seen.setdefault((name, line), []).append(version)
    for (name, line), versions in seen.items():
        print(f"{name} ({', '.join(versions)}): {line}")
    real = sum(len(v) for (_, line), v in seen.items() if not line.startswith(LENIENT))
    print(f"{n} cases, {real} differ, {sum(map(len, seen.values())) - real} where Helm fails and ours does not")
    return real > 0


def goldens(helm, charts):
    for name in GOLDENS:
        text = (FOLDER / f"{name}.yaml").read_text()
        for version in VERSIONS:
            objects, error = run([helm, "template", "ado-ray", charts / version, "-f", "-"], text)
            if objects is None:
                print(f"{name} {version}: no golden, Helm says {error.splitlines()[0][-160:]}")
                continue
            (FOLDER / f"{name}-{version}.json").write_text(json.dumps({"args": [], "objects": objects}, sort_keys=True) + "\n")
    return False


def main():
    if len(sys.argv) < 4 or sys.argv[3] not in ("diff", "goldens") or len(sys.argv) != {"diff": 5, "goldens": 4}[sys.argv[3]]:
        sys.exit(__doc__)
    helm, charts = sys.argv[1], pathlib.Path(sys.argv[2])
    return diff(helm, charts, sys.argv[4]) if sys.argv[3] == "diff" else goldens(helm, charts)


if __name__ == "__main__":
    sys.exit(main())
