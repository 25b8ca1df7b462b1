"""What bad company on the bus can do: storms of frames, handshakes that never end, peers that stand still, brokers that die under load.

YARD_LONG=1 takes the full counts (10^6 frames to each socket, 60 s stopped, 100 brokers killed); SEED=n repeats a run's choices.
"""
import contextlib
import glob
import os
import resource
import signal
import socket
import sqlite3
import statistics
import subprocess
import threading
import time
import uuid

import msgpack
import pytest
import zmq

import modelyard
from checker import halt
from test_processes import Wire, free_port
from yard import BUILD, ROOT, Client, Failed, Yard, select_wait, wait_for
from yard_fixture_faults import LONG, SEED

KEY = "0" * 32
UNKNOWN = {"gone", "timeout", "not_served", "busy", "hello_first", "store_failed", "unreachable"}  # ask again, with the same once key


def optimised_build():
    """The release build, if it is there and not older than the sources; a sanitizer says nothing about time or memory."""
    release = os.path.join(ROOT, "build", "release")
    if "YARD_RELEASE_BUILD" in os.environ:
        return os.environ["YARD_RELEASE_BUILD"]
    try:
        built = min(os.path.getmtime(os.path.join(release, "bin", "modelyard-" + actor)) for actor in ("broker", "recorder"))
    except OSError:
        return None
    sources = [path for room in ("actors/ground", "actors/runtime", "actors/recorder", "broker", "proto")
               for path in glob.glob(os.path.join(ROOT, room, "*.[chd]*"))]
    return release if built > max(map(os.path.getmtime, sources)) else None


