# SPDX-License-Identifier: Apache-2.0
"""A yard one of whose processes has a bad disk, or ends in the middle of a call; and installs that are asked for until they are taken."""
import glob
import os
import random
import re
import shutil
import subprocess
import time
import uuid

import make_models
import pytest
from checker import ENDED
from yard import BUILD, READY_S, ROOT, Client, Failed, Yard, select_wait, wait_for

ALL = ("broker", "recorder", "downloader", "prober", "installer", "loader")
LONG = os.environ.get("YARD_LONG") == "1"
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
#  The outcome is unknown, or it was certainly not done: asked again with the same once key.
AGAIN = {"gone", "timeout", "not_served", "busy", "hello_first", "store_failed", "unreachable"}
MUTATIONS = "write+sync+rename+link+unlink+mkdir+truncate+create"


def fault_build():
    """The optimised build with fault points, if it is there and not older than the sources; else the one that all tests use."""
    if "YARD_FAULT_BUILD" in os.environ:
        return os.environ["YARD_FAULT_BUILD"]
    dev = os.path.join(ROOT, "build", "dev")
    try:
        built = min(os.path.getmtime(os.path.join(dev, "bin", "modelyard-" + actor)) for actor in ALL)
        sources = [path for room in ("actors", "broker", "proto") for path in glob.glob(os.path.join(ROOT, room, "**", "*.[chd]*"),
                                                                                     recursive=True)]
        return dev if built > max(map(os.path.getmtime, sources)) else BUILD
    except OSError:
        return BUILD


def chosen(total, every):
    """Of 1 to total every n-th, at least one, with an offset that the seed gives; all of them in the long run."""
    if LONG or total == 0:
        return list(range(1, total + 1))
    step = min(every, total)
    return list(range(1 + SEED % step, total + 1, step))


