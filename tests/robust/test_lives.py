#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An up that is interrupted, cut off from the network or killed: it says what is wrong, goes in order, and
leaves no process behind.

    test_lives.py MOBULA

TAP. No Ray is started and none is fetched: pods are plain commands, pip's index is a closed port.
"""
import os
import random
import signal
import socket
import subprocess
import sys
import time
import zipfile

from robust import (CONFIG_MAPS, PODS, Api, Process, check, config_map, free_port, lives, processes_with, run_all, skip,
                    wait_until)

MOBULA = sys.argv[1]
# Requests under way when everything goes are dropped with what waits for them: the process ends then.
os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")
NO_PORTS = ["--dashboard-port", "0", "--client-port", "0", "--gcs-port", "0"]
CANNOT_START = ["--cpu", "1"]  # no pod of the page fits


def up_words(state, *more):
    return [MOBULA, "up", "--state", state, *NO_PORTS, *more]


def nobody_left(state, limit=2):
    """Processes that name the state folder; the API's clients of this test do not."""
    wait_until(lambda: not processes_with(state), limit)
    left = processes_with(state)
    return [] if not left else subprocess.run(["ps", "-o", "pid,ppid,stat,args", "-p", ",".join(map(str, left))],
                                              capture_output=True, text=True).stdout.splitlines()


def ends(up, name, state, codes=(0,), limit=20, left_limit=2):
    code = up.wait(limit)
    check("%s: ends in order" % name, code in codes, code, up.text())
    left = nobody_left(state, left_limit)
    check("%s: no process is left" % name, not left, *left)


def test_signals_while_starting(folder):
    """A signal at any moment of the start; the next up works on what is there."""
    dice = random.Random(1)
    state = os.path.join(folder, "state")
    wrong, codes = [], {}
    for i in range(24):
        signum = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)[i % 4]
        with Process(up_words(state, *CANNOT_START), folder) as up:
            time.sleep(dice.random() * 0.25)
            up.signal(signum)
            code = up.wait(15)
            codes.setdefault(signum.name, set()).add(code)
            # Before its first line it may die of the signal, as any program does.
            if code not in (0, -signum, 128 + signum) or (code != 0 and "stopping" in up.text()):
                wrong.append("%s: %s: %s" % (signum.name, code, up.text()))
        wrong += nobody_left(state)
    print("# exit codes: %s" % codes)
    check("a signal at any moment of the start", not wrong, *wrong[:10])
    with Process(up_words(state, *CANNOT_START), folder) as up:
        check("then it starts as if nothing had been", up.says("export KUBECONFIG") and up.says("Insufficient cpu"), up.text())
        with Process(up_words(state, *CANNOT_START), folder) as second:
            code = second.wait(10)
            check("a second up on the same state is refused, with the pid", code not in (0,) and isinstance(code, int)
                  and "pid %d" % up.pid in second.text() and lives(up.pid), code, second.text())
        up.signal(signal.SIGINT)
        ends(up, "Ctrl-C", state)


def test_signals(folder):
    for name, signals in (("SIGTERM", [signal.SIGTERM]), ("SIGHUP", [signal.SIGHUP]),
                          ("Ctrl-C twice", [signal.SIGINT, signal.SIGINT]),
                          ("Ctrl-C ten times", [signal.SIGINT] * 10),
                          ("Ctrl-C, then SIGTERM", [signal.SIGINT, signal.SIGTERM])):
        state = os.path.join(folder, "s")
        with Process(up_words(state, *CANNOT_START), folder) as up:
            up.says("export KUBECONFIG")
            for signum in signals:
                if up.child.poll() is None:
                    up.signal(signum)
                time.sleep(0.01)
            ends(up, name, state)


