#!/usr/bin/env python3
"""The page's cluster on one machine, end to end: real Ray, real kubectl where one is there.

    page_end_to_end.py MOBULA VALUES

TAP. One `mobula up` with its own state directory; every figure is read from the API or from Ray. Ends only
processes that it started. Skips, saying so, where Ray cannot be had from pip.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MOBULA, VALUES = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
CACHE = pathlib.Path(os.environ.get("MOBULA_CACHE", pathlib.Path.home() / ".cache/mobula"))
PRODUCT = "NVIDIA-A100-SXM4-80GB"
GROUPS = {1: "one-A100-80G-gpu-WG", 2: "two-A100-80G-gpu-WG", 4: "four-A100-80G-gpu-WG", 8: "eight-A100-80G-gpu-WG"}
CLUSTER = "ado-ray-kuberay"
LEAN = ("--ray-extras", "default")  # the demo's environment
number = 0
bad = 0


def check(name, ok, why=""):
    global number, bad
    number += 1
    print(f"{'ok' if ok else 'not ok'} {number} - {name}", flush=True)
    if not ok:
        bad += 1
        for line in str(why).splitlines()[:40]:
            print(f"# {line}", flush=True)
    return ok


def until(limit_s, condition, period_s=0.5):
    """The condition's first true answer, or its last one."""
    end = time.monotonic() + limit_s
    while True:
        answer = condition()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(period_s)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    def __init__(self):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="mobula-e2e-"))
        self.dashboard_port = free_port()
        found = sorted(CACHE.glob("kube/*/bin/kubectl"))
        self.kubectl_path = str(found[-1]) if found else shutil.which("kubectl")

    def mobula(self, *words, timeout=600, check_rc=True):
        done = subprocess.run([MOBULA, *words], capture_output=True, text=True, timeout=timeout)
        if check_rc and done.returncode:
            raise RuntimeError(f"mobula {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def up(self, *more, check_rc=True):
        """Never without ports of its own: the defaults may be somebody else's."""
        return self.mobula("up", "--state", self.state, "--detach", "--dashboard-port", str(self.dashboard_port),
                           "--client-port", "0", "--gcs-port", "0", *LEAN, *more, check_rc=check_rc)

    def kubectl(self, *words, timeout=60):
        return subprocess.run([self.kubectl_path, "--kubeconfig", self.state / "kubeconfig", *words],
                              capture_output=True, text=True, timeout=timeout)

    def get(self, *words):
        done = self.kubectl("get", *words, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def pods(self, group=None):
        answer = self.get("pods", "-l", "ray.io/cluster" + (f",ray.io/group={group}" if group else ""))
        return answer["items"] if answer else []

    def ready_pods(self, group):
        return [p for p in self.pods(group) if any(
            c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))]

    def pid(self):
        return int((self.state / "up.lock").read_text().split()[0])


def processes_of(state):
    """Processes that still know this state directory by environment or command line."""
    needle, found = str(state).encode(), []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "cmdline").read_bytes() or needle in (entry / "environ").read_bytes():
                found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
        except OSError:
            pass
    return found


def submit(w, driver, timeout=300):
    ray = max(CACHE.glob("ray/2.46.0-py*/bin/ray"))
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "driver.py").write_text(driver)
        return subprocess.run([ray, "job", "submit", "--address", f"http://127.0.0.1:{w.dashboard_port}", "--working-dir", folder,
                               "--", "python", "driver.py"], capture_output=True, text=True, timeout=timeout)


# Each task holds its worker until all four run, so that Ray cannot put two on one worker.
DRIVER = f"""
import ray
ray.init(logging_level="ERROR")
@ray.remote(num_cpus=0.1)
class Gate:
    def __init__(self):
        self.inside = 0
    def enter(self):
        self.inside += 1
    def count(self):
        return self.inside
@ray.remote(max_retries=0)
def where(gate, n, everybody):
    import os, time
    ray.get(gate.enter.remote())
    while ray.get(gate.count.remote()) < everybody:
        time.sleep(0.2)
    return n, os.environ.get("CUDA_VISIBLE_DEVICES", ""), ray.util.get_node_ip_address()
gate = Gate.remote()
asked = []
for n in (1, 2, 4, 8):
    asked.append(where.options(num_cpus=2*n, num_gpus=n, resources={{"{PRODUCT}": n}}).remote(gate, n, 4))
    while ray.get(gate.count.remote()) < len(asked):
        pass
for n, devices, ip in ray.get(asked):
    print("RAN", n, len(devices.split(",")), ip, flush=True)
"""


