# SPDX-License-Identifier: Apache-2.0
"""Asks of Ray what ado's SFTTrainer asks: whole-node and part-node GPU work of one product.

Phase 1: a task {CPU: 2n, GPU: n, PRODUCT: n} for each n of 1, 2, 4, 8; each is asked when the one before
it runs, and all hold what they got until all run. (Asked at once they may share the first worker that
comes up, if that is the one with 8 GPUs: where a task goes is Ray's choice.)
Phase 2: a placement group STRICT_SPREAD of two {CPU: 16, GPU: 8, PRODUCT: 8, full-worker: 1} (a
measurement on two whole nodes) and a task in each bundle.

Run it with `ray job submit`; every line it prints is what Ray answered. It fails (exit code 1) when a
task does not get what it asked for.
"""
import json
import sys
import time

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

PRODUCT = "NVIDIA-A100-SXM4-80GB"
SIZES = (1, 2, 4, 8)
WORK_S = float(sys.argv[1]) if len(sys.argv) > 1 else 6.0


@ray.remote(num_cpus=0.1)
class Gate:
    """Counts the tasks that run."""

    def __init__(self):
        self.running = 0

    def enter(self):
        self.running += 1

    def count(self):
        return self.running


@ray.remote(max_retries=3)
def measure(seconds, gate=None, everybody=0):
    """Holds its resources for a while and says where it ran and which GPUs it was given."""
    context = ray.get_runtime_context()
    began = time.time()
    if gate is not None:
        ray.get(gate.enter.remote())
        while ray.get(gate.count.remote()) < everybody:
            time.sleep(0.2)
    time.sleep(seconds)
    return {"node": context.get_node_id()[:12], "gpus": len(ray.get_gpu_ids()),
            "assigned": {k: v for k, v in context.get_assigned_resources().items()
                         if "_group_" not in k}, "began": began}


def say(kind, **facts):
    print("%s %s" % (kind, json.dumps(facts, sort_keys=True)), flush=True)


def check(condition, message):
    if not condition:
        say("failed", why=message)
        sys.exit(1)


def phase_1():
    say("phase1", asked=["{CPU %d, GPU %d, %s %d}" % (2 * n, n, PRODUCT, n) for n in SIZES])
    gate = Gate.remote()
    waiting, asked = {}, {}
    for n in SIZES:
        options = measure.options(num_cpus=2 * n, num_gpus=n, resources={PRODUCT: n})
        asked[n] = time.time()
        waiting[options.remote(WORK_S, gate, len(SIZES))] = n
        while ray.get(gate.count.remote()) < len(waiting):
            time.sleep(0.1)
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1)
        n = waiting.pop(done[0])
        got = ray.get(done[0])
        say("task", n=n, node=got["node"], gpus=got["gpus"],
            waited_s=round(got["began"] - asked[n], 1), took_s=round(time.time() - asked[n], 1))
        check(got["gpus"] == n, "the task of %d GPUs was given %d" % (n, got["gpus"]))
        check(got["assigned"].get(PRODUCT) == n, "the task of %d has not its product" % n)


def phase_2():
    asked = time.time()
    bundle = {"CPU": 16, "GPU": 8, PRODUCT: 8, "full-worker": 1}
    group = placement_group([dict(bundle), dict(bundle)], strategy="STRICT_SPREAD")
    say("phase2", asked="STRICT_SPREAD 2 x {CPU 16, GPU 8, %s 8, full-worker 1}" % PRODUCT)
    ray.get(group.ready())
    waited = time.time() - asked
    tasks = [measure.options(
        num_cpus=16, num_gpus=8, resources={PRODUCT: 8, "full-worker": 1},
        scheduling_strategy=PlacementGroupSchedulingStrategy(
            placement_group=group, placement_group_bundle_index=i)).remote(WORK_S)
        for i in range(2)]
    got = ray.get(tasks)
    say("gang", nodes=sorted(g["node"] for g in got), gpus=[g["gpus"] for g in got],
        waited_s=round(waited, 1), took_s=round(time.time() - asked, 1))
    check(len({g["node"] for g in got}) == 2, "the two halves share a node")
    check([g["gpus"] for g in got] == [8, 8], "the halves were not given 8 GPUs each")
    remove_placement_group(group)


def main():
    ray.init(address="auto", log_to_driver=False)
    say("ray", version=ray.__version__, cpus=ray.cluster_resources().get("CPU", 0),
        gpus=ray.cluster_resources().get("GPU", 0))
    phase_1()
    phase_2()
    say("done", tasks=len(SIZES), gangs=1)


if __name__ == "__main__":
    main()
