#!/usr/bin/env python3
"""tools/check-pure finds what it is for, and fails where it cannot look. TAP."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARIES = ["libbase.a", "libvalue.a", "kube/libkube.a", "core/libcore.a", "chart/libchart.a"]
results = []


def check(name, ok, detail=""):
    results.append(ok)
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}" + (f" # {detail}" if not ok else ""))


def build(where: pathlib.Path, bodies):
    """One archive a library, each with a function of its own and what `bodies` has for it."""
    for name in LIBRARIES:
        archive = where / "src" / name
        archive.parent.mkdir(parents=True, exist_ok=True)
        stem = archive.stem
        text = f"int {stem}_own(void);\nint {stem}_own(void) {{ return 1; }}\n" + bodies.get(name, "")
        source = archive.with_suffix(".c")
        if archive.exists() and source.exists() and source.read_text() == text:
            continue
        source.write_text(text)
        archive.unlink(missing_ok=True)
        subprocess.run(["cc", "-c", "-fno-builtin", "-o", archive.with_suffix(".o"), source], check=True)
        subprocess.run(["ar", "rcs", archive, archive.with_suffix(".o")], check=True)


def run(where, **env):
    return subprocess.run([sys.executable, ROOT / "tools/check-pure", where], capture_output=True, text=True,
                          env=dict(os.environ, **env))


def main():
    calls = {
        "time": "long time(long *); long f(void); long f(void) { return time(0); }",
        "strtol": "long strtol(const char *, char **, int); long f(void); long f(void) { return strtol(\"1\", 0, 10); }",
        "strerror": "char *strerror(int); char *f(void); char *f(void) { return strerror(1); }",
        "status_of_the_world": "int status_of_the_world(void); int f(void); int f(void) { return status_of_the_world(); }",
        "getenv": "char *getenv(const char *); char *f(void); char *f(void) { return getenv(\"A\"); }",
    }
    with tempfile.TemporaryDirectory() as name:
        where = pathlib.Path(name)
        build(where, {"core/libcore.a": "int libvalue_own(void); int f(void); int f(void) { return libvalue_own(); }"})
        done = run(where)
        check("what a lower library defines may be called", done.returncode == 0, done.stdout + done.stderr)
        for library in LIBRARIES[1:]:
            for symbol, body in calls.items():
                build(where, {library: body})
                done = run(where)
                check(f"{library}: {symbol} is found", done.returncode == 1 and f"calls {symbol}:" in done.stdout, done.stdout)
        build(where, {"libvalue.a": "int libkube_own(void); int f(void); int f(void) { return libkube_own(); }"})
        check("a higher library's function is found", run(where).returncode == 1)
        build(where, {})
        done = run(where, PATH="/nonexistent")
        check("without nm it fails, and says so", done.returncode == 1 and "nm cannot be run" in done.stderr, done.stderr)
        (where / "src/core/libcore.a").unlink()
        check("a missing archive is a failure", run(where).returncode != 0)
        build(where, {})
        (where / "src/chart/libchart.a").write_bytes(b"no archive")
        check("an archive that cannot be read is a failure", run(where).returncode != 0)
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
