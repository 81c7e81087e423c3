#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The port of the embedded API against strangers, floods and rubbish; memory and descriptors come back.

    test_api.py MOBULA

TAP. The API alone.
"""
import base64
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import stat
import sys
import time

from robust import CONFIG_MAPS, PODS, Api, Server, check, config_map, is_sanitized, lives, pod, run_all, wait_until

MOBULA = sys.argv[1]
MEMORY_COUNTS = not is_sanitized(MOBULA)
ROUNDS = 2000
WATCHES = 200
AWAY = (OSError, http.client.HTTPException)


def status_of(api, path=CONFIG_MAPS, headers=None):
    """The answer's code, or the refused handshake."""
    try:
        return api.call("GET", path, headers=headers)[0]
    except AWAY as error:
        return type(error).__name__


def certificate_of(kubeconfig, path):
    with open(kubeconfig) as f:
        text = f.read()
    with open(path, "wb") as f:
        for name in ("client-certificate-data", "client-key-data"):
            f.write(base64.b64decode(re.search(name + r":\s*\"?([^\s\"]+)", text).group(1)))
    return path


def mode(*parts):
    return stat.S_IMODE(os.stat(os.path.join(*parts)).st_mode)


def secret_files(state):
    for folder, _, names in os.walk(state):
        for name in names:
            path = os.path.join(folder, name)
            if re.search(r"\.key$|token|secret|kubeconfig|store\.db", name) and mode(path) & 0o077:
                yield "%s %o" % (path, mode(path))


