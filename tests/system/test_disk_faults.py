"""Disks that are full, broken, read only, or slow to say so: a named error, nothing half done to be seen, and the work goes on after."""
import errno
import os
import random
import re
import subprocess

import checker
import pytest
from yard import Failed, wait_for
from yard_fixture_faults import ALL, LONG, SEED, FaultYard, Installs, has_strace, rig, sabotage, traced  # noqa: F401

OFFSETS = 50 if LONG else 10
SMALL_DISK = 4 * 1024 * 1024
pytestmark = pytest.mark.timeout(3600 if LONG else 300)


def family(installs, job):
    """An install and its download."""
    return [installs.get(job), *installs.ask("job.list", {"parent": job})["jobs"]]


def final_folder(yard, installs, job):
    name = os.path.basename(installs.get(job)["install"]["source"]).removesuffix(".safetensors")
    return os.path.join(yard.models, "sd-1", "lora", name)


def felt(yard, installs, job, timeout=60):
    """The words with which the job and its child have failed so far; empty when it has completed all the same."""
    def look():
        rows = family(installs, job)
        words = {row["error_type"] for row in rows if row["error_type"]}
        return words or rows[0]["status"] == "completed"
    words = wait_for(look, timeout=timeout, what=f"any outcome of {installs.notes[job]}")
    if words is True:
        return set()
    assert not os.path.exists(final_folder(yard, installs, job)), "half done, and to be seen"
    return words


def go_on(yard, installs, job):
    """What waits for room goes on at once, as it would by itself in half a minute; what has failed is asked for anew."""
    row = installs.get(job)
    if row["status"] == "error":
        again = {"source": row["install"]["source"]}
        job = installs.ask("install.import", again)["job"]["id"]
        installs.jobs.append(job)
        installs.notes[job] = installs.notes[row["id"]] + ", again"
    else:
        installs.ask("job.pause", {"id": job})
        installs.ask("job.start", {"id": job})
    row = installs.wait(job)
    assert row["status"] == "completed", (installs.notes[job], row)


# --- a full disk ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def small_disk(sabotage, nginx):  # noqa: F811
    yard = FaultYard(sabotage)
    print(f"SEED={SEED} build={yard.build}")
    os.makedirs(yard.models)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", yard.models], stderr=subprocess.DEVNULL).returncode:
        yard.stop()
        pytest.skip("no right to mount a small file system")
    try:
        yard.start(*ALL)
        yield yard, Installs(yard, nginx.root, nginx.url, size_rank=16)
    finally:
        for process in yard.processes:
            print(f"--- {process.actor} ---\n{yard.log(process.actor)}")
        subprocess.run(["umount", "-l", yard.models], check=True)
        yard.stop()


def leave_room(yard, free):
    """A ballast file, so that so many bytes are left."""
    state = os.statvfs(yard.models)
    rest = state.f_bavail * state.f_frsize - free
    path = os.path.join(yard.models, ".ballast")
    with open(path, "wb") as file:
        file.write(bytes(max(0, rest)))
    return path