def resident_mib(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


# --- frames that are no messages --------------------------------------------------------------------------------------------

STORM = 1_000_000 if LONG else 100_000
SLICES = 100 if LONG else 10  # quiet and storm in turn, so that both meet the same neighbours on this machine
RATE = 10_000  # frames a second: five times what a busy yard says
QUIET_ASKS = 200
GROWTH_MIB = 128  # the event log may take 64; the rest is what ten thousand subscriptions and the allocator keep
FLOOR_US = 500  # quicker than this at the 99th percentile is no measure on a machine that does other things too


def storm(yard, kind, count, rate=0, seed=SEED):
    """Runs frame_storm; its numbers. Answers must come whatever else does."""
    done = subprocess.run([os.path.join(BUILD, "tests", "frame_storm"), yard.run, kind, str(count), str(seed), str(rate)],
                          env=yard.environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, (SEED, done.stderr)
    words = done.stdout.split()
    numbers = dict(zip(words[::2], map(int, words[1::2])))
    assert numbers["unanswered"] == 0 and numbers["asks"] > 0, (SEED, numbers, done.stderr)
    return numbers


def alive(yard):
    assert all(process.poll() is None for process in yard.processes), [yard.log(process.actor) for process in yard.processes]


@pytest.mark.parametrize("socket_name", ["command", "event"])
def test_a_storm_of_frames_crashes_nothing(yard, socket_name):  # R7.4
    """Under the sanitizers, as fast as they go: every answer still comes; of time and memory nothing is said here."""
    yard.start("broker", "recorder")
    numbers = storm(yard, socket_name, STORM // 5)
    print(f"SEED={SEED} build={yard.build}", numbers)
    assert numbers["sent"] == STORM // 5
    alive(yard)
    assert yard.client().ask("record.exists", {"key": KEY}) == {"exists": False}


@pytest.mark.timeout(900)  # of the long run
@pytest.mark.parametrize("socket_name", ["command", "event"])
def test_valid_traffic_hardly_feels_a_storm(make_yard, socket_name):  # R7.4
    """On the optimised build: memory is bounded, and in --long the 99th percentile stays under twice the quiet one."""
    build = optimised_build()
    if not build:
        pytest.skip("no release build of these sources")
    yard = Yard(build=build)
    try:
        yard.start("broker", "recorder")
        storm(yard, "idle", QUIET_ASKS)
        before = resident_mib(yard.named["broker"]), resident_mib(yard.named["recorder"])
        quiet, loud, sent = [], [], 0
        for at in range(SLICES):
            quiet.append(storm(yard, "idle", QUIET_ASKS)["p99_us"])
            numbers = storm(yard, socket_name, STORM // SLICES, RATE, SEED + at)
            loud.append(numbers["p99_us"])
            sent += numbers["sent"]
        grown = [resident_mib(yard.named[actor]) - was for actor, was in zip(("broker", "recorder"), before)]
        print(f"SEED={SEED} build={build} {socket_name}: sent {sent}, p99 quiet {statistics.median(quiet)} us, in the storm "
              f"{statistics.median(loud)} us; grown by {grown[0]:.1f} MiB (broker), {grown[1]:.1f} MiB (recorder)")
        alive(yard)
        assert sent == STORM
        assert max(grown) < GROWTH_MIB, grown
        if LONG:  # a time is judged only where the tests beside it do not share the cores: --long
            assert statistics.median(loud) < 2 * max(statistics.median(quiet), FLOOR_US), (quiet, loud)
    finally:
        yard.stop()


# --- connections that say nothing -------------------------------------------------------------------------------------------

HANDSHAKES = 1000
HANDSHAKE_S = 2  # actors/runtime/bus_zmq.c
GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL".ljust(64, b"\0")  # ZMTP 3.0, of which any part may be missing


def hold_open(path, said):
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.connect(path)  # waits where a queue is full
    one.sendall(said)
    return one


def is_dropped(one):
    """Reads away what the broker says of itself; True at its end."""
    one.setblocking(False)
    try:
        while one.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_thousand_handshakes_that_never_end_keep_nobody_out(yard):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * HANDSHAKES + 200)), hard))
    yard.start("broker", "recorder")
    client = yard.client(hello=True)
    paths = [os.path.join(yard.run, name) for name in ("command.ipc", "event.ipc")]
    begun = time.monotonic()
    held = []
    try:
        for at in range(HANDSHAKES):
            said = (b"", GREETING[:1], GREETING[:10], GREETING[:33], GREETING, GREETING + b"\4")[at % 6]
            held.append(hold_open(paths[at % 2], said))
        asked = time.monotonic()
        assert client.ask("record.exists", {"key": KEY}, timeout=5) == {"exists": False}
        newcomer = yard.client(hello=True)
        assert newcomer.ask("record.exists", {"key": KEY}, timeout=5) == {"exists": False}
        yard.subscriber()
        print(f"{HANDSHAKES} opened in {asked - begun:.2f} s, served in {time.monotonic() - asked:.2f} s")
        wait_for(lambda: all([is_dropped(one) for one in held]), timeout=HANDSHAKE_S + 10, what="the end of all handshakes")
    finally:
        for one in held:
            one.close()
    wait_for(lambda: len(os.listdir(f"/proc/{yard.named['broker'].pid}/fd")) < 100, what="their descriptors given back")
    assert client.ask("record.exists", {"key": KEY}) == {"exists": False}


# --- peers that stand still -------------------------------------------------------------------------------------------------

STOPPED_S = 60 if LONG else 8


