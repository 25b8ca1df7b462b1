"""Power cuts: a yard lives on an ext4 in a file; the file, copied at any instant, is the disk after a power cut at that instant.

What the kernel has not sent to the disk is not in the copy (its page cache lies above the file). While the file is copied, the yard's
processes stand still, so that one copy is one instant. Every answer that was sent before must be true of what a new recorder finds there.
SEED=n repeats the choices of a run; YARD_LONG=1 makes 200 cuts.
"""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import uuid

import make_models
import pytest
from checker import Store, folder_is_proven, store_is_whole
from yard import ROOT, Client, Failed, Yard

LONG = os.environ.get("YARD_LONG") == "1"
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
DISK_MIB = 96
CUTS = 10 if LONG else 6  # of one yard's life
LIVES = 20 if LONG else 1
CONTROL_CUTS = 3
BETWEEN_CUTS_S = (0.05, 0.4)
WINDOW = 24  # asks under way
INSTALLS = 12  # of one life


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


class Disk:
    """An ext4 in a file. Its journal is not written every 5 s, as is usual, but only when somebody syncs: more is lost."""

    def __init__(self, folder, name):
        self.file, self.mounted = os.path.join(folder, name), None

    def make(self):
        with open(self.file, "wb") as file:
            file.truncate(DISK_MIB << 20)
        done = run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.file)
        if done.returncode:
            pytest.skip(f"no ext4 can be made: {done.stderr.strip()}")
        return self

    def mount(self):
        self.mounted = self.file + ".d"
        os.makedirs(self.mounted, exist_ok=True)
        done = run("mount", "-o", "loop,commit=600", self.file, self.mounted)
        if done.returncode:
            self.mounted = None
            pytest.skip(f"no right to mount a file system from a file: {done.stderr.strip()}")
        return self.mounted

    def copy(self, name):
        one = Disk(os.path.dirname(self.file), name)
        assert run("cp", "--sparse=always", self.file, one.file).returncode == 0
        return one

    def repair(self):
        done = run("e2fsck", "-fy", self.file)
        assert done.returncode in (0, 1), done.stdout + done.stderr

    def release(self):
        if self.mounted:
            run("umount", self.mounted).returncode and run("umount", "-l", self.mounted)
        self.mounted = None

    def remove(self):
        self.release()
        os.unlink(self.file)


