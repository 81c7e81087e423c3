"""Compares two CustomResourceDefinitions, version by version, to the last leaf. TAP."""
import json
import re
import sys

# (pattern of the path, reason)
KNOWN = [
    (r"^v1\.spec\.(autoscalerOptions\.(args|command)|headGroupSpec\.ingressOptions|historyServerOptions|networkPolicy"
     r"|tlsOptions|workerGroupSpecs\[\]\.priority)$", "new in KubeRay 1.7"),
    (r"^v1alpha1\.(deprecated|deprecationWarning)$", "deprecated from KubeRay 1.7 on"),
]
# A list or map without a mark is atomic in a custom resource all the same (lists), or merged by key.
UNMARKED = {"x-kubernetes-list-type": "atomic", "x-kubernetes-map-type": "atomic"}


def differences(theirs, ours, path):
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours)):
            if key == "description" or (UNMARKED.get(key) == theirs.get(key) and key in theirs and key not in ours):
                continue
            inner = path if key in ("properties", "schema", "openAPIV3Schema") else (
                path + "[]" if key == "items" else f"{path}.{key}")
            if key not in ours or key not in theirs:
                yield inner, theirs.get(key), ours.get(key)
            else:
                yield from differences(theirs[key], ours[key], inner)
    elif theirs != ours:
        yield path, theirs, ours


def main():
    theirs, ours = (json.load(open(name)) for name in sys.argv[1:3])
    failed, seen = 0, set()
    print("1..4")
    number = 0
    names = [[v["name"] for v in d["spec"]["versions"]] for d in (theirs, ours)]
    number += 1
    good = names[0] == names[1] and theirs["spec"]["names"] == ours["spec"]["names"]
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - versions and names")
    for one, other in zip(theirs["spec"]["versions"], ours["spec"]["versions"]):
        number += 1
        bad = []
        for path, their, our in differences(one, other, one["name"]):
            row = next((i for i, (pattern, _) in enumerate(KNOWN) if re.search(pattern, path)), None)
            if row is None:
                bad.append(f"{path}: KubeRay {json.dumps(their)[:120]}, ours {json.dumps(our)[:120]}")
            else:
                seen.add(row)
        failed += bool(bad)
        print(f"{'not ok' if bad else 'ok'} {number} - {one['name']}")
        for line in bad[:40]:
            print(f"# {line}")
    number += 1
    unused = [KNOWN[i][0] for i in range(len(KNOWN)) if i not in seen]
    failed += bool(unused)
    print(f"{'not ok' if unused else 'ok'} {number} - every known difference is one")
    for pattern in unused:
        print(f"# matches nothing: {pattern}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