def test_no_reader(folder):
    state = os.path.join(folder, "closed")
    with Process(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *up_words(state, *CANNOT_START)], folder) as up:
        ready = wait_until(lambda: os.path.exists(os.path.join(state, "kubeconfig")), 15)
        time.sleep(1)
        check("up with stdout and stderr closed runs", ready and up.child.poll() is None, up.child.poll())
        check("and nothing is written into its files", ready and b"export" not in
              b"".join(open(os.path.join(state, n), "rb").read() for n in ("up.lock", "kubeconfig", "store.db")))
        status = subprocess.run([MOBULA, "status", "--state", state], capture_output=True, text=True)
        check("status finds it", status.returncode == 0, status.stderr)
        up.signal(signal.SIGTERM)
        ends(up, "stdout closed", state)
    state = os.path.join(folder, "pipe")
    with Process(up_words(state, *CANNOT_START), folder, stdout=subprocess.PIPE) as up:
        up.child.stdout.readline()
        up.child.stdout.close()
        time.sleep(2)
        check("up whose reader went away runs", up.child.poll() is None, up.child.poll())
        up.signal(signal.SIGTERM)
        ends(up, "reader gone", state)
    state = os.path.join(folder, "slow")
    read_end, write_end = os.pipe()
    with Process(up_words(state, *CANNOT_START), folder, stdout=write_end) as up:
        os.close(write_end)
        wait_until(lambda: os.path.exists(os.path.join(state, "kubeconfig")), 15)
        up.signal(signal.SIGTERM)
        ends(up, "nobody reads the pipe", state)
    os.close(read_end)


