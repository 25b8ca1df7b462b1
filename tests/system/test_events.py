"""Events over real sockets: gaps that show, followers that stop reading, and the plain scripts of MESSAGES.md as printed."""
import os
import re
import subprocess

import msgpack
import pytest
import zmq

from yard import ROOT, wait_for


def add_records(client, first, count):
    for at in range(first, first + count):
        client.ask("record.add", {"config": {
            "key": f"{at:032x}", "name": f"model {at}", "type": "lora", "base": "sd-1", "format": "lycoris",
            "path": f"sd-1/lora/{at}/m.safetensors", "hash": "imohash:00"}})


def stamp_of(frames):
    return msgpack.unpackb(frames[1])


# R9.5
def test_a_slow_subscriber_loses_and_can_tell(yard):
    yard.start("broker")
    slow = zmq.Context.instance().socket(zmq.SUB)
    slow.linger, slow.rcvhwm = 0, 1
    slow.setsockopt(zmq.RCVBUF, 4096)
    slow.setsockopt(zmq.SUBSCRIBE, b"model_install_running/")
    client = yard.client(hello=True)
    control = yard.subscriber("model_install_running/")
    slow.connect(f"ipc://{yard.run}/event.ipc")
    numbers, previous_of, count = [], {}, 40000
    body = msgpack.packb({"source": "x" * 200, "timestamp": 1.0})
    told = [{"name": "model_install_running", "subject": "1", "body": body, "time": 1.0}] * 200
    sent = 0
    while len(numbers) < count:
        if sent < count:
            client.ask("event.publish", {"events": told})
            sent += len(told)
        while control.poll(0 if sent < count else 5000):
            frames = control.recv_multipart()
            if frames[0].startswith(b"model_install_running/"):
                stamp = stamp_of(frames)
                numbers.append(stamp["number"])
                previous_of[stamp["number"]] = stamp["previous"]
            if sent == count == len(numbers):
                break
    assert [previous_of[number] for number in numbers[1:]] == numbers[:-1], "a reader that keeps up sees no gap"
    got = []
    while slow.poll(300):
        got.append(stamp_of(slow.recv_multipart()))
    assert 0 < len(got) < count, "the slow one has lost some"
    shown = any(row["previous"] != before["number"] for before, row in zip(got, got[1:])) or got[-1]["number"] < numbers[-1]
    assert shown
    slow.close()
    beat = yard.subscriber("yard_beat/")
    last = {row["name"]: row["number"] for row in msgpack.unpackb(beat.recv_multipart()[2])["last"]}
    assert last["model_install_running"] == numbers[-1], "the beat shows a loss at the tail"


def test_a_follower_that_stops_reading_gets_everything_later(yard):
    yard.start("broker", "recorder")
    client = yard.client(hello=True)
    reader = yard.client(hello=True)
    follow = reader.follow("model_record_", credit=4)
    add_records(client, 0, 60)
    changes = []
    for _ in range(4):
        changes.append(reader.next_event()[3]["change"])
    with pytest.raises(TimeoutError):  # no more than the credit
        reader.next_event(timeout=0.5)
    reader.socket.send_multipart([b"YARD1C" + follow, b"", msgpack.packb({"more": 100})])
    while len(changes) < 60:
        changes.append(reader.next_event()[3]["change"])
    assert changes == sorted(set(changes)) and len(changes) == 60


def test_a_follower_resumes_where_it_was(yard):
    yard.start("broker", "recorder")
    client, reader = yard.client(hello=True), yard.client(hello=True)
    reader.follow("model_record_added")
    add_records(client, 0, 3)
    numbers = [reader.next_event()[3] for _ in range(3)]
    reader.close()
    add_records(client, 3, 3)
    other = yard.client(hello=True)
    other.follow("model_record_added", after=numbers[-1]["number"], epoch=numbers[-1]["epoch"])
    subjects = [other.next_event()[1] for _ in range(3)]
    assert subjects == [f"model_record_added/{at:032x}/" for at in range(3, 6)]


def test_events_of_the_store_survive_broker_and_recorder(yard):
    yard.start("broker", "recorder")
    client = yard.client()
    add_records(client, 0, 5)
    for actor in ("broker", "recorder"):
        process = yard.named[actor]
        yard.kill(actor)
        yard.processes.remove(process)
    yard.start("broker", "recorder")
    client = yard.client()
    page = client.ask("event.history", {"after": 0, "prefixes": ["model_record_added"]})
    assert [row["subject"] for row in page["events"]] == [f"{at:032x}" for at in range(5)]
    assert [row["change"] for row in page["events"]] == sorted(row["change"] for row in page["events"])


def script(name):
    text = open(os.path.join(ROOT, "proto", "MESSAGES.md")).read()
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if block.startswith(f"# {name}"))


# R9.2 R9.6
def test_the_plain_scripts_run_exactly_as_printed(yard, tmp_path):
    yard.start("broker", "recorder")
    for name in ("req.py", "sub.py"):
        (tmp_path / name).write_text(script(name))
        assert len(script(name).splitlines()) <= 16
    asked = subprocess.run(["/usr/bin/python3", tmp_path / "req.py"], env=yard.environment(), capture_output=True, text=True, timeout=20)
    assert asked.returncode == 0 and "epoch" in asked.stdout, asked
    listener = subprocess.Popen(["/usr/bin/python3", "-u", tmp_path / "sub.py", "1"], env=yard.environment(), stdout=subprocess.PIPE, text=True)
    client = yard.client()

    def heard():
        # An install that fails at once is an event that needs no other actor; asked again until the script is attached.
        job = client.ask("job.submit", {"kind": "install", "install": {"source": "/nowhere", "local": True}})["job"]
        client.ask("job.cancel", {"id": job["id"]})
        return listener.poll() is not None
    wait_for(heard, what="the script's event")
    out = listener.stdout.read()
    assert "model_install_cancelled" in out and "/nowhere" in out, out
