#!/usr/bin/env python3
"""Proves the rules of src/podnet/podnet.c with plain sockets; needs no Ray and no root.

Usage: test_podnet.py path/to/libmobula-podnet.so

Every case is a function run in a Python child of its own, under the library and one pod address;
cases that need two pods talk to a helper child of the second pod. Prints TAP.
"""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import tempfile
import threading

POD_A, POD_B = "127.37.0.2", "127.37.0.3"
LOOPBACK4_A, LOOPBACK6_A = "127.101.0.2", "127.165.0.2"
PORT = 52365  # inside the ephemeral range, as Ray's agent port is
API_IP = "127.37.0.1"
CASES = []


def case(ip=POD_A):
    def register(function):
        CASES.append((function, ip))
        return function

    return register


def expect(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def tcp(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s


def udp(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(5)
    return s


def listen(family, host, port=0, v6only=None):
    s = tcp(family)
    if v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    s.bind((host, port))
    s.listen()
    return s


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuses(function, *errnos):
    try:
        function()
    except OSError as error:
        assert error.errno in errnos, error
        return
    raise AssertionError("succeeded")


@case()
def bind_v4():
    for host, want in (("0.0.0.0", POD_A), ("", POD_A),
                       ("127.0.0.1", LOOPBACK4_A), ("localhost", LOOPBACK4_A)):
        with listen(socket.AF_INET, host) as s:
            expect(s.getsockname()[0], want)
            assert s.getsockname()[1] != 0
        with listen(socket.AF_INET, host, PORT) as s:
            expect(s.getsockname(), (want, PORT))


@case()
def bind_keeps_explicit_addresses():
    for host in (POD_A, "127.37.9.9"):
        with listen(socket.AF_INET, host, PORT) as s:
            expect(s.getsockname(), (host, PORT))


@case()
def bind_dual_stack():
    for host in ("::", "::ffff:0.0.0.0"):
        with listen(socket.AF_INET6, host, PORT, v6only=0) as s:
            expect(s.getsockname()[:2], ("::ffff:" + POD_A, PORT))
            for family, target in (
                (socket.AF_INET, "127.0.0.1"),
                (socket.AF_INET, "0.0.0.0"),
                (socket.AF_INET, POD_A),
                (socket.AF_INET6, "::1"),
                (socket.AF_INET6, "::"),
                (socket.AF_INET6, "::ffff:127.0.0.1"),
            ):
                with tcp(family) as client:
                    client.connect((target, PORT))
                    peer, address = s.accept()
                    peer.close()
                    expect(address[0], "::ffff:" + POD_A)


@case()
def bind_mapped_and_v6_loopback():
    for host, want, target in (("::1", LOOPBACK6_A, "::1"),
                               ("::ffff:127.0.0.1", LOOPBACK4_A, "::ffff:127.0.0.1")):
        with listen(socket.AF_INET6, host, PORT, v6only=0) as s, tcp(socket.AF_INET6) as client:
            expect(s.getsockname()[:2], ("::ffff:" + want, PORT))
            client.connect((target, PORT))
            s.accept()[0].close()


@case()
def bind_pod_address_and_loopback_on_one_port():
    """What Ray 2.60's dashboard agent does; each caller reaches the server that it named."""
    for first, second in ((POD_A, "127.0.0.1"), ("127.0.0.1", POD_A)):
        with listen(socket.AF_INET, first, PORT) as a, listen(socket.AF_INET, second, PORT) as b:
            for server, host in ((a, first), (b, second)):
                with tcp() as client:
                    client.connect((host, PORT))
                    server.accept()[0].close()


@case()
def loopback_servers_are_the_pods_own():
    with listen(socket.AF_INET, "127.0.0.1", PORT) as s:
        with tcp() as client:
            refuses(lambda: client.connect((POD_A, PORT)), errno.ECONNREFUSED)
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            with tcp() as client:
                client.connect((host, PORT))
                s.accept()[0].close()


@case()
def connect_finds_the_wildcard_after_a_loopback_server_left():
    """Connections of the departed server in TIME_WAIT do not count."""
    with listen(socket.AF_INET, "127.0.0.1", PORT) as s, tcp() as client:
        client.connect(("127.0.0.1", PORT))
        s.accept()[0].close()
        expect(client.recv(1), b"")
    with listen(socket.AF_INET, "0.0.0.0", PORT) as s, tcp() as client:
        client.connect(("127.0.0.1", PORT))
        s.accept()[0].close()


@case()
def bind_v6only_beside_its_v4_sibling():
    for order in ((4, 6), (6, 4)):
        open_sockets = []
        for which in order:
            if which == 4:
                open_sockets.append(listen(socket.AF_INET, "0.0.0.0", PORT))
            else:
                s = listen(socket.AF_INET6, "::", PORT, v6only=1)
                expect(s.getsockname()[:2], ("::ffff:" + LOOPBACK6_A, PORT))
                open_sockets.append(s)
        with tcp() as client:
            client.connect(("127.0.0.1", PORT))
        for s in open_sockets:
            s.close()


@case()
def asyncio_server_on_all_hosts():
    async def run():
        server = await asyncio.start_server(lambda r, w: w.close(), None, PORT)
        for host in ("localhost", "127.0.0.1", "::1", POD_A):
            reader, writer = await asyncio.open_connection(host, PORT)
            expect(await reader.read(), b"")
            writer.close()
        server.close()

    asyncio.run(run())


@case()
def connect_sources_from_the_pod():
    with listen(socket.AF_INET, "127.37.9.9") as s, tcp() as client:
        client.connect(s.getsockname())
        expect(s.accept()[1][0], POD_A)
        expect(client.getsockname()[0], POD_A)
        expect(client.getpeername(), s.getsockname())
    with listen(socket.AF_INET, "127.37.9.9") as s, tcp() as client:
        client.bind(("127.37.9.8", 0))
        client.connect(s.getsockname())
        expect(s.accept()[1][0], "127.37.9.8")


@case()
def port_443_of_the_api_leads_to_its_own():
    with listen(socket.AF_INET, API_IP) as s:
        port = s.getsockname()[1]
        child = f"import test_podnet as t; t.port_443_in_a_child({port})"
        env = dict(os.environ, MOBULA_POD_API=f"{API_IP}:{port}", PYTHONPATH=os.path.dirname(os.path.abspath(__file__)))
        with subprocess.Popen([sys.executable, "-c", child], env=env) as process:
            for _ in range(4):
                expect(s.accept()[1][0], POD_A)
            expect(process.wait(), 0)


def port_443_in_a_child(port):
    """By the address of the name, by the Service's, mapped, and without the detour; nothing else is led there."""
    for family, host, to in ((socket.AF_INET, API_IP, 443), (socket.AF_INET, "10.96.0.1", 443),
                             (socket.AF_INET6, "::ffff:10.96.0.1", 443), (socket.AF_INET, API_IP, port)):
        with tcp(family) as client:
            client.connect((host, to))
    with tcp() as client:
        refuses(lambda: client.connect((POD_B, 443)), errno.ECONNREFUSED)
    with tcp() as client:
        refuses(lambda: client.connect((API_IP, 444)), errno.ECONNREFUSED)


@case()
def a_wrong_address_of_the_api_is_none():
    for wrong in ("", "127.37.0.1", "127.37.0.1:", "127.37.0.1:0", "127.37.0.1:99999", "name:80", ":80", "1" * 99 + ":80"):
        child = ("import socket, test_podnet as t, errno\n"
                 "with t.tcp() as c: t.refuses(lambda: c.connect((t.API_IP, 443)), errno.ECONNREFUSED)")
        env = dict(os.environ, MOBULA_POD_API=wrong, PYTHONPATH=os.path.dirname(os.path.abspath(__file__)))
        expect(subprocess.run([sys.executable, "-c", child], env=env, check=False).returncode, 0)


@case()
def connect_without_blocking():
    with listen(socket.AF_INET, "0.0.0.0", PORT) as s, tcp() as client:
        client.setblocking(False)
        assert client.connect_ex(("127.0.0.1", PORT)) in (0, errno.EINPROGRESS)
        expect(s.accept()[1][0], POD_A)


@case()
def connect_refused_is_honest():
    with tcp() as client:
        refuses(lambda: client.connect(("127.0.0.1", PORT)), errno.ECONNREFUSED)
    with tcp(socket.AF_INET6) as client:
        refuses(lambda: client.connect(("::1", PORT)), errno.ECONNREFUSED)


@case()
def same_port_twice_in_one_pod():
    with listen(socket.AF_INET, "0.0.0.0", PORT), tcp() as second:
        refuses(lambda: (second.bind(("0.0.0.0", PORT)), second.listen()), errno.EADDRINUSE)
    with listen(socket.AF_INET, "127.0.0.1", PORT), tcp() as second:
        refuses(lambda: (second.bind(("127.0.0.1", PORT)), second.listen()), errno.EADDRINUSE)


@case()
def two_pods_one_port():
    with listen(socket.AF_INET, "0.0.0.0", PORT) as mine, Helper(POD_B, "serve_b") as b:
        expect(b.line(), f"listening {PORT}")
        for host, want in ((POD_B, "pod b"), (POD_A, "pod a"), ("localhost", "pod a")):
            if want == "pod a":
                threading.Thread(target=serve_once, args=(mine, b"pod a"), daemon=True).start()
            with tcp() as client:
                client.connect((host, PORT))
                expect(client.recv(64).decode(), want)


@case()
def udp_which_address_am_i():
    # TEST-NET-1 as well: nobody is asked, only the route is looked up.
    for target in (("8.8.8.8", 53), ("192.0.2.1", 9)):
        with udp() as s:
            s.connect(target)
            expect(s.getsockname()[0], POD_A)
            assert s.getsockname()[1] != 0
        with udp(socket.AF_INET6) as s:
            s.connect(("::ffff:" + target[0], target[1]))
            expect(s.getsockname()[0], "::ffff:" + POD_A)
    for target in ((POD_B, 6379), ("127.0.0.1", 6379)):
        with udp() as s:
            s.connect(target)
            expect(s.getsockname()[0], POD_A)


@case()
def udp_serves_and_sends():
    with udp() as server, udp() as client, udp() as dialled:
        server.bind(("0.0.0.0", PORT))
        expect(server.getsockname(), (POD_A, PORT))
        client.sendto(b"one", ("127.0.0.1", PORT))
        expect(server.recvfrom(16)[0], b"one")
        client.sendmsg([b"t", b"wo"], [], 0, ("0.0.0.0", PORT))
        data, address = server.recvfrom(16)
        expect(data, b"two")
        server.sendto(b"back", address)
        expect(client.recvfrom(16), (b"back", (POD_A, PORT)))
        dialled.connect(("localhost", PORT))
        dialled.send(b"three")
        expect(server.recvfrom(16), (b"three", dialled.getsockname()))
    with udp() as server, udp() as client:
        server.bind(("127.0.0.1", PORT))
        expect(server.getsockname(), (LOOPBACK4_A, PORT))
        client.sendto(b"four", ("127.0.0.1", PORT))
        expect(server.recvfrom(16)[0], b"four")


@case()
def udp_wildcard_port_0_stays_free():
    with udp() as s:
        s.bind(("0.0.0.0", 0))
        expect(s.getsockname()[0], "0.0.0.0")
        assert s.getsockname()[1] != 0


@case()
def unix_sockets_are_untouched():
    a, b = socket.socketpair()
    a.sendmsg([b"x"])
    expect(b.recv(4), b"x")
    expect(a.getsockname(), "")


@case()
def names_of_a_pod_without_hosts_file_of_its_own():
    # The path is read when a process starts: children, and the file itself changes under them.
    script = "\n".join((
        "import os, socket",
        "def look(name, port=80, **more):",
        "    return [a[4] for a in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, **more)]",
        "print(look('head-svc.ns.svc.cluster.local', 6379))",
        "print(socket.gethostbyname('HEAD-svc'))",
        "open(os.environ['MOBULA_POD_HOSTS'], 'w').write('127.37.0.9 other # head-svc')",
        "print(look('other', family=socket.AF_INET))",
        "print(socket.getaddrinfo('other', 1, flags=socket.AI_CANONNAME)[0][3])",
        "print(look('127.0.0.1'), len(look(None)) > 0)",
        "try: print(look('head-svc.ns.svc.cluster.local', flags=socket.AI_NUMERICHOST))",
        "except socket.gaierror: print('no number')"))
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
        hosts.write("# c\n::1 head-svc\nnonsense head-svc\n"
                    "127.37.0.3\thead-svc.ns.svc.cluster.local head-svc\n")
        hosts.flush()
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                              env=dict(os.environ, MOBULA_POD_HOSTS=hosts.name))
        expect(done.stdout.splitlines(), [
            "[('127.37.0.3', 6379)]", "127.37.0.3", "[('127.37.0.9', 80)]", "other",
            "[('127.0.0.1', 80)] True", "no number"])
    gone = subprocess.run([sys.executable, "-c", "import socket; print(socket.gethostbyname('localhost'))"],
                          capture_output=True, text=True, check=True,
                          env=dict(os.environ, MOBULA_POD_HOSTS="/nowhere/hosts"))
    expect(gone.stdout, "127.0.0.1\n")


@case()
def a_file_of_the_pods_own_in_a_shared_folder():
    script = ("import os, sys; path = sys.argv[1]; other = os.path.join(os.path.dirname(path), 'other')\n"
              "print(os.path.exists(path))\n"
              "for p in path, other: open(p, 'a').write(os.environ['MOBULA_POD_IP'])\n"
              "print(os.path.exists(path), os.stat(path).st_size, open(path).read())\n"
              "os.close(os.open(path + '.lock', os.O_CREAT | os.O_RDWR, 0o640))")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "node.json")
        for ip in (POD_A, POD_B):
            done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True,
                                  check=True, env=dict(os.environ, MOBULA_POD_FILE="node.json", MOBULA_POD_IP=ip))
            expect(done.stdout, f"False\nTrue {len(ip)} {ip}\n")
        expect(sorted(os.listdir(folder)),
               ["node.json." + POD_A, "node.json." + POD_B, "node.json.lock", "other"])
        with open(os.path.join(folder, "other"), encoding="ascii") as f:
            expect(f.read(), POD_A + POD_B)
        mode = os.stat(path + ".lock").st_mode & 0o777
        expect(mode, 0o640 & ~umask())


