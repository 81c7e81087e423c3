"""The rows of `run` that load a server: 1,000 clusters on one `up`, and the embedded API beside a real one.

Both servers of the latter get the same requests from the same client (api_load) in the same run: TLS with a
client certificate, HTTP/1.1 with keep-alive. The real one's etcd writes to disk as in production (--fsync).
"""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PODS = "/api/v1/namespaces/default/pods"
N_PODS, WATCHERS, FAN_EVENTS, CLIENTS = 5000, 500, 200, 16


def cpu_of(pids):
    """Seconds of user and system time so far."""
    total = 0.0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def rss_of(pids):
    text = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(re.search(r"^VmRSS:\s*(\d+)", t, re.M).group(1)) for t in text) / 1024


class Loader:
    """api_load against one server, with what the server's processes spent meanwhile."""

    def __init__(self, build, kubeconfig, pids, folder):
        text = pathlib.Path(kubeconfig).read_text()
        pick = lambda key: (re.search(rf'"?{key}"?:\s*"?([^"\s,}}]+)', text) or [None, None])[1]
        self.tool, self.pids, self.folder = build / "tests/bench/api_load", pids, pathlib.Path(folder)
        port = re.search(r"https://([^:/\s\"]+):(\d+)", pick("server"))[2]
        self.common = ["--port", port]
        for option, key in (("--cert", "client-certificate"), ("--key", "client-key")):
            data = pick(key + "-data")
            path = self.folder / (key + ".pem")
            path.write_bytes(base64.b64decode(data) if data else pathlib.Path(pick(key)).read_bytes())
            self.common += [option, str(path)]

    def start(self, path, requests, method="GET", body=None, kind=None, clients=CLIENTS, more=()):
        command = [str(self.tool), *self.common, "--path", path, "--requests", str(requests), "--method", method,
                   "--clients", str(clients), *more]
        if body is not None:
            file = self.folder / "body.json"
            file.write_text(json.dumps(body))
            command += ["--body", str(file)]
        if kind:
            command += ["--type", kind]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE if "--watchers" in more else None)

    def run(self, *args, **options):
        before = cpu_of(self.pids)
        process = self.start(*args, **options)
        if "--watchers" in options.get("more", ()):  # the watches are open: what follows are the events
            process.stderr.readline()
            before = cpu_of(self.pids)
        out = process.communicate(timeout=600)[0]
        result = json.loads(out)
        if process.returncode != 0:
            raise RuntimeError(f"{args[0]}: {result}")
        result["server_cpu_s"] = cpu_of(self.pids) - before
        return result


def worker_pod():
    """A worker pod as the operator makes it, without what the server fills in."""
    pod = json.loads(re.sub("@[A-Z]@", "@N@", (HERE / "worker-pod.json").read_text()))
    meta = pod["metadata"]
    pod["metadata"] = {"name": "p-@N@", "labels": meta["labels"], "annotations": meta.get("annotations", {})}
    pod.pop("status", None)
    for key in ("serviceAccount", "serviceAccountName", "nodeName", "priority", "preemptionPolicy"):
        pod["spec"].pop(key, None)
    pod["spec"]["serviceAccountName"] = "default"
    return pod


STATUS = {"status": {"phase": "Running", "podIP": "127.9.1.2", "startTime": "2026-01-01T00:00:00Z", "conditions": [
    {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "message": "pod @N@"}]}}
BEAT = {"metadata": {"annotations": {"beat": "@N@"}}}
MERGE = "application/merge-patch+json"


def measure(loader, get):
    """{what: result} of one server, in the order of the table."""
    out = {"creates": loader.run(PODS, N_PODS, "POST", worker_pod())}
    out["gets"] = loader.run(PODS + "/p-@N@", N_PODS)
    out["status patches"] = loader.run(PODS + "/p-@N@/status", N_PODS, "PATCH", STATUS, MERGE)
    out["lists of 5,000 pods"] = loader.run(PODS, 48)
    version = get(PODS + "?limit=1")["metadata"]["resourceVersion"]
    out["events to 500 watchers"] = fan = loader.run(
        PODS + "/p-@N@", FAN_EVENTS, "PATCH", BEAT, MERGE,
        more=("--watchers", str(WATCHERS), "--watch", f"{PODS}?watch=true&resourceVersion={version}"))
    fan["rate"] *= WATCHERS
    return out