@pytest.mark.parametrize("actor, method, body", [("recorder", "record.exists", {"key": KEY}), ("loader", "load.list", {})])
def test_an_actor_that_stands_still_is_gone_and_is_followed_by_a_new_one(yard, actor, method, body):  # R9.1
    yard.start("broker", actor)
    old = yard.named[actor]
    client = yard.client(hello=True)
    client.ask(method, body)
    os.kill(old.pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(Failed) as failure:
        client.ask(method, body, timeout=10)
    assert failure.value.code == "gone" and time.monotonic() - begun < 8
    while time.monotonic() - begun < STOPPED_S:
        with pytest.raises(Failed) as failure:
            client.ask(method, body)
        assert failure.value.code == "not_served"
        select_wait(0.5)
    os.kill(old.pid, signal.SIGCONT)
    assert old.wait(10) == 1 and "declared gone" in yard.log(actor)
    yard.processes.remove(old)
    yard.start(actor)
    client.ask(method, body)


def test_a_wedged_handler_is_named_in_the_log(yard):
    yard.start("broker")
    yard.start("recorder", faults="runtime.wedge:1")
    client = yard.client(hello=True)
    assert client.ask("record.exists", {"key": KEY}, timeout=10) == {"exists": False}  # late, and answered
    slow = [line for line in yard.log("recorder").splitlines() if "handler.slow" in line]
    assert slow and all("handler=request" in line and "message=record_exists" in line for line in slow), yard.log("recorder")
    assert 2 <= len(slow) <= 3, "said at 500 ms and at each doubling, no more"
    client.ask("record.exists", {"key": KEY})


# --- brokers that die under load --------------------------------------------------------------------------------------------

KILLS = 100 if LONG else 10
ASKS_A_SECOND = 500
AGAIN_S = 1.0  # unanswered for so long: asked again with the same key
BETWEEN_KILLS = 150  # acknowledged between two ends of the broker, so that each hits a working yard


class Load:
    """Asks that change the store, each with its once key, sent again until it is acknowledged."""

    def __init__(self, yard):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"ipc://{yard.run}/command.ipc")
        yard.clients.append(self.socket)
        self.open, self.keys, self.jobs, self.repeated, self.made = {}, {}, {}, 0, 0
        self.next_s = time.monotonic()

    def _send(self, once):
        method, body, _ = self.open[once]
        self.open[once] = (method, body, time.monotonic())
        self.socket.send_multipart([b"YARD1A" + once, method, body, msgpack.packb({"once": once.decode()})])

    def _make(self):
        self.made += 1
        once = uuid.uuid4().hex.encode()
        if self.made % 2:
            method, body = b"record.add", {"config": {
                "key": f"{self.made:032x}", "name": f"model {self.made}", "type": "lora", "base": "sd-1", "format": "lycoris",
                "path": f"sd-1/lora/{self.made}/m.safetensors", "hash": "imohash:00"}}
        else:
            method, body = b"job.submit", {"kind": "install", "install": {"source": f"/nowhere/{self.made}", "local": True}}
        self.open[once] = (method, msgpack.packb(body), 0)
        self._send(once)

    def _take(self, frames):
        once, letter, body = frames[0][6:], frames[0][5:6], msgpack.unpackb(frames[2])
        if once not in self.open:
            return  # the second answer of a repeated ask
        if letter == b"F":
            assert body["code"] in UNKNOWN, body
            self.open[once] = (*self.open[once][:2], time.monotonic() - AGAIN_S / 2)
            return
        method = self.open.pop(once)[0]
        (self.keys if method == b"record.add" else self.jobs)[once] = (
            body["config"]["key"] if method == b"record.add" else body["job"]["id"])

    def turn(self, sending=True):
        now = time.monotonic()
        while sending and self.next_s <= now:
            self._make()
            self.next_s += 1 / ASKS_A_SECOND
        for once in [once for once, row in self.open.items() if now - row[2] > AGAIN_S]:
            self.repeated += 1
            self._send(once)
        while self.socket.poll(2):
            self._take(self.socket.recv_multipart())

    def acknowledged(self):
        return len(self.keys) + len(self.jobs)