def plain_pod(name, command, grace=30, init=None):
    spec = {"terminationGracePeriodSeconds": grace,
            "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", command]}]}
    if init:
        spec["initContainers"] = [{"name": "i", "image": "busybox", "command": ["sh", "-c", init]}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def run_pods(state, pods, phases=("Running",)):
    api = Api(os.path.join(state, "kubeconfig"))
    for item in pods:
        status, answer = api.call("POST", PODS, item)
        if status != 201:
            raise RuntimeError("%s: %s" % (status, answer))
    names = [item["metadata"]["name"] for item in pods]

    def runs():
        answers = [api.call("GET", PODS + "/" + n)[1].get("status", {}).get("phase") for n in names]
        return all(phase in phases for phase in answers)

    ok = wait_until(runs, 30, 0.2)
    api.close()
    return ok


MARK = "sleep 98765"


def busy_pods():
    """A plain one, one that ignores TERM, one with children in sessions of their own, one not yet started."""
    return [plain_pod("plain", "trap 'exit 0' TERM; %s & wait" % MARK), plain_pod("stubborn", "trap '' TERM INT HUP; while :; do %s & wait; done" % MARK, 2),
            plain_pod("daemons", "setsid setsid %s & (%s & ) ; (trap '' TERM; setsid nohup %s) & %s" % ((MARK,) * 4), 2)]


def test_killed_with_pods(folder):
    state = os.path.join(folder, "state")
    own = os.path.join(folder, "own")
    os.mkdir(own)
    with Process(up_words(state, *CANNOT_START, "--nodes", "6"), folder, env={"ROBUST_MARK": folder}) as up:
        if not check("pods run", up.says("export KUBECONFIG") and run_pods(state, busy_pods()), up.text()):
            return
        before = [p for p in processes_with("sleep") if MARK in " ".join(open("/proc/%d/cmdline" % p).read().split("\0"))]
        check("their processes are there", len(before) >= 3, before)
        os.kill(up.pid, signal.SIGKILL)
        up.wait(5)
        wait_until(lambda: not any(lives(p) for p in before), 2)
        left = [p for p in before if lives(p)]
        check("kill -9: no process of a pod lives on after 2 s", not left, left)
        left = nobody_left(state, 2)
        check("kill -9: nor any other of its own", not left, *left)
    with Process(up_words(state, *CANNOT_START, "--nodes", "6"), folder) as up:
        check("the next up has the pods again", up.says("export KUBECONFIG") and run_pods(state, [], ()) is not None
              and wait_until(lambda: all("pod %s" % n in up.text() for n in ("plain", "stubborn", "daemons")), 20), up.text())
        time.sleep(1)
        began = time.monotonic()
        up.signal(signal.SIGINT)
        ends(up, "Ctrl-C with pods that ignore TERM", state, limit=40)
        check("it takes no longer than their grace", time.monotonic() - began < 35, time.monotonic() - began)
        left = [p for p in processes_with("sleep") if MARK in " ".join(open("/proc/%d/cmdline" % p).read().split("\0"))]
        check("no process of a pod is left", not left, left)


def test_second_ctrl_c_with_pods(folder):
    state = os.path.join(folder, "state")
    with Process(up_words(state, *CANNOT_START, "--nodes", "6"), folder) as up:
        slow = plain_pod("slow", "trap 'sleep 60' TERM; while :; do sleep 1; done", 60)
        check("a pod with a long grace runs", up.says("export KUBECONFIG") and run_pods(state, [slow]), up.text())
        up.signal(signal.SIGINT)
        up.says("stopping")
        time.sleep(1)
        check("it waits for the grace", up.child.poll() is None, up.text())
        up.signal(signal.SIGINT)
        began = time.monotonic()
        ends(up, "the second Ctrl-C", state)
        check("the second Ctrl-C ends at once", time.monotonic() - began < 30, time.monotonic() - began)


def no_index(folder, index):
    """An environment in which pip has nothing: an empty cache, and this index."""
    home = os.path.join(folder, "home")
    os.makedirs(home, exist_ok=True)
    env = {"HOME": home, "XDG_CACHE_HOME": os.path.join(home, "cache"), "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": "/dev/null",
           "PIP_CACHE_DIR": os.path.join(home, "pip"), "PIP_RETRIES": "0", "PIP_TIMEOUT": "60", "PIP_EXTRA_INDEX_URL": "",
           "PIP_FIND_LINKS": "", "NO_PROXY": "*", "no_proxy": "*"}
    return env


def waiting_reasons(state):
    api = Api(os.path.join(state, "kubeconfig"))
    found = []
    for pod in api.call("GET", PODS)[1]["items"]:
        for status in pod.get("status", {}).get("initContainerStatuses", []) + pod.get("status", {}).get("containerStatuses", []):
            waiting = status.get("state", {}).get("waiting", {})
            found.append((waiting.get("reason", ""), waiting.get("message", "")))
    api.close()
    return found


def events_of(state):
    api = Api(os.path.join(state, "kubeconfig"))
    items = api.call("GET", "/api/v1/namespaces/default/events")[1]["items"]
    api.close()
    return [(e.get("reason"), e.get("message", "")) for e in items]


def test_no_index(folder):
    state = os.path.join(folder, "state")
    env = no_index(folder, "http://127.0.0.1:%d/simple" % free_port())
    with Process(up_words(state), folder, env=env) as up:
        check("no pip network: up comes up", up.says("export KUBECONFIG"), up.text())
        failed = wait_until(lambda: [r for r in waiting_reasons(state) if r[0] in ("ErrImagePull", "ImagePullBackOff")], 90, 0.5)
        check("no pip network: the pod shows ErrImagePull or ImagePullBackOff", failed, waiting_reasons(state), up.text())
        text = " ".join(m for r, m in events_of(state) if r == "Failed") + str(failed)
        check("no pip network: with pip's own word", "ray[all]" in text and
              any(w in text for w in ("No matching distribution", "Could not find", "Connection refused", "ERROR")), text)
        check("no pip network: and the next step", "network" in text and "index" in text, text)
        shown = subprocess.run([MOBULA, "status", "--state", state], capture_output=True, text=True)
        check("no pip network: status says it", shown.returncode == 0 and
              any(w in shown.stdout for w in ("ErrImagePull", "ImagePullBackOff")), shown.stdout)
        check("no pip network: up says it", any(w in up.text() for w in ("ErrImagePull", "ImagePullBackOff", "installing ray")), up.text())
        check("no pip network: up runs on", up.child.poll() is None, up.text())
        up.signal(signal.SIGINT)
        ends(up, "no pip network, Ctrl-C", state)
        left = processes_with(env["XDG_CACHE_HOME"])
        check("no pip network: no pip is left", not left, left)


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while f.write(b"x" * 4096):
                pass
        except OSError:
            pass


def test_disk_full(folder):
    state = os.path.join(folder, "state")
    os.mkdir(state, 0o700)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", state],
                                           capture_output=True).returncode:
        skip("disk full under an up", "no tmpfs can be mounted here")
        return
    try:
        with Process(up_words(state, *CANNOT_START), folder) as up:
            up.says("Insufficient cpu")
            fill(state + "/ballast")
            api = Api(os.path.join(state, "kubeconfig"))
            for i in range(200):
                status, _ = api.call("POST", CONFIG_MAPS, config_map("c-%d" % i, "x" * 8000))
                if status != 201:
                    break
            check("disk full: up says it, and what to do", status == 500 and up.says("free some space", 10), status, up.text())
            check("disk full: up runs on", up.child.poll() is None, up.text())
            os.unlink(state + "/ballast")
            check("space again: up says it", up.says("takes writes again", 15), up.text())
            fill(state + "/ballast")
            up.signal(signal.SIGINT)
            ends(up, "disk full, Ctrl-C", state)
    finally:
        subprocess.run(["umount", "-l", state], check=False)


