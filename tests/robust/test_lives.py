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
import threading
import time

from robust import PODS, Api, Process, check, free_port, lives, processes_with, run_all, wait_until

MOBULA = sys.argv[1]
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
    return [plain_pod("plain", MARK), plain_pod("stubborn", "trap '' TERM INT HUP; while :; do %s & wait; done" % MARK, 2),
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
        check("it takes no longer than their grace", time.monotonic() - began < 15, time.monotonic() - began)
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
        check("the second Ctrl-C ends at once", time.monotonic() - began < 5, time.monotonic() - began)


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
        check("no pip network: with pip's own word", "ray[default]" in text and
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
                       ("pki/admin.crt", keep[os.path.join(state, "pki/server.crt")]), ("pki/admin.token", b""), ("pki/sa.secret", b""), ("store.db", b"rubbish" * 1000), ("kubeconfig", b"rubbish"),
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
         test_no_index, test_interrupted_pull, test_damaged_state)
run_all(*[t for t in TESTS if t.__name__ in sys.argv[2:] or not sys.argv[2:]])
