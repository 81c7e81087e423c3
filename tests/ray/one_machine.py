#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/one-machine.md, block by block, with real Ray: commands in one shell, what they must print beside them.

    one_machine.py MOBULA PAGE

TAP. A block of `text` names lines that the block of commands before it prints. State and working folder are
its own; the cache of environments is the user's. Ends only processes that it started.
"""
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

MOBULA, PAGE = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
BLOCK_LIMIT_S = 420
number = bad = 0


def check(name, ok, why=""):
    global number, bad
    number += 1
    print(f"{'ok' if ok else 'not ok'} {number} - {name}", flush=True)
    if not ok:
        bad += 1
        for line in str(why).splitlines()[-60:]:
            print(f"# {line}", flush=True)
    return ok


def free_port(address="127.0.0.1"):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def blocks(text):
    """[(heading, commands, [lines expected])]"""
    found, heading = [], ""
    for match in re.finditer(r"^## ([^\n]*)$|^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        if match[1]:
            heading = match[1]
        elif match[2] == "sh":
            found.append((heading, match[3], []))
        elif match[2] == "text":
            found[-1][2].extend(match[3].splitlines())
    return found


class Shell:
    """One shell that is given block after block."""

    def __init__(self, folder):
        self.log = open(folder / "out.log", "w+b")
        bin_folder, work = folder / "bin", folder / "work"
        bin_folder.mkdir()
        work.mkdir()
        ports = f"--dashboard-port {free_port()} --client-port {free_port()} --gcs-port 0"
        (bin_folder / "mobula").write_text(  # the page's commands, with ports that nobody else has
            f'#!/bin/sh\nverb=$1\nshift\n[ "$verb" = up ] && set -- {ports} "$@"\nexec {MOBULA} "$verb" "$@"\n')
        (bin_folder / "mobula").chmod(0o755)
        env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_") and k != "KUBECONFIG"}
        env.update(PATH=f"{bin_folder}:{env['PATH']}", XDG_STATE_HOME=str(folder / "state"), PORT=str(free_port("127.0.0.2")),
                   PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8", LANG="C.UTF-8")
        self.env = env
        self.child = subprocess.Popen(["bash", "-e", "-o", "pipefail"], stdin=subprocess.PIPE, stdout=self.log, stderr=self.log,
                                      env=env, cwd=work, start_new_session=True)

    def run(self, commands, mark):
        """(ended well, output)"""
        begin = os.fstat(self.log.fileno()).st_size
        self.child.stdin.write(f"{commands}\necho {mark}\n".encode())
        self.child.stdin.flush()
        end = time.monotonic() + BLOCK_LIMIT_S
        while True:
            output = self.read(begin)
            if mark in output.splitlines():
                return True, output
            if self.child.poll() is not None or time.monotonic() > end:
                return False, output + ("" if self.child.poll() is not None else f"\n(not within {BLOCK_LIMIT_S} s)")
            time.sleep(0.2)

    def read(self, begin):
        return os.pread(self.log.fileno(), 1 << 24, begin).decode(errors="replace")

    def close(self):
        subprocess.run([MOBULA, "down", "--now"], env=self.env, capture_output=True, timeout=60)
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mobula-page-"))
    shell = Shell(folder)
    try:
        page = blocks(PAGE.read_text())
        check("the page has blocks", len(page) >= 8 and sum(len(b[2]) > 0 for b in page) >= 5, page)
        for i, (heading, commands, expected) in enumerate(page):
            began = time.monotonic()
            ok, output = shell.run(commands, f"end-of-block-{i}")
            last = commands.strip().splitlines()[-1][:70]
            if not check(f"{heading}: ... {last}", ok, f"{commands}\n{output}"):
                break
            print(f"# {time.monotonic() - began:.1f} s", flush=True)
            for line in expected:
                check(f"{heading}: prints {line}", line in output, output)
    finally:
        shell.close()
        if bad:
            log = folder / "state/mobula/mobula.log"
            print("# " + "\n# ".join(log.read_text(errors="replace").splitlines()[-60:]) if log.exists() else "# no log")
        shutil.rmtree(folder, ignore_errors=True)
    print(f"1..{number}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
