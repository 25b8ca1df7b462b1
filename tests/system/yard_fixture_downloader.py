# SPDX-License-Identifier: Apache-2.0
"""A badly behaved HTTP server beside a yard, and the words to give a downloader its work."""
import hashlib
import json
import os
import subprocess
import sys

from yard import ROOT

SERVER = os.path.join(ROOT, "tests", "servers", "bad_http.py")
sys.path.insert(0, os.path.dirname(SERVER))
from bad_http import content  # noqa: E402


class BadServer:
    """Two ports of one misbehaving server: .url and .other; every request is in requests ()."""

    def __init__(self, directory):
        self.log = os.path.join(directory, "requests.jsonl")
        self.process = subprocess.Popen(["/usr/bin/python3", SERVER, "--log", self.log], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.ports = [int(word) for word in self.process.stdout.readline().split()]
        self.url, self.other = (f"http://127.0.0.1:{port}" for port in self.ports)

    def requests(self, part=""):
        with open(self.log, encoding="utf-8") as file:
            return [row for row in map(json.loads, file) if part in row["path"]]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Downloads:
    """Submits downloads to a yard, and waits for their ends."""

    def __init__(self, yard, server):
        self.yard, self.server, self.client, self.made = yard, server, yard.client(), 0

    def submit(self, behaviour, length=200000, name="model.safetensors", base=None, token=None, **request):
        self.made += 1
        path = os.path.join(self.yard.models, ".staging", str(self.made), name)
        ask = {"kind": "download", "download": {"source": f"{base or self.server.url}/{behaviour}/{length}/{name}",
                                                "path": path, **request}}
        if token:
            ask["access_token"] = token
        job = self.client.ask("job.submit", ask)["job"]
        return job["id"], path

    def wait(self, job, timeout=40):
        jobs = self.client.ask("job.wait", {"ids": [job], "timeout_ms": timeout * 1000}, timeout=timeout + 10)["jobs"]
        assert jobs, f"job {job} did not end: {self.client.ask('job.get', {'id': job})}\n{self.yard.log('downloader')}"
        return jobs[0]

    def fetch(self, behaviour, length=200000, **more):
        """Submits, waits, and looks at what a completed download must have left."""
        job, path = self.submit(behaviour, length, **more)
        row = self.wait(job)
        if row["status"] == "completed":
            with open(path, "rb") as file:
                data = file.read()
            result = row["download_result"]
            assert result["bytes"] == len(data) and result["sha256"] == hashlib.sha256(data).hexdigest()
            assert result["path"] == path and os.stat(path).st_mode & 0o777 == 0o644
            assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)], "a part file or journal is left"
            row["data"] = data
        else:
            assert not os.path.exists(path)
        row["path"] = path
        return row


def sha256(size, version=0):
    return hashlib.sha256(content(size, version)).hexdigest()
