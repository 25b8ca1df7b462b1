"""What must be true of a yard after anything was done to it: the invariants that every fault test ends with.

Two halves, because a database is read when nobody writes it: look_at_living () asks a running yard and lets it sync, then
look_at_rest () opens its disk after the last process has ended. Both give sentences, one for each thing that is wrong.

    I1  an acknowledged job has ended or goes on; none has vanished
    I2  each completed install has one record and one folder, whose manifest proves the sha256 of every file
    I3  no folder has a final name without a manifest and a row; no staging without a live or undecided job
    I4  the store is whole: integrity_check, foreign keys, the indexes of the bases
    I5  nothing is left over: part files, journals, secrets, leases, views
    I6  an effect happens once: one model_install_completed per completed install, no record that no install made
    I7  surviving processes hold no more descriptors than before
    I8  changes are dense, the last one is the last told, and each ended job's end is among them
"""
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile

from yard import Failed, wait_for

ENDED = {"completed", "error", "cancelled"}
LEFTOVERS = (".part", ".part.", ".journal", ".copy", ".new")
MANIFEST = ".modelyard.json"
READY, DELAYED = 1, 3  # recorder_queue_t: a row in between is leased
SETTLE_S = 20


# --- a running yard -------------------------------------------------------------------------------------------------------
def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Baseline:
    """How many descriptors each process held, at a moment when nothing was under way."""

    def __init__(self, pids):
        self.before = {pid: descriptors(pid) for pid in pids}

    def wrong(self, surviving, patience_s=SETTLE_S):
        """A closed connection takes a moment to be noticed: looks until the numbers are back."""
        found = []
        for pid in surviving:
            try:
                wait_for(lambda pid=pid: descriptors(pid) <= self.before[pid], timeout=patience_s)
            except AssertionError:
                listing = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True).stdout
                found.append(f"I7: process {pid} holds {descriptors(pid)} descriptors, {self.before[pid]} before:\n{listing}")
        return found


def look_at_living(yard, client):
    """When all jobs should have ended: nothing is leased, nothing lies about after a sync."""
    found = []
    live = client.ask("job.list", {"live": True, "limit": 256})["jobs"]
    found += [f"I5: job {job['id']} is live: {job}" for job in live]
    wait_for(lambda: synced(client), what="a sync")
    loads = client.ask("load.list", {})["loads"]
    found += [f"I5: the loader still has {row}" for row in loads]
    views = os.path.join(yard.run, "views")
    if os.path.isdir(views):
        found += [f"I5: the view {name} is left" for name in os.listdir(views)]
    return found


def synced(client):
    """One whole install.sync; busy while the installer's own, at its start, runs."""
    try:
        client.ask("install.sync", {}, timeout=60)
        return True
    except Failed as failure:
        assert failure.code in ("busy", "not_served", "gone"), failure
        return False


