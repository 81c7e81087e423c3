"""src/ray against a real Ray head and worker: state, demand, gangs, report, drains.

Run by tests/ray/run_gcs (meson test). Everything lives in PID and mount namespaces of its own, so
that nothing of it survives; addresses are 127.0.9.x with ports of their own.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

PROBE, RAY_BIN = sys.argv[1], sys.argv[2]
HEAD_IP, WORKER_IP, PORT = "127.0.9.12", "127.0.9.13", 17379
CAPTURE = os.environ.get("MOBULA_CAPTURE")  # a folder: keep reply bytes for the fuzz corpus

NODE = r"""
set -e
mkdir -p /tmp/ray
mount -t tmpfs none /tmp/ray
mount -t tmpfs none /dev/shm
mount -t proc proc /proc
exec ray start --block "$@"
"""

DRIVER = r"""
import ray, sys, time
from ray.util.placement_group import placement_group
ray.init(address=sys.argv[1], log_to_driver=False)

@ray.remote(num_cpus=1, num_gpus=1)
def busy():
    time.sleep(600)

@ray.remote(num_cpus=1, num_gpus=16)
def too_big():
    pass

running = busy.remote()
waiting = [too_big.remote() for _ in range(3)]
group = placement_group([{"CPU": 1, "GPU": 8, "full-worker": 1}] * 2, strategy="STRICT_SPREAD")
from ray.autoscaler.sdk import request_resources
request_resources(bundles=[{"GPU": 4}])
print("submitted", flush=True)
sys.stdin.read()
"""


def base_env():
    env = dict(os.environ)
    env.update(
        PATH=RAY_BIN + ":" + env["PATH"], HOME=HOME, RAY_AUTH_MODE="disabled",
        RAY_prestart_worker_first_driver="0", RAY_enable_worker_prestart="0",
        RAY_enable_metrics_collection="0", RAY_enable_autoscaler_v2="1",
        RAY_gcs_pull_resource_loads_period_milliseconds="100")
    return env


def namespaces():
    return [] if os.geteuid() == 0 else ["--user", "--map-root-user"]


def start_node(name, group, base, *flags):
    env = base_env()
    env.update(RAY_CLOUD_INSTANCE_ID=name, RAY_NODE_TYPE_NAME=group)
    log = open(os.path.join(HOME, name + ".log"), "w")
    ports = ["--dashboard-agent-listen-port", "--dashboard-agent-grpc-port",
             "--runtime-env-agent-port", "--metrics-export-port", "--node-manager-port",
             "--object-manager-port"]
    flags = list(flags) + [f"{p}={base + i}" for i, p in enumerate(ports)]
    flags += ["--disable-usage-stats", "--object-store-memory=80000000", "--memory=1000000000",
              "--min-worker-port=0", "--max-worker-port=0"]
    return subprocess.Popen(
        ["unshare", *namespaces(), "--mount", "--pid", "--fork", "--kill-child",
         "bash", "-c", NODE, "node", *flags], env=env, stdout=log, stderr=log)


def inside(node, *command):
    """The command's words to run something where the node runs."""
    children = open(f"/proc/{node.pid}/task/{node.pid}/children").read().split()
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", "--target", children[0], *user, "--mount", "--pid", *command]


def probe(*words):
    done = subprocess.run([PROBE, HEAD_IP, str(PORT), *words], capture_output=True, timeout=30)
    if done.returncode != 0:
        return None
    return done.stdout if words[0] == "raw" else json.loads(done.stdout or b"{}")


def capture(name):
    if CAPTURE:
        with open(os.path.join(CAPTURE, name), "wb") as out:
            out.write(probe("raw"))


def wait(what, seconds, check):
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            print(f"ok: {what}", flush=True)
            return found
        if time.monotonic() > end:
            for name in os.listdir(HOME):
                if name.endswith(".log"):
                    print(f"--- {name}\n" + open(os.path.join(HOME, name)).read()[-1500:])
            raise SystemExit(f"FAILED: {what}\nlast state: {probe('state')}")
        time.sleep(0.1)


def expect(what, ok):
    if not ok:
        raise SystemExit(f"FAILED: {what}\nlast state: {probe('state')}")
    print(f"ok: {what}", flush=True)