def strange_pods():
    """Specs that a kubelet must survive; none of them may reach out of its own folders."""
    def change(name, container=None, **spec):
        pod = plain_pod(name, "exit 0", 1)
        pod["spec"]["restartPolicy"] = "Never"
        pod["spec"]["containers"][0].update(container or {})
        pod["spec"].update(spec)
        return pod

    def volume(name, source, mount, **more):
        return change(name, {"volumeMounts": [dict({"name": "v", "mountPath": mount}, **more)]}, volumes=[dict({"name": "v"}, **source)])

    empty = {"emptyDir": {}}
    yield change("no-program", {"command": ["/no/such/program"]})
    yield change("a-folder", {"command": ["/tmp"]})
    yield change("empty-word", {"command": [""]})
    yield change("a-long-word", {"command": ["echo", "x" * 500000]})
    yield change("many-words", {"command": ["echo"], "args": ["x"] * 100000})
    yield change("many-variables", {"env": [{"name": "V%d" % i, "value": "x" * 1000} for i in range(2000)]})
    yield change("circular", {"env": [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "$(A)$(A)"}], "command": ["echo", "$(A)$(B)$$(A)$("]})
    yield change("no-folder", {"workingDir": "/no/such/folder"})
    yield change("upwards", {"workingDir": "../../../.."})
    yield volume("mount-root", empty, "/")
    yield volume("mount-proc", empty, "/proc")
    yield volume("mount-up", empty, "/../../../../etc/robust")
    yield volume("mount-etc", empty, "/etc")
    yield volume("sub-up", empty, "/mnt", subPath="../../../../etc")
    yield volume("sub-deep", empty, "/mnt", subPath="a/" * 500)
    yield volume("no-map", {"configMap": {"name": "nowhere"}}, "/mnt")
    yield volume("path-up", {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "../../escaped"}]}}, "/mnt")
    yield volume("no-claim", {"persistentVolumeClaim": {"claimName": "../../../../etc"}}, "/mnt")
    yield volume("host-path", {"hostPath": {"path": "/no/such/path", "type": "Directory"}}, "/mnt")
    yield change("probes", {"command": ["sleep", "1000"], "livenessProbe": {"exec": {"command": ["/no/such"]}, "periodSeconds": 1, "failureThreshold": 1},
                            "readinessProbe": {"httpGet": {"path": "/" + "x" * 5000, "port": 1}, "periodSeconds": 1},
                            "startupProbe": {"tcpSocket": {"port": "nowhere"}, "periodSeconds": 1}})
    yield change("hooks", {"command": ["sleep", "1000"], "lifecycle": {"postStart": {"exec": {"command": ["false"]}}, "preStop": {"exec": {"command": ["sleep", "100"]}}}})
    yield change("fork-and-flood", {"command": ["sh", "-c", "yes | head -c 30000000; exit 3"]})
    yield change("no-newline", {"command": ["sh", "-c", "head -c 3000000 /dev/zero; head -c 100000 /dev/urandom"]})
    yield change("closes-all", {"command": ["sh", "-c", "exec 0<&- 1>&- 2>&-; sleep 1"]})
    yield change("huge", {"resources": {"requests": {"cpu": "9e18", "memory": "9Ei"}}})
    yield change("no-node", nodeName="nowhere")
    yield change("own-group", hostNetwork=True, hostPID=True)
    yield change("killer", {"command": ["sh", "-c", "kill -9 -1; kill -9 1; kill -9 $PPID; exit 0"]})


