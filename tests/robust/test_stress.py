#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients at once on a disk that stalls, fails and fills up: creates, patches, watches, edits and
deletions of definitions and namespaces. Nothing ends the server, nothing acknowledged is lost, nothing that
failed was ever seen, nothing leaks.

    test_stress.py SERVE_FAULTS MOBULA [SECONDS [SEED]]

TAP. 8 seconds unless told otherwise; a long run: 60. SERVE_FAULTS and its sanitizers say what was freed
too early and what was not freed.
"""
import http.client
import json
import os
import random
import sys
import threading
import time

from robust import Process, Server, Api, check, config_map, run_all

SERVE, MOBULA = sys.argv[1], sys.argv[2]
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 8
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 31)
CLIENTS, WATCHERS = 8, 4
AWAY = (OSError, http.client.HTTPException)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD = CRDS + "/things.stress.example.com"
THINGS = "/apis/stress.example.com/v1/namespaces/%s/things"
MAPS = "/api/v1/namespaces/%s/configmaps"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
PATCH = {"Content-Type": "application/json-patch+json"}


def definition():
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
               "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.stress.example.com"},
            "spec": {"group": "stress.example.com", "scope": "Namespaced", "versions": [version],
                     "names": {"plural": "things", "kind": "Thing"}}}


class World:
    def __init__(self, kubeconfig):
        self.kubeconfig = kubeconfig
        self.end = time.monotonic() + SECONDS
        self.lock = threading.Lock()
        self.created, self.refused, self.deleted, self.seen = set(), set(), set(), set()
        self.odd, self.counts = [], {}

    def note(self, method, status, answer, path):
        with self.lock:
            self.counts[status] = self.counts.get(status, 0) + 1
            message = answer.get("message", "") if isinstance(answer, dict) else str(answer)[:200]
            expected = status < 500 or "store" in message or status == 504
            if not expected:
                self.odd.append((method, path, status, message))

    def runs(self):
        return time.monotonic() < self.end


class Client(threading.Thread):
    """One connection, one seed."""

    def __init__(self, world, number):
        super().__init__()
        self.world, self.number, self.made = world, number, 0
        self.random = random.Random(SEED * 1000 + number)
        self.api = Api(world.kubeconfig)

    def call(self, method, path, body=None, headers=None):
        status, answer = self.api.call(method, path, body, headers)
        self.world.note(method, status, answer, path)
        return status, answer

    def name(self):
        self.made += 1
        return "c%d-%d" % (self.number, self.made)

    def some_name(self):
        return "c%d-%d" % (self.random.randrange(CLIENTS), self.random.randrange(1, self.made + 2))

    def namespace(self):
        return self.random.choice(("default", "s0", "s1", "s2"))

    def table(self):
        return TABLE if self.random.random() < 0.5 else {}

    def create_kept(self):
        name = self.name()
        status, _ = self.call("POST", MAPS % "default", config_map(name, "x" * self.random.choice((3, 300, 9000))))
        with self.world.lock:
            if status == 201:
                self.world.created.add(name)
            elif status >= 500:
                self.world.refused.add(name)

    def delete_kept(self):
        name = self.some_name()
        with self.world.lock:
            self.world.deleted.add(name)
        self.call("DELETE", MAPS % "default" + "/" + name)

    def create_thing(self):
        self.call("POST", THINGS % self.namespace(), {"apiVersion": "stress.example.com/v1", "kind": "Thing",
                  "metadata": {"name": self.name(), "finalizers": []}, "spec": {"a": self.made}}, self.table())

    def patch_thing(self):
        path = THINGS % self.namespace() + "/" + self.some_name() + self.random.choice(("", "/status"))
        self.call("PATCH", path, {"spec": {"b": self.made}, "status": {"n": self.made}}, dict(MERGE, **self.table()))

    def create_any(self):
        self.call("POST", MAPS % self.namespace(), config_map(self.name()), self.table())

    def patch_any(self):
        self.call("PATCH", MAPS % self.namespace() + "/" + self.some_name(), {"data": {"text": str(self.made)}},
                  dict(MERGE, **self.table()))

    def read(self):
        what = self.random.choice((MAPS, THINGS)) % self.namespace()
        status, answer = self.call("GET", what, headers=self.table())
        if status == 200 and what == MAPS % "default" and answer["kind"] == "ConfigMapList":
            with self.world.lock:
                self.world.seen.update(i["metadata"]["name"] for i in answer["items"])

    def edit_definition(self):
        columns = [{"name": "C%d" % self.made, "type": "string", "jsonPath": ".spec.a"}]
        self.made += 1
        self.call("PATCH", CRD, [{"op": "add", "path": "/spec/versions/0/additionalPrinterColumns", "value": columns}],
                  PATCH)

    def define(self):
        self.call("POST", CRDS, definition())

    def undefine(self):
        self.call("DELETE", CRD)

    def delete_many(self):
        self.call("DELETE", self.random.choice((MAPS, THINGS)) % self.random.choice(("s0", "s1", "s2")))

    def make_namespace(self):
        name = self.random.choice(("s0", "s1", "s2"))
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def end_namespace(self):
        self.call("DELETE", "/api/v1/namespaces/" + self.random.choice(("s0", "s1", "s2")))

    DO = [("create_kept", 20), ("delete_kept", 4), ("create_thing", 25), ("patch_thing", 15), ("create_any", 10),
          ("patch_any", 10), ("read", 8), ("edit_definition", 8), ("define", 3), ("undefine", 1), ("delete_many", 1),
          ("make_namespace", 3), ("end_namespace", 1)]

    def run(self):
        names, weights = zip(*self.DO)
        while self.world.runs():
            try:
                getattr(self, self.random.choices(names, weights)[0])()
            except AWAY as error:
                self.world.odd.append(("away", self.number, repr(error)))
                return


class Watcher(threading.Thread):
    """Watches one kind again and again; half of the time it goes away in the middle."""

    def __init__(self, world, number):
        super().__init__()
        self.world, self.number = world, number
        self.random = random.Random(SEED * 1000 + 500 + number)

    def watch_once(self):
        api = Api(self.world.kubeconfig, timeout=3)
        path = MAPS % "default" if self.number % 2 == 0 else THINGS % "default"
        connection = api.connect()
        connection.request("GET", path + "?watch=1&timeoutSeconds=2",
                           headers=TABLE if self.number % 4 == 1 else {})
        answer = connection.getresponse()
        until = time.monotonic() + self.random.random() * 3
        while time.monotonic() < until:
            line = answer.readline()
            if not line:
                break
            event = json.loads(line)
            if self.number % 2 == 0 and event["type"] in ("ADDED", "MODIFIED"):
                with self.world.lock:
                    self.world.seen.add(event["object"]["metadata"]["name"])
        api.close()

    def run(self):
        while self.world.runs():
            try:
                self.watch_once()
            except (*AWAY, ValueError):
                time.sleep(0.02)


def names_in_default(api):
    status, answer = api.call("GET", MAPS % "default")
    return {i["metadata"]["name"] for i in answer["items"]} if status == 200 else None


def check_names(world, there, when):
    kept = world.created - world.deleted
    check("%s: every acknowledged create is there, of %d" % (when, len(kept)), kept <= there, sorted(kept - there)[:20])
    check("%s: nothing that was refused is there, of %d" % (when, len(world.refused)),
          not world.refused & there, sorted(world.refused & there)[:20])


def test_stress(folder):
    print("# seed %d, %g s: test_stress.py SERVE_FAULTS MOBULA %g %d" % (SEED, SECONDS, SECONDS, SEED))
    state = os.path.join(folder, "state")
    with Process([SERVE, state, SEED, int(SECONDS)], folder) as server:
        if not check("it starts", server.says("KUBECONFIG="), server.text()):
            return
        world = World(os.path.join(state, "kubeconfig"))
        Api(world.kubeconfig).call("POST", CRDS, definition())
        threads = [Client(world, i) for i in range(CLIENTS)] + [Watcher(world, i) for i in range(WATCHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("# answers: %s" % ", ".join("%d x %s" % (world.counts[s], s) for s in sorted(world.counts)))
        check("it lives", server.child.poll() is None, server.text()[-4000:])
        check("every answer is a known one", not world.odd, *world.odd[:10])
        check("there were writes, and refused ones", len(world.created) > 20 and world.counts.get(500, 0) > 0)
        server.says("calm", 10)
        time.sleep(1.5)
        check_names(world, names_in_default(Api(world.kubeconfig)), "calm")
        shown = world.refused & world.seen
        check("nothing that was refused was ever seen", not shown, sorted(shown)[:20])
        server.signal(15)
        check("ends in order, nothing freed too early, nothing left", server.wait(30) == 0, server.text()[-6000:])
    with Server(MOBULA, state, folder) as server:
        if check("starts again", server.is_ready, server.text()):
            check_names(world, names_in_default(server.api()), "started again")


run_all(test_stress)
