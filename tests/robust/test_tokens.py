#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Secrets of type kubernetes.io/service-account-token: filled, good for their account, and gone with it.

    test_tokens.py MOBULA

TAP. `mobula apiserver` alone. What is right is what kube-controller-manager's token controller does.
"""
import base64
import os
import sys
import time

from robust import Server, check, run_all, wait_until

MOBULA = sys.argv[1]
SECRETS, ACCOUNTS = ("/api/v1/namespaces/default/" + plural for plural in ("secrets", "serviceaccounts"))
TYPE, NAME, UID = ("kubernetes.io/service-account" + end for end in ("-token", ".name", ".uid"))


def account(api, name):
    status, answer = api.call("POST", ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    assert status == 201, answer
    return answer["metadata"]["uid"]


def secret(api, name, annotations, data=None):
    return api.call("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "type": TYPE, "data": data or {},
                                      "metadata": {"name": name, "annotations": annotations}})


def get(api, name):
    status, answer = api.call("GET", SECRETS + "/" + name)
    return answer if status == 200 else None


def filled(api, name):
    def look():
        found = get(api, name)
        return found if found and {"token", "ca.crt", "namespace"} <= set(found.get("data") or {}) else None
    return wait_until(look)


def text(found, key):
    return base64.b64decode(found["data"][key]).decode()


def who(server, token):
    """The user's name that a token stands for, or the status code."""
    api = server.api(anonymous=True)
    status, answer = api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                              {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
                              {"Authorization": "Bearer " + token})
    return answer["status"]["userInfo"]["username"] if status == 201 else status


def test_filled(folder):
    state = os.path.join(folder, "state")
    with Server(MOBULA, state, folder) as server:
        api = server.api()
        uid = account(api, "robot")
        status, _ = secret(api, "one", {NAME: "robot"})
        found = filled(api, "one")
        check("it is filled", status == 201 and found, get(api, "one"))
        check("with the CA", text(found, "ca.crt") == open(os.path.join(state, "pki", "ca.crt")).read())
        check("with the namespace", text(found, "namespace") == "default")
        check("and the account's uid", found["metadata"]["annotations"] == {NAME: "robot", UID: uid}, found["metadata"])
        token = text(found, "token")
        check("the token is the account's", who(server, token) == "system:serviceaccount:default:robot", who(server, token))

        secret(api, "two", {NAME: "robot", UID: uid}, {"extra": "eA=="})
        two = filled(api, "two")
        check("what it had stays", two and two["data"]["extra"] == "eA==", two)
        api.call("PATCH", SECRETS + "/two", {"data": {"token": None, "ca.crt": "eA=="}},
                 {"Content-Type": "application/merge-patch+json"})
        check("what is taken away or spoilt is filled again", wait_until(
            lambda: (get(api, "two")["data"].get("token") and text(get(api, "two"), "ca.crt") == text(found, "ca.crt"))), get(api, "two"))

        version = get(api, "one")["metadata"]["resourceVersion"]
        time.sleep(0.5)
        check("what is filled is left alone", get(api, "one")["metadata"]["resourceVersion"] == version)

        status, answer = secret(api, "nameless", {})
        check("without an account's name it is refused", status == 422 and
              [c["field"] for c in answer["details"]["causes"]] == ["metadata.annotations[%s]" % NAME], answer)
        secret(api, "stray", {NAME: "nobody"})
        check("without such an account it goes", wait_until(lambda: not get(api, "stray")))
        secret(api, "older", {NAME: "robot", UID: "of-another-one"})
        check("of an earlier account of that name it goes", wait_until(lambda: not get(api, "older")))
        api.call("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plain", "annotations": {NAME: "robot"}}})

        api.call("DELETE", SECRETS + "/one")
        check("without its Secret the token is void", wait_until(lambda: who(server, token) == 401), who(server, token))
        secret(api, "one", {NAME: "robot"})
        again = text(filled(api, "one"), "token")
        check("a new Secret of that name has another", again != token and who(server, token) == 401 and
              who(server, again) == "system:serviceaccount:default:robot")
    with Server(MOBULA, state, folder) as server:
        api = server.api()
        check("the token is good after a restart", who(server, again) == "system:serviceaccount:default:robot")
        api.call("DELETE", ACCOUNTS + "/robot")
        check("with the account they go", wait_until(lambda: not get(api, "one") and not get(api, "two")))
        check("and so does the token", who(server, again) == 401)
        check("other Secrets stay", get(api, "plain"))
        account(api, "robot")
        check("it is not the new account's", who(server, again) == 401)


if __name__ == "__main__":
    run_all(test_filled)