# --- a yard at rest -------------------------------------------------------------------------------------------------------
class Store:
    """yard.db as it lies there, with its log; a copy is opened, so that looking changes nothing."""

    def __init__(self, home):
        self.folder = tempfile.mkdtemp(prefix="look", dir="/tmp")
        for name in ("yard.db", "yard.db-wal"):
            if os.path.exists(os.path.join(home, name)):
                shutil.copy(os.path.join(home, name), self.folder)
        self.database = sqlite3.connect(os.path.join(self.folder, "yard.db"))
        self.database.row_factory = sqlite3.Row

    def rows(self, text, *values):
        return self.database.execute(text, values).fetchall()

    def close(self):
        self.database.close()
        shutil.rmtree(self.folder)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def store_is_whole(store):
    try:
        found = [f"I4: {row[0]}" for row in store.rows("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"I4: foreign key {tuple(row)}" for row in store.rows("PRAGMA foreign_key_check")]
        return found + [f"I4: {row['key']} is not listed under its base" for row in store.rows(
            "SELECT key FROM yard_models m WHERE NOT EXISTS (SELECT 1 FROM yard_model_bases b WHERE b.key = m.key AND b.base = m.base)")]
    except sqlite3.DatabaseError as error:
        return [f"I4: {error}"]


def jobs_are_there(store, acknowledged):
    """I1; what goes on is in the queue, leased, held, or waits for its children."""
    found = []
    rows = {row["id"]: row for row in store.rows("SELECT * FROM yard_jobs")}
    found += [f"I1: job {job} was acknowledged and has vanished" for job in acknowledged if job not in rows]
    for job, row in rows.items():
        ended = row["status"] in ENDED
        if ended != (row["ended"] > 0):
            found.append(f"I1: job {job} is {row['status']} with ended = {row['ended']}")
        elif ended and row["queue"]:
            found.append(f"I5: job {job} is {row['status']} and in the queue ({row['queue']})")
        elif not ended and not row["queue"] and not row["held"] and not row["open_children"]:
            found.append(f"I1: job {job} is {row['status']}, and nothing will ever move it")
        if not ended and READY < row["queue"] < DELAYED:
            found.append(f"I5: job {job} is leased by {row['member']}, who has ended")
        children = [child for child in rows.values() if child["parent"] == job and child["status"] not in ENDED]
        if len(children) != row["open_children"] and not ended:
            found.append(f"I1: job {job} waits for {row['open_children']} children, {len(children)} are open")
        if ended and children:
            found.append(f"I1: job {job} has ended before its child {children[0]['id']}")
    return found


def records_are_those_of_installs(store):
    """I2, I6: one record per completed install, and no other."""
    done = {row["key"]: row["id"] for row in store.rows("SELECT id, key FROM yard_jobs WHERE kind = 'install' AND status = 'completed'")}
    deleted = {row["subject"] for row in store.rows("SELECT subject FROM yard_outbox WHERE name = 'model_record_deleted'")}
    keys = {row["key"] for row in store.rows("SELECT key FROM yard_models")}
    found = [f"I2: install {job} is completed, its record {key} is not there" for key, job in done.items() if key not in keys | deleted]
    found += [f"I6: no completed install made the record {key}" for key in keys - set(done)]
    found += [f"I6: two records have the path {row['path']}" for row in store.rows(
        "SELECT path FROM yard_models GROUP BY path HAVING count (*) > 1")]
    return found


def folder_is_proven(models, path, key):
    """I2 for one record."""
    folder = os.path.join(models, os.path.dirname(path))
    try:
        with open(os.path.join(folder, MANIFEST)) as file:
            manifest = json.load(file)
        rows = {row["path"]: row for row in manifest["files"]}
        found = [] if manifest["config"]["key"] == key else [f"I2: the manifest of {folder} is of {manifest['config']['key']}, not {key}"]
        if os.path.basename(path) not in rows:
            found.append(f"I2: the manifest of {folder} does not know {path}")
        for name, row in rows.items():
            at = os.path.join(folder, name)
            if os.path.getsize(at) != row["bytes"] or sha256(at) != row["sha256"]:
                found.append(f"I2: {at} is not what its manifest says")
            if os.stat(at).st_mode & 0o777 != 0o444:
                found.append(f"I2: {at} can be written")
        found += [f"I5: {folder}/{name} is in no manifest" for name in set(os.listdir(folder)) - set(rows) - {MANIFEST}]
        return found
    except (OSError, ValueError, KeyError) as error:
        return [f"I2: record {key}: {error}"]


def folders_are_those_of_records(models, paths):
    """I3: <base>/<type>/<name> has a row; nothing else is in the models directory."""
    found = []
    for base in (name for name in os.listdir(models) if name != ".staging"):
        for kind in os.listdir(os.path.join(models, base)):
            for name in os.listdir(os.path.join(models, base, kind)):
                folder = os.path.join(base, kind, name)
                if folder not in paths:
                    found.append(f"I3: {folder} has its final name and no record: {os.listdir(os.path.join(models, folder))}")
    return found


def staging_has_owners(store, models):
    """I3, I5: after a sync a staging directory belongs to a job that goes on, or that waits for a person's word."""
    owners = {str(row["id"]): row for row in store.rows(
        "SELECT id, ended FROM yard_jobs WHERE kind = 'install' AND (ended = 0 OR error_type = 'ambiguous')")}
    staging = os.path.join(models, ".staging")
    found = []
    for name in os.listdir(staging) if os.path.isdir(staging) else []:
        inside = os.listdir(os.path.join(staging, name))
        if name not in owners:
            found.append(f"I3: .staging/{name} has no live or undecided job: {inside}")
        elif owners[name]["ended"]:
            found += [f"I5: .staging/{name}/{left} is left of an undecided install" for left in inside
                      if left.startswith(".") or any(word in left for word in LEFTOVERS)]
    return found


def nothing_is_left(store, home):
    wanted = {row["secret"] for row in store.rows("SELECT secret FROM yard_jobs WHERE ended = 0")}
    secrets = os.path.join(home, "secrets")
    found = [f"I5: secrets/{name} belongs to no live job" for name in (os.listdir(secrets) if os.path.isdir(secrets) else [])
             if name not in wanted]
    for folder, _, names in os.walk(home):
        if "/.staging" not in folder:
            found += [f"I5: {folder}/{name} is left" for name in names if name.endswith(LEFTOVERS)]
    return found


def changes_are_dense(store):
    """I6, I8: every change once, in order, all told, and the end of each job among them."""
    changes = [row["change"] for row in store.rows("SELECT change FROM yard_outbox ORDER BY change")]
    counters = {row["key"]: row["value"] for row in store.rows("SELECT key, value FROM yard_meta")}
    last = int(counters.get("last_change", 0))
    found = []
    if changes and changes != list(range(changes[0], last + 1)):
        missing = sorted(set(range(changes[0], last + 1)) - set(changes))
        found.append(f"I8: changes {missing[:10]} are missing of {changes[0]} to {last}, {max(changes)} is the last row")
    if int(counters.get("published", 0)) != last:
        found.append(f"I8: changes up to {counters.get('published', 0)} of {last} were told")
    told = {}
    for row in store.rows("SELECT name, subject FROM yard_outbox"):
        told.setdefault((row["name"], row["subject"]), 0)
        told[row["name"], row["subject"]] += 1
    for row in store.rows("SELECT id, kind, status FROM yard_jobs WHERE kind IN ('install', 'download')"):
        word = "model_install_" if row["kind"] == "install" else "download_"
        for end in ("completed", "cancelled"):
            times = told.get((word + end, str(row["id"])), 0)
            if times != (row["status"] == end) and (changes and changes[0] == 1):
                found.append(f"I6: {word}{end} of job {row['id']}, which is {row['status']}, was told {times} times")
    return found


def look_at_rest(home, models, acknowledged=()):
    """The disk of a yard whose processes have all ended."""
    store = Store(home)
    try:
        found = store_is_whole(store)
        if found:
            return found
        found += jobs_are_there(store, acknowledged) + records_are_those_of_installs(store) + changes_are_dense(store)
        records = store.rows("SELECT key, path FROM yard_models")
        for row in records:
            found += folder_is_proven(models, row["path"], row["key"])
        found += folders_are_those_of_records(models, {os.path.dirname(row["path"]) for row in records})
        return found + staging_has_owners(store, models) + nothing_is_left(store, home)
    finally:
        store.close()


# --- both, for a yard of the tests -----------------------------------------------------------------------------------------
def halt(yard):
    """SIGTERM in reverse order, as yard.stop does, but the home stays."""
    for process in reversed(yard.processes):
        if process.poll() is None:
            process.terminate()
            code = process.wait(30)
            assert code == 0, f"{process.actor} ended with {code}:\n{yard.log(process.actor)}"


def check(yard, acknowledged, baseline=None, stop=halt):
    """The whole of it. stop () ends all processes in good order."""
    client = yard.client()
    found = look_at_living(yard, client)
    client.close()
    if baseline:
        found += baseline.wrong([pid for pid in baseline.before if os.path.exists(f"/proc/{pid}")])
    stop(yard)
    found += look_at_rest(yard.home, yard.models, acknowledged)
    assert not found, "\n".join(found)
