"""A loader that says and does what a test wants: a real guest on the bus, at a place of its own."""
import os
import threading
import uuid

import msgpack
import pytest
import zmq

ANYONE = ("load.device", "load.list")
METHODS = ("load.model", "load.path", "load.remote", "load.prefetch", "load.estimate", "load.evict", "load.device", "load.list",
           "load.release", "load.lock")


def simulated_gpus(yard, count, **more):
    """Settings of the simulated CUDA; skips where this build has none."""
    folder = os.path.join(yard.build, "simcuda")
    if not os.path.exists(os.path.join(yard.build, "lib", "libmodelyard-cuda.so")) or not os.path.exists(folder):
        pytest.skip("this build has no plug-in for GPUs, or no simulated CUDA")
    return {"LD_LIBRARY_PATH": folder, "SIMCUDA_DEVICES": str(count), "SIMCUDA_STATE": os.path.join(yard.home, "simcuda"), **more}


def row(**fields):
    """One row of load.list."""
    return {"lease": "", "key": "f" * 32, "name": "a model", "submodel": "", "device": "cuda:7", "form": "device", "state": "idle",
            "owner": "", "bytes": 1 << 30, "attachments": 0, "age_ms": 5000, **fields}


def device(**fields):
    """The answer of load.device."""
    numbers = ("total_bytes", "budget_bytes", "free_bytes", "reserved_bytes", "held_bytes", "idle_bytes", "draining_bytes",
               "waiting_bytes", "peak_bytes", "models", "leases", "loads", "hits", "evictions", "read_bytes", "cached_bytes")
    return {**dict.fromkeys(numbers, 0), "device": "cuda:7", "name": "a device of a test", "uuid": "GPU-7", **fields}


class PlayedLoader:
    """Answers each method with what `answers` has for it: a map, or a function from the ask's body to one; ("code", "text") is a
    failure; what is not there is never answered. Runs in a thread until close ()."""

    def __init__(self, run, place="loader/test/cuda:7", answers=None):
        self.answers, self.asked, self.withdrawn = answers or {}, [], []
        self.open = {}  # letters of asks that are not answered, by method
        self.ready = threading.Event()
        self.inbox = zmq.Context.instance().socket(zmq.PAIR)
        name = f"inproc://{uuid.uuid4().hex}"
        self.inbox.bind(name)
        self.thread = threading.Thread(target=self._run, args=(run, place, name))
        self.thread.start()
        assert self.ready.wait(20), "no welcome"

    # --- from the test's thread
    def publish(self, name, subject, body):
        self.inbox.send_pyobj(("publish", name, subject, body))

    def answer(self, method, body):
        """An ask that was left open."""
        self.inbox.send_pyobj(("answer", method, body))

    def close(self):
        self.inbox.send_pyobj(("close",))
        self.thread.join(20)
        self.inbox.close()

    # --- in its own
    def _run(self, run, place, name):
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 200
        socket.connect(f"ipc://{run}/command.ipc")
        outbox = zmq.Context.instance().socket(zmq.PAIR)
        outbox.connect(name)
        methods = [{"name": method, "routing": "placed",
                    "roles": ["viewer", "operator", "worker", "admin"] if method in ANYONE else ["operator", "admin"]}
                   for method in METHODS]  # as proto/load.def has them: the broker holds two servers of a method to the same
        socket.send_multipart([b"YARD1H", b"", msgpack.packb({
            "actor": "loader", "place": place, "instance": uuid.uuid4().hex, "node": place.split("/")[1], "methods": methods,
            "protocol": 1})])
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(outbox, zmq.POLLIN)
        epoch, over = None, False
        while not over:
            events = dict(poller.poll())
            if socket in events:
                epoch = self._take(socket, socket.recv_multipart()) or epoch
            if outbox in events:
                what, *words = outbox.recv_pyobj()
                if what == "publish":
                    told = {"name": words[0], "subject": words[1], "body": msgpack.packb(words[2]), "time": 1.0}
                    socket.send_multipart([b"YARD1A" + uuid.uuid4().bytes, b"event.publish", msgpack.packb({"events": [told]}),
                                           msgpack.packb({"epoch": epoch})])
                elif what == "answer":
                    self._give(socket, *self.open.pop(words[0]), words[1])
                over = what == "close"
        socket.send_multipart([b"YARD1B", b"", msgpack.packb({})])
        socket.close()
        outbox.close()

    def _take(self, socket, frames):
        letter, ident = frames[0][5:6], frames[0][6:]
        if letter == b"P":
            socket.send_multipart([b"YARD1O", b"", msgpack.packb({})])
        elif letter == b"W":
            self.ready.set()
            return msgpack.unpackb(frames[2])["epoch"]
        elif letter == b"B":
            self.withdrawn.append(ident)
        elif letter == b"A":
            method, body = frames[1].decode().split("@")[0], msgpack.unpackb(frames[2])
            answer = self.answers.get(method)
            answer = answer(body) if callable(answer) else answer
            if answer is None:
                self.open[method] = (ident, frames[1])
            else:
                self._give(socket, ident, frames[1], answer)
            self.asked.append((method, body))
        return None

    @staticmethod
    def _give(socket, ident, name, answer):
        if isinstance(answer, tuple):
            socket.send_multipart([b"YARD1F" + ident, name, msgpack.packb({"code": answer[0], "text": answer[1]})])
        else:
            socket.send_multipart([b"YARD1R" + ident, name, msgpack.packb(answer)])
