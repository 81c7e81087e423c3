#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input: each gets one clear message that names the place, a non-zero exit, and nothing left behind.

    test_input.py MOBULA

TAP. Starts nothing that stays; no Ray, no network.
"""
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time

from robust import check, free_port, lives, run_all

MOBULA = sys.argv[1]
NO_PORTS = ["--dashboard-port", "0", "--client-port", "0", "--gcs-port", "0"]
MAX_MESSAGE = 700


def run(*words, stdin=None, env=None, timeout=60, binary=MOBULA, **more):
    own = {k: v for k, v in dict(os.environ, **(env or {})).items() if v is not None}
    return subprocess.run([binary, *map(str, words)], input=stdin, capture_output=True, timeout=timeout, env=own, **more)


def refused(name, words, says, codes=(2,), limit=20, **more):
    """It ends soon with one of `codes`, says all of `says` in one short message, prints nothing else."""
    began = time.monotonic()
    try:
        done = run(*words, timeout=limit, **more)
    except subprocess.TimeoutExpired as slow:
        return check(name, False, "it did not end within %d s" % limit, slow.stdout, slow.stderr)
    text = done.stderr.decode(errors="replace")
    last = [line for line in text.splitlines() if not re.match(r"mobula \w+: warning: ", line)]
    return check(name, done.returncode in codes and done.stdout == b"" and 1 <= len(last) <= 3
                 and last[0].startswith("mobula") and len(text) < MAX_MESSAGE and all(s in text for s in says),
                 "exit code %s, wanted %s, %.1f s" % (done.returncode, codes, time.monotonic() - began),
                 "said:", text, "wanted: %s" % (says,))


def both(folder, name, options, says, **more):
    """The same for template and up; up leaves no folder."""
    refused("template, " + name, ["template", "r", "ray-cluster", *options], says, **more)
    state = os.path.join(folder, "never")
    refused("up, " + name, ["up", "--state", state, *NO_PORTS, *options], says, **more)
    if os.path.exists(state):
        check("up, %s: leaves no folder" % name, False, os.listdir(state))


def put(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return path


def test_files(folder):
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        "a%d: &a%d [%s]\n" % (i, i, ",".join(["*a%d" % (i - 1)] * 10)) for i in range(1, 12))
    for name, text, at in (
            ("a list that does not end", "a: [1\nb: 2\n", ":2:"),
            ("a tab for indentation", "head:\n\trayStartParams: {}\n", ":2:1"),
            ("a quote that does not end", "head:\n  rayVersion: \"2.46\n", ":3:"),
            ("indentation that fits nothing", "head:\n    a: 1\n  b: 2\n", ":3:"),
            ("two values on a line", "head: a: b\n", ":1:"),
            ("an alias of nothing", "head: *nowhere\n", ":1:7"),
            ("a key twice", "worker:\n  replicas: 1\n  maxReplicas: 2\n  replicas: 2\n", ":4:3"),
            ("a key twice, once in quotes", "head: {}\n\"head\": {}\n", ":2:1"),
            ("a list", "- a\n", ""), ("a text", "hello\n", ""), ("a number", "5\n", ""),
            ("laughs by the billion", laughs, ":7:"),
            ("brackets without end", "[" * 200000, ":1:"),
            ("maps without end", "a: " + "{a: " * 20000 + "1" + "}" * 20000, ":1:")):
        path = put(folder, "values.yaml", text)
        both(folder, name, ["-f", path], [path + at])
    for name, data in (("binary rubbish", random.Random(5).randbytes(100000)), ("zeros", b"\0" * 5000),
                       ("Latin-1", "head: {rayVersion: \"\xe4\"}\n".encode("latin-1")),
                       ("an ELF file", open(MOBULA, "rb").read(200000))):
        path = put(folder, "values.yaml", data)
        both(folder, name, ["-f", path], [path + ":1:"])
    path = os.path.join(folder, "big.yaml")
    with open(path, "wb") as f:
        f.write(b"head:\n  labels:\n")
        for i in range(70):
            f.write(b"".join(b"    k%09d: xxxxxxxxxxxxxxxxxxx\n" % (i * 29959 + j) for j in range(29959)))
    both(folder, "a file of 70 MB", ["-f", path], [path, "64 MiB"])
    both(folder, "a file without end", ["-f", "/dev/zero"], ["/dev/zero", "64 MiB"])
    both(folder, "a folder", ["-f", folder], [folder, "directory"], codes=(1,))
    both(folder, "a file that is not there", ["-f", folder + "/no.yaml"], [folder + "/no.yaml", "No such file"], codes=(4,))
    utf16 = put(folder, "utf16.yaml", "worker: {replicas: x}\n".encode("utf-16"))
    both(folder, "UTF-16 is read as YAML says", ["-f", utf16], ["worker.replicas"])
    empty = put(folder, "empty.yaml", "# nothing\n")
    done = run("template", "r", "ray-cluster", "-f", empty)
    check("an empty file is no values, no error", done.returncode == 0, done.stderr)


def test_values(folder):
    for path, text, expected in (
            ("worker.replicas", "x", ["whole number", '"x"']), ("worker.replicas", "1.5", ["whole number"]),
            ("worker.replicas", "{}", ["whole number", "a map"]), ("worker.replicas", "99999999999", ["whole number"]),
            ("worker.maxReplicas", "-1", ["0 or more", "-1"]), ("worker.minReplicas", "-3", ["0 or more"]),
            ("worker.numOfHosts", "two", ["whole number"]), ("worker.disabled", "5", ["true or false"]),
            ("head.rayStartParams", "[a]", ["a map", "a list"]), ("head.rayStartParams.num-cpus", "[1]", ["text", "a list"]),
            ("head.enableInTreeAutoscaling", "maybe", ["true or false", "maybe"]),
            ("head.containerEnv", "5", ["a list"]), ("head.containerEnv", "[A=b]", ["a map", "A=b"]),
            ("head.volumes", "{}", ["a list", "a map"]), ("head.tolerations", "[x]", ["a map"]),
            ("head.command", "sleep 1", ["a list", "sleep 1"]), ("head.args", "[{}]", ["text", "a map"]),
            ("head.resources", "[]", ["a map", "a list"]), ("head.resources.limits", "4", ["a map of quantities", "4"]),
            ("worker.resources.limits.cpu", "4 cores", ["a quantity", "4 cores"]),
            ("worker.resources.requests.memory", "16 GB", ["a quantity"]),
            ("worker.resources.limits.memory", "{}", ["a quantity", "a map"]),
            ("additionalWorkerGroups", "[{}]", ["a map", "a list"]), ("image", "rayproject/ray", ["a map"]),
            ("image.tag", "{}", ["text", "a map"]), ("head", "[]", ["a map"])):
        keys = path.split(".")
        lines = ["%s%s:" % ("  " * i, key) for i, key in enumerate(keys)]
        lines[-1] += " " + text
        at = put(folder, "values.yaml", "\n".join(lines) + "\n")
        shown = path + ("[0]" if text in ("[A=b]", "[x]", "[{}]") and path != "additionalWorkerGroups" else "")
        if path == "head.rayStartParams.num-cpus":
            shown = path
        both(folder, "%s: %s" % (path, text), ["-f", at], [shown, *expected])
    group = "additionalWorkerGroups:\n  gpus:\n    replicas: 0\n    minReplicas: %s\n    maxReplicas: %s\n"
    bounds = ["-f", put(folder, "v.yaml", group % (5, 2))]
    says = ["additionalWorkerGroups.gpus.maxReplicas", "2", "minReplicas 5"]
    refused("up, a maximum below the minimum", ["up", "--state", folder + "/bounds", *NO_PORTS, *bounds], says)
    done = run("template", "ado-ray", "kuberay/ray-cluster", *bounds)
    check("a maximum below the minimum: template prints it, as Helm does, and warns",
          done.returncode == 0 and all(word in done.stderr.decode() for word in says), done.stderr)
    both(folder, "a group that is a list", ["-f", put(folder, "v.yaml", "additionalWorkerGroups:\n  gpus: [1]\n")],
         ["additionalWorkerGroups.gpus", "a map", "a list"])
    both(folder, "a negative maximum of a group", ["-f", put(folder, "v.yaml", group % (0, -4))],
         ["additionalWorkerGroups.gpus.maxReplicas", "-4"])


def test_set(folder):
    for text, says in (("a", ['key "a" has no value', "^"]), ("a=b,c", ['key "c" has no value', "^"]),
                       ("a[=1", ["^"]), ("a[x]=1", ["whole number", "^"]), ("a[-1]=1", ["^"]),
                       ("a[99999999999]=1", ["^"]), ("a.b.=1", ["^"]), ("a={b", ["^"]), ("", [])):
        if text:
            both(folder, "--set %s" % text, ["--set", text], ["--set", *says])
    deep = ".".join("a" * 2000)
    both(folder, "--set of 2000 levels", ["--set", deep + "=1"], ["--set"])
    both(folder, "--set-json of half an object", ["--set-json", "head={"], ["--set-json"])
    both(folder, "--set-file of nothing", ["--set-file", "a=" + folder + "/no"], [folder + "/no"], codes=(4,))
    both(folder, "--set of a wrong type", ["--set", "worker.replicas=x"], ["worker.replicas", "whole number", '"x"'])
    both(folder, "--set over a list", ["--set", "head.volumes[0]=x"], ["head.volumes[0]", "a map"])


def test_words(folder):
    both(folder, "another version", ["--version", "9.9.9"], ["9.9.9", "1.1.0", "1.7.0"])
    refused("another chart", ["template", "r", "bitnami/redis"], ["bitnami/redis", "kuberay/ray-cluster"])
    refused("an unknown verb, a near one", ["upp"], ['"upp"', '"up"'])
    refused("an unknown verb, none near", ["frobnicate"], ['"frobnicate"', "mobula help"])
    refused("an unknown option, a near one", ["up", "--gpu", "3"], ["--gpu", "--gpus"])
    refused("an unknown option, none near", ["up", "--frobnicate"], ["--frobnicate", "mobula help up"])
    refused("a verb of 100 kB", ["x" * 100000], ["no verb"])
    refused("an option of 100 kB", ["up", "--" + "x" * 100000], ["no option"])
    refused("a verb that is no text", [b"\xff\xfe\n\x1b[31m".decode("utf-8", "surrogateescape")], ["no verb"])
    state = ["--state", os.path.join(folder, "never"), *NO_PORTS]
    for option, value, says in (
            ("--nodes", "x", "whole number"), ("--nodes", "-1", "between 0"), ("--nodes", "1e3", "whole number"),
            ("--nodes", "99999999999999999999", "whole number"), ("--nodes", "", "whole number"),
            ("--gpus", "65", "between 0 and 64"), ("--gpus", "1.5", "whole number"), ("--memory", "0", "quantity"),
            ("--memory", "-1Gi", "quantity"), ("--memory", "1TB", "quantity"), ("--memory", "a lot", "quantity"),
            ("--cpu", "many", "quantity"), ("--cpu", "", "quantity"), ("--idle-timeout", "soon", "10s"),
            ("--idle-timeout", "-5s", "10s"), ("--head-poll", "0", "500ms"), ("--gcs-port", "70000", "65535"),
            ("--dashboard-port", "-1", "65535"), ("--api-port", "http", "65535"), ("--gpu-product", "a b", "label"),
            ("--gpu-product", "", "label"), ("--ray-version", "latest; rm -rf /", "2.46.0"), ("--ray-version", "../x", "2.46.0"),
            ("--namespace", "A_b", "RFC 1123"), ("--namespace", "", "namespace"), ("--release", "A_b", "release name")):
        refused("up %s '%s'" % (option, value), ["up", *state, option, value], [option.strip("-"), says])
    check("none of them leaves a folder", not os.path.exists(os.path.join(folder, "never")))


def holds(path, before):
    return sorted(os.listdir(path)) == before if os.path.isdir(path) else not os.path.exists(path)


def test_places(folder):
    no_home = {"HOME": None, "XDG_STATE_HOME": None}
    refused("up without HOME", ["up", *NO_PORTS], ["HOME", "--state"], env=no_home)
    refused("up with an empty HOME", ["up", *NO_PORTS], ["HOME", "--state"], env=dict(no_home, HOME=""))
    refused("up with a HOME that is no path", ["up", *NO_PORTS], ["HOME", "--state"], env=dict(no_home, HOME="here"))
    for verb in ("status", "down"):
        refused("%s without HOME" % verb, [verb], ["HOME", "--state"], env=no_home)
        refused("%s without an up" % verb, [verb, "--state", os.path.join(folder, "none")],
                ["no mobula up runs", os.path.join(folder, "none")], codes=(4,))
    state = os.path.join(folder, "s")
    refused("up without a place for Ray", ["up", "--state", state, *NO_PORTS], ["XDG_CACHE_HOME"],
            env={"HOME": None, "XDG_CACHE_HOME": None})
    check("and leaves nothing", not os.path.exists(state) or not os.listdir(state), os.path.exists(state) and os.listdir(state))
    file = put(folder, "file", "x")
    for verb in ("up", "apiserver"):
        own = NO_PORTS if verb == "up" else []
        refused("%s: the state is a file" % verb, [verb, "--state", file, *own], [file, "directory"], codes=range(1, 10))
        refused("%s: the state is below a file" % verb, [verb, "--state", file + "/x", *own], [file, "directory"], codes=range(1, 10))
        refused("%s: the state is no place to write" % verb, [verb, "--state", "/proc/mobula", *own], ["/proc/mobula"], codes=range(1, 10))
        refused("%s: the state's name is too long" % verb, [verb, "--state", "/tmp/" + "x" * 300, *own], ["x" * 50], codes=range(1, 10))
    check("the file is as it was", open(file).read() == "x")
    foreign = os.path.join(folder, "foreign")
    os.mkdir(foreign, 0o755)
    put(foreign, "precious", "x")
    if os.geteuid() == 0:
        os.chown(foreign, 12345, 12345)
        refused("up: the state belongs to somebody else", ["up", "--state", foreign, *NO_PORTS], [foreign, "--state"],
                codes=range(1, 10))
        about = os.stat(foreign)
        check("it is left alone", about.st_uid == 12345 and about.st_mode & 0o777 == 0o755
              and os.listdir(foreign) == ["precious"], oct(about.st_mode), os.listdir(foreign))

        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        os.chmod(folder, 0o755)
        os.chown(foreign, 0, 0)
        # A checkout below /root is out of nobody's reach: a copy is not.
        binary = shutil.copy(MOBULA, os.path.join(folder, "mobula"))
        refused("up: a state that cannot be written", ["up", "--state", foreign + "/s", *NO_PORTS], [foreign, "denied"],
                codes=range(1, 10), preexec_fn=become_nobody, binary=binary)
        refused("up: a state of root's", ["up", "--state", foreign, *NO_PORTS], [foreign],
                codes=range(1, 10), preexec_fn=become_nobody, binary=binary)
    refused("down --purge of somebody's folder", ["down", "--purge", "--state", foreign], ["nothing is removed"], codes=(4,))
    check("it is left alone", os.listdir(foreign) == ["precious"])


def test_ports(folder):
    state = os.path.join(folder, "state")
    for option, what in (("--dashboard-port", "dashboard"), ("--client-port", "client"), ("--gcs-port", "GCS"),
                         ("--api-port", "")):
        for address, name in (("127.0.0.1", "loopback"), ("0.0.0.0", "all addresses")):
            with socket.socket() as holder:
                holder.bind((address, 0))
                holder.listen()
                port = holder.getsockname()[1]
                others = [w for o in ("--dashboard-port", "--client-port", "--gcs-port") if o != option for w in (o, 0)]
                refused("%s taken, on %s" % (option, name), ["up", "--state", state, *others, option, port],
                        ["port %d" % port, "pid %d" % os.getpid(), option], codes=(5,))
                left = [n for n in os.listdir(state)] if os.path.exists(state) else []
                if option != "--api-port":
                    check("%s taken: nothing is left" % option, not left, left)
                check("%s taken: nobody runs" % option, run("status", "--state", state).returncode == 4)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder_says = ["pid %d" % os.getpid()]
        try:
            holder.bind(("127.0.0.1", 6379))
            holder.listen()
        except OSError:
            holder_says = []  # somebody else has it: as good
        refused("port 6379 taken, no option given", ["up", "--state", state, "--dashboard-port", 0, "--client-port", 0],
                ["port 6379", "GCS", "--gcs-port", *holder_says], codes=(5,))


def test_output(folder):
    """stdout that is closed, full, or a pipe that nobody reads."""
    page = ["template", "r", "ray-cluster"]
    closed = subprocess.run("%s %s >&-" % (MOBULA, " ".join(page)), shell=True, capture_output=True, timeout=20)
    check("stdout closed: an error, not silence", closed.returncode not in (0, None) and b"mobula" in closed.stderr,
          closed.returncode, closed.stderr)
    with open("/dev/full", "w") as full:
        done = subprocess.run([MOBULA, *page], stdout=full, stderr=subprocess.PIPE, timeout=20)
        check("stdout full: an error", done.returncode != 0 and b"space" in done.stderr, done.returncode, done.stderr)
        done = subprocess.run([MOBULA, "help"], stdout=full, stderr=subprocess.PIPE, timeout=20)
        check("stdout full for help: an error", done.returncode != 0, done.returncode, done.stderr)
    done = subprocess.run([MOBULA, "version"], stdin=None, close_fds=True, capture_output=True, timeout=20,
                          preexec_fn=lambda: [os.close(0)])
    check("stdin closed: no matter", done.returncode == 0 and done.stdout.startswith(b"mobula"), done.stderr)


run_all(test_files, test_values, test_set, test_words, test_places, test_ports, test_output)
