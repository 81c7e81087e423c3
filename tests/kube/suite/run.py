"""Runs the cases against one server and records what it answers; compares two records as TAP.

run.py record KUBECONFIG FILE [CASE...]     run.py compare REAL OURS
"""
import json
import os
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import fields  # noqa: E402,F401  more cases
import known  # noqa: E402
import normal  # noqa: E402
from client import Answer, Client  # noqa: E402

PATIENCE_S = 30


class Tester:
    """What a case works with: a namespace of its own and recorded requests."""

    def __init__(self, client, name, record):
        self.client, self.case, self.steps = client, name, record
        self.ns = "suite-" + name.replace("_", "-")

    # --- paths
    @staticmethod
    def quote(text):
        return urllib.parse.quote(text, safe="")

    def core(self, rest):
        return "/api/v1/namespaces/%s/%s" % (self.ns, rest)

    def path(self, api, rest):
        return "/apis/%s/namespaces/%s/%s" % (api, self.ns, rest)

    # --- recorded requests
    def _record(self, name, answer, managed, pick, only_status, only_type):
        body = answer.body
        if pick:
            try:
                body = pick(body)
            except (KeyError, TypeError, IndexError, AttributeError) as e:
                body = {"not as expected": repr(e), "answer": body}
        seen = {"status": answer.status, "type": (answer.headers.get("Content-Type") or "").split(";")[0]}
        warnings = answer.headers.get_all("Warning") or []
        if warnings:
            seen["warnings"] = [normal.text(w) for w in warnings]
        if only_status:
            seen = {"status": answer.status}
        elif not only_type:
            seen["body"] = normal.normal(body, managed)
        self.steps.append([self.case + ": " + name, seen])
        return answer

    def step(self, name, method, path, body=None, managed=False, pick=None, only_status=False,
             only_type=False, **how):
        answer = self.client.request(method, path, body, **how)
        return self._record(name, answer, managed, pick, only_status, only_type)

    def get(self, name, path, **how):
        return self.step(name, "GET", path, **how)

    def post(self, name, path, body, **how):
        return self.step(name, "POST", path, body, **how)

    def put(self, name, path, body, **how):
        return self.step(name, "PUT", path, body, **how)

    def delete(self, name, path, body=None, **how):
        return self.step(name, "DELETE", path, body, **how)

    def patch(self, name, path, body, kind, headers=None, **how):
        if not isinstance(body, str):
            body = json.dumps(body)
        return self.step(name, "PATCH", path, body, headers={"Content-Type": kind, **(headers or {})}, **how)

    def watch(self, name, path, most=100, headers=None, during=None):
        if during:
            threading.Timer(0.3, during).start()
        answer = self.client.watch(path, most, headers)
        return self._record(name, answer, False, None, False, False)

    def note(self, name, fact):
        self.steps.append([self.case + ": " + name, {"fact": fact}])

    # --- not recorded
    def quiet(self, method, path, body=None, headers=None):
        return self.client.request(method, path, body, headers)

    def wait_for(self, path, good=lambda answer: True):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            answer = self.quiet("GET", path)
            if answer.status == 200 and good(answer):
                return answer
            time.sleep(0.1)
        return None

    def wait_gone(self, path):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.quiet("GET", path).status == 404:
                return True
            time.sleep(0.1)
        return False

    def until_gone(self, path):
        self.note("until gone: " + path, self.wait_gone(path))

    def account(self):
        """Pods need the namespace's default service account, which comes a moment later."""
        self.wait_for(self.core("serviceaccounts/default"))


def run_case(client, function, record):
    t = Tester(client, function.__name__, record)
    try:
        t.quiet("POST", "/api/v1/namespaces", cases.obj("v1", "Namespace", t.ns))
        function(t)
        t.quiet("DELETE", "/api/v1/namespaces/" + t.ns)
    except Exception as e:  # noqa: BLE001  a server that breaks off must fail this case, not the run
        record.append([t.case + ": runs to its end", {"error": type(e).__name__ + ": " + str(e)}])


def record_all(kubeconfig, path, only):
    client, record = Client(kubeconfig), []
    for function in cases.CASES:
        if only and function.__name__ not in only:
            continue
        run_case(client, function, record)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(record, out)
    return len(record)


def shown(value):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else text[:297] + "..."


def compare(real_path, ours_path):
    with open(real_path, encoding="utf-8") as f:
        real = json.load(f)
    with open(ours_path, encoding="utf-8") as f:
        ours = {name: seen for name, seen in json.load(f)}
    failed = 0
    print("1..%d" % len(real))
    for i, (name, expected) in enumerate(real, 1):
        if name not in ours:
            found, accepted = [("", "a step", "no such step")], []
        else:
            all_found = normal.differences(expected, ours[name])
            accepted = [known.reason(name, d[0]) for d in all_found]
            found = [d for d, why in zip(all_found, accepted) if not why]
        remark = "  # known: " + next(filter(None, accepted)) if not found and any(accepted) else ""
        print("%sok %d - %s%s" % ("not " if found else "", i, name, remark))
        failed += bool(found)
        for where, theirs, mine in found[:6]:
            print("#   %s\n#     kube-apiserver: %s\n#     embedded:       %s" % (where, shown(theirs), shown(mine)))
    print("# %d of %d answers are the same" % (len(real) - failed, len(real)))
    whole = {name.split(":")[0] for name, _ in real} >= {function.__name__ for function in cases.CASES}
    idle = known.idle() if whole else []
    for row in idle:
        print("# suite/known.py: no difference needs this row any more: %s %s (%s)" % row)
    return failed + len(idle)


def main(args):
    if len(args) >= 3 and args[0] == "record":
        print("# %d answers recorded in %s" % (record_all(args[1], args[2], args[3:]), args[2]))
        return 0
    if len(args) == 3 and args[0] == "compare":
        return 1 if compare(args[1], args[2]) else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
