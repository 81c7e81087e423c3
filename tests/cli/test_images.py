#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an image holds: recipes, refusals, and how an installation is seen, without a network and without Ray.

    test_images.py MOBULA VALUES

`python3` on PATH is a stand-in that notes what pip is asked for, takes its time, and makes an empty
environment. TAP. Ends only processes that it started.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "robust"))
MOBULA, VALUES = map(os.path.abspath, sys.argv[1:3])
sys.argv[1:] = [MOBULA]
from robust import Api, check, run_all  # noqa: E402  (it reads sys.argv)

PODS = "/api/v1/namespaces/default/pods"
EVENTS = "/api/v1/namespaces/default/events"
INSTALL_S = 5
PYTHON = """#!/bin/sh
case "$*" in
*version_info*) echo 11 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && : >"$3/pyvenv.cfg" ;;
*" uv" | "-m pip config "*) exit 1 ;;
"-m pip install "*)
    echo "$@" >>"$PIP_LOG"
    while [ $# -gt 0 ]; do [ "$1" = --requirement ] && sed 's/^/  /' "$2" >>"$PIP_LOG"; shift; done
    echo "Collecting something-big"
    sleep %d
    printf '#!/bin/sh\\nexec sleep 1000\\n' >"$(dirname "$0")/ray"
    chmod +x "$(dirname "$0")/ray" ;;
esac
""" % INSTALL_S


class World:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.state = str(self.folder / "state")
        self.cache = self.folder / "cache"
        self.log = self.folder / "pip.log"
        stand_in = self.folder / "bin"
        stand_in.mkdir()
        (stand_in / "python3").write_text(PYTHON)
        (stand_in / "python3").chmod(0o755)
        self.env = {"PATH": "%s:/usr/bin:/bin" % stand_in, "HOME": str(self.folder), "PIP_LOG": str(self.log),
                    "XDG_CACHE_HOME": str(self.cache)}
        self.api = None

    def run(self, *words):
        return subprocess.run([MOBULA, *map(str, words)], capture_output=True, text=True, timeout=90, env=self.env,
                              cwd=self.folder)

    def up(self, *more, detach=("--detach",)):
        return self.run("up", "--state", self.state, "--dashboard-port", 0, "--client-port", 0, "--gcs-port", 0, *detach, *more)

    def __enter__(self):
        self.api = Api(os.path.join(self.state, "kubeconfig"))
        return self

    def __exit__(self, *_):
        self.api.close()
        done = self.run("down", "--state", self.state, "--now")
        check("down", done.returncode == 0, done.stderr)

    def waiting(self):
        """{pod: (reason, message)} of the first container that waits."""
        found = {}
        for pod in self.api.call("GET", PODS)[1]["items"]:
            status = pod.get("status", {})
            for one in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
                state = one.get("state", {}).get("waiting")
                if state:
                    found.setdefault(pod["metadata"]["name"], (state.get("reason", ""), state.get("message", "")))
        return found

    def status_column(self):
        """What kubectl prints under STATUS."""
        answer = self.api.call("GET", PODS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})[1]
        at = [c["name"] for c in answer["columnDefinitions"]].index("Status")
        return [row["cells"][at] for row in answer["rows"]]

    def events(self):
        return [(e.get("reason"), e.get("message", "")) for e in self.api.call("GET", EVENTS)[1]["items"]]

    def until(self, condition, limit=30):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if condition():
                return condition()
            time.sleep(0.1)
        return condition()


def test_refused(w):
    """Said before anything starts, with what to write; nothing is left behind."""
    done = w.up("-f", VALUES, "--set", "image.repository=quay.io/team/app,image.tag=1.0")
    check("an unknown image is refused", done.returncode == 2, done.returncode, done.stderr)
    check("with the field", "spec.headGroupSpec.template.spec.containers[0].image" in done.stderr, done.stderr)
    check("and what to write", "--image quay.io/team/app:1.0=requirements.txt" in done.stderr and
          "--image quay.io/team/app:1.0=host" in done.stderr, done.stderr)
    done = w.up("-f", VALUES, "--set", "worker.image.repository=ghcr.io/x/y")
    check("a group's own image too", done.returncode == 2 and "workerGroupSpecs" in done.stderr, done.stderr)
    done = w.up("-f", VALUES, "--set", "image.repository=quay.io/ado/ado,image.tag=latest-py312-cu121,head.rayVersion=null")
    check("an image that names no Ray: which option names it", done.returncode == 2 and "--ray-version 2." in done.stderr,
          done.stderr)
    (w.folder / "bad.yaml").write_text("images:\n- name: a\n  pips: [x]\n")
    (w.folder / "number.yaml").write_text("images:\n- name: a\n- name: b\n  python: 3.11\n")
    (w.folder / "none.yaml").write_text("image: []\n")
    for words, wanted in ((("--image", "a"), "NAME=FILE"), (("--image", "a=no.txt"), "no.txt"), (("--image", "=host"), "name"),
                          (("--image", "a b=host"), "a b"), (("--pip", "-r x"), "-r x"), (("--pip", ""), "package"),
                          (("--ray-extras", "Data"), "data,serve"), (("--ray-extras", "all,"), "all,"),
                          (("--images", "bad.yaml"), "images[0]: unknown key pips"), (("--images", "none.yaml"), "key images"),
                          (("--images", "number.yaml"), "images[1]: python: text"), (("--images", "nothing.yaml"), "nothing.yaml")):
        done = w.up(*words)
        check("up %s: says what is wrong" % " ".join(words), done.returncode in (2, 4) and wanted in done.stderr
              and done.stderr.count("\n") == 1, done.returncode, done.stderr)
    check("nothing was started", not os.path.exists(w.state) and not w.cache.exists(), os.listdir(w.folder))


