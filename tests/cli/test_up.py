#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`mobula up`, `status` and `down` around one state folder, without Ray: the nodes have one CPU each,
so every pod of the page's values waits for room and nothing is ever started.

    test_up.py MOBULA VALUES

TAP. Ends only processes that it started.
"""
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

MOBULA, VALUES = sys.argv[1:3]
count = failed = 0


def check(name, ok, *why):
    global count, failed
    count += 1
    print("%s %d - %s" % ("ok" if ok else "not ok", count, name), flush=True)
    if not ok:
        failed += 1
        for item in why:
            for line in str(item).splitlines()[:30]:
                print("# " + line)
    return ok


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    def __init__(self, folder):
        self.state = os.path.join(folder, "state")
        self.dashboard = free_port()

    def words(self, *words):
        return [MOBULA, *map(str, words), "--state", self.state]

    def run(self, *words, timeout=90):
        return subprocess.run(self.words(*words), capture_output=True, text=True, timeout=timeout)

    def up_words(self, *more):
        return ("up", "--cpu", 1, "--nodes", 2, "--gpus", 8, "--dashboard-port", self.dashboard,
                "--client-port", 0, "--gcs-port", 0, *more)

    def up(self, *more):
        return self.run(*self.up_words("--detach", *more))

    def pid(self):
        with open(os.path.join(self.state, "up.lock")) as f:
            return int(f.read().split()[0])

    def board(self):
        done = self.run("status", "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait(self, condition, limit=20):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            board = self.board()
            if board and condition(board):
                return board
            time.sleep(0.1)
        return board


def lives(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid, limit=10):
    end = time.monotonic() + limit
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not lives(pid)


def head_of(board):
    pods = [p["name"] for p in board["pods"] if p["group"] == "headgroup"] if board else []
    return pods[0] if pods else None


def group_of(board, name):
    return next((g for g in board["clusters"][0]["groups"] if g["name"] == name), None)


def test_detached(w):
    done = w.up("-f", VALUES)
    check("up --detach", done.returncode == 0, done.stdout, done.stderr)
    check("prints what to export", "export KUBECONFIG=%s/kubeconfig" % w.state in done.stdout
          and "export RAY_ADDRESS=http://127.0.0.1:%d" % w.dashboard in done.stdout, done.stdout)
    check("says how to follow and stop", "mobula.log" in done.stdout and "mobula down" in done.stdout, done.stdout)
    mode = stat.S_IMODE(os.stat(os.path.join(w.state, "kubeconfig")).st_mode)
    check("the kubeconfig is for nobody else", mode == 0o600, oct(mode))
    mode = stat.S_IMODE(os.stat(w.state).st_mode)
    check("nor is the folder", mode == 0o700, oct(mode))
    board = w.wait(lambda b: head_of(b) and b["clusters"][0]["waiting"])
    check("status: the cluster and its six groups", len(board["clusters"]) == 1 and
          len(board["clusters"][0]["groups"]) == 6, board)
    check("status: two GPU nodes and a CPU node", sorted(n["gpus"] for n in board["nodes"]) == [0, 8, 8], board)
    why = " ".join(i["why"] for i in board["clusters"][0]["waiting"])
    check("status: the head waits, and why", "Insufficient cpu" in why, board["clusters"][0]["waiting"])
    text = w.run("status").stdout
    check("status as text says it too", "WAITING" in text and "Insufficient cpu" in text, text)
    check("no colours where there is no terminal", "\033" not in text, text)
    return board


def test_second_up(w):
    pid = w.pid()
    done = w.run(*w.up_words())
    check("a second up on the same state is refused, naming the pid", done.returncode == 5
          and "pid %d" % pid in done.stderr and lives(pid), done.returncode, done.stderr)
    with tempfile.TemporaryDirectory() as other:
        own = os.path.join(other, "s")
        done = subprocess.run([MOBULA, "up", "--state", own, "--dashboard-port", str(w.dashboard), "--client-port", "0",
                               "--gcs-port", "0"], capture_output=True, text=True, timeout=60)
        check("another up that wants the same port: who has it, and how to choose another", done.returncode == 5
              and "port %d" % w.dashboard in done.stderr and "pid %d" % pid in done.stderr
              and "--dashboard-port" in done.stderr and not os.path.exists(own), done.returncode, done.stderr)


def test_port_without_head(w):
    with socket.create_connection(("127.0.0.1", w.dashboard), timeout=5) as s:
        s.settimeout(5)
        try:
            end = s.recv(10)
        except ConnectionResetError:
            end = b""
        check("a local port without a head closes at once", end == b"")


def test_down_and_back(w, head):
    pid = w.pid()
    done = w.run("down")
    check("down", done.returncode == 0 and "stopped" in done.stderr, done.returncode, done.stderr)
    check("the process is gone", gone(pid))
    check("status afterwards: exit code 4", w.run("status").returncode == 4)
    check("down afterwards: exit code 4", w.run("down").returncode == 4)
    done = w.up()
    check("up again, without values", done.returncode == 0, done.stderr)
    board = w.wait(head_of)
    check("brings the same pods back", head_of(board) == head, head, board)
    check("and the same bounds", group_of(board, "cpuWG")["max"] == 4, board)


def test_new_values(w):
    w.run("down")
    done = w.up("-f", VALUES, "--set", "worker.maxReplicas=7,worker.minReplicas=2", "--idle-timeout", "30s")
    check("up with other values", done.returncode == 0, done.stderr)
    board = w.wait(lambda b: group_of(b, "cpuWG")["max"] == 7 and group_of(b, "cpuWG")["wanted"] == 2)
    check("they are applied to the cluster that is there", group_of(board, "cpuWG")["max"] == 7
          and group_of(board, "cpuWG")["wanted"] == 2 and len(board["clusters"]) == 1, board)


def names_of(board):
    return sorted(p["name"] for p in board["pods"]) if board else []


def test_another_spec(w):
    """Pods that ended with `down` are made from the spec that is there at the next `up`, others come back."""
    def workers(board):
        return [n for n in names_of(board) if "worker" in n]
    before = w.wait(lambda b: len(workers(b)) == 2)
    w.run("down")
    w.up("-f", VALUES, "--set", "worker.maxReplicas=7,worker.minReplicas=2", "--idle-timeout", "30s")
    board = w.wait(lambda b: len(workers(b)) == 2)
    check("the same values: the same pods", names_of(board) == names_of(before), names_of(before), names_of(board))
    w.run("down")
    w.up("-f", VALUES, "--set", "worker.maxReplicas=7,worker.minReplicas=2,worker.annotations.a=b", "--idle-timeout", "30s")
    board = w.wait(lambda b: len(workers(b)) == 2 and not set(workers(b)) & set(workers(before)))
    check("other workers: the workers are made anew, the head is not", head_of(board) == head_of(before)
          and not set(workers(board)) & set(workers(before)), names_of(before), names_of(board))
    w.run("down")
    w.up("-f", VALUES, "--set", "worker.maxReplicas=7,worker.minReplicas=2,image.tag=2.47.0-py311", "--idle-timeout", "30s")
    later = w.wait(lambda b: len(workers(b)) == 2 and head_of(b))
    check("another image: all of them", later and not set(names_of(later)) & set(names_of(board)), names_of(board),
          names_of(later))


def test_killed(w):
    pid = w.pid()
    os.kill(pid, signal.SIGKILL)
    check("killed", gone(pid))
    check("status: nobody runs", w.run("status").returncode == 4)
    done = w.up()
    check("up after kill -9", done.returncode == 0, done.stderr)
    board = w.wait(lambda b: b["clusters"] and group_of(b, "cpuWG")["max"] == 7)
    check("nothing is lost", board and group_of(board, "cpuWG")["max"] == 7, board)
    w.run("down", "--now")


def test_foreground(w, signals, name):
    log = tempfile.TemporaryFile("w+")
    up = subprocess.Popen(w.words(*w.up_words()), stdout=log, stderr=subprocess.STDOUT)
    w.wait(head_of)
    time.sleep(0.8)  # the view draws four times a second
    for signum in signals:
        up.send_signal(signum)
        time.sleep(0.02)
    try:
        code = up.wait(30)
    except subprocess.TimeoutExpired:
        up.kill()
        code = "it did not end"
    log.seek(0)
    text = log.read()
    check("%s: exit code 0" % name, code == 0, code, text)
    check("%s: says that it stops" % name, "stopping" in text, text)
    check("%s: a line per change, with the time" % name, " s  pod " in text and "export KUBECONFIG" in text, text)


def test_refused_before_start(w):
    done = w.up("--set", "worker.replicas=x")
    check("--detach with bad values fails in the foreground", done.returncode == 2
          and "worker.replicas" in done.stderr, done.returncode, done.stderr)
    done = w.run("down", "--purge")
    check("down --purge removes the folder", done.returncode == 0 and not os.path.exists(w.state), done.stderr)
    with tempfile.TemporaryDirectory() as other:
        open(os.path.join(other, "precious"), "w").close()
        done = subprocess.run([MOBULA, "down", "--purge", "--state", other], capture_output=True, text=True)
        check("but no folder that is not ours", done.returncode == 4 and os.listdir(other) == ["precious"], done.stderr)


def main():
    with tempfile.TemporaryDirectory(prefix="mobula-up-") as folder:
        w = World(folder)
        try:
            head = head_of(test_detached(w))
            test_second_up(w)
            test_port_without_head(w)
            test_down_and_back(w, head)
            test_new_values(w)
            test_another_spec(w)
            test_killed(w)
            test_foreground(w, [signal.SIGINT], "Ctrl-C")
            test_foreground(w, [signal.SIGTERM, signal.SIGTERM], "two signals")
            test_refused_before_start(w)
        finally:
            w.run("down", "--now")
    print("1..%d" % count)
    return 1 if failed else 0


sys.exit(main())