def story(w):
    w.up("-f", VALUES, "--idle-timeout", "10s")
    check("up --detach answers with a kubeconfig of mode 0600",
          oct((w.state / "kubeconfig").stat().st_mode & 0o777) == "0o600")
    head = until(240, lambda: w.ready_pods("headgroup"))
    check("the head pod becomes ready", head, w.kubectl("get", "pods,events", "-A").stdout)
    check("the CPU worker becomes ready", until(180, lambda: w.ready_pods("cpuWG")), w.kubectl("describe", "pods").stdout[-3000:])
    cluster = w.get("raycluster", CLUSTER)
    check("the group keeps its upper case, the pod's name is lower case",
          all(p["metadata"]["name"].startswith(f"{CLUSTER}-cpuwg-worker-") for p in w.pods("cpuWG")))
    ready = until(60, lambda: (w.get("raycluster", CLUSTER) or {}).get("status", {}).get("state") == "ready")
    check("status.state becomes ready", ready, json.dumps(w.get("raycluster", CLUSTER).get("status"), indent=1))
    check("kubectl wait sees RayClusterProvisioned",
          w.kubectl("wait", "--for=condition=RayClusterProvisioned", f"raycluster/{CLUSTER}", "--timeout=30s").returncode == 0)
    nodes = w.get("nodes")["items"]
    gpus = sum(int(n["status"]["capacity"].get("nvidia.com/gpu", 0)) for n in nodes)
    check("four nodes with eight GPUs each, and one without", len(nodes) == 5 and gpus == 32, f"{len(nodes)} nodes, {gpus} GPUs")
    logs = w.kubectl("logs", f"{head[0]['metadata']['name']}", "-c", "ray-head", "--tail=200").stdout
    check("kubectl logs shows what ray start printed", "Ray runtime started" in logs, logs)
    second = w.up(check_rc=False)
    check("a second up on the same state is refused, naming the process",
          second.returncode != 0 and str(w.pid()) in second.stderr, second.stdout + second.stderr)

    done = submit(w, DRIVER)
    ran = re.findall(r"RAN (\d+) (\d+) (127\.\S+)", done.stdout)
    check("tasks with 1, 2, 4 and 8 GPUs ran, each with its devices", sorted((int(n), int(d)) for n, d, _ in ran) ==
          [(1, 1), (2, 2), (4, 4), (8, 8)], done.stdout[-3000:] + done.stderr[-2000:])
    check("each on a worker of its own group", len({ip for _, _, ip in ran}) == 4, ran)
    gone = until(90, lambda: not any(w.pods(g) for g in GROUPS.values()), 1)
    check("the GPU groups are back at 0 after the idle time-out", gone, w.kubectl("get", "pods").stdout)
    check("the CPU worker stays at its minimum", len(w.ready_pods("cpuWG")) == 1, w.kubectl("get", "pods").stdout)
    restarts = [s.get("restartCount", 0) for p in w.pods() for s in p["status"].get("containerStatuses", [])]
    check("no container was restarted", restarts and not any(restarts), restarts)
    worker_replaced(w)
    killed_and_back(w, cluster)
    head_dies(w)
    stop_and_nothing_left(w)


def worker_replaced(w):
    """kubectl delete of a worker: hooks run, the group gets a new one; logs -f and watch follow."""
    old = w.ready_pods("cpuWG")[0]["metadata"]["name"]
    watch = subprocess.Popen([w.kubectl_path, "--kubeconfig", w.state / "kubeconfig", "get", "pods", "--watch", "-o", "name"],
                             stdout=subprocess.PIPE, text=True)
    follow = subprocess.Popen([w.kubectl_path, "--kubeconfig", w.state / "kubeconfig", "logs", "-f", old, "-c", "ray-worker"],
                              stdout=subprocess.PIPE, text=True)
    done = w.kubectl("delete", "pod", old, timeout=120)
    check("kubectl delete pod waits until the worker is gone", done.returncode == 0 and f'"{old}" deleted' in done.stdout,
          done.stdout + done.stderr)
    try:
        text = follow.communicate(timeout=20)[0]
    except subprocess.TimeoutExpired:
        follow.kill()
        text = "logs -f did not end: " + follow.communicate()[0]
    check("kubectl logs -f followed it to its end", "Ray runtime started" in text and "did not end" not in text, text[-2000:])
    new = until(120, lambda: [p for p in w.ready_pods("cpuWG") if p["metadata"]["name"] != old])
    check("the group has a new ready worker", new, w.kubectl("get", "pods").stdout)
    watch.terminate()
    seen = watch.communicate()[0]
    check("kubectl get --watch told of both", old in seen and new and new[0]["metadata"]["name"] in seen, seen)
    events = w.kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.reason} {end}").stdout.split()
    wanted = {"Scheduled", "Pulled", "Created", "Started", "Killing", "CreatedHeadPod", "CreatedWorkerPod"}
    check("events tell the story", wanted <= set(events), wanted - set(events))