@case()
def bad_arguments_are_the_kernels():
    closed = tcp()
    fd = closed.detach()
    os.close(fd)
    s = tcp()
    os.close(s.fileno())
    refuses(lambda: s.bind(("0.0.0.0", 0)), errno.EBADF)
    refuses(lambda: s.connect(("127.0.0.1", 1)), errno.EBADF)
    refuses(s.getsockname, errno.EBADF)
    s.detach()


@case()
def children_inherit():
    out = subprocess.run(
        [sys.executable, "-c", "import socket as s; t = s.socket(); t.bind(('', 0));"
         "print(t.getsockname()[0])"],
        check=True, capture_output=True, text=True,
    )
    expect(out.stdout.strip(), POD_A)
    pid = os.fork()
    if pid == 0:
        with listen(socket.AF_INET, "") as s:
            os._exit(0 if s.getsockname()[0] == POD_A else 1)
    expect(os.waitpid(pid, 0)[1], 0)


@case()
def many_threads():
    failures = []

    def work():
        try:
            for _ in range(50):
                with listen(socket.AF_INET6, "::", v6only=0) as s, tcp() as client:
                    client.connect(("127.0.0.1", s.getsockname()[1]))
                    expect(s.accept()[1][0], "::ffff:" + POD_A)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(failures, [])