def show_beside(own, peer, row, memory):
    for what, mine in own.items():
        note = f"CPU of the server {mine['server_cpu_s']:.2f} s, p99 {mine['p99_ms']:.1f} ms"
        row(f"{what}, embedded", mine["rate"], "/s", None, note)
        if peer:
            theirs = peer[what]
            note = f"CPU of the server {theirs['server_cpu_s']:.2f} s, p99 {theirs['p99_ms']:.1f} ms"
            row(f"{what}, real", theirs["rate"], "/s", None, note)
            row("  times as many", mine["rate"] / theirs["rate"], "x", 5,
                f"by CPU {theirs['server_cpu_s'] / max(mine['server_cpu_s'], 0.01):.1f} x", at_least=True)
    row("RSS after it, embedded", memory[0], "MiB", 64)
    if peer:
        row("RSS after it, real", memory[1], "MiB")


def cluster(name="c-@N@"):
    """One head and two workers that fit on no node of the bench's `up`."""
    asks = {"cpu": "1000", "memory": "1Gi"}
    pod = lambda container: {"spec": {"containers": [
        {"name": container, "image": "rayproject/ray:2.46.0", "resources": {"requests": asks, "limits": asks}}]}}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": name}, "spec": {
        "rayVersion": "2.46.0", "headGroupSpec": {"rayStartParams": {}, "template": pod("ray-head")},
        "workerGroupSpecs": [{"groupName": "w", "replicas": 2, "minReplicas": 0, "maxReplicas": 4,
                              "rayStartParams": {}, "template": pod("ray-worker")}]}}


def wait_settled(pid, limit_s):
    """Until the process has next to nothing to do for a second and a half."""
    end, quiet = time.monotonic() + limit_s, 0
    while quiet < 3 and time.monotonic() < end:
        before = cpu_of([pid])
        time.sleep(0.5)
        quiet = quiet + 1 if cpu_of([pid]) - before <= 0.03 else 0


def bench_clusters(build, api_of, row, n=1000):
    """`n` RayClusters are applied to an `up` by four clients; a fifth asks for something small meanwhile."""
    state = tempfile.mkdtemp(prefix="mobula-bench-")
    log = open(f"{state}/log", "w")
    up = subprocess.Popen([build / "mobula", "up", "--state", f"{state}/up", "--nodes", "1", "--gpus", "0", "--cpu", "1",
                           "--dashboard-port", "0", "--client-port", "0", "--gcs-port", "0"],
                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        api = api_of(f"{state}/up/kubeconfig", up)
        wait_settled(up.pid, 30)
        loader = Loader(build, f"{state}/up/kubeconfig", [up.pid], state)
        count = lambda: pod_count(api)
        before, cpu, started = count(), cpu_of([up.pid]), time.monotonic()
        load = loader.start("/apis/ray.io/v1/namespaces/default/rayclusters", n, "POST", cluster(), clients=4,
                            more=("--probe", "/api/v1/namespaces/default", "--probe-ms", "5"))
        while count() - before < 3 * n:
            if time.monotonic() - started > 600:
                raise RuntimeError(f"{count() - before} of {3 * n} pods after 600 s")
            time.sleep(0.1)
        took = time.monotonic() - started
        result = json.loads(load.communicate(timeout=600)[0])
        wait_settled(up.pid, 60)
        name = f"{n:,} clusters"
        row(f"{name}: {3 * n:,} pods made", took, "s", 15 * n / 1000)
        row("  CPU of API, operator and node", cpu_of([up.pid]) - cpu, "s", 6 * n / 1000, "until nothing is left to do")
        row("  RSS", rss_of([up.pid]), "MiB", 64 * max(1, n / 1000))
        row("  a GET meanwhile, p99", result["probe_p99_ms"], "ms", 20, f"of {result['probe_n']}, longest "
            f"{result['probe_max_ms']:.1f} ms")
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)
        shutil.rmtree(state, ignore_errors=True)


def pod_count(api):
    answer = api.get("/api/v1/pods?limit=1")
    return len(answer["items"]) + answer["metadata"].get("remainingItemCount", 0)
