#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is acknowledged stays: kill -9 in the middle of writes, a full disk, a damaged store.

    test_store.py MOBULA

TAP. The API alone; a full disk needs root (a small tmpfs).
"""
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

from robust import CONFIG_MAPS, Server, check, config_map, run_all, skip, wait_until

MOBULA = sys.argv[1]
KILLS = 32
AWAY = (OSError, http.client.HTTPException)


def names_of(api):
    status, answer = api.call("GET", CONFIG_MAPS)
    return {item["metadata"]["name"]: item for item in answer["items"]} if status == 200 else None


def write_until_gone(server, prefix, acknowledged, deleted):
    """Creates as fast as it can, now and then deletes one, until the server is away."""
    api = server.api()
    for i in range(1000000):
        name = "%s-%d" % (prefix, i)
        try:
            status, _ = api.call("POST", CONFIG_MAPS, config_map(name, "text of %s" % name))
            if status == 201:
                acknowledged.append(name)
            if i % 7 == 3:
                status, _ = api.call("DELETE", CONFIG_MAPS + "/" + name)
                if status == 200:
                    deleted.append(name)
        except AWAY:
            return


def test_killed_while_writing(folder):
    state = os.path.join(folder, "state")
    acknowledged, deleted, lost, back, wrong = [], [], [], [], []
    dice = random.Random(7)
    for round in range(KILLS + 1):
        with Server(MOBULA, state, folder) as server:
            if not server.is_ready:
                check("starts after kill %d" % round, False, server.text())
                return
            there = names_of(server.api())
            # A delete under way at the kill may have been done without an answer: only those that
            # have no delete at all must be there.
            lost += [n for n in acknowledged if n not in there and int(n.split("-")[-1]) % 7 != 3]
            back += [n for n in deleted if n in there]
            wrong += [n for n in there if not n.startswith("kube-") and
                      there[n]["data"]["text"] != "text of %s" % n]
            if round == KILLS:
                break
            writers = [threading.Thread(target=write_until_gone,
                                        args=(server, "r%d-w%d" % (round, w), acknowledged, deleted))
                       for w in range(2)]
            for writer in writers:
                writer.start()
            time.sleep(0.05 + dice.random() * 0.35)
            os.kill(server.pid, signal.SIGKILL)
            for writer in writers:
                writer.join()
    check("killed %d times while two clients write" % KILLS, len(acknowledged) > 5 * KILLS,
          "only %d creates were acknowledged" % len(acknowledged))
    check("every acknowledged create is there, of %d" % len(acknowledged), not lost, lost[:20])
    check("no acknowledged delete comes back, of %d" % len(deleted), not back, back[:20])
    check("and everything is whole", not wrong, wrong[:20])


def fill(api, prefix, limit):
    """Creates until refused; the acknowledged names and the refusal."""
    acknowledged = []
    for i in range(limit):
        name = "%s-%d" % (prefix, i)
        status, answer = api.call("POST", CONFIG_MAPS, config_map(name, "text of %s " % name + "x" * 20000))
        if status != 201:
            return acknowledged, status, answer
        acknowledged.append(name)
    return acknowledged, 201, None


def disk_full(state, folder):
    with Server(MOBULA, state, folder) as server:
        if not check("disk full: the API starts", server.is_ready, server.text()):
            return
        ballast = os.path.join(state, "ballast")
        with open(ballast, "wb") as f:
            f.write(b"x" * (256 << 10))
        api = server.api()
        acknowledged, status, answer = fill(api, "a", 500)
        message = answer.get("message", "") if isinstance(answer, dict) else str(answer)
        check("disk full: a write is refused, clearly", status >= 500 and acknowledged
              and "no space" in message and "store.db" in message, status, message, len(acknowledged))
        there = names_of(api)
        check("disk full: reading goes on, nothing is lost", there is not None and set(acknowledged) <= set(there))
        status, answer = api.call("GET", "/readyz")
        check("disk full: readyz says it", status == 500 and b"space" in (answer if isinstance(answer, bytes) else b""),
              status, answer)
        _, status, _ = fill(api, "refused", 3)
        check("disk full: further writes are refused", status >= 500, status)
        os.unlink(ballast)
        made = wait_until(lambda: api.call("POST", CONFIG_MAPS, config_map("after"))[0] in (201, 409), 15, 0.2)
        check("space again: writing goes on by itself", made)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    with Server(MOBULA, state, folder) as server:
        there = names_of(server.api()) if server.is_ready else {}
        check("space again, killed, started: every acknowledged create is there",
              set(acknowledged) | {"after"} <= set(there), server.text(), len(acknowledged))


def fill_disk(path):
    """To the last byte."""
    with open(path, "ab", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass


def lives_on_full_disk(state, folder):
    """Starts on a disk that became full meanwhile, shows everything, deletes, and says what to do."""
    ballast = os.path.join(state, "ballast")
    with Server(MOBULA, state, folder) as server:
        api = server.api()
        names = ["b-%d" % i for i in range(12)]
        for name in names:
            wait_until(lambda: api.call("POST", CONFIG_MAPS, config_map(name, "x" * 20000))[0] in (201, 409), 10, 0.2)
        check("there is something to delete", set(names) <= set(names_of(api)))
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    for round in ("killed before", "stopped in order before"):
        fill_disk(ballast)
        with Server(MOBULA, state, folder) as server:
            if not check("a full disk, %s: it starts" % round, server.is_ready, server.text()):
                return
            api = server.api()
            check("a full disk, %s: everything is there" % round, set(names) <= set(names_of(api) or {}))
            status, answer = api.call("POST", CONFIG_MAPS, config_map("no", "x" * 500000))
            message = answer.get("message", "") if isinstance(answer, dict) else str(answer)
            check("a full disk, %s: a create is refused, and what to do is said" % round,
                  status >= 500 and "no space" in message and "free some space" in message, status, message)
            gone, names = names[:6], names[6:]
            found = [api.call("DELETE", CONFIG_MAPS + "/" + n)[0] for n in gone]
            check("a full disk, %s: deletes go on" % round, set(found) == {200}, found)
            server.stop()
        os.unlink(ballast)
    with Server(MOBULA, state, folder) as server:
        there = names_of(server.api()) if server.is_ready else {}
        check("space again: what was deleted is gone", there and not [n for n in there if n.startswith("b-")], list(there))
        made = wait_until(lambda: server.api().call("POST", CONFIG_MAPS, config_map("yes"))[0] == 201, 10, 0.2)
        check("space again: it is written", made)


def test_disk_full(folder):
    state = os.path.join(folder, "state")
    os.mkdir(state, 0o700)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1536k,mode=0700", "tmpfs", state],
                                           capture_output=True).returncode:
        skip("disk full", "no tmpfs can be mounted here")
        return
    try:
        lives_on_full_disk(state, folder)
        for name in os.listdir(state):
            path = os.path.join(state, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        disk_full(state, folder)
        for name in os.listdir(state):
            path = os.path.join(state, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        with open(os.path.join(state, "ballast"), "wb") as f:
            try:
                f.write(b"x" * (4 << 20))
            except OSError:
                pass
        with Server(MOBULA, state, folder) as server:
            code = server.wait(20)
            check("a disk that is full from the start: refused, clearly", not server.is_ready
                  and code not in (0, None) and "space" in server.text(), code, server.text())
    finally:
        subprocess.run(["umount", "-l", state], check=False)


def make_store(state, folder):
    with Server(MOBULA, state, folder) as server:
        api = server.api()
        for i in range(60):
            api.call("POST", CONFIG_MAPS, config_map("c-%d" % i, "y" * 3000))
        server.stop()
    with open(os.path.join(state, "store.db"), "rb") as f:
        return f.read()


def refuses(state, folder, name):
    """It ends with an error that names the file, and leaves its bytes alone."""
    path = os.path.join(state, "store.db")
    with open(path, "rb") as f:
        before = f.read()
    with Server(MOBULA, state, folder) as server:
        code = server.wait(20) if not server.is_ready else "it started"
        text = server.text()
    with open(path, "rb") as f:
        after = f.read()
    check("%s: a clear error" % name, isinstance(code, int) and 0 < code < 126 and "store.db" in text
          and len(text.splitlines()) <= 3, code, text)
    check("%s: nothing is overwritten" % name, before == after, "%d bytes, then %d" % (len(before), len(after)))


def test_damaged(folder):
    state = os.path.join(folder, "state")
    whole = make_store(state, folder)
    path = os.path.join(state, "store.db")

    def put(data):
        for name in os.listdir(state):
            if name.startswith("store.db"):
                os.unlink(os.path.join(state, name))
        with open(path, "wb") as f:
            f.write(data)

    put(b"this is no database at all\n" * 100)
    refuses(state, folder, "text instead of a store")
    put(b"\0" * 100 + whole[100:])
    refuses(state, folder, "a store without its header")
    put(whole[:len(whole) // 2])
    refuses(state, folder, "half a store")
    at = whole.rfind(b"yyyyyyyyyyyyyyyyyyyy")
    put(whole[:at] + b"z" + whole[at + 1:])
    refuses(state, folder, "one byte of an object flipped")
    page = bytearray(whole)
    dice = random.Random(3)
    for _ in range(200):
        page[dice.randrange(4096, len(page))] ^= 1 << dice.randrange(8)
    put(bytes(page))
    refuses(state, folder, "200 bits flipped")
    put(whole)
    with Server(MOBULA, state, folder) as server:
        there = names_of(server.api()) if server.is_ready else {}
        check("the copy that was kept starts again, whole", len([n for n in there if n.startswith("c-")]) == 60,
              server.text())


run_all(test_killed_while_writing, test_disk_full, test_damaged)