class Follower(threading.Thread):
    """The Python client's follow over all its ends: history behind the last change, then the new stream; what it saw, in order."""
    prefixes = ("model_record_",)

    def __init__(self, run):
        super().__init__(daemon=True)
        self.client, self.over = modelyard.connect(run), threading.Event()
        self.changes, self.ends, self.error = [], 0, None

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    self._follow()
                except (modelyard.Gone, modelyard.Timeout, modelyard.NotServed, modelyard.TooOld, modelyard.HelloFirst):
                    self.ends += 1
                    select_wait(0.05)
        except BaseException as error:
            self.error = error
        finally:
            self.client.close()

    def _saw(self, change):
        if change and (not self.changes or change > self.changes[-1]):
            self.changes.append(change)

    def _follow(self):
        epoch, more = self.client.ask("yard.ping", timeout=2)["epoch"], True
        after = self.changes[-1] if self.changes else 0
        while more:
            page = self.client.ask("event.history", {"after": after, "prefixes": list(self.prefixes), "limit": 256}, timeout=2)
            for event in page["events"]:
                self._saw(event["change"])
            after, more = page["last"], page["more"]
        with self.client.follow(*self.prefixes, after=0, epoch=epoch) as follow:
            while not self.over.is_set():
                event = follow.next(0.1)
                if event:
                    self._saw(event.stamp["change"])


def restart_broker(yard, load):
    old = yard.named["broker"]
    old.kill()
    old.wait(10)
    yard.processes.remove(old)
    yard.start("broker", wait=False)
    aim = load.acknowledged() + BETWEEN_KILLS
    deadline = time.monotonic() + 30
    while load.acknowledged() < aim:
        load.turn()
        assert time.monotonic() < deadline, f"{load.acknowledged()} of {aim} acknowledged:\n{yard.log('recorder')}"


def history(client, prefixes):
    changes, after, more = [], 0, True
    while more:
        page = client.ask("event.history", {"after": after, "prefixes": list(prefixes), "limit": 256})
        changes += [event["change"] for event in page["events"]]
        after, more = page["last"], page["more"]
    return changes


@pytest.mark.timeout(900)
def test_brokers_die_under_load_and_nothing_acknowledged_is_lost(yard):  # R9.1
    yard.start("broker", "recorder")
    load, followers = Load(yard), [Follower(yard.run) for _ in range(2)]
    for one in followers:
        one.start()
    begun = time.monotonic()
    try:
        for _ in range(KILLS):
            restart_broker(yard, load)
        took = time.monotonic() - begun
        wait_for(lambda: load.turn(sending=False) or not load.open, timeout=60, what="the last acknowledgement")
        told = history(yard.client(), Follower.prefixes)
        assert len(told) == len(load.keys) and told == sorted(set(told))
        wait_for(lambda: all(one.error or one.changes[-1:] == told[-1:] for one in followers), timeout=60, what="the last event")
    finally:
        for one in followers:
            one.over.set()
        for one in followers:
            one.join(20)
    print(f"{KILLS} brokers killed in {took:.1f} s; {load.made} asks ({load.made / took:.0f}/s), all acknowledged, {load.repeated} said again; "
          f"{len(told)} changes")
    for one in followers:
        assert not one.error and one.ends >= KILLS // 2, (one.error, one.ends)
        assert one.changes == told, sorted(set(told) ^ set(one.changes))[:20]
    halt(yard)
    with sqlite3.connect(os.path.join(yard.home, "yard.db")) as store:
        keys = {row[0] for row in store.execute("SELECT key FROM yard_models")}
        jobs = {row[0] for row in store.execute("SELECT id FROM yard_jobs")}
    assert keys == set(load.keys.values()) and len(load.keys) == len(keys), "a record for each acknowledged ask, and no other"
    assert jobs == set(load.jobs.values()) and len(load.jobs) == len(jobs), "a job for each acknowledged ask, and no other"


