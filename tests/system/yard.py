"""A yard for one test: a home and a run directory of its own, real processes, a plain ZeroMQ client.

The client here is deliberately not the product's: it speaks the envelope with pyzmq and msgpack alone, so that a test of an
actor does not lean on the clients.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import msgpack
import zmq

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("YARD_BUILD", os.path.join(ROOT, "build", "asan"))
READY_S = 20  # a sanitizer build on two busy cores; a healthy start takes 0.2 s


class Failed(Exception):
    """An ask was answered with F."""

    def __init__(self, code, text, failure=None):
        super().__init__(f"{code}: {text}")
        self.code, self.text, self.failure = code, text, failure or {}


class Client:
    """One DEALER. Without hello it is a guest; with hello it answers pings whenever it waits."""

    def __init__(self, run, hello=False, endpoint=None):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint or f"ipc://{run}/command.ipc")
        self.answers, self.events, self.welcome = {}, [], None
        if hello:
            instance = uuid.uuid4().hex
            self.socket.send_multipart([b"YARD1H", b"", msgpack.packb({
                "actor": "client", "place": "client/" + instance, "instance": instance, "node": "test",
                "methods": [], "protocol": 1})])
            self._until(lambda: self.welcome, 10)

    def _take(self, frames):
        letter, ident = frames[0][5:6], frames[0][6:]
        if letter == b"P":
            self.socket.send_multipart([b"YARD1O", b"", msgpack.packb({})])
        elif letter == b"W":
            self.welcome = msgpack.unpackb(frames[2])
        elif letter in (b"R", b"F"):
            self.answers[ident] = (letter, msgpack.unpackb(frames[2]))
        elif letter == b"E":
            self.events.append((ident, frames[1].decode(), msgpack.unpackb(frames[2]), msgpack.unpackb(frames[3])))

    def _until(self, done, timeout):
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            if self.socket.poll(left * 1000):
                self._take(self.socket.recv_multipart())
        return done()

    def send(self, method, body=None, **meta):
        ident = uuid.uuid4().bytes
        frames = [b"YARD1A" + ident, method.encode(), msgpack.packb(body or {})]
        if meta:
            frames.append(msgpack.packb(meta))
        self.socket.send_multipart(frames)
        return ident

    def result(self, ident, timeout=20):
        letter, body = self._until(lambda: self.answers.get(ident), timeout)
        del self.answers[ident]
        if letter == b"F":
            raise Failed(body["code"], body["text"], body)
        return body

    def ask(self, method, body=None, timeout=20, **meta):
        return self.result(self.send(method, body, **meta), timeout)

    def follow(self, *prefixes, **options):
        ident = self.send("event.follow", {"prefixes": list(prefixes), **options})
        self.result(ident)
        return ident

    def next_event(self, timeout=20):
        self._until(lambda: self.events, timeout)
        return self.events.pop(0)

    def close(self):
        self.socket.close()


class Yard:
    def __init__(self, build=BUILD, **settings):
        self.build = build
        self.home = tempfile.mkdtemp(prefix="y", dir="/tmp")
        self.run = os.path.join(self.home, "run")
        os.mkdir(self.run, 0o700)
        self.models = os.path.join(self.home, "models")
        self.settings = {"download.allow_private": "true", **settings}
        self.processes, self.clients = [], []
        self.named = {}

    def program(self, name):
        return os.path.join(self.build, "bin", name)

    def environment(self, **extra):
        return {**os.environ, "MODELYARD_HOME": self.home, "MODELYARD_RUN": self.run,
                "MODELYARD_SET": ",".join(f"{key}={value}" for key, value in self.settings.items()),
                "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1",
                **extra}

    def start(self, *actors, wait=True, faults=None, **environment):
        """Starts actors ("broker" first); each is ready when the broker knows it. "loader@cuda:0" serves that device."""
        for actor in actors:
            extra = {**({"MODELYARD_FAULT": faults} if faults else {}), **environment}
            program, _, device = actor.partition("@")
            log = open(os.path.join(self.home, actor + ".log"), "ab")
            process = subprocess.Popen([self.program("modelyard-" + program), *(["--device", device] if device else [])],
                                       env=self.environment(**extra), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            process.actor = actor
            self.processes.append(process)
            self.named[actor] = process
            if wait:
                self.ready(actor)
        return self.named[actors[-1]]

    def ready(self, actor, timeout=READY_S):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            process = self.named[actor]
            if process.poll() is not None:
                raise AssertionError(f"{actor} ended with {process.returncode}:\n{self.log(actor)}")
            client = Client(self.run)
            try:
                if actor == "broker":
                    client.ask("yard.ping", timeout=1)
                    return
                rows = client.ask("yard.actors", timeout=1)["actors"]
                if any(row["pid"] == process.pid for row in rows):
                    return
            except (TimeoutError, Failed):
                pass
            finally:
                client.close()
            select_wait(0.05)
        raise AssertionError(f"{actor} is not ready:\n{self.log(actor)}")

    def log(self, actor):
        try:
            with open(os.path.join(self.home, actor + ".log"), errors="replace") as file:
                return file.read()[-6000:]
        except FileNotFoundError:
            return ""

    def client(self, hello=False):
        client = Client(self.run, hello)
        self.clients.append(client)
        return client

    def subscriber(self, *prefixes):
        """A SUB that is attached for certain: it has heard a beat."""
        socket = zmq.Context.instance().socket(zmq.SUB)
        socket.linger = 0
        for prefix in (*prefixes, "yard_beat/"):
            socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        socket.connect(f"ipc://{self.run}/event.ipc")
        assert socket.poll(READY_S * 1000), "no beat"
        self.clients.append(socket)
        return socket

    def kill(self, actor, number=signal.SIGKILL):
        process = self.named[actor]
        process.send_signal(number)
        return process.wait(30)

    def cli(self, *words, timeout=60, **extra):
        done = subprocess.run([self.program("modelyard"), *words], env=self.environment(**extra), timeout=timeout,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done

    def cli_json(self, *words, **more):
        done = self.cli(*words, "--json", **more)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    def stop(self):
        """SIGTERM in reverse order; every process must drain and exit 0 (unless a test killed it)."""
        for client in self.clients:
            client.close()
        codes = {}
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    codes[process.actor] = process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    codes[process.actor] = f"hung on SIGTERM:\n{self.log(process.actor)}"
        logs = {process.actor: self.log(process.actor) for process in self.processes}
        shutil.rmtree(self.home, ignore_errors=True)
        for actor, text in logs.items():
            assert "ERROR: AddressSanitizer" not in text and "runtime error:" not in text and "LeakSanitizer" not in text, (
                f"{actor}:\n{text}")
        bad = {actor: code for actor, code in codes.items() if code != 0}
        assert not bad, bad


def select_wait(seconds):
    """Between two looks at something that has no event to wait for (a process that is coming up)."""
    zmq.Context.instance()
    socket = zmq.Context.instance().socket(zmq.PAIR)
    socket.poll(int(seconds * 1000))
    socket.close()


def wait_for(look, timeout=20, what="it"):
    """Looks until look () is true; for states that send no event."""
    deadline = time.monotonic() + timeout
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not happen in {timeout} s"
        select_wait(0.02)