def patience():
    """Times of the page hold on a quiet machine: a busy one gets as much more as it is busy."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


def children_of(pid):
    out = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            out += [int(child), *children_of(int(child))]
    return out


def head_dies(w):
    """The head's GCS is killed: workers are back soon, and what is lost is said."""
    gcs = [p for p in children_of(w.pid()) if b"gcs/gcs_server" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]
    worker = w.ready_pods("cpuWG")[0]["metadata"]["name"]
    os.kill(gcs[0], signal.SIGKILL)
    begin = time.monotonic()

    def is_back():
        pod = w.get("pod", worker)
        return pod and pod["status"]["containerStatuses"][0]["restartCount"] > 0 and any(
            c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    back = until(60 * patience(), is_back)
    took = time.monotonic() - begin
    # Its readiness is first asked for 10 s after its start, then every 5 s.
    check("workers are back soon after their head's death", back and took < 30 * patience(), f"{took:.1f} s")
    until(60 * patience(), lambda: w.ready_pods("headgroup"))
    events = w.kubectl("get", "events", "-A", "-o", "jsonpath={range .items[*]}{.reason} {end}").stdout.split()
    check("an event says what was lost", "HeadRestarted" in events, events)
    status = w.mobula("status", "--state", w.state).stdout
    check("and so does status", "jobs and actors submitted before are gone" in status, status)


def timed_down(w, name):
    begin = time.monotonic()
    done = w.mobula("down", "--state", w.state, check_rc=False)
    took = time.monotonic() - begin
    check(f"{name}: no more than 6 s", done.returncode == 0 and took < 6 * patience(), f"{took:.1f} s\n{done.stdout}{done.stderr}")


def killed_and_back(w, cluster):
    names = sorted(p["metadata"]["name"] for p in w.pods())
    pid = w.pid()
    os.kill(pid, signal.SIGKILL)
    left = until(20, lambda: not processes_of(w.state))
    check("kill -9 of the supervisor leaves no process", left, "\n".join(processes_of(w.state)))
    w.up()
    back = w.get("raycluster", CLUSTER)
    check("up again brings the same RayCluster back", back and back["metadata"]["uid"] == cluster["metadata"]["uid"])
    ready = until(240, lambda: len(w.ready_pods("headgroup")) == 1 and len(w.ready_pods("cpuWG")) == 1)
    check("head and worker become ready again", ready, w.kubectl("get", "pods,events").stdout[-4000:])
    check("as the same pods", sorted(p["metadata"]["name"] for p in w.pods()) == names,
          f"{names}\n{sorted(p['metadata']['name'] for p in w.pods())}")


def stop_and_nothing_left(w):
    timed_down(w, "down stops it")
    again = w.up().stdout
    check("the next up says what is lost", "jobs and actors of the former run are gone" in again, again)
    time.sleep(2)
    timed_down(w, "down while Ray starts")
    left = until(10, lambda: not processes_of(w.state))
    check("and nothing is left", left, "\n".join(processes_of(w.state)))
    status = w.mobula("status", "--state", w.state, check_rc=False)
    check("status says that nothing runs, with exit code 4", status.returncode == 4, f"{status.returncode} {status.stderr}")


def main():
    w = World()
    if not w.kubectl_path:
        print("1..0 # SKIP no kubectl here: tests/kube/build kubectl")
        return 0
    try:
        story(w)
    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
        check(f"the story goes on to its end ({type(error).__name__})", False, error)
    finally:
        w.mobula("down", "--state", w.state, check_rc=False)
        if bad:
            log = w.state / "mobula.log"
            print("# " + "\n# ".join(log.read_text(errors="replace").splitlines()[-60:]) if log.exists() else "# no log")
        shutil.rmtree(w.state, ignore_errors=True)
    print(f"1..{number}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
