"""A plain client of a Kubernetes API: one request, one answer, nothing hidden.

Answers are (status, headers, body); body is parsed JSON where it is JSON, else text.
"""
import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import urllib.parse


class Answer:
    def __init__(self, status, headers, raw):
        self.status = status
        self.headers = headers
        self.raw = raw
        try:
            self.body = json.loads(raw)
        except ValueError:
            self.body = raw

    def get(self, path, otherwise=None):
        """A value of the body by its path: 'metadata.uid', 'items.0.metadata.name'."""
        at = self.body
        for key in path.split("."):
            if isinstance(at, list) and key.isdigit() and int(key) < len(at):
                at = at[int(key)]
            elif isinstance(at, dict) and key in at:
                at = at[key]
            else:
                return otherwise
        return at


class Client:
    def __init__(self, kubeconfig, kubectl="kubectl"):
        text = subprocess.run([kubectl, "config", "view", "--raw", "-o", "json", "--kubeconfig", kubeconfig],
                              check=True, capture_output=True, text=True).stdout
        config = json.loads(text)
        url = urllib.parse.urlsplit(config["clusters"][0]["cluster"]["server"])
        self.host, self.port = url.hostname, url.port
        self.context = self._context(config["clusters"][0]["cluster"])
        self.anonymous = self._context(config["clusters"][0]["cluster"])
        user = config["users"][0]["user"]
        self.token = user.get("token")
        if "client-certificate-data" in user:
            self._load_certificate(user)

    @staticmethod
    def _context(cluster):
        pem = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return ssl.create_default_context(cadata=pem)

    def _load_certificate(self, user):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = os.path.join(folder, "crt"), os.path.join(folder, "key")
            for path, data in ((cert, user["client-certificate-data"]), (key, user["client-key-data"])):
                with open(path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as out:
                    out.write(base64.b64decode(data))
            self.context.load_cert_chain(cert, key)

    def open(self, method, path, body=None, headers=None, anonymous=False, timeout=60):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if self.token and not anonymous:
            headers.setdefault("Authorization", "Bearer " + self.token)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                                 context=self.anonymous if anonymous else self.context)
        connection.request(method, path, body=body, headers=headers)
        return connection, connection.getresponse()

    def request(self, method, path, body=None, headers=None, anonymous=False, timeout=60):
        connection, response = self.open(method, path, body, headers, anonymous, timeout)
        raw = response.read().decode("utf-8", "replace")
        connection.close()
        return Answer(response.status, response.headers, raw)

    def watch(self, path, most=100, headers=None):
        """The events of a watch that ends by itself (timeoutSeconds) or after `most`."""
        connection, response = self.open("GET", path, headers=headers)
        events = []
        if response.status != 200:
            raw = response.read().decode("utf-8", "replace")
            connection.close()
            return Answer(response.status, response.headers, raw)
        while len(events) < most:
            line = response.readline()
            if not line:
                break
            events.append(json.loads(line))
        connection.close()
        return Answer(response.status, response.headers, json.dumps(events))