def test_strangers(folder):
    os.umask(0)  # the files must be safe all the same
    mine, other = os.path.join(folder, "mine"), os.path.join(folder, "other")
    with Server(MOBULA, mine, folder) as server, Server(MOBULA, other, folder) as second:
        os.umask(0o022)
        check("the state folder is 0700", mode(mine) == 0o700, oct(mode(mine)))
        check("the kubeconfig is 0600", mode(server.kubeconfig) == 0o600)
        check("no secret is readable by others", not list(secret_files(mine)), *secret_files(mine))
        check("its own certificate gets in", status_of(server.api()) == 200)
        check("no certificate, no token: 401", status_of(server.api(anonymous=True)) == 401)
        for name, value in (("a made-up token", "Bearer abcdef"), ("an empty token", "Bearer "),
                            ("a JWT of nobody", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."),
                            ("Basic", "Basic YWRtaW46YWRtaW4="), ("rubbish", "\t\x7f" * 10)):
            found = status_of(server.api(anonymous=True), headers={"Authorization": value})
            check("%s: 401" % name, found == 401, found)
        for path in ("/api", "/apis", "/openapi/v2", "/version", "/nowhere", CONFIG_MAPS + "?watch=1"):
            found = status_of(server.api(anonymous=True), path)
            check("%s without a certificate: 401" % path, found == 401, found)
        stranger = certificate_of(second.kubeconfig, os.path.join(folder, "stranger.pem"))
        found = status_of(server.api(certificate=stranger))
        check("the administrator of another mobula: 401, or no handshake",
              found == 401 or found in ("SSLError", "ConnectionResetError", "RemoteDisconnected"), found)
        with open("/proc/net/tcp") as f:
            port = "%04X" % int(server.api().port)
            listens = [line.split()[1] for line in f if line.split()[1].endswith(":" + port) and line.split()[3] == "0A"]
        check("it listens on loopback only", listens == ["0100007F:" + port], listens)
        with socket.create_connection(("127.0.0.1", int(server.api().port)), 5) as s:
            s.settimeout(5)
            s.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                data = s.recv(1000)
            except ConnectionResetError:
                data = b""
        check("plain HTTP gets no data", b"200" not in data and b"kind" not in data, data)
        third = Server(MOBULA, mine, folder)
        with third:
            code = third.wait(10)
            check("a second server on the same folder is refused, with the pid", code not in (0, None)
                  and not third.is_ready and str(server.pid) in third.text() and lives(server.pid), code, third.text())
    port = int(server.api().port)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        with Server(MOBULA, mine, folder) as again:
            check("its port is taken by somebody else meanwhile: another one is used", again.is_ready
                  and int(again.api().port) != port and status_of(again.api()) == 200, again.text())


def churn(api, n, make, path, prefix):
    for i in range(n):
        name = "%s-%d" % (prefix, i)
        status, answer = api.call("POST", path, make(name))
        if status != 201:
            raise RuntimeError("create: %s %s" % (status, answer))
        status, answer = api.call("DELETE", path + "/" + name + "?gracePeriodSeconds=0")
        if status not in (200, 202):
            raise RuntimeError("delete: %s %s" % (status, answer))


def watch_and_leave(server, i):
    """Opens a watch, sees that it works, goes away without a word or in order."""
    api = server.api()
    connection = api.connect()
    connection.request("GET", CONFIG_MAPS + "?watch=1" + ("&timeoutSeconds=1" if i % 50 == 0 else ""))
    answer = connection.getresponse()
    if i % 2:
        connection.sock.close()
    api.close()
    return answer.status


def test_leaks(folder):
    with Server(MOBULA, os.path.join(folder, "state"), folder) as server:
        api = server.api()
        # The history of changes (8192) has a ceiling of its own: fill it before the first look.
        churn(api, 1400, config_map, CONFIG_MAPS, "warm")
        churn(api, 2800, pod, PODS, "warm")
        for i in range(20):
            watch_and_leave(server, i)
        time.sleep(0.5)
        before, fds = server.rss_kib(), server.fds()
        churn(api, ROUNDS // 2, config_map, CONFIG_MAPS, "leak")
        churn(api, ROUNDS // 2, pod, PODS, "leak")
        opened = [watch_and_leave(server, i) for i in range(WATCHES)]
        check("%d watches are opened" % WATCHES, set(opened) == {200}, set(opened))
        check("descriptors come back", wait_until(lambda: server.fds() <= fds + 2, 10), "%d, then %d" % (fds, server.fds()))
        middle = server.rss_kib()
        churn(api, ROUNDS // 2, config_map, CONFIG_MAPS, "leak2")
        churn(api, ROUNDS // 2, pod, PODS, "leak2")
        for i in range(WATCHES):
            watch_and_leave(server, i)
        wait_until(lambda: server.fds() <= fds + 2, 10)
        after = server.rss_kib()
        print("# RSS in KiB: %d, %d after %d creates and deletes and %d watches, %d after as many again"
              % (before, middle, ROUNDS, WATCHES, after))
        check("memory grows no more the second time", after - middle < 512 or not MEMORY_COUNTS, "%d KiB, %d, %d" % (before, middle, after))
        check("memory stays near where it was", after - before < 2048 or not MEMORY_COUNTS, "%d KiB, %d, %d" % (before, middle, after))
        status, answer = api.call("GET", PODS)
        check("and nothing is left of the pods", status == 200 and not answer["items"], status)
        check("ends in order", server.stop() == 0, server.text())


def tls_socket(api):
    s = socket.create_connection((api.host, int(api.port)), 5)
    s.settimeout(5)
    return api.tls.wrap_socket(s, server_hostname=api.host)


def exchange(api, data, linger=0.0):
    """Sends bytes inside TLS, reads what comes; "" when the connection goes."""
    try:
        with tls_socket(api) as s:
            s.sendall(data)
            time.sleep(linger)
            s.settimeout(0.3)
            return s.recv(4000)
    except OSError:
        return b""


def broken_requests(dice):
    good = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % CONFIG_MAPS.encode()
    text = json.dumps(config_map("fuzz")).encode()
    yield good + b"Content-Length: 99999999999999999999\r\n\r\n{}"
    yield good + b"Content-Length: -5\r\n\r\n{}"
    yield good + b"Content-Length: 1000\r\n\r\n{}"
    yield good + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}"
    yield good + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    yield good + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    yield good + b"X: " + b"a" * 200000 + b"\r\n\r\n"
    yield good + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n"
    yield b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n"
    yield b"GET " + CONFIG_MAPS.encode() + b"?" + b"&".join(b"a%d=b" % i for i in range(1000)) + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for path in (b"/api/v1/namespaces/%00/pods", b"/api/v1/namespaces/../../../etc/passwd", b"/api/v1/namespaces/default/pods/%ff%fe",
                 b"//////", b"/api/v1/" + b"x/" * 2000, b"/api/v1/pods?labelSelector=" + b"(" * 3000,
                 b"/api/v1/pods?fieldSelector=%00=%00", b"/api/v1/pods?limit=99999999999999999999",
                 b"/api/v1/pods?continue=%FF%FF", b"/api/v1/namespaces/default/pods/x/log?tailLines=-99999999999999999"):
        yield b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for body in (b"[" * 100000, b"{\"a\":" * 5000, b"\"", b"\xff\xfe\x00", b"null", b"[]", b"1e999", b"{\"metadata\":[]}",
                 b"{\"apiVersion\":{},\"kind\":[],\"metadata\":{\"name\":{}}}", b"{\"a\":\"" + b"\\ud800" * 100 + b"\"}",
                 b"k8s\x00" + dice.randbytes(500), b"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" + b"n" * 5000 + b"\"}}",
                 b"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\",\"ownerReferences\":[[[]]],\"finalizers\":{},\"labels\":[1]}}"):
        for kind in (b"application/json", b"application/yaml", b"application/vnd.kubernetes.protobuf", b"text/plain"):
            yield (b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                   % (CONFIG_MAPS.encode(), kind, len(body)) + body)
    for kind in (b"json-patch", b"merge-patch", b"strategic-merge-patch", b"apply-patch"):
        for body in (b"[]", b"{}", b"[{\"op\":\"move\",\"from\":\"\",\"path\":\"/a/b\"}]", b"[{\"op\":\"remove\",\"path\":\"\"}]",
                     b"{\"metadata\":null}", b"{\"metadata\":{\"$patch\":\"replace\"}}", b"{\"$patch\":\"delete\"}", b"null", b"\x00"):
            yield (b"PATCH %s/kube-root-ca.crt?fieldManager=f HTTP/1.1\r\nHost: x\r\nContent-Type: application/%s+%s\r\nContent-Length: %d\r\n\r\n"
                   % (CONFIG_MAPS.encode(), kind, b"yaml" if kind == b"apply-patch" else b"json", len(body)) + body)
    whole = good + b"Content-Length: %d\r\n\r\n" % len(text) + text
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 12)):
            at = dice.randrange(len(data))
            what = dice.randrange(3)
            if what == 0:
                data[at] = dice.randrange(256)
            elif what == 1:
                del data[at:at + dice.randrange(1, 20)]
            else:
                data[at:at] = dice.randbytes(dice.randrange(1, 20))
            if not data:
                break
        yield bytes(data)


def rubbish(port, data):
    """Bytes to the bare port, before any TLS."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(0.05)
            s.sendall(data)
            s.recv(100)
    except OSError:
        pass


def test_rubbish(folder):
    dice = random.Random(11)
    with Server(MOBULA, os.path.join(folder, "state"), folder) as server:
        api = server.api()
        check("the API answers", status_of(api) == 200)
        before, fds = server.rss_kib(), server.fds()
        port = int(api.port)
        for i in range(300):
            data = dice.randbytes(dice.randrange(1, 3000))
            if i % 3 == 0:  # as if it were a TLS record
                data = b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data
            rubbish(port, data)
        check("random bytes on the port: it lives and answers", status_of(api) == 200, server.text())
        five_hundreds = []
        for data in broken_requests(dice):
            answer = exchange(api, data)
            if b" 500 " in answer.split(b"\r\n")[0]:
                five_hundreds.append((data[:200], answer[:300]))
            if not lives(server.pid):
                check("survives", False, data[:400], server.text())
                return
        check("broken requests: it lives and answers", status_of(server.api()) == 200, server.text())
        check("none of them is an internal error", not five_hundreds, *five_hundreds[:5])
        check("nor said to be a bug in its log", not re.search(r"BUG|invariant|ERROR: AddressSanitizer|runtime error",
                                                              server.text()), server.text()[-2000:])
        check("descriptors come back", wait_until(lambda: server.fds() <= fds + 2, 15), "%d, then %d" % (fds, server.fds()))
        after = server.rss_kib()
        print("# RSS in KiB: %d, then %d" % (before, after))
        check("memory stays bounded", after - before < 32768 or not MEMORY_COUNTS, "%d KiB, then %d" % (before, after))
        check("ends in order", server.stop() == 0, server.text())


def cpu_ms(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def test_unfinished_words(folder):
    with Server(MOBULA, os.path.join(folder, "state"), folder) as server:
        api = server.api()
        status_of(api)
        for name, data in (("nothing", b""), ("half a TLS record", b"\x16\x03\x01"), ("no TLS", b"GET / HT")):
            with socket.create_connection((api.host, int(api.port)), 5) as s:
                s.sendall(data)
                time.sleep(0.2)
                before = cpu_ms(server.pid)
                time.sleep(1)
                used = cpu_ms(server.pid) - before
                check("a client that says %s and waits costs no time" % name, used <= 100, "%d ms of CPU a second" % used)
        with tls_socket(api) as s:
            s.sendall(b"GET /api HTTP/1.1\r\nHo")
            before = cpu_ms(server.pid)
            time.sleep(1)
            check("nor does half a request", cpu_ms(server.pid) - before <= 100)
        check("and others are served", status_of(server.api()) == 200)


def test_floods(folder):
    with Server(MOBULA, os.path.join(folder, "state"), folder) as server:
        api = server.api()
        idle = []
        try:
            for _ in range(300):
                idle.append(socket.create_connection((api.host, int(api.port)), 5))
        except OSError:
            pass
        check("300 connections that say nothing hold nobody up", status_of(server.api()) == 200)
        for s in idle:
            s.close()
        status, answer = api.call("POST", CONFIG_MAPS, config_map("big", "x" * (4 << 20)))
        check("a body of 4 MiB: 413", status == 413, status, str(answer)[:300])
        before = server.rss_kib()
        slow = server.api()
        connection = slow.connect()
        connection.request("GET", CONFIG_MAPS + "?watch=1")
        reader = connection.getresponse()  # and never reads a line
        writer = server.api()
        for i in range(120):
            writer.call("POST", CONFIG_MAPS, config_map("wide-%d" % i, "x" * 200000))
            writer.call("DELETE", CONFIG_MAPS + "/wide-%d" % i)
        grown = server.rss_kib() - before
        print("# RSS grows by %d KiB with a watcher that takes nothing of 48 MB" % grown)
        check("a watcher that takes nothing costs no more than its ceiling and the history", grown < 64 << 10 or not MEMORY_COUNTS, grown)
        check("and everybody else is served", status_of(server.api()) == 200 and reader.status == 200)
        slow.close()
        api.close()


run_all(test_strangers, test_leaks, test_rubbish, test_unfinished_words, test_floods)