class FaultYard(Yard):
    """Leases last long, so that what a killed member held comes back when we say so: recover () starts a recorder with short ones."""

    def __init__(self, sabotage, **settings):
        super().__init__(build=fault_build(), **{"jobs.lease_ms": "60000", "jobs.attempts_max": "1000", "download.backoff_ms": "20",
                                                 "download.backoff_max_ms": "100", **settings})
        self.sabotage = sabotage
        self.made = 0

    def environment(self, **extra):
        found = super().environment(**extra)
        if "LD_PRELOAD" in extra:
            found["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return found

    def begin(self, actor, *before, wait=True, **extra):
        """One actor behind other words (strace …) or with other variables. False if it ended before it was ready."""
        log = open(os.path.join(self.home, actor + ".log"), "ab")
        process = subprocess.Popen([*before, self.program("modelyard-" + actor)], env=self.environment(**extra),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        process.actor = actor
        self.processes.append(process)
        self.named[actor] = process
        try:
            if wait:
                self.ready(actor)
        except AssertionError:
            if process.poll() is None:
                raise
        return process.poll() is None

    def with_sabotage(self, actor, calls, action, first=1, last=None, path=None, log=None, wait=True):
        """An actor whose own disk calls are met, by sabotage.c."""
        words = {"LD_PRELOAD": self.sabotage, "SABOTAGE_ROOT": self.home, "SABOTAGE_CALLS": calls, "SABOTAGE_ACTION": str(action),
                 "SABOTAGE_FIRST": str(first), "SABOTAGE_LAST": str(first if last is None else last)}
        words.update({"SABOTAGE_PATH": path} if path else {})
        words.update({"SABOTAGE_LOG": log} if log else {})
        return self.begin(actor, wait=wait, **words)

    def with_strace(self, actor, *words, log="/dev/null", wait=True):
        """The tracer is a grandchild (-D), so the process we started is the actor itself. LeakSanitizer cannot run while traced."""
        return self.begin(actor, "strace", "-D", "-f", "-q", "-y", "-o", log, *words, wait=wait,
                          ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:exitcode=99")

    def bury(self, actor):
        """A process that is dead, and was meant to die, is no failure of stop (). Returns when the broker has noticed."""
        process = self.named[actor]
        assert process.wait(30) == -9, f"{actor} ended with {process.returncode}, not by our kill:\n{self.log(actor)}"
        self.processes.remove(process)
        self.missed(process)

    def missed(self, process):
        """A dead member's open job.lease may be granted until the broker has noticed, and such a lease lies until its term is over."""
        client = Client(self.run)
        wait_for(lambda: process.pid not in [row["pid"] for row in client.ask("yard.actors")["actors"]], what="its being missed")
        client.close()

    def retire(self, actor, doomed=False):
        """Ends an actor in good order; a doomed one may meet its end on the way, and is told apart by the answer."""
        process = self.named[actor]
        process.terminate()
        code = process.wait(30)
        assert code == 0 or (doomed and code == -9), f"{actor} ended with {code}:\n{self.log(actor)}"
        self.processes.remove(process)
        if code == -9:
            self.missed(process)
        return code == 0

    def recover(self):
        """All leases of dead members lapse within a second or two."""
        self.settings["jobs.lease_ms"] = "1000"
        self.retire("recorder")
        self.start("recorder")


class Installs:
    """Asks for installs until they are acknowledged, whatever ends meanwhile."""

    def __init__(self, yard, root, url, size_rank=2):
        self.yard, self.root, self.url = yard, str(root), url
        self.original = make_models.lora_sd1(os.path.join(self.root, "original.safetensors"), rank=size_rank)
        self.client = Client(yard.run)
        yard.clients.append(self.client)
        self.jobs, self.notes = [], {}

    def source(self, local=False):
        """A file of its own name, so that it is no equal of another's."""
        self.yard.made += 1
        name = f"model{self.yard.made}.safetensors"
        os.link(self.original, os.path.join(self.root, name))
        return os.path.join(self.root, name) if local else f"{self.url}/{name}"

    def ask(self, method, body, timeout=3, tries_s=60, revive=None, **meta):
        """The answer, at last; only what may be repeated is."""
        deadline = time.monotonic() + tries_s
        while True:
            if revive:
                revive()
            try:
                return self.client.ask(method, body, timeout=timeout, **meta)
            except TimeoutError:
                pass
            except Failed as failure:
                if failure.code not in AGAIN:
                    raise
            assert time.monotonic() < deadline, f"{method} was not answered in {tries_s} s"
            select_wait(0.02)

    def begin(self, local=False, revive=None, note="", **more):
        body = {"source": self.source(local), **more}
        job = self.ask("install.import", body, revive=revive, once=uuid.uuid4().hex)["job"]["id"]
        self.jobs.append(job)
        self.notes[job] = note
        return job

    def get(self, job):
        return self.ask("job.get", {"id": job})

    def has_ended(self, job):
        """One look; who cannot say now, cannot say."""
        try:
            return self.client.ask("job.get", {"id": job}, timeout=1)["status"] in ENDED
        except (Failed, TimeoutError):
            return False

    def wait(self, job, timeout=60):
        row = {}

        def look():
            row.update(self.get(job))
            return row["status"] in ENDED
        try:
            return wait_for(lambda: look() and row, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"job {job} ({self.notes.get(job)}) does not end: {row}") from None

    def all_completed(self, timeout=120):
        for job in self.jobs:
            row = self.wait(job, timeout)
            assert row["status"] == "completed", (self.notes[job], row)


def build_sabotage(folder):
    target = os.path.join(str(folder), "sabotage.so")
    source = os.path.join(ROOT, "tests", "system", "sabotage.c")
    subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", target, source],
                   check=True)
    return target


@pytest.fixture(scope="session")
def sabotage(tmp_path_factory):
    return build_sabotage(tmp_path_factory.mktemp("sabotage"))


@pytest.fixture
def rig(sabotage, nginx):
    """A whole yard and its installs; the first one is done, so that what is opened late is open."""
    yard = FaultYard(sabotage)
    print(f"SEED={SEED} build={yard.build}")
    try:
        yard.start(*ALL)
        installs = Installs(yard, nginx.root, nginx.url)
        installs.begin(note="undisturbed")
        installs.all_completed()
        yield yard, installs
    finally:
        for process in yard.processes:
            print(f"--- {process.actor} ---\n{yard.log(process.actor)}")
        yard.stop()


def traced(log, pid):
    """What strace wrote of a process that has ended, complete: (thread, call, the rest of the line)."""
    def whole():
        with open(log, errors="replace") as file:
            text = file.read()
        return text if re.search(rf"^{pid} +\+\+\+ (exited|killed)", text, re.M) else None
    text = wait_for(whole, what="the end of the trace")
    return re.findall(r"^(\d+) +(\w+)\((.*)$", text, re.M)


def has_strace():
    """Is strace there, and may it trace?"""
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-D", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode == 0


__all__ = ["ALL", "LONG", "MUTATIONS", "SEED", "READY_S", "FaultYard", "Installs", "chosen", "has_strace", "rig", "sabotage",
           "traced"]
