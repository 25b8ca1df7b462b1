# SPDX-License-Identifier: Apache-2.0
"""The peer of the idle yard: Debian's redis-server (a store that acknowledges after fsync) and nats-server (a bus), side by side.

They are what one would stand up for records and events before the first line of a yard of one's own; nothing in them downloads,
inspects or loads. The packages are fetched by apt-get and unpacked under build/peers: nothing is installed, no service starts.
"""
from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, List, Optional

import processes
from programs import ROOT

NAME = "redis-server + nats-server"
PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "nats-server")
FETCH_S = 300  # six megabytes
READY_S = 60
LOOK_S = 0.001  # between two looks whether they answer
READ_BYTES = 65536


def fetch(say: Callable[[str], None]) -> Optional[str]:
    """The folder with the programs, or None and a remark."""
    folder = os.path.join(ROOT, "build", "peers")
    root = os.path.join(folder, "root")
    if os.path.exists(os.path.join(root, "complete")):
        return root
    os.makedirs(folder, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=folder, check=True, capture_output=True, timeout=FETCH_S)
        for package in glob.glob(os.path.join(folder, "*.deb")):
            subprocess.run(["dpkg", "-x", package, root], check=True, capture_output=True)
    except (subprocess.SubprocessError, OSError) as cause:
        reason = (getattr(cause, "stderr", b"") or str(cause).encode()).decode(errors="replace").strip()
        say(f"{NAME} could not be fetched, so there is no peer (is `apt-get update` due?): {reason}")
        return None
    open(os.path.join(root, "complete"), "w").close()
    return root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _command(*words: Any) -> bytes:
    """RESP, the protocol of redis: an array of strings."""
    texts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


class StoreAndBus:
    """Both servers on a folder of their own. As ours, the store appends and fsyncs before it answers."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.home = tempfile.mkdtemp(prefix="p", dir="/tmp")
        self.path = os.path.join(self.home, "redis.sock")
        self.running: List[subprocess.Popen] = []

    def _spawn(self, *words: str) -> None:
        libraries = glob.glob(os.path.join(self.root, "usr/lib/*-linux-gnu"))
        environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
        self.running.append(subprocess.Popen(words, env=environment, cwd=self.home, stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.path)
        return connection

    def _store_answers(self) -> bool:
        try:
            with self._connect() as connection:
                connection.sendall(_command("PING"))
                return connection.recv(READ_BYTES).startswith(b"+PONG")  # else it is still loading
        except OSError:
            return False

    def _bus_answers(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                return connection.recv(READ_BYTES).startswith(b"INFO")
        except OSError:
            return False

    def up(self) -> float:
        """Seconds from exec until both answer."""
        port = free_port()
        start = time.perf_counter()
        self._spawn(os.path.join(self.root, "usr/bin/redis-server"), "--port", "0", "--unixsocket", self.path, "--dir", self.home,
                    "--save", "", "--appendonly", "yes", "--appendfsync", "always")
        self._spawn(os.path.join(self.root, "usr/sbin/nats-server"), "-a", "127.0.0.1", "-p", str(port))
        while not self._store_answers() or not self._bus_answers(port):
            if any(process.poll() is not None for process in self.running) or time.perf_counter() - start > READY_S:
                raise OSError(f"{NAME} did not start")
            time.sleep(LOOK_S)
        return time.perf_counter() - start

    def down(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(READY_S)
        self.running.clear()

    def pids(self) -> List[int]:
        return [pid for process in self.running for pid in processes.tree(process.pid)]

    def store_files(self) -> List[str]:
        return [path for path in glob.glob(os.path.join(self.home, "appendonlydir", "*"))]

    def add(self, rows: List[Dict[str, Any]], window: int) -> float:
        """Seconds until every row is acknowledged, so many under way at once."""
        start = time.perf_counter()
        sent = done = 0
        with self._connect() as connection:
            while done < len(rows):
                batch = rows[sent:done + window]
                sent += len(batch)
                connection.sendall(b"".join(
                    _command("HSET", row["key"], *(word for pair in row.items() for word in pair)) for row in batch))
                answers = connection.recv(READ_BYTES)
                if not answers or b"-" in answers:
                    raise OSError(f"{NAME} refused a row: {answers[:200]!r}")
                done += answers.count(b"\n")
        return time.perf_counter() - start

    def place(self, rows: List[Dict[str, Any]]) -> None:
        """Nothing: the rows are all it keeps."""

    def remove(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
