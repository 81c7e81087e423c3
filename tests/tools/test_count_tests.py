#!/usr/bin/env python3
"""tools/count-tests: every form of a skip is named and counted, and in CI an unlisted one fails. TAP."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "count-tests"
CMOCKA = "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  SKIPPED ] b\n[==========] 2 test(s) run.\n[  SKIPPED ] 1 test(s)\n"
TESTS = [  # result, output, (passed, failed), skips
    ("OK", "", (1, 0), []),
    ("OK", "ok 1 - a\nok 2 - b\n1..2\n", (2, 0), []),
    ("FAIL", "ok 1 - a\nnot ok 2 - b\n", (1, 1), []),
    ("TIMEOUT", "ok 1 - a\n", (1, 1), []),
    ("OK", CMOCKA, (1, 0), ["b"]),
    ("OK", "ok 1 - a\nok 2 - full disk # SKIP no tmpfs\n", (1, 0), ["full disk: no tmpfs"]),
    ("OK", "ok 1 - a\nok 2 # SKIP no node here\nok # SKIP\n", (1, 0), ["no node here", None]),
    ("SKIP", "1..0 # SKIP no kubectl here\n", (0, 0), ["no kubectl here"]),
    ("SKIP", "", (0, 0), [None]),
    ("OK", "[       OK ] a\nSKIP: pods as nobody: no namespaces\n", (1, 0), ["pods as nobody: no namespaces"]),
    ("OK", "skipped as nobody: cannot run\n", (0, 0), ["as nobody: cannot run"]),
    ("FAIL", "skipped: half of it\n", (0, 1), ["half of it"]),
]
number = bad = 0


def check(name, ok, why=""):
    global number, bad
    number += 1
    bad += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {name}", *([] if ok else [f"# {why}"]), sep="\n", flush=True)


def run(folder, tests, listed, ci):
    log, skips = folder / "log.json", folder / "skips"
    log.write_text("".join(json.dumps({"name": f"mobula:s / t{i}", "result": result, "stdout": out}) + "\n"
                           for i, (result, out) in enumerate(tests)))
    skips.write_text("# a comment\n\n" + "\n".join(listed) + "\n")
    env = {k: v for k, v in os.environ.items() if k != "CI"}
    done = subprocess.run([TOOL, "s", log, skips], capture_output=True, text=True, env=dict(env, **({"CI": "true"} if ci else {})))
    first, *lines = done.stdout.splitlines() or [""]
    return tuple(map(int, first.split())), lines, done.stderr


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for form, (result, out, (passed, failed), skips) in enumerate(TESTS):
            label = f"form {form}, {result}"
            own = [f"s/t0: {s}" if s else "s/t0" for s in skips]
            counts, lines, error = run(folder, [(result, out)], [], False)
            check(f"{label}: counted", counts == (passed, failed, len(skips)), f"{counts} {error}")
            check(f"{label}: named", lines == [f"skipped {s} (not in tests/skips)" for s in own], lines)
            counts, _, _ = run(folder, [(result, out)], [], True)
            check(f"{label}: fails in CI when not listed", counts == (passed, failed + len(skips), len(skips)), counts)
            counts, lines, _ = run(folder, [(result, out)], [s.replace("nobody", "*") for s in own], True)
            check(f"{label}: passes when listed", counts == (passed, failed, len(skips)) and not any("not in" in x for x in lines), counts)
        counts, _, _ = run(folder, [(r, o) for r, o, _, _ in TESTS], [], False)
        check("all together", counts == tuple(sum(t[2][i] for t in TESTS) for i in (0, 1)) + (sum(len(t[3]) for t in TESTS),), counts)
    print(f"1..{number}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
