"""Differences between the embedded server and kube-apiserver that are meant: (pattern of the step's
name, pattern of the path inside the answer, reason). docs/differences-api.md says the same in words."""
import re

MESSAGE = r"\.(message|causes\[\d+\]\.message)$"
KNOWN = [
    (r".", r"^\.body\.items\[\d+\]\.(apiVersion|kind)$",
     "items of a list carry their kind and version, as those of custom resources do everywhere"),
    (r".", r"\.(f:)?(lastProbeTime|lastTransitionTime|startedAt)$",
     "times that nobody gave are left out, not written as null"),
    (r"bodies: (malformed|not an object|empty body|JSON patch that is no list)", MESSAGE,
     "our JSON parser has its own words: line, column, what"),
    (r"bodies: (wrong content type|unknown patch type|not acceptable)", r"\.(message|details)$",
     "other media types are on offer"),
    (r"lists: labels: (broken|bad)|lists: field (unknown|broken)|lists: bad continue", MESSAGE,
     "our selector parser has its own words"),
    (r"creation_faults: two controllers|services: port twice|roles: role may not change", MESSAGE,
     "the refused value is shown as JSON, not as a Go struct"),
    (r"accounts_and_claims: (size of an unbound claim|class may not change)"
     r"|pods: node name may not change", MESSAGE, "no diff of Go structs after the sentence"),
    (r"patches: wrong type|field_validation: merge patch", MESSAGE,
     "the patched object, which the sentence repeats, has its keys sorted"),
    (r"apply: the same value is shared", r"\.time$", "the time of an entry that did not change"),
    (r"owners_of_creates: daemonsets", r"\.f:metadata$", "no DaemonSet's old annotation of its template"),
    (r"nodes: ", r"\.(annotations|taints\[\d+\]|status)", "no controller annotates or taints nodes here"),
    (r"workloads: job", r"\.(labels|manualSelector|selector|template\.metadata)$", "the Job's generated labels are left to its pods"),
    (r"tables: deployments", r"\.annotations$", "no revision history of Deployments"),
    (r"apply: .* env|workloads: ", r"\.(annotations|status)(\.|$)",
     "controllers of the real cluster may have been there already"),
    (r"definitions: create", r"\.status\.(acceptedNames|conditions|storedVersions)",
     "a definition serves at once; its status says so in the first answer"),
    (r"definitions: ", r"\.metadata\.continue$", "an empty continue is left out"),
    (r"definitions: the definition goes", r"^\.body",
     "a definition goes at once, with its objects: the answer is a Status"),
    (r"discovery: aggregated /apis?$", r"\.resources\[\d+\](\.|$)|\.metadata\.name$",
     "the order of groups and resources differs"),
    (r"discovery: openapi index", r"\.type$", "JSON says that it is JSON"),
    (r"discovery: /readyz\?verbose", r"^\.body$", "other checks stand behind readiness"),
    (r"unknown_paths: /api|definitions: and its things", r"^\.(type|body)",
     "what is unknown is a Status where a kind is asked for, plain text elsewhere"),
    (r"tables: with objects", r"\.lastState$", "no empty lastState is written"),
    (r"definitions: no versions", r"causes\[1\]$|\.message$", "one sentence less about its status"),
    (r"events: the newer form, no action", r"\.(group|message)$", "Event is named with its group"),
]


USED = set()  # rows that some difference needed


def reason(step, path):
    for i, (step_pattern, path_pattern, why) in enumerate(KNOWN):
        if re.search(step_pattern, step) and re.search(path_pattern, path):
            USED.add(i)
            return why
    return None


def idle():
    """Rows that no difference needs any more: they would hide the next one."""
    return [row for i, row in enumerate(KNOWN) if i not in USED]