def node_of(instance):
    state = probe("state") or {"nodes": []}
    return next((n for n in state["nodes"] if n["instance"] == instance), None)


def check_state():
    head, worker = node_of("pod-head"), node_of("pod-worker")
    expect("the head's group is known", head["type"] == "headgroup" and head["ip"] == HEAD_IP)
    expect("the worker's group is known", worker["type"] == "gpu-group")
    total = worker["total"]
    expect("the worker's resources are whole",
           total["CPU"] == 2 and total["GPU"] == 8 and total["full-worker"] == 1
           and total["memory"] == 1e9)
    wait("an unused worker is idle", 20, lambda: (
        lambda n: n and n["status"] == 3 and n["idle_ms"] > 0)(node_of("pod-worker")))


def check_demand():
    state = wait("three tasks of 16 GPUs wait", 20, lambda: (
        lambda s: s and any(p["shape"].get("GPU") == 16 and p["count"] == 3
                            for p in s["pending"]) and s["gangs"] and s["constraints"] and s)(
                                probe("state")))
    gang = state["gangs"][0]
    expect("the gang is STRICT_SPREAD", gang["kind"] == 1)
    expect("the gang has two bundles of 8 GPUs",
           [b["shape"].get("GPU") for b in gang["bundles"]] == [8, 8])
    expect("request_resources is seen",
           any(c["shape"].get("GPU") == 4 for c in state["constraints"]))
    capture("demand.bin")


def check_busy_drain():
    worker = wait("the worker is busy", 20, lambda: (
        lambda n: n and n["status"] == 1 and n["available"].get("GPU") == 7 and n)(
            node_of("pod-worker")))
    answer = probe("drain", worker["id"])
    expect("a busy worker's drain is refused",
           answer["accepted"] is False and answer["rejection"] != "")
    time.sleep(0.5)
    expect("and it lives on", node_of("pod-worker")["status"] == 1)


def check_report(head):
    probe("report", str(int(time.time() * 1000)))
    text = subprocess.run(inside(head, "ray", "status", f"--address={HEAD_IP}:{PORT}"),
                          env=base_env(), capture_output=True, text=True, timeout=60)
    expect("ray status shows what is starting", "group-that-starts" in text.stdout)
    expect("ray status shows what is launched", "group-to-launch" in text.stdout)
    expect("ray status shows failures", "group-that-failed" in text.stdout)


def check_idle_drain():
    worker = wait("the worker is idle again", 60, lambda: (
        lambda n: n and n["status"] == 3 and n)(node_of("pod-worker")))
    capture("idle.bin")
    answer = probe("drain", worker["id"])
    expect("an idle worker's drain is accepted", answer["accepted"] is True)
    wait("and it is dead", 10, lambda: node_of("pod-worker")["status"] == 2)
    capture("dead.bin")


def main():
    head = start_node("pod-head", "headgroup", 17400, "--head", f"--node-ip-address={HEAD_IP}",
                      f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false",
                      "--include-log-monitor=false", "--no-monitor",
                      "--ray-client-server-port=17390")
    running = [head]
    try:
        wait("the head answers", 90, lambda: node_of("pod-head"))
        capture("head.bin")
        worker = start_node("pod-worker", "gpu-group", 17420, f"--address={HEAD_IP}:{PORT}",
                            f"--node-ip-address={WORKER_IP}", "--num-cpus=2", "--num-gpus=8",
                            '--resources={"full-worker": 1}')
        running.append(worker)
        wait("the worker joins", 90, lambda: node_of("pod-worker"))
        check_state()
        script = os.path.join(HOME, "driver.py")
        with open(script, "w") as out:
            out.write(DRIVER)
        driver = subprocess.Popen(
            inside(head, os.path.join(RAY_BIN, "python"), script, f"{HEAD_IP}:{PORT}"),
            env=base_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        running.append(driver)
        expect("the driver submits", any("submitted" in line for line in iter(
            driver.stdout.readline, "") if "submitted" in line))
        check_demand()
        check_busy_drain()
        check_report(head)
        driver.stdin.close()  # it ends, and its tasks with it
        driver.wait(60)
        check_idle_drain()
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
    print("gcs: ok")


with tempfile.TemporaryDirectory(prefix="mobula-gcs-") as HOME:
    main()