@case(ip=None)
def passthrough_when_unset():
    passes_through()


@case(ip="not-an-address")
def passthrough_when_invalid():
    passes_through()


@case(ip="192.0.2.7")
def passthrough_beyond_loopback():
    passes_through()


@case(ip="127.101.0.2")
def addresses_beyond_63_work_too():
    with listen(socket.AF_INET, "127.0.0.1", PORT) as s:
        expect(s.getsockname(), ("127.37.0.2", PORT))
    with listen(socket.AF_INET, "", PORT) as s, tcp() as client:
        expect(s.getsockname(), ("127.101.0.2", PORT))
        client.connect(("127.0.0.1", PORT))
        s.accept()[0].close()


def passes_through():
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"),
                         (socket.AF_INET6, "::"), (socket.AF_INET6, "::1")):
        with listen(family, host) as s:
            expect(s.getsockname()[0], host)
    with listen(socket.AF_INET, "127.37.9.9") as s, tcp() as client:
        client.connect(s.getsockname())
        expect(client.getsockname()[0], "127.0.0.1")
    with udp() as s:
        try:
            s.connect(("192.0.2.1", 9))
            assert not s.getsockname()[0].startswith("127."), s.getsockname()
        except OSError as error:
            expect(error.errno, errno.ENETUNREACH)