def test_installing(w):
    """A slow pip is seen by everybody who asks; what it is asked for is the recipe."""
    done = w.up("-f", VALUES, "--pip", "emoji", "--pip", "torch<3")
    if not check("up", done.returncode == 0, done.stderr):
        return
    with w:
        pattern = re.compile(r"^(Init:)?installing Ray 2\.46\.0 \([1-9]\d* s\)$")
        shown = w.until(lambda: [s for s in w.status_column() if pattern.match(s)])
        check("kubectl get pods: installing, and for how long", shown, w.status_column())
        waits = w.waiting()
        check("the message: what, and pip's last line", any("ray[all]==2.46.0" in m and "Collecting something-big" in m
                                                            for _, m in waits.values()), waits)
        text = w.run("status", "--state", w.state).stdout
        check("status says it", "installing Ray 2.46.0 (" in text, text)
        check("an event: Pulling", any(r == "Pulling" and "ray[all]==2.46.0" in m for r, m in w.events()), w.events())
        check("an event: this host has another Python", any(r == "PythonVersion" and "3.10" in m and "uv python install 3.10" in m
                                                            for r, m in w.events()), w.events())
        check("afterwards: Pulled", w.until(lambda: [m for r, m in w.events() if r == "Pulled"]), w.events())
        made = [n for n in os.listdir(w.cache / "mobula/ray") if "." not in n.replace("2.46.0", "")]
        check("the environment's name tells what it holds", len(made) == 1 and
              re.fullmatch(r"2\.46\.0-py311-all-[0-9a-f]{16}", made[0]), made)
        log = w.log.read_text()
        check("pip was asked for Ray as published", re.search(r"ray\[all\]==2\.46\.0$", log, re.M), log)
        check("and for what was added, without another Ray", "  emoji\n  torch<3\n" in log and "  ray==2.46.0\n" not in log
              and "--constraint ray.txt" in log, log)
        check("the image's id names the environment", w.until(lambda: [
            c for p in w.api.call("GET", PODS)[1]["items"] for c in p["status"].get("containerStatuses", [])
            if c["imageID"] == "mobula://ray-" + made[0]]), w.waiting())


def test_recipes(w):
    """A user's images: by option, by file; a lean one; all with the same packages as asked."""
    (w.folder / "train.txt").write_text("ray[train]==2.44.0\ntransformers\n")
    (w.folder / "images.yaml").write_text("images:\n- name: quay.io/team/tool\n  host: true\n"
                                          "- name: quay.io/team/lean\n  ray: 2.45.0\n  extras: [data, serve]\n")
    w.log.write_text("")
    done = w.up("-f", VALUES, "--set", "image.repository=quay.io/team/app,image.tag=7", "--image", "quay.io/team/app=train.txt",
                "--images", "images.yaml", "--ray-extras", "default")
    if not check("up with a recipe for its image", done.returncode == 0, done.stderr):
        return
    with w:
        for name, image in (("lean", "quay.io/team/lean:1"), ("tool", "quay.io/team/tool"), ("unknown", "quay.io/team/x:1"),
                            ("box", "busybox:1.36")):
            w.api.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": image, "command": ["sleep", "1000"]}]}})
        refused = w.until(lambda: [v for v in [w.waiting().get("unknown", ("", ""))] if v[0] == "ImagePullBackOff"])
        check("a pod that is applied later: ImagePullBackOff, with what to write", refused and
              "--image quay.io/team/x:1=requirements.txt" in refused[0][1], w.waiting())
        check("and an event of it", any(r == "Failed" and "quay.io/team/x:1" in m for r, m in w.events()), w.events())
        text = w.run("status", "--state", w.state, "-o", "json").stdout
        why = [p["why"] for p in json.loads(text)["pods"] if p["name"] == "unknown"]
        check("status: why", why and "--image quay.io/team/x:1=requirements.txt" in why[0], text)
        running = lambda name: w.api.call("GET", PODS + "/" + name)[1]["status"].get("phase") == "Running"
        check("the host's own files run a tool and busybox", w.until(lambda: running("tool") and running("box")), w.events())
        w.until(lambda: running("lean"))
        check("the lean one runs", running("lean"), w.waiting())
        made = sorted(n for n in os.listdir(w.cache / "mobula/ray") if re.match(r"2\.4[45]\.0-py311[^.]*$", n))
        check("each recipe has its environment", len(made) == 2 and re.fullmatch(r"2\.44\.0-py311-[0-9a-f]{16}", made[0])
              and made[1] == "2.45.0-py311-data+serve", made)
        log = w.log.read_text()
        check("the requirements file names Ray and the rest", "ray[default]==2.44.0" in log and "  transformers" in log
              and "ray[data,serve]==2.45.0" in log, log)


def in_world(test):
    def run(folder):
        test(World(folder))
    run.__name__ = test.__name__
    return run


if __name__ == "__main__":
    run_all(*map(in_world, (test_refused, test_installing, test_recipes)))