class DiskYard(Yard):
    """A yard whose home is on a disk of ours; sockets and logs stay outside."""

    def __init__(self, disk, **settings):
        super().__init__(**settings)
        self.put_on(disk)

    def put_on(self, disk):
        self.store = os.path.join(disk, "home")
        self.models = os.path.join(self.store, "models")

    def environment(self, **extra):
        found = {**super().environment(**extra), "MODELYARD_HOME": self.store, **self.preloaded}
        found["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return found

    preloaded = {}

    def stand(self, number):
        for process in self.processes:
            process.send_signal(number)


class Told:
    """What was asked for and what was answered: which states the store may be in."""

    def __init__(self):
        self.jobs, self.cancelled, self.may_be_cancelled = set(), set(), set()
        self.records, self.deleted, self.may_be_deleted = set(), set(), set()
        self.installed = {}  # job: source

    def copy(self):
        one = Told()
        for name, value in vars(self).items():
            setattr(one, name, value.copy())
        return one


class Life:
    """Asks for many things at once, and notes each answer when it comes."""

    def __init__(self, yard, choice, sources):
        self.yard, self.choice, self.told = yard, choice, Told()
        self.client = Client(yard.run)
        yard.clients.append(self.client)
        self.sources = list(sources)
        self.waiting = {}  # id of an ask: (method, what about)

    def send(self, method, body, about):
        self.waiting[self.client.send(method, body, once=uuid.uuid4().hex)] = (method, about)

    def ask_for_something(self):
        told = self.told
        word = self.choice.choice(("submit", "submit", "add", "add", "cancel", "delete", "install"))
        if word == "install" and self.sources:
            source = self.sources.pop()
            self.send("install.import", {"source": source}, source)
        elif word == "cancel" and told.jobs - told.may_be_cancelled - set(told.installed):
            job = self.choice.choice(sorted(told.jobs - told.may_be_cancelled - set(told.installed)))
            told.may_be_cancelled.add(job)
            self.send("job.cancel", {"id": job}, job)
        elif word == "delete" and told.records - told.may_be_deleted:
            key = self.choice.choice(sorted(told.records - told.may_be_deleted))
            told.may_be_deleted.add(key)
            self.send("record.delete", {"key": key}, key)
        elif word == "add":
            key = uuid.uuid4().hex
            self.send("record.add", {"config": {
                "key": key, "name": "n" + key, "type": "lora", "base": "sd-1", "format": "lycoris", "path": f"sd-1/lora/{key}",
                "hash": "imohash:00"}}, key)
        else:
            self.send("job.submit", {"kind": "download", "held": True, "download": {
                "source": "http://127.0.0.1:9/" + uuid.uuid4().hex, "path": "/nowhere/x"}}, None)

    def note(self, method, about, body):
        told = self.told
        if method == "install.import":
            told.jobs.add(body["job"]["id"])
            told.may_be_cancelled.add(body["job"]["id"])  # not ours to cancel
            self.waiting[self.client.send("install.wait", {"ids": [body["job"]["id"]]})] = ("install.wait", about)
        elif method == "install.wait":
            assert body["jobs"][0]["status"] == "completed", body
            told.installed[body["jobs"][0]["id"]] = about
        elif method == "job.submit":
            told.jobs.add(body["job"]["id"])
        else:
            {"record.add": told.records, "record.delete": told.deleted, "job.cancel": told.cancelled}[method].add(about)

    def listen(self, seconds):
        """Notes every answer that comes within that time."""
        deadline = time.monotonic() + seconds
        while True:
            for ident in [one for one in self.client.answers if one in self.waiting]:
                letter, body = self.client.answers.pop(ident)
                method, about = self.waiting.pop(ident)
                assert letter == b"R", (method, about, body)
                self.note(method, about, body)
            left = deadline - time.monotonic()
            if self.client.socket.poll(max(0, left) * 1000):
                self.client._take(self.client.socket.recv_multipart())
            elif left <= 0:
                return

    def live(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            while len(self.waiting) < WINDOW:
                self.ask_for_something()
            self.listen(0.005)


def one_life(disk, choice, cuts, sources, actors, preloaded):
    """A yard on a new disk, until the last cut; a list of (copy of the disk, what was told before)."""
    yard, taken = DiskYard(disk.mount()), []
    yard.preloaded = preloaded
    try:
        yard.start(*actors)
        life = Life(yard, choice, sources)
        for number in range(cuts):
            life.live(choice.uniform(*BETWEEN_CUTS_S))
            yard.stand(signal.SIGSTOP)
            try:
                life.listen(0)  # answers on their way were sent before
                taken.append((disk.copy(f"cut{number}"), life.told.copy()))
            finally:
                yard.stand(signal.SIGCONT)
        return taken
    finally:
        yard.stop()
        disk.remove()


def compare(client, models, told):
    """What the recorder on the copied disk does not have."""
    found = []
    for job in told.jobs:
        try:
            status = client.ask("job.get", {"id": job})["status"]
        except Failed as failure:
            found.append(f"job {job} was acknowledged: {failure}")
            continue
        if job in told.cancelled and status != "cancelled":
            found.append(f"job {job} was cancelled and is {status}")
        if status == "cancelled" and job not in told.may_be_cancelled:
            found.append(f"job {job} is cancelled and nobody asked for that")
    for key in told.records:
        there = client.ask("record.exists", {"key": key})["exists"]
        if there and key in told.deleted:
            found.append(f"record {key} was deleted and is there")
        if not there and key not in told.may_be_deleted:
            found.append(f"record {key} was acknowledged and is not there")
    for job, source in told.installed.items():
        try:
            config = client.ask("record.get", {"key": client.ask("job.get", {"id": job})["key"]})["config"]
            found += folder_is_proven(models, config["path"], config["key"])
            if open(os.path.join(models, config["path"]), "rb").read() != open(source, "rb").read():
                found.append(f"install {job} is not what {source} is")
        except (Failed, OSError) as failure:
            found.append(f"install {job} was completed: {failure}")
    return found


def look_at_store(home):
    try:
        store = Store(home)
    except (OSError, sqlite3.DatabaseError) as error:
        return [f"the store: {error}"]
    try:
        found = store_is_whole(store)
        changes = [row["change"] for row in store.rows("SELECT change FROM yard_outbox ORDER BY change")]
        last = store.rows("SELECT value FROM yard_meta WHERE key = 'last_change'")[0]["value"]
        return found + ([] if changes == list(range(1, last + 1)) else [f"the outbox has {len(changes)} of {last} changes"])
    except sqlite3.DatabaseError as error:
        return [f"the store: {error}"]
    finally:
        store.close()


def after_the_cut(yard, disk, told):
    """What is wrong with this copy, as a new recorder finds it."""
    disk.repair()
    yard.put_on(disk.mount())
    try:
        try:
            yard.start("recorder")
        except AssertionError as refusal:
            yard.processes.remove(yard.named["recorder"])
            return [f"no recorder starts: {refusal}"]
        client = Client(yard.run)
        found = compare(client, yard.models, told)
        client.close()
        assert yard.kill("recorder", signal.SIGTERM) == 0
        return found + look_at_store(yard.store)
    finally:
        disk.release()


def look_at(taken):
    """Per cut, what was lost by it."""
    yard = DiskYard(taken[0][0].file + ".none")
    try:
        yard.start("broker")
        return [after_the_cut(yard, disk, told) for disk, told in taken]
    finally:
        yard.stop()


@pytest.fixture
def ground():
    """A folder for disks, and the sources of installs, on a disk that keeps its power."""
    if os.geteuid():
        pytest.skip("only root may mount a file system from a file")
    folder = tempfile.mkdtemp(prefix="p", dir="/tmp")
    original = make_models.lora_sd1(os.path.join(folder, "original.safetensors"), rank=1)
    for number in range(INSTALLS):
        os.link(original, os.path.join(folder, f"model{number}.safetensors"))
    yield folder
    for name in os.listdir(folder):
        if name.endswith(".d"):
            run("umount", "-l", os.path.join(folder, name))
    shutil.rmtree(folder)


@pytest.fixture
def unsynced(ground):
    target = os.path.join(ground, "unsynced.so")
    subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", target,
                    os.path.join(ROOT, "tests", "system", "unsynced.c")], check=True)
    return target