def test_strange_pods(folder):
    state = os.path.join(folder, "state")
    with Process(up_words(state, *CANNOT_START, "--nodes", "20"), folder) as up:
        up.says("export KUBECONFIG")
        api = Api(os.path.join(state, "kubeconfig"), timeout=60)
        taken, refused = [], []
        for item in strange_pods():
            status, answer = api.call("POST", PODS, item)
            (taken if status == 201 else refused).append(item["metadata"]["name"])
            if status not in (201, 400, 403, 422):
                check("a strange pod is taken or refused", False, item["metadata"]["name"], status, answer)
            time.sleep(0.05)
        print("# refused: %s" % " ".join(refused))
        time.sleep(6)
        check("%d strange pods: up lives" % len(taken), up.child.poll() is None and len(taken) > 15, taken, up.text()[-3000:])
        check("and runs a plain one beside them", run_pods(state, [plain_pod("plain", "trap 'exit 0' TERM; sleep 1000 & wait")]),
              up.text()[-2000:])
        for name in taken:
            api.call("GET", "%s/%s/log?tailLines=5" % (PODS, name))
        check("their logs can be asked for", up.child.poll() is None)
        check("nothing reached out of its folder", not any(os.path.lexists(p) for p in (
            "/etc/robust", os.path.join(state, "escaped"), os.path.join(folder, "escaped"))))
        for name in taken[::2]:
            api.call("DELETE", "%s/%s?gracePeriodSeconds=0" % (PODS, name))
        time.sleep(1)
        check("half of them deleted at once: up lives", up.child.poll() is None, up.text()[-2000:])
        up.signal(signal.SIGINT)
        ends(up, "strange pods, Ctrl-C", state, limit=60)


