"""kill -9 at every instruction that matters, of every process, and of all of them at once: nothing acknowledged is lost or done twice.

SEED=n repeats the choices of a run (pytest prints the seed on failure); YARD_LONG=1 takes every index instead of every tenth.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import time

import checker
import pytest
import zmq
from yard import ROOT, Client, Failed, wait_for
from yard_fixture_faults import ALL, LONG, MUTATIONS, SEED, FaultYard, Installs, chosen, has_strace, rig, sabotage, traced

EVERY = 10  # the normal run takes each tenth index
KILLS = 300 if LONG else 30
ALL_KILLS = 50 if LONG else 5
READY_AGAIN_S = 5
LOADER_POINTS = ("loader.before_finish", "loader.after_lease")
pytestmark = pytest.mark.timeout(7200 if LONG else 300)
#  One install passes a recorder's point about so often; the last passes are the commits of place and of the end.
PASSES = {"recorder": 14}


def points():
    """Each of faults.def that is a place in the work, by actor. The others are behaviours (of a probe, of a handler) and planted bugs, with
    tests of their own; a point of an actor that is not known here is a point that nobody sweeps."""
    with open(os.path.join(ROOT, "actors", "ground", "faults.def")) as file:
        names = re.findall(r'^FAULT_POINT \("([a-z_.]+)"', file.read(), re.M)
    swept = [name for name in names if name.split(".")[0] not in ("prober", "runtime", "planted")]
    assert {name.split(".")[0] for name in swept} == {"recorder", "downloader", "installer", "loader"}, swept
    loaders = [name for name in swept if name.startswith("loader.")]
    assert all(name in LOADER_POINTS or name.startswith("loader.spread_") for name in loaders), "test_spread.py has those of a spread"
    return [name for name in swept if name not in loaders]


def interrupt(yard, installs, victim, note, local=False):
    """One install while victim has an end before it; whether it met it. Then a fresh victim."""
    def revive():
        if yard.named[victim].poll() is not None:
            yard.bury(victim)
            yard.start(victim)
    process = yard.named[victim]
    job = installs.begin(local=local, revive=revive, note=note)
    if process is yard.named[victim]:
        wait_for(lambda: process.poll() is not None or installs.has_ended(job), timeout=60, what=f"the end of {note}")
    if process.poll() is None:
        return False
    revive()
    return True


def sweep(yard, installs, victim, indexes, start):
    """Kills victim at each index of one install; installs of a member that died lie until the end, so that the next count is its own."""
    met = []
    yard.retire(victim)
    for index in indexes:
        note = f"{victim} at {index}"
        if start(index):
            killed = interrupt(yard, installs, victim, note)
        else:
            yard.bury(victim)
            yard.start(victim)
            killed = True
        if victim == "recorder" and killed:
            installs.wait(installs.jobs[-1])
        if not yard.retire(victim, doomed=not killed) or killed:
            met.append(index)
    yard.start(victim)
    yard.recover()
    installs.all_completed()
    return met


# R2.13 R9.1
@pytest.mark.parametrize("actor", ["recorder", "downloader", "installer"])
def test_killed_at_every_fault_point_it_passes(rig, actor):
    yard, installs = rig
    survivors = checker.Baseline(yard.named[name].pid for name in ("broker", "prober", "loader"))
    mine = [name for name in points() if name.startswith(actor)]
    plans = [(point, passed) for point in mine for passed in range(1, PASSES.get(actor, 1) + 1)
             if LONG or passed <= 3 or (passed + SEED) % 3 == 0]
    met = sweep(yard, installs, actor, plans, lambda plan: yard.begin(actor, MODELYARD_FAULT=f"{plan[0]}:{plan[1]}:kill"))
    print("killed at", met)
    assert {point for point, _ in met} == set(mine), "a point was never passed"
    checker.check(yard, installs.jobs, survivors)


@pytest.mark.parametrize("point", LOADER_POINTS)
def test_a_killed_loader_leaves_no_lease_and_no_view(rig, point):
    yard, installs = rig
    key = installs.get(installs.jobs[0])["key"]
    yard.retire("loader")
    yard.begin("loader", MODELYARD_FAULT=point + ":1:kill")
    ident = installs.client.send("load.model", {"key": key, "form": "resident"}, ttl_s=60)
    yard.bury("loader")
    with pytest.raises(Exception, match="gone|timeout"):
        installs.client.result(ident)
    yard.start("loader")
    lease = installs.ask("load.model", {"key": key}, ttl_s=60)["lease"]
    installs.ask("load.release", {"lease": lease})
    checker.check(yard, installs.jobs)


# R2.13 R9.1
@pytest.mark.parametrize("victim", ["recorder", "downloader", "installer"])
def test_killed_at_every_index_of_its_disk_calls(rig, victim):
    yard, installs = rig
    survivors = checker.Baseline(yard.named[name].pid for name in ("broker", "prober", "loader"))
    log = os.path.join(yard.home, "calls.log")
    yard.retire(victim)
    yard.with_sabotage(victim, MUTATIONS, "none", log=log)
    installs.begin(note="counted")
    installs.all_completed()
    with open(log) as file:
        lines = file.read().splitlines()
    indexes = chosen(len(lines), EVERY if len(lines) > 100 else EVERY // 5)
    met = sweep(yard, installs, victim, indexes, lambda index: yard.with_sabotage(
        victim, MUTATIONS, "torn" if index % 2 and lines[index - 1].split()[1] == "write" else "kill", first=index))
    print(f"{victim}: {len(lines)} calls, killed at {met} of {indexes}")
    assert len(met) >= len(indexes) * 3 // 4, f"of {indexes} only {met} were reached"
    checker.check(yard, installs.jobs, survivors)


CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename,renameat,renameat2", "unlink,unlinkat")


# R2.13
@pytest.mark.skipif(not has_strace(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize("victim", ["recorder", "downloader", "installer"])
def test_killed_by_the_kernel_at_a_system_call(rig, victim):
    """strace counts each thread by itself; so this sees the calls that no library shows, and the sweep before sees all threads."""
    yard, installs = rig
    log = os.path.join(yard.home, "strace.log")
    names = ",".join(CALLS)
    yard.retire(victim)
    yard.with_strace(victim, "-e", "trace=" + names, log=log)
    pid = yard.named[victim].pid
    installs.begin(note="counted")
    installs.all_completed()
    most = {}
    yard.retire(victim)
    yard.start(victim)
    for thread, call, _ in traced(log, pid):
        most.setdefault(call, {}).setdefault(thread, 0)
        most[call][thread] += 1
    plans = []
    for group in CALLS:
        for call in group.split(","):
            plans += [(call, index) for index in chosen(max(most.get(call, {0: 0}).values()), EVERY)]
    met = sweep(yard, installs, victim, plans, lambda plan: yard.with_strace(
        victim, "-e", "trace=" + plan[0], "-e", f"inject={plan[0]}:signal=SIGKILL:when={plan[1]}"))
    print(f"{victim}: {({call: max(threads.values()) for call, threads in most.items()})}, killed at {met} of {plans}")
    assert met, f"none of {plans} was reached"
    checker.check(yard, installs.jobs)


# --- under a supervisor ------------------------------------------------------------------------------------------------------
class Supervised:
    """`modelyard up`, what runs under it, and installs that never stop coming."""

    def __init__(self, yard, installs):
        self.yard, self.installs = yard, installs
        self.events = zmq.Context.instance().socket(zmq.SUB)
        self.events.linger = 0
        self.events.setsockopt(zmq.SUBSCRIBE, b"")
        self.events.connect(f"ipc://{yard.run}/event.ipc")
        yard.clients.append(self.events)

    def supervisor(self):
        with open(os.path.join(self.yard.run, "up.lock")) as file:
            return int(file.read())

    def actors(self):
        """name -> pid of what runs as a program of the yard now."""
        found = {}
        supervisor = self.supervisor()
        try:
            with open(f"/proc/{supervisor}/task/{supervisor}/children") as file:
                pids = [int(word) for word in file.read().split()]
        except FileNotFoundError:
            return found
        for pid in pids:
            try:
                found[os.path.basename(os.readlink(f"/proc/{pid}/exe")).removeprefix("modelyard-")] = pid
            except OSError:
                pass
        found.pop("modelyard", None)
        return found

    def up(self):
        """Seconds from the start of `up` until the broker names every actor."""
        started = time.monotonic()
        done = self.yard.cli("up", "--detach")
        assert done.returncode == 0, done.stderr
        wanted = set(ALL) - {"broker"}
        wait_for(lambda: wanted <= {row["actor"] for row in self.installs.ask("yard.actors", {})["actors"]}, what="all actors")
        return time.monotonic() - started

    def down(self, _yard=None):
        done = self.yard.cli("down", timeout=130)
        assert done.returncode == 0, done.stderr

    def logs(self):
        folder = os.path.join(self.yard.home, "log")
        return {name: open(os.path.join(folder, name), errors="replace").read() for name in os.listdir(folder)}

    def some_events(self, count, silence_ms=300):
        """A moment in the work, not on the clock: behind the count-th event from now."""
        while count > 0 and self.events.poll(silence_ms):
            self.events.recv_multipart()
            count -= 1


@pytest.fixture
def supervised(sabotage, nginx):
    yard = FaultYard(sabotage, **{"jobs.lease_ms": "1000"})
    print(f"SEED={SEED} build={yard.build}")
    one = Supervised(yard, Installs(yard, nginx.root, nginx.url + "/slow"))
    try:
        one.up()
        yield one
    except BaseException:
        for name, text in one.logs().items():
            print(f"--- {name} ---\n{text[-4000:]}")
        raise
    finally:
        yard.cli("down", timeout=130)
        bad = {name: text for name, text in one.logs().items() if "AddressSanitizer" in text or "runtime error:" in text}
        yard.stop()
        assert not bad, bad


def feed(installs, live_min=5):
    """Enough open installs that a kill meets one."""
    open_jobs = installs.ask("job.list", {"live": True, "kind": "install", "limit": 256})["jobs"]
    for _ in range(live_min - len(open_jobs)):
        installs.begin(local=len(installs.jobs) % 4 == 3, note="fed")


# R2.13 R9.1
def test_random_kills_while_installs_run(supervised):
    choice = random.Random(SEED)
    installs = supervised.installs
    killed = dict.fromkeys(ALL, 0)
    for _ in range(20):
        installs.begin(note="first")
    for number in range(KILLS):
        if number and number % 30 == 0:  # a supervisor that has seen so many ends waits a minute; a new one does not
            supervised.down()
            supervised.up()
        feed(installs)
        victim = choice.choice(ALL)
        supervised.some_events(choice.randrange(6))
        pid = wait_for(lambda victim=victim: supervised.actors().get(victim), timeout=60, what=f"a {victim} to kill")
        os.kill(pid, signal.SIGKILL)
        killed[victim] += 1
    print("killed", killed, "while", len(installs.jobs), "installs ran")
    client = Client(supervised.yard.run)

    def all_are_here():
        """The broker knows each that runs: one that was killed last may still be listed for a moment."""
        running = supervised.actors()
        with contextlib.suppress(Failed, TimeoutError):
            known = {row["pid"] for row in client.ask("yard.actors", timeout=2)["actors"]}
            return set(ALL) <= set(running) and {pid for actor, pid in running.items() if actor != "broker"} <= known
    wait_for(all_are_here, timeout=60, what="all actors")
    client.close()
    installs.all_completed()
    checker.check(supervised.yard, installs.jobs, stop=supervised.down)


# R2.13 R9.1
def test_all_processes_killed_at_once(supervised):
    choice = random.Random(SEED)
    installs, yard = supervised.installs, supervised.yard
    times = []
    for _ in range(ALL_KILLS):
        feed(installs, 8)
        supervised.some_events(choice.randrange(12))
        pids = [supervised.supervisor(), *supervised.actors().values()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the supervisor's end takes its children along
        wait_for(lambda pids=pids: not any(is_alive(pid) for pid in pids), what="the end of all")
        store = checker.Store(yard.home)
        found = checker.store_is_whole(store)
        there = {row["id"] for row in store.rows("SELECT id FROM yard_jobs")}
        store.close()
        assert not found and set(installs.jobs) <= there, (found, set(installs.jobs) - there)
        times.append(supervised.up())
    print("ready again after", [f"{one:.2f} s" for one in times])
    assert max(times) < READY_AGAIN_S
    installs.all_completed()
    checker.check(yard, installs.jobs, stop=supervised.down)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False



# --- the checker itself ----------------------------------------------------------------------------------------------------------
def spoil_row(text):
    def spoil(home, _models, _folder):
        with sqlite3.connect(os.path.join(home, "yard.db")) as database:
            database.execute("PRAGMA foreign_keys = ON")
            database.execute(text)
        database.close()
    return spoil


def flip_a_byte(_home, _models, folder):
    path = os.path.join(folder, next(name for name in os.listdir(folder) if name.endswith(".safetensors")))
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    os.chmod(path, 0o444)


def damage_the_store(home, _models, _folder):
    with open(os.path.join(home, "yard.db"), "r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 4096)


SPOILED = {
    "I1.*vanished": spoil_row("DELETE FROM yard_jobs WHERE kind = 'install'"),
    "I1.*nothing will ever move": spoil_row("UPDATE yard_jobs SET status = 'waiting', ended = 0 WHERE kind = 'install'"),
    "I2.*is not there": spoil_row("DELETE FROM yard_models"),
    "I2.*is not what its manifest says": flip_a_byte,
    "I2.*No such file": lambda _home, _models, folder: os.unlink(os.path.join(folder, checker.MANIFEST)),
    "I3.*no record": lambda _home, models, _folder: os.makedirs(os.path.join(models, "sd-1", "lora", "stranger")),
    "I3.*no live or undecided": lambda _home, models, _folder: os.makedirs(os.path.join(models, ".staging", "4711")),
    "I4": damage_the_store,
    "I5.*in no manifest": lambda _home, _models, folder: open(os.path.join(folder, "x.part"), "w").close(),
    "I5.*secrets": lambda home, _models, _folder: open(os.path.join(home, "secrets", "0123"), "w").close(),
    "I5.*is leased by": spoil_row("UPDATE yard_jobs SET status = 'running', ended = 0, queue = 2, member = 'm' WHERE kind = 'install'"),
    "I6.*told 2 times": spoil_row("INSERT INTO yard_outbox SELECT (SELECT value FROM yard_meta WHERE key = 'last_change') + 1, name, subject,"
                                  " body, time FROM yard_outbox WHERE name = 'model_install_completed'"),
    "I6.*no completed install": spoil_row("UPDATE yard_jobs SET key = 'ffffffffffffffffffffffffffffffff' WHERE kind = 'install'"),
    "I8.*missing": spoil_row("DELETE FROM yard_outbox WHERE change = 3"),
    "I8.*were told": spoil_row("UPDATE yard_meta SET value = value - 1 WHERE key = 'published'"),
}


def test_the_checker_sees_what_is_spoiled(rig, tmp_path):
    """A check that cannot fail proves nothing: each invariant is broken once by hand."""
    yard, installs = rig
    checker.check(yard, installs.jobs)
    for number, (sentence, spoil) in enumerate(SPOILED.items()):
        home = os.path.join(tmp_path, str(number))
        shutil.copytree(yard.home, home, ignore=shutil.ignore_patterns("run"))
        models = os.path.join(home, "models")
        spoil(home, models, os.path.join(models, "sd-1", "lora", "model1"))
        found = checker.look_at_rest(home, models, installs.jobs)
        assert any(re.search(sentence, one) for one in found), (sentence, found)


def test_a_descriptor_that_stays_open_is_seen():
    baseline = checker.Baseline([os.getpid()])
    with open("/dev/null"):
        assert any(one.startswith("I7") for one in baseline.wrong([os.getpid()], patience_s=0.1))
    assert not baseline.wrong([os.getpid()])
