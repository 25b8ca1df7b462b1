# SPDX-License-Identifier: Apache-2.0
"""Ends that cross: kills, cancels and replaced files between two steps, and what must be left of them."""
import hashlib
import json
import os
import signal
import subprocess
import tempfile

import make_models
import pytest
from test_install import check_placed, finished, install, staging
from yard import Failed, wait_for

LOCAL = ("broker", "recorder", "prober")


def gone(yard, actor):
    """Waits until a fault point has killed it."""
    assert yard.named[actor].wait(60) != 0
    yard.processes.remove(yard.named[actor])


def models(yard):
    return [os.path.join(folder, name) for folder, _, names in os.walk(yard.models) if ".staging" not in folder for name in names]


def test_a_second_recorder_on_one_home_is_refused_and_touches_nothing(yard):
    yard.start("broker", "recorder")
    client = yard.client()
    client.ask("job.submit", {"kind": "download", "access_token": "hf_secret", "held": True,
                              "download": {"source": "http://127.0.0.1:9/x", "path": "/nowhere/x"}})
    secrets = os.listdir(os.path.join(yard.home, "secrets"))
    assert len(secrets) == 1
    # A token that is being written: no row names it yet, and a start would take it for a leftover.
    with open(os.path.join(yard.home, "secrets", "f" * 32), "w", encoding="ascii") as file:
        file.write("another")
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as run:
        second = subprocess.run([yard.program("modelyard-recorder")], env=yard.environment(MODELYARD_RUN=run), timeout=30,
                                capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert second.returncode == 2, second.stderr
    assert "taken" in second.stderr and f"process {yard.named['recorder'].pid} " in second.stderr and yard.home in second.stderr
    assert sorted(os.listdir(os.path.join(yard.home, "secrets"))) == sorted([*secrets, "f" * 32])
    assert len(client.ask("job.list", {})["jobs"]) == 1
    assert yard.kill("recorder", signal.SIGTERM) == 0
    yard.start("recorder")  # the lock went with the process


@pytest.mark.parametrize("name", ["lora.part2.safetensors", "my.journal.safetensors", "weights.part"])
def test_a_model_whose_name_looks_unfinished_is_installed_whole(yard, tmp_path, name):
    source = make_models.lora_sd1(str(tmp_path / name))
    yard.start(*LOCAL, "installer")
    job = install(yard.client(), source)
    assert job["status"] == "completed", job
    check_placed(yard, job, source)


# "Before it, cancel revokes and the installer removes what it placed" (ARCHITECTURE 6), with a kill in between.
def test_an_install_cancelled_between_folder_and_record_leaves_neither(make_yard, tmp_path):
    yard = make_yard(**{"jobs.lease_ms": "1000"})
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    yard.start(*LOCAL)
    yard.start("installer", faults="installer.after_place:1:kill")
    client = yard.client()
    job = client.ask("job.submit", {"kind": "install", "step": "resolve", "install": {"source": source, "local": True}})["job"]
    gone(yard, "installer")
    assert len(models(yard)) == 2, "placed, not recorded"
    assert client.ask("job.cancel", {"id": job["id"]})["status"] == "cancelled"
    yard.start("installer")
    wait_for(lambda: models(yard) == [], what="the folder's end")
    assert client.ask("record.search", {})["records"] == []
    client.ask("install.sync", {})
    assert client.ask("record.search", {})["records"] == [] and staging(yard) == []
    assert os.path.exists(source)


# The cancel comes while the installer works on the folder: whichever word crosses which, nothing stays.
def test_an_install_cancelled_while_it_is_placed_leaves_nothing(yard, tmp_path):
    source = str(tmp_path / "big.safetensors")
    make_models.lora_sd1_whole(source, 200)
    yard.start(*LOCAL, "installer")
    client = yard.client()
    job = client.ask("install.import", {"source": source})["job"]["id"]
    wait_for(lambda: "step=place" in yard.log("installer"), timeout=60, what="the last step")
    yard.named["installer"].send_signal(signal.SIGSTOP)
    try:
        try:
            client.ask("job.cancel", {"id": job})
        except Failed as failure:
            assert failure.code == "too_late"
    finally:
        yard.named["installer"].send_signal(signal.SIGCONT)
    status = client.ask("job.get", {"id": job})["status"]
    if status == "cancelled":
        wait_for(lambda: models(yard) == [] and staging(yard) == [], what="the clean-up")
        assert client.ask("record.search", {})["records"] == []
    else:
        assert len(client.ask("record.search", {})["records"]) == 1


# R2.2
def test_move_leaves_a_file_that_was_put_at_the_source_meanwhile(make_yard, tmp_path):
    yard = make_yard(**{"jobs.lease_ms": "1000"})
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    digest = hashlib.sha256(open(source, "rb").read()).hexdigest()
    yard.start(*LOCAL)
    yard.start("installer", faults="installer.before_place:1:kill")
    client = yard.client()
    job = client.ask("job.submit", {"kind": "install", "step": "resolve",
                                    "install": {"source": source, "local": True, "move": True}})["job"]["id"]
    gone(yard, "installer")
    (tmp_path / "new").write_bytes(b"somebody's other work")
    os.replace(tmp_path / "new", source)
    yard.start("installer")
    done = finished(client, job)
    assert done["status"] == "completed", done
    placed = os.path.join(yard.models, done["config_out"]["path"])
    assert hashlib.sha256(open(placed, "rb").read()).hexdigest() == digest
    wait_for(lambda: "move.source_stays" in yard.log("installer"), what="the look at the source")
    assert open(source, "rb").read() == b"somebody's other work"


# A move to another file system is a copy: the source goes when it is what was copied.
def test_move_over_file_systems_takes_the_source(make_yard, tmp_path):
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        source = make_models.lora_sd1(os.path.join(folder, "mine.safetensors"))
        yard = make_yard()
        yard.start(*LOCAL, "installer")
        client = yard.client()
        job = finished(client, client.ask("install.import", {"local": {"path": source, "move": True}})["job"]["id"])
        assert job["status"] == "completed", job
        wait_for(lambda: not os.path.exists(source), what="the move")


# R2.10
def test_delete_spares_a_folder_that_is_another_models(yard, tmp_path):
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    yard.start(*LOCAL, "installer")
    client = yard.client()
    job = install(client, source)
    config = {**job["config_out"], "key": "0" * 32, "name": "guest"}
    client.ask("record.add", {"config": config})
    assert client.ask("install.delete", {"key": "0" * 32})["files_removed"] is False
    check_placed(yard, job, source)
    assert client.ask("install.delete", {"key": job["key"]})["files_removed"] is True
    assert models(yard) == []


def test_a_dead_letter_keeps_its_bytes_and_can_be_started_again(make_yard, tmp_path):
    yard = make_yard(**{"jobs.lease_ms": "1000", "jobs.attempts_max": "1"})
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    yard.start(*LOCAL)
    yard.start("installer", faults="installer.before_place:1:kill")
    client = yard.client()
    job = client.ask("job.submit", {"kind": "install", "step": "resolve", "install": {"source": source, "local": True}})["job"]["id"]
    gone(yard, "installer")
    wait_for(lambda: client.ask("job.get", {"id": job})["dead"], what="the dead letter")
    os.unlink(source)
    yard.start("installer")
    assert client.ask("install.sync", {})["staging_removed"] == 0 and staging(yard) == [str(job)]
    client.ask("job.start", {"id": job})
    done = finished(client, job)
    assert done["status"] == "completed", done
    manifest = json.load(open(os.path.join(yard.models, os.path.dirname(done["config_out"]["path"]), ".modelyard.json")))
    assert manifest["job"] == job


# A local copy has no downloading events, but its job tells how far it is.
def test_the_job_of_a_local_copy_tells_its_bytes(yard, tmp_path):
    source = str(tmp_path / "big.safetensors")
    make_models.lora_sd1_whole(source, 100)
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    job = install(client, source)
    row = client.ask("job.get", {"id": job["id"]})
    assert row["status"] == "completed" and row["total_bytes"] == os.path.getsize(source)
    assert row["bytes"] == row["total_bytes"], row


# A delete that was killed between its two halves: the record says which way it goes.
def test_a_delete_that_was_cut_is_undone_or_finished(yard, tmp_path):
    kept = make_models.lora_sd1(str(tmp_path / "kept.v1..2.safetensors"))
    dropped = make_models.lora_sd1(str(tmp_path / "dropped.safetensors"), rank=4)
    yard.start(*LOCAL, "installer")
    client = yard.client()
    jobs = [install(client, source) for source in (kept, dropped)]
    yard.kill("installer", signal.SIGTERM)
    for job in jobs:
        folder = os.path.dirname(os.path.join(yard.models, job["config_out"]["path"]))
        os.rename(folder, os.path.join(yard.models, ".staging", "delete-" + job["key"]))
    client.ask("record.delete", {"key": jobs[1]["key"]})
    yard.start("installer")
    wait_for(lambda: staging(yard) == [], what="the sync")
    check_placed(yard, jobs[0], kept)
    assert len(models(yard)) == 2
    assert client.ask("install.delete", {"key": jobs[0]["key"]})["files_removed"] is True
    assert models(yard) == []