def wheel_of_ray(folder, version):
    """A package that is called ray and does nothing: what a pull does is the same."""
    os.makedirs(folder)
    info = "ray-%s.dist-info" % version
    files = {"ray/__init__.py": "def main():\n    pass\n",
             info + "/METADATA": "Metadata-Version: 2.1\nName: ray\nVersion: %s\nProvides-Extra: all\n" % version,
             info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
             info + "/entry_points.txt": "[console_scripts]\nray = ray:main\n"}
    files[info + "/RECORD"] = "".join("%s,,\n" % name for name in [*files, info + "/RECORD"])
    with zipfile.ZipFile(os.path.join(folder, "ray-%s-py3-none-any.whl" % version), "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


def test_pull(folder):
    """pip without a network but with a folder of wheels: it is enough; a version that is not there is said."""
    wheels, state = os.path.join(folder, "wheels"), os.path.join(folder, "state")
    wheel_of_ray(wheels, "2.46.0")
    env = dict(no_index(folder, ""), PIP_NO_INDEX="1", PIP_FIND_LINKS=wheels)
    with Process(up_words(state), folder, env=env) as up:
        up.says("export KUBECONFIG")
        pulled = wait_until(lambda: [m for r, m in events_of(state) if r == "Pulled"], 90, 0.5)
        check("a pull from a folder of wheels", pulled, events_of(state), up.text())
        cache = os.path.join(env["XDG_CACHE_HOME"], "mobula", "ray")
        made = [n for n in os.listdir(cache) if n.startswith("2.46.0-py3") and "." not in n[len("2.46.0"):]]
        check("makes the environment whole", len(made) == 1 and os.access(os.path.join(cache, made[0], "bin/ray"), os.X_OK)
              and not [n for n in os.listdir(cache) if n.endswith(".new")], os.listdir(cache))
        wait_until(lambda: not processes_with(".new"), 2)
        check("and leaves no helper of the pull", not [p for p in processes_with("mobula-pull") if p != os.getpid()])
        up.signal(signal.SIGINT)
        ends(up, "pulled, Ctrl-C", state, limit=40)
    with Process(up_words(state, "--ray-version", "2.99.9"), folder, env=env) as up:
        up.says("export KUBECONFIG")
        failed = wait_until(lambda: [m for r, m in events_of(state) if r == "Failed" and "2.99.9" in m], 90, 0.5)
        check("a version that is not there: pip's word", failed and "No matching distribution" in failed[0], events_of(state))
        up.signal(signal.SIGINT)
        ends(up, "no such version, Ctrl-C", state, limit=40)


def test_interrupted_pull(folder):
    """pip waits for an index that never answers."""
    for name, signals, codes in (("Ctrl-C", [signal.SIGINT], (0,)), ("SIGTERM twice", [signal.SIGTERM] * 2, (0,)),
                                 ("kill -9", [signal.SIGKILL], (-9,))):
        own = os.path.join(folder, name.replace(" ", "-"))
        os.mkdir(own)
        state = os.path.join(own, "state")
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            env = no_index(own, "http://127.0.0.1:%d/simple" % silent.getsockname()[1])
            with Process(up_words(state), own, env=env) as up:
                up.says("export KUBECONFIG")
                silent.settimeout(90)
                try:
                    connection, _ = silent.accept()
                except TimeoutError:
                    check("%s during the pull: pip asks" % name, False, up.text())
                    continue
                pulls = processes_with(env["XDG_CACHE_HOME"])
                check("%s during the pull: pip is at work" % name, len(pulls) >= 2, pulls)
                for signum in signals:
                    up.signal(signum)
                    time.sleep(0.3)
                ends(up, "%s during the pull" % name, state, codes)
                wait_until(lambda: not processes_with(env["XDG_CACHE_HOME"]), 2)
                left = processes_with(env["XDG_CACHE_HOME"])
                check("%s during the pull: pip is gone too" % name, not left, left)
                connection.close()


def test_damaged_state(folder):
    state = os.path.join(folder, "state")
    with Process(up_words(state, *CANNOT_START), folder) as up:
        up.says("Insufficient cpu")
        up.signal(signal.SIGTERM)
        ends(up, "a state to damage", state)
    keep = {}
    for folder_, _, names in os.walk(state):
        for name in names:
            path = os.path.join(folder_, name)
            keep[path] = open(path, "rb").read()
    for name, data in (("pki/ca.crt", b"rubbish"), ("pki/server.crt", b"rubbish"), ("pki/server.key", b""),
                       ("pki/admin.key", keep[os.path.join(state, "pki/server.key")]), ("pki/admin.token", b""), ("pki/sa.secret", b""), ("store.db", b"rubbish" * 1000), ("kubeconfig", b"rubbish"),
                       ("port", b"rubbish"), ("up.lock", b"rubbish"), ("autoscaler.json", b"{"), ("store.lock", b"rubbish")):
        path = os.path.join(state, name)
        if not os.path.exists(path):
            continue
        with open(path, "wb") as f:
            f.write(data)
        with Process(up_words(state, *CANNOT_START), folder) as up:
            started = up.says("Insufficient cpu", 10)
            if started:  # what it can make anew, it makes
                up.signal(signal.SIGTERM)
            code = up.wait(15)
            # Keys and objects are not made anew; the rest is.
            precious = name.startswith("pki/") or name == "store.db"
            check("damaged %s: %s" % (name, "a clear error that names it" if precious else "is made anew"),
                  (not started and code not in (0,) and isinstance(code, int) and code > 0 and
                   os.path.basename(name) in up.text() and len(up.text().splitlines()) <= 3)
                  if precious else (started and code == 0), code, up.text())
        with open(path, "rb") as f:
            if precious:
                check("damaged %s: is not overwritten" % name, f.read() == data)
        with open(path, "wb") as f:
            f.write(keep[path])
    check("no process is left", not nobody_left(state))
    with Process(up_words(state, *CANNOT_START), folder) as up:
        check("with the files back it starts again", up.says("Insufficient cpu"), up.text())
        up.signal(signal.SIGTERM)
        ends(up, "files back", state)


TESTS = (test_signals_while_starting, test_signals, test_no_reader, test_killed_with_pods, test_second_ctrl_c_with_pods,
         test_disk_full, test_strange_pods, test_no_index, test_pull, test_interrupted_pull, test_damaged_state)
run_all(*[t for t in TESTS if t.__name__ in sys.argv[2:] or not sys.argv[2:]])
