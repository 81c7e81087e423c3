"""Takes out of an answer what differs between two servers by its nature: identities, times, versions,
random names, addresses, and the prose of descriptions."""
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
AGE = re.compile(r"^(<invalid>|\d+(s|m|h|d|m\d+s|h\d+m))$")
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
SERVICE_IP = re.compile(r"10\.\d+\.\d+\.\d+")
GENERATED = re.compile(r"\b(gen-|kube-api-access-)[bcdfghjklmnpqrstvwxz2456789]{5}\b")
NUMBERS_IN = re.compile(r"(too old resource version|Too large resource version|unable to parse.*resource version|current)(: | )"
                        r"(\d+)( \((\d+)\))?")
VERSION_IN = re.compile(r"(the ResourceVersion in (?:the precondition|record) \()\d+\)")
QUOTED_VERSION = re.compile(r'("resourceVersion\\?":\\?")\d+(\\?")')
IGNORED = ("storageVersionHash",)
BY_KEY = {
    "uid": "<uid>", "resourceVersion": "<version>", "continue": "<continue>", "remainingItemCount": None,
    "nodePort": "<port>", "healthCheckNodePort": "<port>",
}


def text(s):
    s = UUID.sub("<uid>", s)
    s = TIME.sub("<time>", s)
    s = ADDRESS.sub("<server>", s)
    s = GENERATED.sub(r"\1<random>", s)
    s = SERVICE_IP.sub("<service-ip>", s)
    s = QUOTED_VERSION.sub(r"\1<version>\2", s)
    s = VERSION_IN.sub(r"\1<version>)", s)
    return NUMBERS_IN.sub(lambda m: m[1] + m[2] + "<version>" + (" (<version>)" if m[4] else ""), s)


def table(value):
    for column in value.get("columnDefinitions") or []:
        column.pop("description", None)
    for row in value.get("rows") or []:
        row["cells"] = ["<age>" if isinstance(c, str) and AGE.match(c) else c for c in row["cells"]]
    return value


def is_token_volume(item):
    """The volume with the service account's token. kube-apiserver writes it into every pod; the embedded
    server does not: its node mounts the token by itself (docs/differences-api.md)."""
    return isinstance(item, dict) and str(item.get("name", "")).startswith("kube-api-access-")


def normal(value, managed=False):
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [normal(v, managed) for v in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "Table":
        value = table(dict(value))
    result = {}
    for key, v in value.items():
        if key == "managedFields" and isinstance(v, list): # by time, which is in seconds: any order is right
            v = sorted(v, key=lambda e: [str(e.get(k)) for k in ("operation", "manager", "subresource")])
        if key in IGNORED or (key == "managedFields" and not managed):
            continue
        if key in ("volumes", "volumeMounts") and isinstance(v, list):
            v = [item for item in v if not is_token_volume(item)]
            if not v:
                continue
        if key in BY_KEY and v not in (None, "", 0, "0", []) and not isinstance(v, (dict, list)):
            if BY_KEY[key] is not None or key == "remainingItemCount":
                result[key] = BY_KEY[key] if BY_KEY[key] else v
            continue
        result[text(key)] = normal(v, managed)
    return result


def differences(real, ours, path="", limit=500):
    """[(path, real, ours)], the first few."""
    found = []
    if isinstance(real, dict) and isinstance(ours, dict):
        for key in sorted(set(real) | set(ours)):
            if key not in ours:
                found.append((path + "." + key, real[key], "<missing>"))
            elif key not in real:
                found.append((path + "." + key, "<missing>", ours[key]))
            else:
                found += differences(real[key], ours[key], path + "." + key, limit)
    elif isinstance(real, list) and isinstance(ours, list):
        for i in range(max(len(real), len(ours))):
            where = "%s[%d]" % (path, i)
            if i >= len(ours):
                found.append((where, real[i], "<missing>"))
            elif i >= len(real):
                found.append((where, "<missing>", ours[i]))
            else:
                found += differences(real[i], ours[i], where, limit)
    elif real != ours or type(real) is not type(ours):
        found.append((path, real, ours))
    return found[:limit] if path else found