def sources_in(folder):
    return [os.path.join(folder, f"model{number}.safetensors") for number in range(INSTALLS)]


@pytest.mark.timeout(3600 if LONG else 300)
def test_what_was_acknowledged_survives_a_power_cut_at_any_instant(ground):
    print(f"SEED={SEED}")
    choice, cuts, acknowledged, installs = random.Random(SEED), 0, 0, 0
    for number in range(LIVES):
        taken = one_life(Disk(ground, f"disk{number}").make(), choice, CUTS, sources_in(ground),
                         ("broker", "recorder", "prober", "installer"), {})
        for found, (disk, told) in zip(look_at(taken), taken):
            assert not found, "\n".join(found[:20])
            cuts += 1
            acknowledged += len(told.jobs) + len(told.cancelled) + len(told.records) + len(told.deleted)
            installs += len(told.installed)
            disk.remove()
    print(f"{cuts} power cuts, {acknowledged} acknowledged effects and {installs} completed installs looked for: all there")
    assert acknowledged > 100 * LIVES and installs > 0


# A test that finds nothing where something must be lost would prove nothing.
@pytest.mark.parametrize("what", ["commits", "all"])
def test_without_syncs_the_same_cuts_are_found_to_lose(ground, unsynced, what):
    print(f"SEED={SEED}")
    preloaded = {"LD_PRELOAD": unsynced, "UNSYNCED": what}
    taken = one_life(Disk(ground, "disk").make(), random.Random(SEED), CONTROL_CUTS, [], ("broker", "recorder"), preloaded)
    lost = [len(found) for found in look_at(taken)]
    print(f"lost per cut: {lost}")
    assert any(lost)
