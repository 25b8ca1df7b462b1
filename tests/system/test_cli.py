"""The command line on real processes: exit codes, output forms, and a yard that `up` keeps alive."""
import json
import os
import pty
import re
import signal
import struct
import subprocess
import threading

import pytest

from make_models import array, numbers, write
from yard import Failed, wait_for

ACTORS = {"recorder", "prober", "installer", "loader", "downloader"}
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def config(number, **more):
    return {"key": f"{number:032x}", "name": f"model {number}", "type": "lora", "base": "sdxl", "format": "lycoris",
            "path": f"sdxl/lora/{number}", "hash": "imohash:00", "total_bytes": 1536, **more}


def lora(path, count=4, side=64):
    tensors = []
    for at in range(count):
        base = f"lora_unet_down_blocks_1_attentions_0_transformer_blocks_{at}_attn2_to_k"
        tensors.append(array(base + ".alpha", numbers(at, ())))
        tensors.append(array(base + ".lora_down.weight", numbers(at, (side, 2048))))
        tensors.append(array(base + ".lora_up.weight", numbers(at, (640, side))))
    write(path, tensors)
    return str(path)


@pytest.fixture
def up(yard):
    """A yard under `up --detach`; taken down after, and its logs looked at."""
    done = yard.cli("up", "--detach")
    assert done.returncode == 0, done.stderr
    yield yard
    assert yard.cli("down").returncode in (0, 3)
    folder = os.path.join(yard.home, "log")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), errors="replace") as file:
            text = file.read()
        assert "AddressSanitizer" not in text and "runtime error:" not in text, text


def lock_pid(yard):
    with open(os.path.join(yard.run, "up.lock")) as file:
        return int(file.read())


def pids(client):
    return {row["actor"]: row["pid"] for row in client.ask("yard.actors")["actors"]}


# --- up and down ---------------------------------------------------------------------------------------------------------------
def test_up_returns_ready_and_down_leaves_nothing(up):
    rows = up.cli_json("actors")
    assert ACTORS <= {row["actor"] for row in rows}
    running = [row["pid"] for row in rows if row["actor"] in ACTORS]
    supervisor = lock_pid(up)
    down = up.cli("down")
    assert (down.returncode, down.stdout) == (0, "")
    for pid in (*running, supervisor):
        assert is_gone(pid), pid
    again = up.cli("down")
    assert again.returncode == 3 and "no yard is up" in again.stderr


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_second_up_is_refused(up):
    for words in (["up"], ["up", "--detach"]):
        done = up.cli(*words)
        assert done.returncode == 11 and str(lock_pid(up)) in done.stderr and "modelyard down" in done.stderr
    assert up.cli("status").returncode == 0


def test_a_killed_actor_is_started_again_while_the_others_answer(up):
    client = up.client()
    before = pids(client)
    for actor in sorted(ACTORS):
        os.kill(before[actor], signal.SIGKILL)
        client.ask("yard.ping")
        wait_for(lambda: pids(client).get(actor, before[actor]) != before[actor], what=f"{actor}'s return")
    after = pids(client)
    assert all(after[actor] != before[actor] for actor in ACTORS)
    assert up.cli("ls").returncode == 0


def test_a_killed_broker_is_started_again_and_all_come_back(up):
    client = up.client()
    before = pids(client)
    epoch = client.ask("yard.ping")["epoch"]
    with open(os.path.join(up.home, "log", "up.log")) as file:
        broker = int(re.search(r"actor=broker pid=(\d+)", file.read()).group(1))
    os.kill(broker, signal.SIGKILL)

    def back():
        fresh = up.client()
        try:
            return fresh.ask("yard.ping", timeout=1)["epoch"] != epoch and ACTORS <= set(pids(fresh))
        except (TimeoutError, Failed):
            return False
    wait_for(back, what="a new epoch with all actors")
    after = pids(up.client())
    assert all(after[actor] == before[actor] for actor in ACTORS), "only the broker was started anew"


def test_a_stopped_actor_misses_its_watchdog_and_is_replaced(up):
    client = up.client()
    before = pids(client)["prober"]
    os.kill(before, signal.SIGSTOP)
    wait_for(lambda: pids(client).get("prober", before) != before, timeout=40, what="another prober")
    with open(os.path.join(up.home, "log", "up.log")) as file:
        log = file.read()
    assert f"actor.silent actor=prober pid={before}" in log