def serve_once(listener, text):
    peer, _ = listener.accept()
    peer.sendall(text)
    peer.close()


def serve_b():
    with listen(socket.AF_INET6, "::", PORT, v6only=0) as s:
        expect(s.getsockname()[0], "::ffff:" + POD_B)
        print("listening", PORT, flush=True)
        serve_once(s, b"pod b")


def environment(library, ip):
    env = dict(os.environ, LD_PRELOAD=library)
    env.pop("MOBULA_POD_IP", None)
    env.pop("MOBULA_POD_API", None)
    if ip is not None:
        env["MOBULA_POD_IP"] = ip
    return env


class Helper:
    """A child of another pod, running one function of this file."""

    def __init__(self, ip, name):
        library = os.environ["LD_PRELOAD"]
        self.child = subprocess.Popen(
            [sys.executable, __file__, library, name],
            env=environment(library, ip), stdout=subprocess.PIPE, text=True,
        )

    def line(self):
        return self.child.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def is_off_line_case_possible():
    probe = ["unshare", "--user", "--map-root-user", "--net", "true"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def off_line(library):
    """The address trick where no route leads out: a fresh network namespace with only lo."""
    command = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c",
               'ip link set lo up && exec "$@"', "sh",
               sys.executable, __file__, library, "udp_which_address_am_i"]
    return subprocess.run(command, env=environment(library, POD_A), capture_output=True,
                          text=True, timeout=60, check=False)


def main():
    if len(sys.argv) == 3:
        globals()[sys.argv[2]]()
        return 0
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    library = os.path.abspath(sys.argv[1])
    failed = 0
    number = 0

    def report(name, result):
        nonlocal failed, number
        number += 1
        is_good = result.returncode == 0
        failed += not is_good
        print(f"{'ok' if is_good else 'not ok'} {number} - {name}", flush=True)
        for line in "" if is_good else result.stderr.splitlines():
            print("#", line)
        # An ld.so complaint means that the library was never loaded.
        assert "ld.so" not in result.stderr, result.stderr

    print(f"1..{len(CASES) + 1}")
    for function, ip in CASES:
        report(function.__name__, subprocess.run(
            [sys.executable, __file__, library, function.__name__],
            env=environment(library, ip), capture_output=True, text=True, timeout=60, check=False))
    if is_off_line_case_possible():
        report("udp_which_address_am_i off line", off_line(library))
    else:
        print(f"ok {number + 1} - udp_which_address_am_i off line # SKIP no user namespaces")
    print(f"# {len(CASES) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
