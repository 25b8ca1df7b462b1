"""Processes and what goes wrong between them: locks, signals, supervisors, dead peers, frames that are no messages."""
import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time

import msgpack
import pytest
import zmq

import make_models
import modelyard
from yard import Client, Failed, wait_for

ACTORS = ("recorder", "downloader", "installer", "prober", "loader")
KEY = "0" * 32


def run_to_the_end(yard, name, *flags, **environment):
    """A program that is expected to end by itself: its exit code and what it said."""
    done = subprocess.run([yard.program("modelyard-" + name), *flags], env=yard.environment(**environment), timeout=20,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "AddressSanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pids(client):
    return {row["pid"] for row in client.ask("yard.actors", timeout=5)["actors"]}


# --- one broker on one run directory ----------------------------------------------------------------------------------


def test_a_second_broker_on_one_run_directory_is_refused(yard):
    first = yard.start("broker")
    code, said = run_to_the_end(yard, "broker")
    assert code == 2
    assert f"process {first.pid} holds" in said and "broker.lock" in said and "--run" in said
    yard.client().ask("yard.ping")


def test_the_lock_and_sockets_of_a_killed_broker_are_taken_over(yard):
    yard.start("broker")
    before = yard.client().ask("yard.ping")["epoch"]
    yard.kill("broker")
    assert all(os.path.exists(os.path.join(yard.run, left)) for left in ("broker.lock", "command.ipc", "event.ipc"))
    second = yard.start("broker")
    assert yard.client().ask("yard.ping")["epoch"] != before
    with open(os.path.join(yard.run, "broker.lock")) as file:
        assert int(file.read()) == second.pid


# --- tcp ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint, loopback, text", [
    ("tcp://127.0.0.1:{port}", "false", "bus.insecure_loopback=true"),
    ("tcp://0.0.0.0:{port}", "true", "tcp without keys"),
    ("tcp://*:{port}", "true", "tcp without keys"),
])
@pytest.mark.parametrize("key", ["bus.command", "bus.event"])
def test_tcp_is_refused_but_on_loopback_and_when_asked_for(make_yard, key, endpoint, loopback, text):
    yard = make_yard(**{key: endpoint.format(port=free_port()), "bus.insecure_loopback": loopback})
    code, said = run_to_the_end(yard, "broker")
    assert code == 2
    assert key in said and text in said


def test_a_yard_on_tcp_serves(make_yard):
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    yard = make_yard(**{"bus.command": endpoint, "bus.insecure_loopback": "true"})
    yard.start("broker", "recorder", wait=False)
    client = Client(yard.run, hello=True, endpoint=endpoint)
    yard.clients.append(client)
    wait_for(lambda: yard.named["recorder"].pid in pids(client), what="the recorder")
    assert client.ask("record.exists", {"key": KEY}) == {"exists": False}