def test_nothing_outlives_a_killed_up(yard):
    assert yard.cli("up", "--detach").returncode == 0
    running = [row["pid"] for row in yard.cli_json("actors") if row["actor"] in ACTORS]
    os.kill(lock_pid(yard), signal.SIGKILL)
    wait_for(lambda: all(is_gone(pid) for pid in running), what="the actors' end")
    assert yard.cli("up", "--detach").returncode == 0, "a dead one's lock is no obstacle"
    assert yard.cli("down").returncode == 0


def test_a_yard_that_cannot_start_says_why_and_leaves_nothing(yard):
    with open(os.path.join(yard.home, "yard.db"), "w") as file:
        file.write("this is no database\n" * 100)
    done = yard.cli("up", "--detach")
    assert done.returncode == 2 and "recorder" in done.stderr and "recorder.log" in done.stderr
    assert yard.cli("down").returncode == 3
    assert yard.cli("version").returncode == 69


def test_in_the_foreground_ctrl_c_stops_it(yard):
    process = subprocess.Popen([yard.program("modelyard"), "up", "--only", "broker,recorder"], env=yard.environment(),
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in process.stderr:
        if "up.ready" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == 0 and "actor.ended" not in rest
    assert yard.cli("down").returncode == 3


def test_settings_reach_the_actors(yard):
    yard.settings = {}
    assert yard.cli("up", "-d", "--only", "broker", "--set", "jobs.attempts_max=7").returncode == 0
    assert yard.cli_json("config")[0]["jobs"]["attempts_max"] == 7
    assert "jobs.attempts_max" in yard.cli("config").stdout
    assert yard.cli("down").returncode == 0
    done = yard.cli("up", "-d", "--set", "jobs.attempts_may=7")
    assert done.returncode == 2 and "attempts_max" in done.stderr
    assert yard.cli("up", "--only", "brokr").returncode == 2


# --- exit codes ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("code, words", [
    (0, ["--help"]), (0, ["--version"]), (0, ["ls", "--help"]), (2, []), (2, ["nope"]), (2, ["show"]), (2, ["ls", "--what"]),
    (2, ["cancel", "x"]), (2, ["cancel", "-1"]), (2, ["ls", "--type", "what"]), (2, ["events", "--since", "x"]),
    (2, ["install"]), (2, ["completion", "zsh"]), (0, ["completion", "bash"]),
    (69, ["ls"]), (69, ["version"]), (69, ["status"]), (69, ["jobs", "--json"]), (69, ["events"]), (3, ["down"]),
    (3, ["install", "./there-is-no-such-file"])])
