"""Differences between the embedded server and kube-apiserver that are meant: (pattern of the step's
name, pattern of the path inside the answer, reason). docs/differences-api.md says the same in words."""
import re

KNOWN = [
    (r".", r"^\.body\.items\[\d+\]\.(apiVersion|kind)$",
     "items of a list carry their kind and version, as those of custom resources do everywhere"),
]


def reason(step, path):
    for step_pattern, path_pattern, why in KNOWN:
        if re.search(step_pattern, step) and re.search(path_pattern, path):
            return why
    return None