def test_what_was_committed_and_not_told_is_told_once_after_the_restart(yard):
    yard.start("broker")
    yard.start("recorder", faults="recorder.after_commit:3:kill")
    follower, client = yard.client(hello=True), yard.client()
    follower.follow("model_record_added")
    subscriber = yard.subscriber("model_record_added/")
    load, acknowledged, at = {}, {}, 0
    while yard.named["recorder"].poll() is None:
        load[at] = {"config": {"key": f"{at:032x}", "name": f"model {at}", "type": "lora", "base": "sd-1", "format": "lycoris",
                               "path": f"sd-1/lora/{at}/m.safetensors", "hash": "imohash:00"}}
        with contextlib.suppress(Failed, TimeoutError):
            acknowledged[at] = client.ask("record.add", load[at], timeout=10, once=f"add {at}")
        at += 1
    assert yard.named["recorder"].returncode == -signal.SIGKILL and "recorder.after_commit" in yard.log("recorder")
    yard.processes.remove(yard.named["recorder"])
    assert len(acknowledged) < at, "the last one was never answered"
    last = f"{at - 1:032x}"
    with sqlite3.connect(f"file:{yard.home}/yard.db?mode=ro", uri=True) as store:
        assert store.execute("SELECT count (*) FROM yard_models WHERE key = ?", (last,)).fetchone() == (1,), "and yet it is done"
    assert not [event for event in follower.events if event[3]["subject"] == last]
    yard.start("recorder")
    for number, body in load.items():
        answer = client.ask("record.add", body, once=f"add {number}")
        assert answer["config"]["key"] == f"{number:032x}" and answer == acknowledged.get(number, answer)
    heard = [follower.next_event()[3] for _ in range(at)]
    assert [stamp["subject"] for stamp in heard] == [f"{number:032x}" for number in range(at)]
    assert [stamp["change"] for stamp in heard] == sorted({stamp["change"] for stamp in heard})
    client.ask("record.add", {"config": {**load[0]["config"], "key": "f" * 32, "path": "end"}})
    assert follower.next_event()[3]["subject"] == "f" * 32, "nothing is told twice"
    topics = []
    while not topics or topics[-1] != f"model_record_added/{'f' * 32}/":
        assert subscriber.poll(10_000), topics
        topics.append(subscriber.recv_multipart()[0].decode())
    topics = [topic for topic in topics if not topic.startswith("yard_beat")]
    assert len(topics) == len(set(topics)) == at + 1


# --- connections that break -------------------------------------------------------------------------------------------------


@pytest.fixture
def cable(make_yard):
    """A yard on tcp and a cable to it that can be cut; what it gives is the yard, the cable, and the cable's endpoint."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    yard = make_yard(**{"bus.command": endpoint, "bus.insecure_loopback": "true"})
    yard.start("broker", "recorder", wait=False)
    direct = Client(yard.run, hello=True, endpoint=endpoint)
    yard.clients.append(direct)
    wait_for(lambda: any(row["actor"] == "recorder" for row in direct.ask("yard.actors")["actors"]), what="the recorder")
    wire = Wire(int(endpoint.rpartition(":")[2]))
    yield yard, wire, f"tcp://127.0.0.1:{wire.port}"
    wire.close()


def test_the_python_client_is_told_what_ended_with_its_connection(cable):
    yard, wire, endpoint = cable
    with modelyard.connect(endpoint=endpoint) as client:
        follow = client.follow("model_record_")
        outcome = []

        def wait_long():
            try:
                outcome.append(client.ask("job.lease", {"kinds": ["convert"], "node": "n", "member": "m", "room": 1, "holding": []},
                                          timeout=None))
            except modelyard.YardError as failure:
                outcome.append(failure.code)
        waiting = threading.Thread(target=wait_long, daemon=True)
        waiting.start()
        wait_for(lambda: any(row["actor"] == "recorder" and row["open_requests"] for row in client.ask("yard.actors")["actors"]),
                 what="the open ask")
        wire.cut()
        with pytest.raises(modelyard.Gone, match="connection"):
            wait_for(lambda: follow.next(5), what="the end of the follow")
        waiting.join(10)
        assert outcome == ["gone"]
        wait_for(lambda: client.ask("record.exists", {"key": KEY}, timeout=5) == {"exists": False}, what="an answer over the new one")


def test_a_c_client_is_told_that_its_follow_ended_with_its_connection(cable):
    yard, wire, endpoint = cable
    process = subprocess.Popen([os.path.join(BUILD, "tests", "client_example"), endpoint, "follow", "1", "model_record_"],
                               env=yard.environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    wire.cut()
    out, _ = process.communicate(timeout=30)
    assert out.startswith("FAILED next gone") and "connection" in out, out