def test_exit_codes_without_a_yard(yard, code, words):
    done = yard.cli(*words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert code == 0 or done.stderr
    if code == 69:
        assert "modelyard up" in done.stderr


@pytest.mark.parametrize("code, words", [
    (3, ["show", "f" * 32]), (3, ["show", "nobody"]), (3, ["rm", "abcdef"]), (3, ["cancel", "99"]), (2, ["call", "no.method"]),
    (2, ["call", "record.get", "{}"]), (2, ["call", "record.get", "{"]), (3, ["call", "record.get", '{"key":"%s"}' % ("0" * 32)]),
    (69, ["install", "http://127.0.0.1/x"]), (3, ["unload", "nothing"])])
def test_exit_codes_with_a_yard(store, code, words):
    done = store.cli(*words)
    assert done.returncode == code, (done.stdout, done.stderr)
    failure = store.cli(*words, "--json")
    assert failure.returncode == code
    assert set(json.loads(failure.stderr)) >= {"code", "text"}


# --- lists and records ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def store(yard):
    yard.start("broker", "recorder")
    return yard


def test_ls_and_show_in_both_forms(store):  # R8.3
    client = store.client()
    for number in range(300):  # more than a page
        client.ask("record.add", {"config": config(number, base="sd-1" if number % 3 else "sdxl")})
    rows = store.cli_json("ls")
    assert len(rows) == 300 and rows[0]["config"]["total_bytes"] == 1536
    assert len(store.cli_json("ls", "--base", "sdxl")) == 100
    assert [row["config"]["key"] for row in store.cli_json("ls", "--name", "model 7")] == [f"{7:032x}"]
    assert store.cli("ls", "--keys").stdout.split() == [row["config"]["key"] for row in rows]
    table = store.cli("ls").stdout.splitlines()
    assert table[0].split() == ["KEY", "NAME", "TYPE", "BASE", "FORMAT", "SIZE"] and len(table) == 301
    assert "1.50 KiB" in table[1]
    assert store.cli_json("show", "model 7")[0]["config"]["key"] == f"{7:032x}"
    assert re.search(r"^total_bytes +1536 \(1.50 KiB\)$", store.cli("show", f"{7:032x}").stdout, re.M)
    several = store.cli("show", "0000")
    assert several.returncode == 2 and "more digits" in several.stderr


def test_a_key_is_found_by_its_first_digits(store):
    store.client().ask("record.add", {"config": config(0, key="abcdef" + "0" * 26)})
    assert store.cli_json("show", "abcd")[0]["config"]["key"] == "abcdef" + "0" * 26
    assert store.cli("show", "abc").returncode == 3


def test_hostile_names_reach_no_terminal(store):  # S25
    name = "a\x1b[2J\x07b\u009b31mc\u202egnp.exe\u2066\u2028d\nforged  row"
    store.client().ask("record.add", {"config": config(1, name=name, description="\x1b]0;title\x07")})
    for words in (["ls"], ["show", f"{1:032x}"], ["events"], ["jobs"], ["status"]):
        done = store.cli(*words)
        assert done.returncode == 0, done.stderr
        assert not CONTROL.search(done.stdout + done.stderr), (words, done.stdout)
    assert len(store.cli("ls").stdout.splitlines()) == 2
    failed = store.cli("show", name)
    assert failed.returncode == 0
    failed = store.cli("show", "\x1b[31mnobody")
    assert failed.returncode == 3 and not CONTROL.search(failed.stderr)
    assert store.cli_json("ls")[0]["config"]["name"] == name, "JSON is exact"


def test_jobs_and_cancel(store):
    client = store.client()
    path = os.path.join(store.models, ".staging", "9", "f")
    job = client.ask("job.submit", {"kind": "download", "download": {"source": "http://127.0.0.1:1/f", "path": path}})["job"]
    assert [row["id"] for row in store.cli_json("jobs", "--live")] == [job["id"]]
    assert "http://127.0.0.1:1/f" in store.cli("jobs").stdout
    assert store.cli_json("cancel", str(job["id"]))[0]["status"] == "cancelled"
    assert store.cli_json("jobs", "--live") == []
    assert store.cli("cancel", str(job["id"])).returncode == 11
    assert store.cli_json("jobs", "--kind", "install") == []


def test_events_from_the_store_then_live(store):  # R8.1
    client = store.client()
    for number in range(3):
        client.ask("record.add", {"config": config(number)})
    rows = store.cli_json("events")
    assert [row["event"] for row in rows] == ["model_record_added"] * 3
    assert [row["body"]["config"]["name"] for row in rows] == ["model 0", "model 1", "model 2"]
    since = rows[1]["change"]
    assert [row["change"] for row in store.cli_json("events", "--since", str(since))] == [rows[2]["change"]]
    assert store.cli_json("events", "download_") == []
    process = subprocess.Popen([store.program("modelyard"), "events", "--since", "0", "-f", "--json", "model_record_"],
                               env=store.environment(), stdout=subprocess.PIPE, text=True)
    try:
        told = [json.loads(process.stdout.readline()) for _ in range(3)]
        client.ask("record.add", {"config": config(3)})
        told.append(json.loads(process.stdout.readline()))
        store.kill("broker")  # a new epoch: what happens meanwhile comes from the store
        store.start("broker")
        store.ready("recorder")
        store.client().ask("record.add", {"config": config(4)})
        told.append(json.loads(process.stdout.readline()))
        assert [row["subject"] for row in told] == [f"{number:032x}" for number in range(5)]
    finally:
        process.terminate()
        process.wait(10)


def test_call_version_and_status(store):  # R8.4
    assert store.cli("call", "yard.ping").stdout.startswith('{"time":')
    added = store.cli("call", "record.add", json.dumps({"config": config(5)}))
    assert added.returncode == 0 and json.loads(added.stdout)["config"]["key"] == f"{5:032x}"
    version = store.cli_json("version")[0]
    assert version["home"] == store.home
    status = store.cli_json("status")[0]
    assert (status["models"], status["jobs_live"], status["loads"]) == (1, 0, 0) and status["yard"] == version


def test_a_reader_that_leaves_ends_it_quietly(store):
    client = store.client()
    for number in range(300):
        client.ask("record.add", {"config": config(number, description="d" * 1000)})
    process = subprocess.Popen(f"{store.program('modelyard')} ls --json | head -1", shell=True, env=store.environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=20)
    assert len(out.splitlines()) == 1 and err == ""


def test_completion_is_bash(yard):
    script = yard.cli("completion", "bash").stdout
    done = subprocess.run(["bash", "-c", script + '\nCOMP_WORDS=(modelyard in) COMP_CWORD=1\n_modelyard\necho "${COMPREPLY[@]}"'],
                          capture_output=True, text=True)
    assert done.stdout.split() == ["install"], done.stderr


# --- install, load -------------------------------------------------------------------------------------------------------------
def test_a_model_goes_the_whole_way(up, nginx, tmp_path):  # R2.1, R6.1
    lora(nginx.root / "one.safetensors")
    done = up.cli("install", nginx.url + "/one.safetensors")
    assert done.returncode == 0, done.stderr
    key = done.stdout.split()[0]
    assert "lora, sdxl" in done.stdout and "started" in done.stderr and "\x1b" not in done.stderr
    loaded = up.cli_json("load", key[:8])[0]
    assert loaded["tensors"] == 12 and os.listdir(loaded["view"]) == ["one.safetensors"]
    assert up.cli_json("status")[0]["loads"] == 1
    assert up.cli_json("unload", key[:8])[0]["lease"] == loaded["lease"]
    wait_for(lambda: up.cli_json("status")[0]["loads"] == 0, what="the unload")
    path = os.path.join(up.models, up.cli_json("show", key)[0]["config"]["path"])
    assert os.path.exists(path)
    assert up.cli_json("rm", key[:8])[0]["files_removed"] is True
    assert not os.path.exists(path) and up.cli_json("ls") == []


def test_a_relative_path_and_overrides(up, tmp_path):  # R2.2
    lora(tmp_path / "two.safetensors")
    done = subprocess.run([up.program("modelyard"), "install", "two.safetensors", "--name", "My LoRA", "--json"], cwd=tmp_path,
                          env=up.environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["status"] == "completed" and job["config_out"]["name"] == "My LoRA" and job["source"] == str(tmp_path / "two.safetensors")
    assert (tmp_path / "two.safetensors").exists()


def test_a_failed_install_has_its_failures_exit_code(up, nginx, tmp_path):
    (nginx.root / "bad.safetensors").write_bytes(struct.pack("<Q", 4096) + b"{}")
    for source, code in ((nginx.url + "/none.safetensors", 3), (nginx.url + "/forbidden/x.safetensors", 7),
                         (nginx.url + "/bad.safetensors", 4)):
        done = up.cli("install", source)
        assert done.returncode == code, (source, done.stderr)


def test_ctrl_c_detaches_and_the_install_goes_on(up, nginx):
    lora(nginx.root / "big.safetensors", count=20, side=128)  # about 14 MB, at 4 MB/s
    source = nginx.url + "/slow/big.safetensors"
    process = subprocess.Popen([up.program("modelyard"), "install", source], env=up.environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("downloading"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 13 and out == "" and "goes on" in err and "modelyard cancel" in err
    again = up.cli("install", source)  # joins the live one
    assert again.returncode == 0 and "under way already" in again.stderr
    assert len(up.cli_json("ls")) == 1


def test_an_install_is_watched_through_the_death_of_its_actors(up, nginx):
    lora(nginx.root / "big.safetensors", count=20, side=128)
    process = subprocess.Popen([up.program("modelyard"), "install", nginx.url + "/slow/big.safetensors"], env=up.environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("downloading"):
            break
    running = pids(up.client())
    for actor in ("installer", "downloader", "recorder"):
        os.kill(running[actor], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "lora, sdxl" in out, err


def test_on_a_terminal_there_is_a_bar(up, nginx):
    lora(nginx.root / "big.safetensors", count=10, side=128)
    master, slave = pty.openpty()
    seen = bytearray()

    def read():
        try:
            while piece := os.read(master, 4096):
                seen.extend(piece)
        except OSError:
            pass
    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run([up.program("modelyard"), "install", nginx.url + "/slow/big.safetensors"], env=up.environment(),
                          stdin=slave, stdout=slave, stderr=slave, timeout=60)
    os.close(slave)
    reader.join(10)
    os.close(master)
    text = seen.decode()
    assert done.returncode == 0, text
    assert re.search(r"\rdownloading  .*\d+ %  [\d.]+ [KM]iB of [\d.]+ MiB  .*/s", text), text
