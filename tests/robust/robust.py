# SPDX-License-Identifier: Apache-2.0
"""What the robustness tests share: TAP lines, processes that end with the test, and an HTTPS client of
the embedded API."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

_count = 0
_failed = 0


def is_sanitized(binary):
    """Address Sanitizer keeps freed memory for a while: numbers of memory say nothing then."""
    with open(binary, "rb") as f:
        return b"__asan_init" in f.read()


def check(name, ok, *why):
    global _count, _failed
    _count += 1
    print("%s %d - %s" % ("ok" if ok else "not ok", _count, name), flush=True)
    if not ok:
        _failed += 1
        for item in why:
            for line in str(item).splitlines()[:30]:
                print("# " + line[:400], flush=True)
    return ok


def skip(name, why):
    global _count
    _count += 1
    print("ok %d - %s # SKIP %s" % (_count, name, why), flush=True)


def run_all(*tests):
    """Each test gets a folder of its own; one that raises is a failure, not the end."""
    for test in tests:
        try:
            with tempfile.TemporaryDirectory(prefix="mobula-robust-") as folder:
                test(folder)
        except Exception as error:
            check("%s goes through" % test.__name__, False, "%s: %s" % (type(error).__name__, error))
    print("1..%d" % _count)
    sys.exit(1 if _failed else 0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, limit=20, step=0.05):
    end = time.monotonic() + limit
    while True:
        found = condition()
        if found or time.monotonic() > end:
            return found
        time.sleep(step)


def lives(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_with(text):
    """Pids of processes with `text` in their command line or environment."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        for part in ("cmdline", "environ"):
            try:
                with open("/proc/%s/%s" % (name, part), "rb") as f:
                    if text.encode() in f.read() and lives(int(name)):
                        found.append(int(name))
                        break
            except OSError:
                pass
    return sorted(found)


class Process:
    """A child with its output in a file; never outlives the `with`."""

    def __init__(self, words, folder, env=None, **more):
        self.path = os.path.join(folder, "output-%d" % time.monotonic_ns())
        with open(self.path, "w") as out:
            options = dict(stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            options.update(more)
            self.child = subprocess.Popen([str(w) for w in words], env=dict(os.environ, **(env or {})), **options)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def text(self):
        with open(self.path, errors="replace") as f:
            return f.read()

    def says(self, word, limit=20):
        return wait_until(lambda: word in self.text() or self.child.poll() is not None, limit) and word in self.text()

    def signal(self, signum):
        self.child.send_signal(signum)

    def wait(self, limit=30):
        try:
            return self.child.wait(limit)
        except subprocess.TimeoutExpired:
            return "it did not end within %s s" % limit


def _field(kubeconfig, name):
    return re.search(r"%s:\s*\"?([^\s\"]+)" % name, kubeconfig).group(1)


class Api:
    """One connection to the API of a kubeconfig, by its client certificate unless told otherwise."""

    def __init__(self, kubeconfig, certificate=None, anonymous=False, timeout=20):
        with open(kubeconfig) as f:
            text = f.read()
        self.host, self.port = re.search(r"https://([^:]+):(\d+)", text).groups()
        self.timeout = timeout
        self.tls = ssl.create_default_context(
            cadata=base64.b64decode(_field(text, "certificate-authority-data")).decode())
        if certificate:
            self.tls.load_cert_chain(certificate)
        elif not anonymous:
            with tempfile.NamedTemporaryFile("wb") as pem:
                pem.write(base64.b64decode(_field(text, "client-certificate-data")))
                pem.write(base64.b64decode(_field(text, "client-key-data")))
                pem.flush()
                self.tls.load_cert_chain(pem.name)
        self.connection = None

    def connect(self):
        if not self.connection:
            self.connection = http.client.HTTPSConnection(self.host, int(self.port), timeout=self.timeout,
                                                          context=self.tls)
        return self.connection

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def call(self, method, path, body=None, headers=None):
        """(status, answer), as call_with_warnings()."""
        return self.call_with_warnings(method, path, body, headers)[:2]

    def call_with_warnings(self, method, path, body=None, headers=None):
        """(status, answer, Warning headers); raises OSError or http.client.HTTPException when the server is away."""
        text = json.dumps(body) if isinstance(body, (dict, list)) else body
        own = {"Content-Type": "application/json"} if body is not None else {}
        own.update(headers or {})
        try:
            connection = self.connect()
            connection.request(method, path, body=text, headers=own)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        try:
            data = json.loads(data)
        except ValueError:
            pass
        return answer.status, data, answer.headers.get_all("Warning") or []


class Server(Process):
    """`mobula apiserver` on a folder; .kubeconfig once it is ready."""

    def __init__(self, mobula, state, folder, **more):
        super().__init__([mobula, "apiserver", "--state", state], folder, **more)
        self.kubeconfig = os.path.join(state, "kubeconfig")
        self.is_ready = bool(self.says("KUBECONFIG="))

    def api(self, **how):
        return Api(self.kubeconfig, **how)

    def rss_kib(self):
        with open("/proc/%d/status" % self.pid) as f:
            return int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1))

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()


def config_map(name, text="x"):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}


def pod(name):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "leak"}},
            "spec": {"containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000"]}]}}


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
