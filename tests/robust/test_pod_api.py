#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A pod reaches the API as in any cluster: https://kubernetes.default.svc:443, by its token and CA.

    test_pod_api.py MOBULA

TAP. One `mobula up` on which no Ray pod fits; the pod asks with curl and with Python, with and without the preloaded
library (static programs have none).
"""
import os
import sys

from robust import PODS, Api, Process, check, run_all, skip, wait_until

MOBULA = sys.argv[1]
UP = ["up", "--dashboard-port", "0", "--client-port", "0", "--gcs-port", "0", "--cpu", "1"]
# One line a question: its name, and the user's name that the API gives, or what went wrong.
SCRIPT = r"""
A=/var/run/secrets/kubernetes.io/serviceaccount
BODY='{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
ask() {
    name=$1 url=$2
    shift 2
    "$@" curl -sS -m 20 --cacert $A/ca.crt -H "Authorization: Bearer $(cat $A/token)" -H 'Content-Type: application/json' \
        -d "$BODY" "$url/apis/authentication.k8s.io/v1/selfsubjectreviews" 2>&1 | tr -d '\n ' |
        sed -e "s/.*\"username\":\"\([^\"]*\)\".*/\1/" -e "s/^/$name /" -e 's/$/\n/'
}
ask svc https://kubernetes.default.svc:443 env
ask no-port https://kubernetes.default.svc env
ask fqdn https://kubernetes.default.svc.cluster.local:443 env
ask short https://kubernetes env
ask default https://kubernetes.default env
ask cluster-ip https://10.96.0.1:443 env
ask environment https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT env
ask static https://kubernetes.default.svc:443 env -u LD_PRELOAD
python3 - <<E
import json, ssl, urllib.request
url = "https://kubernetes.default.svc:443/apis/authentication.k8s.io/v1/selfsubjectreviews"
request = urllib.request.Request(url, b'''$BODY''', {"Authorization": "Bearer " + open("$A/token").read(), "Content-Type": "application/json"})
tls = ssl.create_default_context(cafile="$A/ca.crt")
print("python", json.load(urllib.request.urlopen(request, context=tls))["status"]["userInfo"]["username"])
E
echo no-token $(curl -sS -m 20 -o /dev/null -w '%{http_code}' --cacert $A/ca.crt https://kubernetes.default.svc/api/v1/pods)
echo end
"""
WANTED = {name: "system:serviceaccount:default:default" for name in
          ("svc", "no-port", "fqdn", "short", "default", "cluster-ip", "environment", "python", "static")}
WANTED["no-token"] = "401"


def test_from_a_pod(folder):
    state = os.path.join(folder, "state")
    with Process([MOBULA, *UP, "--state", state], folder) as up:
        check("up is ready", up.says("export KUBECONFIG", 60), up.text())
        api = Api(os.path.join(state, "kubeconfig"))
        api.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"}, "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": ["bash", "-c", SCRIPT]}]}})

        def log():
            text = api.call("GET", PODS + "/asks/log")[1]
            return text.decode() if isinstance(text, bytes) and b"\nend" in text else None

        text = wait_until(log, 120, 0.3)
        check("the pod ran", text, api.call("GET", PODS + "/asks")[1].get("status"), up.text())
        said = dict(line.split(" ", 1) for line in (text or "").splitlines() if " " in line)
        for name, user in WANTED.items():
            if name == "static" and os.geteuid() != 0:
                skip("port 443 without the library", "only root may listen there")
                continue
            check("from a pod: " + name, said.get(name) == user, said.get(name), text)
        up.signal(15)
        check("up ends", up.wait(60) == 0, up.text())


if __name__ == "__main__":
    run_all(test_from_a_pod)
