"""libmodelyard from a C program (client_example.c, linked with the shared library alone) against a real yard."""
import json
import os
import socket
import struct
import subprocess

import msgpack
import pytest
import zmq

from make_models import plain
from yard import wait_for


PUBLISHED = msgpack.packb({"queue_id": "", "queue_item_id": 0, "queue_batch_id": "", "graph_execution_state_id": "", "model_key": "k",
                           "submodel_type": "", "hash": "", "location": "x" * 2000, "precision": "", "timestamp": 1.0})


@pytest.fixture
def example(yard):
    """Starts client_example with words; its stdin and stdout are pipes."""
    started = []

    def start(*words):
        process = subprocess.Popen([os.path.join(yard.build, "tests", "client_example"), yard.run, *map(str, words)],
                                   env=yard.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, (process.returncode, out)
    return out.splitlines()


def lines_until(process, word):
    lines = []
    while True:
        line = process.stdout.readline()
        assert line, lines
        if line.strip() == word:
            return lines
        lines.append(line.strip())


def config(number, **more):
    return {"key": f"{number:032x}", "name": f"model {number}", "type": "lora", "base": "sdxl", "format": "lycoris",
            "path": f"sdxl/lora/{number}", "hash": "imohash:00", **more}


def test_a_c_program_asks_and_is_refused(yard, example):  # R8.1, R8.4
    yard.start("broker", "recorder")
    lines = finish(example("version"))
    assert lines[0].startswith("version 0.") and lines[0].endswith("same 1")
    assert lines[1] == "refused unknown_model"


def test_without_a_yard_it_is_unreachable_at_once(yard, example):
    process = example("version")
    out, _ = process.communicate(timeout=5)
    assert process.returncode == 1 and "unreachable" in out and "modelyard up" in out


def test_calls_through_a_poll_loop_end_exactly_once(yard, example):
    yard.start("broker")
    assert finish(example("many", 300)) == ["answered 200 cancelled 100 other 0"]


def test_a_follow_brings_all_events_in_order(yard, example):
    yard.start("broker", "recorder")
    process = example("follow", 600, "model_record_")
    lines_until(process, "ready")
    client = yard.client()
    for number in range(600):  # more than two windows of credit
        client.ask("record.add", {"config": config(number)})
    lines = finish(process)
    assert len(lines) == 600
    assert lines == [f"event model_record_added {number:032x} ordered 1 body 1" for number in range(600)]


def test_a_follow_ends_with_gone_when_the_broker_is_another(yard, example):
    yard.start("broker", "recorder")
    process = example("follow", 1, "model_record_")
    lines_until(process, "ready")
    yard.kill("broker")
    yard.start("broker")
    lines = finish(process)
    assert len(lines) == 1 and lines[0].startswith("FAILED next gone")


def test_a_subscription_hears_events(yard, example):
    yard.start("broker", "recorder")
    process = example("subscribe", 2, "model_record_added/")
    assert process.stdout.readline().strip() == "beat"
    client = yard.client()
    for number in range(2):
        client.ask("record.add", {"config": config(number)})
    assert [line for line in finish(process) if line != "beat"] == ["event model_record_added lost 0"] * 2


class ToldBroker:
    """A broker of three answers, whose events have the numbers that a test gives them: losses are made at will."""
    epoch = "0123456789abcdef"

    def __init__(self, run):
        context = zmq.Context.instance()
        self.router, self.pub = context.socket(zmq.ROUTER), context.socket(zmq.XPUB)
        for one, name in (self.router, "command"), (self.pub, "event"):
            one.linger = 0
            one.bind(f"ipc://{run}/{name}.ipc")
        self.event_endpoint = f"ipc://{run}/event.ipc"

    def serve_until_subscribed(self, count):
        while count:
            ready = dict(zmq_poll(self.router, self.pub))
            if self.router in ready:
                self.answer(self.router.recv_multipart())
            if self.pub in ready:
                count -= self.pub.recv()[0] == 1

    def answer(self, frames):
        peer, head, name = frames[0], frames[1], frames[2]
        if head[5:6] == b"H":
            welcome = {"epoch": self.epoch, "number": 0, "protocol": 1, "ping_ms": 500}
            self.router.send_multipart([peer, b"YARD1W", b"", msgpack.packb(welcome)])
        elif name == b"yard.version":
            answer = {"version": "0", "protocol": 1, "epoch": self.epoch, "zeromq": "4", "home": "", "event_endpoint": self.event_endpoint}
            self.router.send_multipart([peer, b"YARD1R" + head[6:], name, msgpack.packb(answer)])

    def serve_load(self, attach):
        """Answers until a load.model was answered: with this attach socket."""
        config_row = {"key": "0" * 32, "name": "n", "type": "lora", "base": "sdxl", "format": "lycoris", "path": "p", "hash": ""}
        answer = {"lease": "1" * 32, "config": config_row, "place": "loader/x/host", "device": "host", "form": "mapped",
                  "regions": [{"name": "f", "bytes": 64}], "tensors": 1, "directory_bytes": 64, "attach": attach, "view": "",
                  "shared": False, "took_us": 1, "phases": []}
        while True:
            zmq_poll(self.router)
            frames = self.router.recv_multipart()
            if frames[2] == b"load.model":
                self.router.send_multipart([frames[0], b"YARD1R" + frames[1][6:], frames[2], msgpack.packb(answer)])
                return
            self.answer(frames)

    def tell(self, name, number, previous, epoch=None):
        stamp = {"epoch": epoch or self.epoch, "number": number, "previous": previous, "time": 1.0, "from": "test", "subject": "x"}
        self.pub.send_multipart([f"{name}/x/".encode(), msgpack.packb(stamp), PUBLISHED])

    def beat(self, **last):
        stamp = {"epoch": self.epoch, "number": 99, "previous": 98, "time": 1.0, "from": "broker", "subject": ""}
        body = {"epoch": self.epoch, "number": 99, "last": [{"name": name, "number": number} for name, number in last.items()]}
        self.pub.send_multipart([b"yard_beat/", msgpack.packb(stamp), msgpack.packb(body)])

    def close(self):
        self.router.close()
        self.pub.close()


def zmq_poll(*sockets):
    poller = zmq.Poller()
    for one in sockets:
        poller.register(one, zmq.POLLIN)
    return poller.poll(10_000)


def test_a_subscriber_is_told_of_its_losses(yard, example):
    broker = ToldBroker(yard.run)
    try:
        process = example("subscribe", 6, "model_load_started/")
        broker.serve_until_subscribed(2)
        broker.tell("model_load_started", 3, 0)
        broker.tell("model_load_started", 5, 3)     # 4 had another name
        broker.tell("model_load_started", 9, 7)     # 7 was lost
        broker.beat(model_load_started=9, other=50)  # nothing lost
        broker.beat(model_load_started=12)           # 12 was lost, nothing behind it
        broker.tell("model_load_started", 13, 12)   # told already
        broker.pub.send_multipart([b"model_load_started/x/", b"\xc1", b"\x80"])  # no event at all: skipped
        broker.tell("model_load_started", 1, 0, epoch="f" * 16)  # another broker
        broker.tell("model_load_started", 2, 1, epoch="f" * 16)
        assert finish(process) == ["event model_load_started lost 0", "event model_load_started lost 0",
                                   "event model_load_started lost 1", "beat", "beat lost", "event model_load_started lost 0",
                                   "event model_load_started lost 1", "event model_load_started lost 0"]
    finally:
        broker.close()


def test_a_client_outlives_the_broker_and_its_own_sleep(yard, example):
    """What certainly was not done is asked again by the library: the caller sees answers only."""
    yard.start("broker")
    process = example("demand")
    lines_until(process, "ready")

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().split()
    first = ask()
    assert first[0] == "epoch"
    yard.kill("broker")
    yard.start("broker")
    second = ask()
    assert second[0] == "epoch" and second != first
    # It answers no pings while it waits for stdin: after 5 s the yard takes it for dead.
    subscriber = yard.subscriber("actor_lost/client/")

    def lost():
        topic = subscriber.recv_multipart()[0]
        return topic.startswith(b"actor_lost/client/")
    wait_for(lost, what="the client's loss")
    assert ask() == second


def test_a_model_is_mapped_and_outlives_its_client(yard, example, tmp_path):  # R6.1, R6.2
    yard.start("broker", "recorder", "loader")
    folder = os.path.join(yard.models, "sdxl", "lora", "one")
    os.makedirs(folder)
    path = os.path.join(folder, "one.safetensors")
    plain(path, count=5)
    key = "ab" * 16
    client = yard.client()
    client.ask("record.add", {"config": config(0, key=key, path="sdxl/lora/one/one.safetensors")})
    process = example("load", key)
    lines = lines_until(process, "ready")
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    expected = set()
    for name, row in header.items():
        begin, end = row["data_offsets"]
        total = sum(data[8 + size + begin:8 + size + end])
        expected.add(f"tensor {name} {row['dtype']} rank {len(row['shape'])} bytes {end - begin} sum {total} found 1")
    assert {line for line in lines if line.startswith("tensor")} == expected
    assert "none 0" in lines and f"first byte {data[0]}" in lines
    wait_for(lambda: [row for row in client.ask("load.list")["loads"] if row["state"] == "draining" and row["attachments"] == 1],
             what="the lease's end with its attachment open")
    finish(process)
    wait_for(lambda: not client.ask("load.list")["loads"], what="the attachment's end")


def test_a_failed_load_names_its_reason(yard, example):  # R6.3
    yard.start("broker", "recorder", "loader")
    process = example("load", "cd" * 16)
    out, _ = process.communicate(timeout=20)
    assert out.startswith("FAILED load unknown_model")


@pytest.fixture
def files(tmp_path):
    """A region of 64 bytes and a right directory of one tensor in it; bad ones are made from them."""
    region = tmp_path / "region"
    region.write_bytes(bytes(range(64)))
    return region, tmp_path / "directory"


def directory_bytes(region=0, offset=0, size=64, magic=b"YARDDIR1", rows=1, name_bytes=1):
    header = magic + struct.pack("<IIQQQQQQ", 1, rows, 64, 64 + 64 + 8, 3, 64 + 64, 1, 0)
    row = struct.pack("<IIIIIIIIQQQQ", 0, name_bytes, 1, 2, 0, 1, region, 0, offset, size, 2 ** 64 - 1, 0)
    return header + row + struct.pack("<Q", size) + b"aU8"


FILE, ROWS = "file", "rows"  # descriptors to send
GOOD = directory_bytes()
HOSTILE = {
    "good": (GOOD, {}, [ROWS, FILE], "tensor a U8 rank 1 bytes 64"),
    "no msgpack": (GOOD, b"\xc1", [ROWS, FILE], "FAILED attach invalid_message"),
    "an end at once": (GOOD, None, [], "FAILED attach gone"),
    "a failure": (GOOD, {"failure": {"code": "unknown_lease", "text": "no"}}, [], "FAILED attach unknown_lease"),
    "too few descriptors": (GOOD, {}, [ROWS], "FAILED attach bad_frame"),
    "no descriptors": (GOOD, {}, [], "FAILED attach bad_frame"),
    "another file": (GOOD, {"inode": 1}, [ROWS, FILE], "FAILED attach integrity"),
    "another size": (GOOD, {"bytes": 65}, [ROWS, FILE], "FAILED attach integrity"),
    "another directory size": (GOOD, {"directory_bytes": 1 << 30}, [ROWS, FILE], "FAILED attach integrity"),
    "other rows than said": (GOOD, {"tensors": 2}, [ROWS, FILE], "FAILED attach invalid_file"),
    "no directory": (b"x" * 200, {}, [ROWS, FILE], "FAILED attach invalid_file"),
    "an empty directory": (b"", {}, [ROWS, FILE], "FAILED attach invalid_file"),
    "a tensor past its region": (directory_bytes(offset=1), {}, [ROWS, FILE], "FAILED attach invalid_file"),
    "a tensor that wraps": (directory_bytes(offset=2 ** 64 - 1), {}, [ROWS, FILE], "FAILED attach invalid_file"),
    "a region that is not there": (directory_bytes(region=7), {}, [ROWS, FILE], "FAILED attach invalid_file"),
    "a million rows": (directory_bytes(rows=1000000), {"tensors": 1000000}, [ROWS, FILE], "FAILED attach invalid_file"),
    "a name past its strings": (directory_bytes(name_bytes=1 << 30), {}, [ROWS, FILE], "FAILED attach invalid_file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_loader_maps_nothing(yard, example, files, case):
    rows, changes, sent, expected = HOSTILE[case]
    region, directory = files
    directory.write_bytes(rows)
    status = os.stat(region)
    broker = ToldBroker(yard.run)
    path = os.path.join(yard.run, "attach-test.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server, open(region, "rb") as file, open(directory, "rb") as rows_file:
        server.bind(path)
        server.listen(1)
        process = example("load", "0" * 32)
        broker.serve_load(path)
        peer, _ = server.accept()
        assert msgpack.unpackb(peer.recv(4096)) == {"lease": "1" * 32, "protocol": 1}
        if isinstance(changes, dict):
            named = {"name": "f", "bytes": 64, "device": status.st_dev, "inode": status.st_ino}
            packet = {"directory_bytes": len(rows), "tensors": 1, "more": False, "regions": [
                {key: changes.get(key, value) for key, value in named.items()}]}
            packet.update({key: value for key, value in changes.items() if key not in named})
            changes = msgpack.packb(packet)
        if changes:
            descriptors = {FILE: file.fileno(), ROWS: rows_file.fileno()}
            socket.send_fds(peer, [changes], [descriptors[word] for word in sent])
        else:
            peer.close()
        line = process.stdout.readline()
        assert line.startswith(expected), line
        process.communicate(timeout=10)
        peer.close()
    broker.close()
    assert process.returncode == (0 if case == "good" else 1)
