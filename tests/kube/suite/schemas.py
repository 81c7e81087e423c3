"""The table of types beside a real kube-apiserver's OpenAPI documents: of every type served, the fields, which
are required, and how lists and maps merge (server-side apply and strategic patches).

schemas.py REAL EMBEDDED (kubeconfigs of both; TAP, one line a document)
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import Client  # noqa: E402

MARKS = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-patch-merge-key",
         "x-kubernetes-patch-strategy")


def marks(schema):
    """A list without a mark is atomic, a map granular; `replace` stands in kube/merge_schema.c alone."""
    return {m: schema[m] for m in MARKS if m in schema and schema[m] not in ("granular", "replace")
            and (m, schema[m]) != ("x-kubernetes-list-type", "atomic")}


def shape(schema):
    """What matters of a type: its own marks, its required fields, each field's marks."""
    fields = {name: marks(field) for name, field in (schema.get("properties") or {}).items()}
    return {"marks": marks(schema), "required": sorted(schema.get("required") or []), "fields": fields}


def faults(name, real, ours):
    if real["marks"] != ours["marks"]:
        yield "%s: %s, not %s" % (name, real["marks"], ours["marks"])
    if real["required"] != ours["required"]:
        yield "%s: required %s, not %s" % (name, real["required"], ours["required"])
    for field in sorted(set(real["fields"]) | set(ours["fields"])):
        a, b = real["fields"].get(field), ours["fields"].get(field)
        if a != b:
            yield "%s.%s: %s, not %s" % (name, field, a, b)


def main(real_config, embedded_config):
    real, ours = Client(real_config), Client(embedded_config)
    index, served = real.request("GET", "/openapi/v3").body["paths"], ours.request("GET", "/openapi/v3").body["paths"]
    documents = sorted(p for p in served if p in index and "ray.io" not in p)
    failed, types = 0, 0
    for i, path in enumerate(documents, 1):
        theirs = real.request("GET", index[path]["serverRelativeURL"]).body["components"]["schemas"]
        mine = ours.request("GET", served[path]["serverRelativeURL"]).body["components"]["schemas"]
        shared = sorted(n for n in mine if n in theirs)
        types += len(shared)
        found = [f for n in shared for f in faults(n, shape(theirs[n]), shape(mine[n]))]
        failed += bool(found)
        print("%sok %d - %s: %d types" % ("not " if found else "", i, path, len(shared)))
        for fault in found[:20]:
            print("#   " + fault)
    print("1..%d\n# %d types compared" % (len(documents), types))
    return 1 if failed or types < 200 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