class Wire:
    """A cable between actors and the broker: passes bytes on, and can be cut."""

    def __init__(self, port):
        self.target, self.pairs, self.lock = ("127.0.0.1", port), [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            with self.lock:
                self.pairs.append((near, far))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self.lock:
            cut, self.pairs = self.pairs, []
        for pair in cut:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return len(cut)

    def close(self):
        self.listener.close()
        self.cut()


def test_actors_whose_connections_break_go_on_over_new_ones(make_yard, nginx):
    """What was under way is lost on both sides: the pool's open lease and the recorder's waiting answer with it."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    yard = make_yard(**{"bus.command": endpoint, "bus.insecure_loopback": "true"})
    yard.start("broker", wait=False)
    client = Client(yard.run, hello=True, endpoint=endpoint)
    yard.clients.append(client)
    wire = Wire(int(endpoint.rpartition(":")[2]))
    try:
        yard.settings["bus.command"] = f"tcp://127.0.0.1:{wire.port}"
        yard.start(*ACTORS, wait=False)
        wanted = {yard.named[actor].pid for actor in ACTORS}
        wait_for(lambda: wanted <= pids(client), what="all actors")
        wait_for(lambda: opens(client, yard.named["downloader"].pid) == "open_asks=1", what="the open lease")
        waits = client.send("job.lease", {"kinds": ["convert"], "node": "n", "member": "m", "room": 1, "holding": []})
        wait_for(lambda: int(next(row for row in client.ask("yard.actors")["actors"]
                                  if row["actor"] == "recorder")["open_requests"]) >= 3, what="three leases asked for")
        assert wire.cut() == len(ACTORS)
        with pytest.raises(Failed) as failure:
            client.result(waits)
        assert failure.value.code == "gone", "the recorder was asked over a connection that is no more"
        wait_for(lambda: all("broker.reconnected" in yard.log(actor) for actor in ACTORS), what="new connections")
        assert all(yard.named[actor].poll() is None for actor in ACTORS)
        make_models.lora_sd1_whole(nginx.root / "a.safetensors", 4)
        job = client.ask("install.import", {"source": nginx.url + "/a.safetensors"})["job"]["id"]
        assert client.ask("install.wait", {"ids": [job]}, timeout=60)["jobs"][0]["status"] == "completed"
    finally:
        yard.settings["bus.command"] = endpoint
        for actor in reversed(ACTORS):
            if yard.named.get(actor):
                yard.kill(actor, signal.SIGTERM)
        wire.close()


# --- flags ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["broker", *ACTORS])
def test_a_wrong_flag_or_setting_exits_with_2_and_says_which(yard, name):  # R7.4
    code, said = run_to_the_end(yard, name, "--colour")
    assert code == 2 and "--colour" in said
    code, said = run_to_the_end(yard, name, "--set", "bus.comand=ipc:///tmp/x")
    assert code == 2 and "comand" in said and "did you mean command?" in said
    code, said = run_to_the_end(yard, name, "--log", "loud")
    assert code == 2 and "loud" in said and "debug" in said
    code, said = run_to_the_end(yard, name, MODELYARD_SET="jobs.lease_ms=many")
    assert code == 2 and "lease_ms" in said


# --- signals and supervisors ------------------------------------------------------------------------------------------


def test_sigterm_drains_and_exits_with_0(yard):
    yard.start("broker", *ACTORS)
    client = yard.client(hello=True)
    lost = client.follow("actor_lost")
    for actor in reversed(ACTORS):
        assert yard.kill(actor, signal.SIGTERM) == 0, yard.log(actor)
        told = client.next_event()
        assert told[0] == lost and told[2]["actor"] == actor and told[2]["reason"] == "it left"
    assert yard.kill("broker", signal.SIGTERM) == 0
    assert not any(line.split()[1] == "error" for actor in ACTORS for line in yard.log(actor).splitlines() if line)


def test_a_second_sigterm_ends_a_drain_that_waits(yard):
    """The loader drains its open load, and that waits for a recorder that stands still."""
    yard.start("broker", "recorder", "loader")
    client = yard.client(hello=True)
    recorder, loader = yard.named["recorder"], yard.named["loader"]
    os.kill(recorder.pid, signal.SIGSTOP)
    try:
        load = client.send("load.model", {"key": KEY}, ttl_s=60)
        wait_for(lambda: "open_asks=1" in opens(client, loader.pid), what="the load")
        begun = time.monotonic()
        loader.terminate()
        wait_for(lambda: "process.drains" in yard.log("loader"), what="the drain")
        assert loader.poll() is None, "it waits for the load"
        loader.terminate()
        assert loader.wait(10) == 1
        assert time.monotonic() - begun < 4, "not because the recorder was given up"
        with pytest.raises(Failed) as failure:
            client.result(load)
        assert failure.value.code == "gone"
    finally:
        os.kill(recorder.pid, signal.SIGCONT)


def opens(client, pid):
    row = next(row for row in client.ask("yard.actors")["actors"] if row["pid"] == pid)
    return f"open_asks={row['open_asks']}"


@pytest.mark.parametrize("actor", ["broker", "recorder"])
def test_the_supervisor_hears_ready_watchdog_and_stopping(yard, actor):
    if actor != "broker":
        yard.start("broker")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        path = os.path.join(yard.run, "notify")
        supervisor.bind(path)
        supervisor.settimeout(20)
        heard = []

        def hear(word):
            while word not in heard:
                heard.extend(supervisor.recv(4096).decode().splitlines())
        process = subprocess.Popen([yard.program("modelyard-" + actor)], stdin=subprocess.DEVNULL,
                                   env=yard.environment(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000"))
        try:
            hear("READY=1")
            yard.client().ask("yard.ping")
            begun = time.monotonic()
            while heard.count("WATCHDOG=1") < 5:
                heard.extend(supervisor.recv(4096).decode().splitlines())
            assert 0.4 < time.monotonic() - begun < 3, "five in about a second: half the watchdog's time each"
            process.terminate()
            hear("STOPPING=1")
            assert process.wait(20) == 0
            assert "READY=1" not in heard[heard.index("READY=1") + 1:], "said once"
        finally:
            process.kill()
            process.wait()


# --- brokers that come and go -----------------------------------------------------------------------------------------


def test_an_actor_that_was_there_first_joins_when_the_broker_comes(yard):
    recorder = yard.start("recorder", wait=False)
    wait_for(lambda: os.path.exists(os.path.join(yard.home, "yard.db")), what="its database")
    assert recorder.poll() is None
    yard.start("broker")
    client = yard.client()
    begun = time.monotonic()
    wait_for(lambda: recorder.pid in pids(client), what="the recorder")
    assert time.monotonic() - begun < 5
    assert client.ask("record.exists", {"key": KEY}) == {"exists": False}


def test_all_actors_rejoin_a_new_broker_by_themselves(yard):  # R9.1
    yard.start("broker", *ACTORS)
    wanted = {yard.named[actor].pid for actor in ACTORS}
    yard.kill("broker")
    yard.start("broker")
    begun = time.monotonic()
    client = yard.client()
    wait_for(lambda: wanted <= pids(client), what="all actors")
    assert time.monotonic() - begun < 5
    assert client.ask("record.exists", {"key": KEY}) == {"exists": False}
    client.ask("install.list")


@pytest.mark.parametrize("killed, method, body", [
    ("recorder", "load.list", {}),
    ("prober", "record.exists", {"key": KEY}),
    ("loader", "record.exists", {"key": KEY}),
    ("installer", "record.exists", {"key": KEY}),
    ("downloader", "record.exists", {"key": KEY}),
])
def test_one_that_is_killed_leaves_the_rest_answering(yard, killed, method, body):  # R9.1
    yard.start("broker", *ACTORS)
    client = yard.client(hello=True)
    client.follow("actor_lost")
    yard.kill(killed)
    client.ask(method, body)
    told = client.next_event(timeout=10)
    assert told[2]["actor"] == killed
    client.ask(method, body)


def test_a_stopped_actor_is_gone_to_its_askers_and_ends_when_it_goes_on(yard):
    yard.start("broker", "recorder")
    recorder = yard.named["recorder"]
    client = yard.client(hello=True)
    client.follow("actor_lost")
    os.kill(recorder.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(Failed) as failure:
            client.ask("record.exists", {"key": KEY}, timeout=10)
        assert failure.value.code == "gone" and "once" in failure.value.text
        assert 3 < time.monotonic() - begun < 8, "five seconds without a pong"
        assert client.next_event()[2]["actor"] == "recorder"
        with pytest.raises(Failed) as failure:
            client.ask("record.exists", {"key": KEY})
        assert failure.value.code == "not_served" and "modelyard-recorder" in failure.value.text
    finally:
        os.kill(recorder.pid, signal.SIGCONT)
    assert recorder.wait(10) == 1
    assert "declared gone" in yard.log("recorder")
    yard.start("recorder")
    assert client.ask("record.exists", {"key": KEY}) == {"exists": False}


# --- bad input ----------------------------------------------------------------------------------------------------------


def garbage(chance):
    """Frames that are nothing, frames that begin well, and messages whose body is nothing."""
    frames = [chance.randbytes(chance.choice((0, 1, 7, 40, 3000))) for _ in range(chance.randrange(1, 14))]
    if chance.random() < 0.6:
        at = chance.randrange(len(frames))
        frames[at] = b"YARD1" + bytes([chance.choice(b"ARFEHWCPOBxZ\x00")]) + chance.randbytes(chance.choice((0, 8, 9, 40)))
    if chance.random() < 0.3 and len(frames) > 2:
        frames[0] = b"YARD1A" + chance.randbytes(8)
        frames[1] = chance.choice((b"record.get", b"event.follow", b"event.publish", b"yard.actors", b"record.get@", b"@"))
    return frames


def test_garbage_on_both_sockets_disturbs_nobody(yard):  # R7.4
    broker = yard.start("broker", "recorder") and yard.named["broker"]
    chance = random.Random(7)
    context = zmq.Context.instance()
    bad = [context.socket(zmq.DEALER), context.socket(zmq.XSUB)]
    for one, name in zip(bad, ("command", "event")):
        one.linger = 0
        one.connect(f"ipc://{yard.run}/{name}.ipc")
    client, subscriber = yard.client(hello=True), yard.subscriber()
    slowest = 0.0
    for i in range(2000):
        bad[0].send_multipart(garbage(chance))
        bad[1].send(chance.randbytes(chance.choice((0, 1, 60, 2000))))
        if i % 3:
            while bad[0].poll(0):
                bad[0].recv_multipart()
        if i % 50 == 0:
            begun = time.monotonic()
            assert client.ask("record.exists", {"key": KEY}) == {"exists": False}
            slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 2, "a valid asker waits for nobody's garbage"
    while subscriber.poll(0):
        subscriber.recv_multipart()
    assert subscriber.poll(3000), "the beat goes on"
    assert broker.poll() is None and yard.named["recorder"].poll() is None
    for one in bad:
        one.close()


def test_refused_hellos_do_not_fill_the_log(yard):
    yard.start("broker")
    bad = yard.client()
    for _ in range(500):
        bad.socket.send_multipart([b"YARD1H", b"", b"no hello"])
        assert bad.socket.poll(5000)
        assert msgpack.unpackb(bad.socket.recv_multipart()[2])["code"] == "invalid_message"
    with open(os.path.join(yard.home, "broker.log")) as file:
        assert 0 < file.read().count("hello.refused") <= 21


def test_over_a_mebibyte_is_refused_by_the_sender_and_cut_by_the_broker(yard):
    yard.start("broker", "recorder")
    with modelyard.connect(yard.run) as client:
        with pytest.raises(modelyard.TooLarge, match="1048576"):
            client.ask("record.exists", {"key": "x" * (1 << 20)})
        assert client.ask("record.exists", {"key": KEY}) == {"exists": False}
    other, rude = yard.client(hello=True), yard.client()
    rude.ask("yard.ping")
    monitor = rude.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    rude.socket.send_multipart([b"YARD1A1", b"record.exists", b"x" * ((1 << 20) + 1)])
    assert monitor.poll(5000), "the broker hangs up"
    rude.socket.disable_monitor()
    with pytest.raises(TimeoutError):
        rude._until(lambda: rude.answers, 0.5)
    assert other.ask("record.exists", {"key": KEY}) == {"exists": False}
    rude.ask("yard.ping")  # its next connection is as good as any


MISTAKES = [
    ("record.paint", {}, "unknown_method", "yard.methods"),
    ("nothing", {}, "unknown_method", "yard.methods"),
    ("yard.ping@broker", {}, "not_served", "without an @"),
    ("install.list", {}, "not_served", "modelyard-installer"),
    ("record.get@nowhere", {"key": KEY}, "not_served", "yard.methods"),
    ("record.get", {"key": 7}, "invalid_message", "key"),
    ("record.get", {"key": ""}, "invalid_message", "key"),
    ("record.get", {"key": "x" * 65}, "too_large", "key"),
    ("record.get", {}, "invalid_message", "key"),
    ("record.get", [], "invalid_message", ""),
    ("record.get", {"key": KEY}, "unknown_model", KEY),
    ("record.search", {"limit": 257}, "invalid_message", "limit"),
    ("record.search", {"limit": -1}, "invalid_message", "limit"),
    ("record.search", {"limit": 1.5}, "invalid_message", "limit"),
    ("record.search", {"base": "sd-9"}, "invalid_message", "base"),
    ("job.wait", {"ids": [1] * 257}, "too_large", "ids"),
    ("event.publish", {"events": []}, "invalid_message", "events"),
    ("event.follow", {"prefixes": [""] * 33}, "too_large", "prefixes"),
    ("event.follow", {"prefixes": [""]}, "hello_first", "hello"),
    ("x" * 256 + ".y", {}, "bad_frame", "255"),
]


def test_each_mistake_has_its_name_and_next_step(yard):  # R7.4
    yard.start("broker", "recorder")
    client = yard.client()
    for method, body, code, text in MISTAKES:
        client.answers.clear()
        client.socket.send_multipart([b"YARD1Amistake", method.encode(), msgpack.packb(body)])
        letter, failure = client._until(lambda: client.answers.get(b"mistake") or client.answers.get(b""), 10)
        assert (letter, failure["code"]) == (b"F", code), (method, body, failure)
        assert text in failure["text"] and len(failure["text"]) > len(text), failure
    assert client.ask("record.exists", {"key": KEY}) == {"exists": False}


def test_meta_and_from_are_checked_too(yard):  # R7.4
    yard.start("broker", "recorder")
    client = yard.client()
    for meta, code in (({"deadline_ms": -1}, "invalid_message"), ({"once": "x" * 129}, "too_large"),
                       ({"epoch": "0" * 16}, "hello_first")):
        with pytest.raises(Failed) as failure:
            client.ask("record.exists", {"key": KEY}, **meta)
        assert failure.value.code == code, meta
    client.socket.send_multipart([b"YARD1Af", b"record.exists", msgpack.packb({"key": KEY}), b"", msgpack.packb({
        "client": "c1", "user": "root", "roles": ["admin"]})])
    with pytest.raises(Failed) as failure:
        client.result(b"f")
    assert failure.value.code == "bad_frame" and "only the broker" in failure.value.text


def test_more_open_asks_than_the_limit_are_busy(make_yard):  # R7.4
    yard = make_yard(**{"bus.open_asks_max": "16"})
    yard.start("broker", "recorder")
    client = yard.client(hello=True)
    waits = [client.send("job.lease", {"kinds": ["convert"], "node": "n", "member": f"m{i}", "room": 1, "holding": []})
             for i in range(16)]
    with pytest.raises(Failed) as failure:
        client.ask("record.exists", {"key": KEY})
    assert failure.value.code == "busy" and "bus.open_asks_max" in failure.value.text
    client.socket.send_multipart([b"YARD1B" + waits[0], b"", msgpack.packb({})])

    def room():
        try:
            return client.ask("record.exists", {"key": KEY}) == {"exists": False}
        except Failed as full:
            assert full.code == "busy"
    wait_for(room, what="room for one more")
