#!/usr/bin/env python3
"""tools/configure: a checkout that was copied with its build folder builds itself, not the original. TAP."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "configure"
number = bad = 0


def check(name, ok, why=""):
    global number, bad
    number += 1
    bad += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {name}", flush=True)
    for line in [] if ok else str(why).splitlines():
        print(f"# {line}", flush=True)


def build(checkout, *options):
    configure = subprocess.run([checkout / "tools" / "configure", "build", *options], capture_output=True, text=True)
    ninja = subprocess.run(["ninja", "-C", checkout / "build"], capture_output=True, text=True)
    return configure, ninja, subprocess.run([checkout / "build" / "who"], capture_output=True, text=True).stdout


def main():
    with tempfile.TemporaryDirectory() as name:
        old, new, moved = (pathlib.Path(name, n) for n in ("old", "new", "moved"))
        (old / "tools").mkdir(parents=True)
        shutil.copy(TOOL, old / "tools")
        # As in the real one: an absolute path of the sources is on every command line.
        (old / "meson.build").write_text("project('who', 'c')\n"
                                         "executable('who', 'who.c', c_args: '-I' + meson.current_source_dir())\n")
        (old / "who.c").write_text('#include <stdio.h>\n#include <name.h>\nint main(void) { puts(NAME); return 0; }\n')
        (old / "name.h").write_text('#define NAME "old"\n')
        _, ninja, said = build(old, "--buildtype=release")
        check("the original builds", said == "old\n", ninja.stdout + ninja.stderr)
        record = (old / "build" / "build.ninja").stat().st_mtime_ns
        build(old, "--buildtype=release")
        check("what is configured is left alone", (old / "build" / "build.ninja").stat().st_mtime_ns == record)

        shutil.copytree(old, new)
        (new / "name.h").write_text('#define NAME "new"\n')
        configure, ninja, said = build(new, "--buildtype=release")
        check("the copy builds its own sources", said == "new\n", f"{said} {ninja.stdout}{ninja.stderr}")
        check("and says that it starts anew", "another checkout" in configure.stdout, configure.stdout)
        check("with the options", '"release"' in subprocess.run(
            ["meson", "introspect", "--buildoptions", new / "build"], capture_output=True, text=True).stdout)
        check("the original's folder is left alone", (old / "build" / "build.ninja").stat().st_mtime_ns == record)

        old.rename(moved)
        _, ninja, said = build(moved)
        check("a checkout that was moved builds", said == "old\n", f"{said} {ninja.stdout}{ninja.stderr}")
        (moved / "build" / "meson-info" / "meson-info.json").write_text("half")
        _, ninja, said = build(moved)
        check("so does one whose record is broken", said == "old\n", f"{said} {ninja.stdout}{ninja.stderr}")
    print(f"1..{number}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
