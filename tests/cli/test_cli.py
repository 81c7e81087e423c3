#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: help, errors, exit codes, template.

    test_cli.py MOBULA GOLDEN_DIR

TAP. Starts nothing that stays; needs no network, no Ray.
"""
import glob
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

MOBULA, GOLDEN = sys.argv[1:3]
count = failed = 0


def run(*words, stdin="", env=None):
    return subprocess.run([MOBULA, *map(str, words)], input=stdin, capture_output=True, text=True,
                          timeout=60, env=dict(os.environ, **(env or {})))


def check(name, ok, *why):
    global count, failed
    count += 1
    print("%s %d - %s" % ("ok" if ok else "not ok", count, name))
    if not ok:
        failed += 1
        for item in why:
            for line in str(item).splitlines()[:20]:
                print("# " + line)


def refuses(name, words, code, *says, stdin="", env=None):
    """It ends with `code`, prints one short message on stderr that says all of `says`, no help."""
    done = run(*words, stdin=stdin, env=env)
    lines = done.stderr.strip().splitlines()
    check(name, done.returncode == code and done.stdout == "" and 1 <= len(lines) <= 3
          and done.stderr.startswith("mobula") and all(s in done.stderr for s in says),
          "exit code %d, wanted %d" % (done.returncode, code), done.stdout[:300], done.stderr,
          "wanted: %s" % (says,))


def test_help():
    done = run()
    check("without words: the verbs", done.returncode == 0 and "usage:" in done.stdout)
    verbs = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    check("the verbs are there", {"up", "down", "status", "template", "version", "help"} <= set(verbs), verbs)
    check("pod-init is not listed", "pod-init" not in verbs)
    check("--help is help", run("--help").stdout == done.stdout and run("help").stdout == done.stdout)
    for verb in verbs:
        by_help, by_flag = run("help", verb), run(verb, "--help")
        check("%s explains itself, both ways alike" % verb,
              by_help.returncode == 0 == by_flag.returncode and by_help.stdout == by_flag.stdout
              or verb == "help", by_help.stdout, by_flag.stdout)
        check("%s: usage line first" % verb,
              by_help.stdout.startswith("usage: mobula %s" % verb), by_help.stdout[:200])
    for verb in ("up", "down", "status", "template"):
        check("%s has examples" % verb, "examples:" in run("help", verb).stdout)
    done = run("version")
    check("version", done.returncode == 0 and done.stdout.startswith("mobula 0."), done.stdout)
    check("--version too", run("--version").stdout == done.stdout)


def test_unknown_words():
    refuses("an unknown verb with a near one", ["templat"], 2, 'no verb "templat"', '"template"')
    refuses("an unknown verb far from all", ["frobnicate"], 2, "mobula help lists them")
    refuses("an option before the verb", ["-x"], 2, "options come after the verb")
    refuses("an unknown option with a near one", ["up", "--nods", "3"], 2, "--nods", "--nodes")
    refuses("an unknown option far from all", ["up", "--frobnicate"], 2, "mobula help up")
    refuses("an unknown letter", ["status", "-q"], 2, "no option -q")
    refuses("a missing value", ["up", "--nodes"], 2, "--nodes needs a value")
    refuses("a missing value of a letter", ["status", "-o"], 2, "-o needs a value")
    refuses("a flag with a value", ["up", "--detach=yes"], 2, "--detach takes no value")
    refuses("help of an unknown verb", ["help", "stat"], 2, "no verb")
    refuses("an operand that up does not take", ["up", "values.yaml"], 2, "-f")


def test_up_checks():
    for words, says in ((["--nodes", "x"], "--nodes"), (["--nodes", "-1"], "between 0"),
                        (["--gpus", "65"], "between 0 and 64"), (["--cpu", "many"], "--cpu"),
                        (["--memory", "0"], "--memory"), (["--idle-timeout", "soon"], "--idle-timeout"),
                        (["--gcs-port", "70000"], "65535"), (["--state", ""], "--state"),
                        (["--set", "worker.replicas=x"], "worker.replicas"),
                        (["--version", "0.1"], "1.1.0"), (["--release", "A_b"], "release name")):
        refuses("up " + " ".join(words), ["up", *words], 2, says)
    refuses("up with a file that is not there", ["up", "-f", "/nowhere/v.yaml"], 4, "/nowhere/v.yaml")
    refuses("up without a home", ["up"], 2, "--state", env={"HOME": "", "XDG_STATE_HOME": ""})


def test_port_taken():
    with tempfile.TemporaryDirectory() as state, socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refuses("up with a port that is taken names port, holder and option",
                ["up", "--state", state, "--dashboard-port", port, "--client-port", 0, "--gcs-port", 0], 5,
                "port %d" % port, "pid %d" % os.getpid(), "--dashboard-port")
        check("and leaves nothing behind", os.listdir(state) == []
              and run("status", "--state", state).returncode == 4, os.listdir(state))


def test_nothing_runs():
    with tempfile.TemporaryDirectory() as state:
        refuses("status without an up", ["status", "--state", state], 4, "no mobula up runs on " + state)
        refuses("down without an up", ["down", "--state", state], 4, "no mobula up runs on " + state)
        pathlib.Path(state, "up.lock").write_text("%d 1\n" % os.getpid())
        refuses("a stale lock is no up", ["down", "--state", state], 4, "no mobula up runs")
    refuses("status -o of an unknown kind", ["status", "-o", "xml"], 2, "json, yaml and wide")


def golden_cases():
    for path in sorted(glob.glob(os.path.join(GOLDEN, "*.json"))):
        name, _, version = os.path.basename(path)[:-5].rpartition("-")
        values = os.path.join(GOLDEN, ("page" if name == "page-sa" else name) + ".yaml")
        yield name, version, values, json.load(open(path))


def test_template():
    cases = wrong = 0
    for name, version, values, golden in golden_cases():
        done = run("template", "ado-ray", "kuberay/ray-cluster", "--version", version, "-f", values,
                   "-o", "json", *golden["args"])
        cases += 1
        if done.returncode or json.loads(done.stdout) != golden["objects"][0]:
            wrong += 1
            print("# %s %s differs: %s" % (name, version, done.stderr))
    check("template equals what Helm prints, %d cases" % cases, wrong == 0 and cases >= 70)
    page = os.path.join(GOLDEN, "page.yaml")
    text = run("template", "ado-ray", "ray-cluster", "-f", page).stdout
    header = "---\n# Source: ray-cluster/templates/raycluster-cluster.yaml\n"
    check("text as helm template's", text.startswith(header + "apiVersion: ray.io/v1\n"), text[:200])
    check("the same as -o yaml below its header",
          text[len(header):] == run("template", "ado-ray", "ray-cluster", "-f", page, "-o", "yaml").stdout)
    from_stdin = run("template", "ado-ray", "ray-cluster", "-f", "-", stdin=open(page).read()).stdout
    check("-f - reads standard input", from_stdin == text)
    done = run("template", "r", "ray-cluster", "-f", page, "-f", "-", "--set", "worker.maxReplicas=9",
               "-o", "json", stdin="worker: {maxReplicas: 7, minReplicas: 2}\n")
    group = json.loads(done.stdout)["spec"]["workerGroupSpecs"][0]
    check("later files win over earlier ones, --set over files",
          (group["minReplicas"], group["maxReplicas"], group["groupName"]) == (2, 9, "cpuWG"), group)
    with tempfile.NamedTemporaryFile("w") as note:
        note.write("of a file\n")
        note.flush()
        done = run("template", "r", "ray-cluster", "--set-file", "head.annotations.note=" + note.name,
                   "--set-json", 'head.tolerations=[{"key":"a"}]', "--set-string", "head.labels.n=1", "-o", "json")
    template = json.loads(done.stdout)["spec"]["headGroupSpec"]["template"]
    check("--set-file, --set-json, --set-string",
          template["metadata"]["annotations"] == {"note": "of a file\n"}
          and template["spec"]["tolerations"] == [{"key": "a"}]
          and template["metadata"]["labels"]["n"] == "1", done.stdout[:2000])
    done = run("template", "r", "ray-cluster", "--set", "worker.maxReplica=3")
    check("an unknown key is warned about with the nearest one",
          done.returncode == 0 and "worker.maxReplica:" in done.stderr and "worker.maxReplicas" in done.stderr)
    done = run("template", "r", "ray-cluster", "--version", "1.7.0", "-n", "team", "-o", "json")
    check("-n goes into the object where the chart writes it",
          json.loads(done.stdout)["metadata"]["namespace"] == "team")


def test_template_errors():
    refuses("no operands", ["template"], 2, "release name and a chart")
    refuses("one operand", ["template", "r"], 2, "release name and a chart")
    refuses("another chart", ["template", "r", "bitnami/redis"], 2, "bitnami/redis", "kuberay/ray-cluster")
    refuses("another version", ["template", "r", "ray-cluster", "--version", "9.9.9"], 2, "9.9.9", "1.1.0", "1.7.0")
    refuses("a wrong type", ["template", "r", "ray-cluster", "--set", "worker.replicas=many"], 2,
            "worker.replicas: expected a whole number")
    refuses("broken YAML: file, line and column", ["template", "r", "ray-cluster", "-f", "-"], 2,
            "standard input:2:", stdin="a: [1\nb: 2\n")
    refuses("a key twice", ["template", "r", "ray-cluster", "-f", "-"], 2, "standard input:2:", stdin="a: 1\na: 2\n")
    refuses("a list instead of a map", ["template", "r", "ray-cluster", "-f", "-"], 2, "map", stdin="- a\n")
    refuses("no such file", ["template", "r", "ray-cluster", "-f", "/nowhere/x.yaml"], 4, "/nowhere/x.yaml")
    refuses("standard input twice", ["template", "r", "ray-cluster", "-f", "-", "-f", "-"], 2, "once only", stdin="a: 1\n")
    refuses("a URL", ["template", "r", "ray-cluster", "-f", "https://example.org/v.yaml"], 2, "nothing is fetched")
    refuses("--set without =", ["template", "r", "ray-cluster", "--set", "a"], 2, 'key "a" has no value', "^")
    refuses("--set-file of nothing", ["template", "r", "ray-cluster", "--set-file", "a=/nowhere"], 4, "/nowhere")
    refuses("a release name that Helm refuses", ["template", "R_1", "ray-cluster"], 2, "R_1")
    refuses("-o of an unknown kind", ["template", "r", "ray-cluster", "-o", "wide"], 2, "json and yaml")
    done = subprocess.run("%s template r ray-cluster | head -c 10" % MOBULA, shell=True, capture_output=True, text=True)
    check("a closed pipe is no error", done.stderr == "", done.stderr)


def test_render():
    page = run("template", "ado-ray", "ray-cluster", "-f", os.path.join(GOLDEN, "page-groups.yaml")).stdout
    done = run("render", "-f", "-", "-o", "json", stdin=page)
    items = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    kinds = [i["kind"] for i in items]
    check("render: account, role, binding, service, head and a pod of each of the five groups",
          kinds == ["ServiceAccount", "Role", "RoleBinding", "Service"] + ["Pod"] * 6, kinds, done.stderr)
    groups = [i["metadata"]["labels"]["ray.io/group"] for i in items if i["kind"] == "Pod"]
    check("render: the groups keep their names", groups[0] == "headgroup" and "cpuWG" in groups, groups)
    text = run("render", "-f", "-", stdin=page).stdout
    check("render: as YAML documents", text.count("---\n") == len(items) and "kind: Role\n" in text, text[:300])
    told = run("render", "--explain", "-f", "-", "-o", "json", stdin=page)
    plan = json.loads(told.stdout) if told.returncode == 0 else []
    check("render --explain: actions in stages, each with its reason, made of the rendered objects",
          plan and all(p["do"] == "create" and p["why"] for p in plan)
          and [p["stage"] for p in plan] == sorted(p["stage"] for p in plan)
          and sorted(p["object"]["kind"] for p in plan if p["what"] != "pods") == sorted(kinds[:4]), plan, told.stderr)
    refuses("render of values", ["render", "-f", os.path.join(GOLDEN, "page.yaml")], 2, "no RayCluster")
    refuses("render of nothing", ["render"], 2, "-f cluster.yaml")
    refuses("render of a cluster with a bad name", ["render", "-f", "-"], 2, "metadata.name",
            stdin=page.replace("name: ado-ray-kuberay", "name: 1-ado-ray"))


CLUSTER = """{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: c%s}, spec: {enableInTreeAutoscaling: true,
headGroupSpec: {template: {spec: {containers: [{name: ray-head, image: "rayproject/ray:2.46.0"%s}]}}},
workerGroupSpecs: [{groupName: lake, template: {spec: {containers: [{name: ray-worker, image: "rayproject/ray:2.46.0"}]}}}]}}
"""


def test_render_takes_what_the_api_takes():
    plain = CLUSTER % ("", "")
    done = run("render", "-f", "-", "-o", "json", stdin=plain)
    items = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    check("render: bounds of a group that are left out are the definition's", len(items) == 6, done.stderr)
    for name, fields, said in (
            ("a wrong type", ", command: sleep", "command in body must be of type array"),
            ("a misspelt key", ", resource: {}", 'unknown field "spec.headGroupSpec.template.spec.containers[0].resource"'),
            ("a bad quantity", ", resources: {limits: {memory: 2GiB}}", "limits.memory in body should match")):
        refuses("render of " + name, ["render", "-f", "-"], 2, said, stdin=CLUSTER % ("", fields))
    refuses("render of an unknown version", ["render", "-f", "-"], 2, "no matches for kind",
            stdin=plain.replace("ray.io/v1", "ray.io/v9"))
    refuses("--autoscaler of an unknown kind", ["render", "--autoscaler", "both", "-f", "-"], 2, "ray or native", stdin=plain)

    def heads(*more):
        done = run("render", *more, "-f", "-", "-o", "json", stdin=plain)
        return [i for i in json.loads(done.stdout)["items"] if i["kind"] == "Pod"][0]["spec"]["containers"]
    check("render --autoscaler: Ray's own is a sidecar", len(heads("--autoscaler=ray")) == 2)
    check("render --autoscaler: the native one is not", len(heads("--autoscaler=native")) == len(heads()) == 1)
    done = run("render", "-f", "-", "-o", "json",
               stdin=CLUSTER % (', annotations: {ray.io/enable-serve-service: "true"}', ""))
    serve = [i for i in json.loads(done.stdout)["items"] if i["metadata"].get("name") == "c-serve-svc"]
    check("render: a cluster's serve service takes all pods of the cluster, and names no protocol",
          serve and serve[0]["spec"]["selector"] == {"ray.io/cluster": "c"}
          and [sorted(p) for p in serve[0]["spec"]["ports"]] == [["name", "port"]], serve)


for test in (test_help, test_unknown_words, test_up_checks, test_port_taken, test_nothing_runs, test_template,
             test_template_errors, test_render, test_render_takes_what_the_api_takes):
    test()
print("1..%d" % count)
sys.exit(1 if failed else 0)