@pytest.mark.parametrize("way", ["reserved", "written", "copied"])
def test_full_at_any_offset(small_disk, way):
    """reserved: the file system says so before the first byte; written: it cannot, and writing tells; copied: a local file."""
    yard, installs = small_disk
    choice = random.Random(f"{SEED} {way}")
    if way == "written":
        yard.retire("downloader")
        yard.with_sabotage("downloader", "reserve", errno.EOPNOTSUPP, last=0)
    size = os.path.getsize(installs.original)
    met = []
    for _ in range(-(-OFFSETS // 3)):
        free = choice.randrange(0, size + 64 * 1024)
        ballast = leave_room(yard, free)
        job = installs.begin(local=way == "copied", note=f"{free} bytes free")
        words = felt(yard, installs, job)
        assert words <= {"disk_full"}, (free, words, family(installs, job))
        os.unlink(ballast)
        if words:
            met.append(free)
            go_on(yard, installs, job)
        installs.ask("install.delete", {"key": installs.get(job)["key"]})
    print(f"{way}: a file of {size} bytes did not fit into {met}")
    assert met
    checker.check(yard, installs.jobs)


# --- calls that fail once ---------------------------------------------------------------------------------------------------------
# who, which call, how, on which path; the word of the error. None: it may not be felt at all.
FULL, BROKEN, STORE = {"disk_full"}, {"disk_failed"}, {"store_failed"}
BREAKS = [
    ("downloader", "sync", errno.ENOSPC, ".part", FULL),
    ("downloader", "sync", errno.EIO, ".part", BROKEN),
    ("downloader", "sync", errno.EIO, ".journal", BROKEN),
    ("downloader", "write", errno.ENOSPC, ".part", FULL),
    ("downloader", "write", errno.EDQUOT, ".part", FULL),
    ("downloader", "write", errno.EIO, ".part", BROKEN),
    ("downloader", "write", errno.ENOSPC, ".journal", FULL),
    ("downloader", "rename", errno.ENOSPC, ".safetensors", FULL),
    ("downloader", "rename", errno.EIO, ".safetensors", BROKEN),
    ("downloader", "create", errno.EROFS, ".part", BROKEN),
    ("downloader", "close", errno.ENOSPC, ".safetensors", None),
    ("installer", "mkdir", errno.EROFS, ".staging/", BROKEN),
    ("installer", "mkdir", errno.ENOSPC, ".staging/", FULL),
    ("installer", "read", errno.EIO, ".safetensors", BROKEN),
    ("installer", "create", errno.EROFS, ".modelyard.json", BROKEN),
    ("installer", "write", errno.ENOSPC, ".modelyard.json", FULL),
    ("installer", "write", errno.EIO, ".modelyard.json", BROKEN),
    ("installer", "sync", errno.ENOSPC, ".modelyard.json", FULL),
    ("installer", "sync", errno.EIO, ".modelyard.json", BROKEN),
    ("installer", "close", errno.ENOSPC, "..modelyard.json", FULL),
    ("installer", "rename", errno.EIO, ".modelyard.json", BROKEN),
    ("installer", "sync", errno.EIO, ".safetensors", BROKEN),
    ("installer", "rename", errno.ENOSPC, ".staging", FULL),
]


def name_of(row):
    return f"{row[0]}-{row[1]}-{errno.errorcode[row[2]]}-{row[3].strip('./')}"


@pytest.mark.parametrize("actor", ["downloader", "installer"])
def test_a_call_that_fails_once_has_a_name_and_costs_one_try(rig, actor):  # noqa: F811
    yard, installs = rig
    for row in (row for row in BREAKS if row[0] == actor):
        _, calls, number, path, words = row
        yard.retire(actor)
        log = os.path.join(yard.home, f"{name_of(row)}.log")
        assert yard.with_sabotage(actor, calls, number, path=path, log=log)
        job = installs.begin(note=name_of(row))
        seen = felt(yard, installs, job)
        assert os.path.getsize(log), f"{name_of(row)}: no such call was made"
        if words is None:
            assert installs.wait(job)["status"] == "completed"
        else:
            assert seen == words, (name_of(row), seen, family(installs, job))
            go_on(yard, installs, job)
    checker.check(yard, installs.jobs)


@pytest.mark.parametrize("calls, number, path", [
    ("sync", errno.EIO, "yard.db-wal"), ("sync", errno.ENOSPC, "yard.db-wal"), ("write", errno.ENOSPC, "yard.db-wal"),
    ("write", errno.EIO, "yard.db-wal"), ("read", errno.EIO, "yard.db")])
def test_a_commit_that_fails_is_not_acknowledged(rig, calls, number, path):  # noqa: F811
    """The ask that meets it fails by name and has had no effect; the next one is served, at the latest by the next recorder."""
    yard, installs = rig
    log = os.path.join(yard.home, "calls.log")
    yard.retire("installer")  # its leases would be the first to meet the fault
    yard.retire("downloader")
    yard.retire("recorder")
    started = yard.with_sabotage("recorder", calls, "none", path=path, log=log)
    assert started
    with open(log) as file:
        before = len(file.read().splitlines())
    yard.retire("recorder")
    refused = {}
    for first in range(before + 1, before + 4):
        if yard.with_sabotage("recorder", calls, number, first=first, path=path):
            source = installs.source()
            ask = {"kind": "download", "held": True, "download": {"source": source, "path": os.path.join(yard.home, "held", str(first))}}
            try:
                installs.jobs.append(installs.client.ask("job.submit", ask)["job"]["id"])
            except Failed as failure:
                assert failure.code in ("store_failed", "store_read_only"), failure
                refused[source] = str(failure)
            try:
                job = installs.ask("job.submit", ask)["job"]["id"]  # served again
            except Failed as failure:
                assert calls == "read" and failure.code == "store_read_only", failure  # the check at start could not read it all
                yard.retire("recorder")
                yard.start("recorder")
                job = installs.ask("job.submit", ask)["job"]["id"]
            installs.jobs.append(job)
            yard.retire("recorder")
        else:
            raise AssertionError(yard.log("recorder"))
    yard.start("recorder")
    there = [job["download"]["source"] for job in installs.ask("job.list", {"limit": 256, "kind": "download"})["jobs"]]
    for source, text in refused.items():
        assert there.count(source) == 1, (source, text, "the refused ask has left a row")
    print(f"of 3 {calls} {errno.errorcode[number]} of {path} met by asks: {list(refused.values())}")
    if calls != "read":
        assert refused
    for job in installs.jobs[1:]:
        installs.ask("job.cancel", {"id": job})
    yard.start("downloader", "installer")
    installs.begin(note="after")
    assert installs.wait(installs.jobs[-1])["status"] == "completed"
    checker.check(yard, installs.jobs)


# --- for good -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("actor", ["downloader", "installer"])
def test_a_disk_that_turned_read_only_is_told_and_costs_no_spin(rig, actor):  # noqa: F811
    yard, installs = rig
    yard.retire(actor)
    yard.with_sabotage(actor, "write+create+rename+mkdir+unlink+truncate", errno.EROFS, last=0, path="/.staging/")
    job = installs.begin(note=f"{actor} read only")
    assert felt(yard, installs, job) == BROKEN
    assert len(re.findall("(step.failed|download.ended.*failed)", yard.log(actor))) == 1, "it was tried again and again"
    yard.retire(actor)
    yard.start(actor)
    go_on(yard, installs, job)
    checker.check(yard, installs.jobs)


@pytest.mark.parametrize("action", ["short", "eintr"])
def test_short_and_interrupted_calls_change_no_byte(rig, action):  # noqa: F811
    """Every other call of every process that touches the disk: one byte, or EINTR."""
    yard, installs = rig
    survivors = ("installer", "downloader", "recorder")
    for actor in survivors:
        yard.retire(actor)
    for actor in reversed(survivors):
        assert yard.with_sabotage(actor, "write+read", action, last=0)
    for local in (False, True):
        job = installs.begin(local=local, note=action)
        row = installs.wait(job)
        assert row["status"] == "completed", row
        path = os.path.join(yard.models, row["config_out"]["path"])
        assert checker.sha256(path) == checker.sha256(installs.original)
    checker.check(yard, installs.jobs)


# --- what the kernel sees -------------------------------------------------------------------------------------------------------------
SYNC = re.compile(r"^(?:f(?:data)?sync)$")


@pytest.mark.skipif(not has_strace(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize("actor, call", [("downloader", "fdatasync"), ("downloader", "fsync"), ("installer", "fsync")])
def test_an_fsync_that_failed_is_never_asked_twice(rig, actor, call):  # noqa: F811
    """It fails once and would succeed the second time: what was written may be gone from the page cache, so the file is begun anew."""
    yard, installs = rig
    failed = []
    for when in range(1, 9):
        log = os.path.join(yard.home, f"{actor}{when}.strace")
        yard.retire(actor)
        yard.with_strace(actor, "-e", "trace=fsync,fdatasync", "-e", f"inject={call}:error=EIO:when={when}", log=log)
        pid = yard.named[actor].pid
        job = installs.begin(note=f"{call} {when}")
        words = felt(yard, installs, job)
        yard.retire(actor)
        yard.start(actor)
        calls = [(re.match(r"\d+<(.*?)>", rest).group(1), "(INJECTED)" in rest) for _, name, rest in traced(log, pid) if SYNC.match(name)]
        broken = [path for path, injected in calls if injected]
        if not broken:
            assert not words
            break
        assert words == BROKEN, (when, words, calls)
        for path in broken:
            at = calls.index((path, True))
            if path.endswith((".safetensors", ".json", ".part", ".journal", ".new")):
                assert path not in [later for later, _ in calls[at + 1:]], (path, calls)
                failed.append(os.path.basename(path))
        go_on(yard, installs, job)
    print(f"{actor} {call}: failed once each, never repeated: {failed}")
    assert failed
    checker.check(yard, installs.jobs)
