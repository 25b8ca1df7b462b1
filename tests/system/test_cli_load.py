"""The loaders' commands on real processes: load, pin, unload, ps, devices, top."""
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import fcntl
import pytest

import make_models
from loader_fixture import PlayedLoader, device, row, simulated_gpus
from test_load import add, key_of, loaded, place  # noqa: F401
from yard import wait_for

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@pytest.fixture
def played(yard):
    """A yard whose one loader is played by the test; gives (yard, play (answers, place))."""
    made = []
    yard.start("broker", "recorder")
    add(yard, place(yard, "one.safetensors"))

    def play(answers, at="loader/test/cuda:7"):
        made.append(PlayedLoader(yard.run, at, answers))
        return made[-1]
    yield yard, play
    for one in made:
        one.close()


# --- load, pin -----------------------------------------------------------------------------------------------------------------
def test_load_says_what_it_got_and_where_the_time_went(loaded):  # R6.1
    yard, key, path = loaded
    done = yard.cli("load", "one")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert set(lines) == {"lease", "model", "device", "form", "size", "files", "took"}
    assert (lines["model"], lines["device"], lines["form"]) == ("one", "host", "mapped")
    assert re.fullmatch(r"[\d.]+ KiB, 60 tensors in 1 region", lines["size"])
    assert os.listdir(lines["files"]) == ["one.safetensors"]
    assert re.match(r"[\d.]+ [µm]?s: record [\d.]+ [µm]?s, ", lines["took"])
    assert f"modelyard unload {key[:8]}" in done.stderr
    again = yard.cli("load", "one")
    assert "was loaded" in again.stderr


def test_a_resident_load_is_memory_of_the_yards(loaded):  # R6.10
    yard, _, path = loaded
    answer = yard.cli_json("load", "one", "--form", "resident")[0]
    assert answer["form"] == "resident" and sum(region["bytes"] for region in answer["regions"]) == os.path.getsize(path)
    assert yard.cli_json("devices")[0]["held_bytes"] >= os.path.getsize(path)


def test_pin_keeps_it_resident_and_prints_the_lease(loaded):
    yard, _, _ = loaded
    done = yard.cli("pin", "one")
    assert done.returncode == 0 and re.fullmatch(r"[0-9a-f]{32}\n", done.stdout), (done.stdout, done.stderr)
    rows = yard.cli_json("ps")
    assert [(row["lease"], row["form"], row["owner"]) for row in rows] == [(done.stdout.strip(), "resident", "yard")]


def test_a_load_for_a_time_ends_by_itself(loaded):
    yard, _, _ = loaded
    assert yard.cli("load", "one", "--ttl", "1s").returncode == 0
    wait_for(lambda: [row for row in yard.cli_json("ps") if row["state"] == "leased"] == [], what="the end of its time")


def test_an_estimate_loads_nothing(loaded):
    yard, _, _ = loaded
    answer = yard.cli_json("load", "one", "-n")[0]
    assert answer["fit"] == "now" and answer["tensors"] == 60
    plain = yard.cli("load", "one", "--estimate", "--form", "resident").stdout
    assert plain.startswith("fit      now: ") and "of the budget" in plain
    assert yard.cli_json("ps") == []


def test_a_prefetched_model_is_idle_until_it_is_evicted(loaded):
    yard, key, _ = loaded
    done = yard.cli("load", "one", "--prefetch", "--form", "resident")
    assert done.returncode == 0 and done.stdout.startswith("read "), done.stderr
    assert [(row["state"], row["lease"]) for row in yard.cli_json("ps")] == [("idle", "")]
    refused = yard.cli("unload", "one")
    assert refused.returncode == 3 and "unload --idle" in refused.stderr
    assert "evicted 1 idle model" in yard.cli("unload", "one", "--idle").stdout
    assert yard.cli_json("ps") == []


def test_a_path_is_loaded_without_a_record(loaded, tmp_path):  # R6.8
    yard, _, _ = loaded
    make_models.plain(str(tmp_path / "loose.safetensors"))
    done = subprocess.run([yard.program("modelyard"), "load", "--path", "loose.safetensors", "--json"], cwd=tmp_path,
                          env=yard.environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lease = json.loads(done.stdout)["lease"]
    assert yard.cli("unload", lease[:8]).returncode == 0
    missing = yard.cli("load", "--path", str(tmp_path / "none"))
    assert missing.returncode == 3 and "cannot find" in missing.stderr


@pytest.mark.parametrize("words, says", [
    (["load"], "which model"), (["load", "x", "--path", "y"], "not both"), (["load", "x", "--form", "device"], "resident"),
    (["load", "x", "--ttl", "0"], "10m"), (["load", "x", "--ttl", "8d"], "week"), (["load", "x", "--priority", "101"], "-100"),
    (["load", "x", "-n", "--prefetch"], "not both"), (["load", "-n", "--path", "y"], "install"),
    (["load", "x", "-n", "--ttl", "1m"], "lease"), (["load", "x", "--whole", "--submodel", "vae"], "not both"),
    (["unload"], "which"), (["unload", "x", "--all-idle"], "--idle"), (["pin", "x", "-n"], "option"), (["ps", "x"], "Usage"),
    (["top", "--interval", "0"], "0.1"), (["devices", "x"], "Usage"), (["doctor", "x"], "Usage")])
def test_wrong_words_are_usage_errors_that_say_what_is_right(yard, words, says):
    done = yard.cli(*words)
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_failures_keep_their_exit_codes_and_say_the_next_step(loaded):
    yard, key, _ = loaded
    for code, words, says in ((3, ["load", "nobody"], "modelyard ls"), (69, ["load", "one", "--device", "cuda:9"], "modelyard devices"),
                              (69, ["ps", "--device", "cuda:9"], "modelyard devices"), (3, ["unload", "nobody"], "modelyard ps"),
                              (69, ["unload", "one", "--device", "cuda:9"], "modelyard devices")):
        done = yard.cli(*words)
        assert done.returncode == code and says in done.stderr, (words, done.stderr)
        failure = yard.cli(*words, "--json")
        assert failure.returncode == code and set(json.loads(failure.stderr)) >= {"code", "text"}


ANSWER = {"lease": "a" * 32, "config": {"key": key_of(1), "name": "one", "type": "lora", "base": "sd-1", "format": "lycoris",
                                        "path": "one", "hash": "imohash:00"},
          "place": "loader/test/cuda:7", "device": "cuda:7", "form": "device", "device_uuid": "GPU-7",
          "regions": [{"name": f"part-{at}", "bytes": 1 << 20} for at in range(12)], "tensors": 5, "directory_bytes": 1,
          "attach": "/x", "view": "", "shared": False, "took_us": 2000000, "checked_bytes": 12 << 20,
          "phases": [{"name": "read", "us": 1000000}, {"name": "lease", "us": 12}]}


def progress(done, total=1 << 30, **more):
    return {"model_key": key_of(1), "submodel_type": "", "device": "cuda:7", "bytes": done, "total_bytes": total,
            "bytes_per_s": 1, "timestamp": 1.0, **more}


def start(yard, *words, **more):
    return subprocess.Popen([yard.program("modelyard"), *words], env=yard.environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, **more)


@pytest.fixture
def host(played):
    """The node's own host loader, played: where asks without a place go."""
    yard, play = played
    node = yard.client().ask("yard.actors")["actors"][0]["node"]

    def make(answers):
        return play(answers, f"loader/{node}/host")
    return yard, make


def test_off_a_terminal_progress_is_a_line_and_then_what_it_got(host):
    yard, make = host
    loader = make({})
    process = start(yard, "load", "one")
    wait_for(lambda: loader.asked, what="the ask")
    assert loader.asked[0][1]["keep"] is True
    loader.publish("model_load_progress", key_of(1), progress(1, submodel_type="vae"))  # another part's
    loader.publish("model_load_progress", key_of(1), progress(1 << 28))
    assert re.fullmatch(r"reading   25 %  256 MiB of 1.00 GiB .*\n", process.stderr.readline())
    loader.answer("load.model", ANSWER)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "device   cuda:7, GPU-7\nform     device\n" in out and "12.0 MiB, 5 tensors in 12 regions" in out
    assert out.count("region   ") == 9 and "region   and 4 more\n" in out
    assert "checked  12.0 MiB against checksums\ntook     2.00 s: read 1.00 s (12.0 MiB/s), lease 12 µs\n" in out
    assert not CONTROL.search(out + err)


def test_a_paths_progress_is_found_by_its_location(host, tmp_path):
    yard, make = host
    loader = make({})
    path = tmp_path / "loose.safetensors"
    path.write_bytes(b"x")
    process = start(yard, "load", "--path", str(path))
    wait_for(lambda: loader.asked, what="the ask")
    assert loader.asked[0][0] == "load.path" and loader.asked[0][1]["path"] == str(path)
    told = {"queue_id": "", "queue_item_id": 0, "queue_batch_id": "", "graph_execution_state_id": "", "model_key": "ab",
            "submodel_type": "", "hash": "", "location": str(path), "precision": "", "timestamp": 1.0}
    loader.publish("model_load_progress", "cd", progress(1 << 29, model_key="cd"))
    loader.publish("model_load_started", "ab", told)
    loader.publish("model_load_progress", "ab", progress(1 << 28, model_key="ab"))
    assert process.stderr.readline().startswith("reading   25 %")
    loader.answer("load.path", ANSWER)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and "modelyard unload aaaaaaaa" in err, err


def test_ctrl_c_gives_the_load_up(host):
    yard, make = host
    loader = make({})
    process = start(yard, "load", "one")
    wait_for(lambda: loader.asked, what="the ask")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 13 and "given up" in err
    wait_for(lambda: loader.withdrawn, what="the ask's withdrawal")


def test_options_reach_the_loader(host):
    yard, make = host
    loader = make({"load.model": ANSWER, "load.prefetch": {"bytes": 7, "shared": True, "took_us": 3}})
    assert yard.cli("load", "one", "--submodel", "vae", "--form", "mapped", "--variant", "fp16", "--precision", "bfloat16",
                    "--priority", "-7").returncode == 0
    body = loader.asked[0][1]
    assert {name: body[name] for name in ("key", "submodel", "form", "variant", "precision", "priority", "keep")} == {
        "key": key_of(1), "submodel": "vae", "form": "mapped", "variant": "fp16", "precision": "bfloat16", "priority": -7,
        "keep": True}
    assert yard.cli("pin", "one").stdout == "a" * 32 + "\n" and loader.asked[1][1]["form"] == "resident"
    assert yard.cli("pin", "one", "--form", "mapped").returncode == 0 and loader.asked[2][1]["form"] == "mapped"
    assert yard.cli("load", "one", "--prefetch").stdout == "was there: 7 B in 3 µs; it stays until room is needed\n"


@pytest.mark.parametrize("fit, says", [("loaded", "already"), ("evicting", "idle models"), ("waiting", "waits"), ("never", "budget")])
def test_an_estimate_says_what_the_load_would_meet(host, fit, says):
    yard, make = host
    make({"load.estimate": {"fit": fit, "bytes": 1 << 30, "evict_bytes": 1 << 20, "tensors": 3, "precision": "float16"}})
    done = yard.cli("load", "one", "-n")
    assert done.returncode == 0 and re.match(f"fit      {fit}: .*{says}", done.stdout)
    assert "needs    1.00 GiB of the budget\nevicts   1.00 MiB of idle models\ntensors  3, float16\n" in done.stdout


# --- ps, devices, unload -------------------------------------------------------------------------------------------------------
def test_ps_shows_every_device_and_a_silent_loader_is_a_line(loaded):
    yard, key, _ = loaded
    yard.cli("load", "one")
    good = PlayedLoader(yard.run, "loader/test/cuda:7", {"load.list": {"loads": [
        row(), row(name="two", state="loading", bytes=1000, done_bytes=437), row(name="three", state="draining", attachments=2)]}})
    silent = PlayedLoader(yard.run, "loader/test/cuda:8", {})
    older = PlayedLoader(yard.run, "loader/test/cuda:9", {"load.list": ("unknown_method", "no such\x1b[2J method")})
    try:
        done = yard.cli("ps")
        assert done.returncode == 0 and not CONTROL.search(done.stdout), done.stdout
        table = done.stdout.splitlines()
        assert table[0].split() == ["NAME", "KEY", "PART", "DEVICE", "FORM", "SIZE", "STATE", "OWNER", "USERS", "AGE", "LEASE"]
        assert len(table) == 7  # four models, two who do not answer
        assert "loading 43 %" in done.stdout and "test cuda:7" in done.stdout and "draining" in done.stdout
        assert "loader/test/cuda:8 does not answer: " in done.stdout and "(timeout)" in done.stdout
        assert "loader/test/cuda:9 does not answer: no such?[2J method (unknown_method)" in done.stdout
        rows = yard.cli_json("ps")
        assert len(rows) == 6 and {f"loader/test/cuda:{n}" for n in (7, 8, 9)} < {one["place"] for one in rows}
        assert [one["failure"]["code"] for one in rows if "failure" in one] == ["timeout", "unknown_method"]
        assert [one["name"] for one in yard.cli_json("ps", "--device", "cuda:7")] == ["a model", "two", "three"]
        assert "unknown" in yard.cli("status").stdout, "status must not claim a number that it does not know"
    finally:
        for one in (good, silent, older):
            one.close()


def test_nothing_loaded_is_an_empty_table(loaded):
    yard, _, _ = loaded
    done = yard.cli("ps")
    assert len(done.stdout.splitlines()) == 1 and "nothing is loaded" in done.stderr and yard.cli_json("ps") == []


def test_devices_are_listed_with_their_budgets(loaded):
    yard, _, _ = loaded
    other = PlayedLoader(yard.run, "loader/test/cuda:7", {"load.device": device(budget_bytes=8 << 30, held_bytes=2 << 30, models=3)})
    try:
        done = yard.cli("devices")
        assert done.returncode == 0, done.stderr
        line = next(line for line in done.stdout.splitlines() if line.startswith("cuda:7"))
        assert "a device of a test" in line and "8.00 GiB" in line and "2.00 GiB" in line
        rows = {one["place"]: one for one in yard.cli_json("devices") if one["place"]}
        assert rows["loader/test/cuda:7"]["uuid"] == "GPU-7" and len(rows) == 2
        assert sorted(yard.cli("devices", "--names").stdout.split()) == ["cuda:7", "host"]
    finally:
        other.close()


def test_unload_ends_the_yards_leases_on_one_device_or_all(host):
    yard, make = host
    leases = [row(lease=letter * 32, key=key_of(1), name="one", state="leased", owner="yard", device="host") for letter in "ab"]
    theirs = row(lease="cccccccc", key=key_of(2), name="theirs", state="leased", owner="client/x")
    local = make({"load.list": {"loads": [leases[0], theirs]}, "load.release": {}, "load.evict": {"models": 0, "bytes": 0}})
    remote = PlayedLoader(yard.run, "loader/test/cuda:7", {"load.list": {"loads": [leases[1]]}, "load.release": {},
                                                           "load.evict": {"models": 2, "bytes": 1 << 30}})
    try:
        assert "unloaded one from host" in yard.cli("unload", "one", "--device", "cuda:7").stdout
        assert [body for method, body in remote.asked if method == "load.release"] == [{"lease": "b" * 32}]
        assert not [body for method, body in local.asked if method == "load.release"]
        assert len(yard.cli_json("unload", key_of(1))) == 2
        refused = yard.cli("unload", "theirs")
        assert refused.returncode == 3 and "clients" in refused.stderr
        done = yard.cli("unload", "one", "--idle")
        assert done.returncode == 0 and "evicted 2 idle models, 1.00 GiB, from cuda:7" in done.stdout
        assert [body for method, body in remote.asked if method == "load.evict"] == [{"key": key_of(1)}]
        remote.asked.clear()
        assert "evicted 2" in yard.cli("unload", "--all-idle").stdout
        assert [body for method, body in remote.asked if method == "load.evict"] == [{}]
        assert yard.cli_json("unload", "--all-idle", "--device", "host") == [{"models": 0, "bytes": 0}]
    finally:
        remote.close()


def test_a_silent_loader_does_not_keep_a_model_loaded_elsewhere(host):
    yard, make = host
    local = make({"load.list": {"loads": [row(lease="a" * 32, key=key_of(1), name="one", state="leased", owner="yard")]},
                  "load.release": {}})
    silent = PlayedLoader(yard.run, "loader/test/cuda:8", {})
    try:
        done = yard.cli("unload", "one")
        assert done.returncode == 9 and "loader/test/cuda:8" in done.stderr and "unloaded one" in done.stdout
        assert [body for method, body in local.asked if method == "load.release"] == [{"lease": "a" * 32}]
    finally:
        silent.close()


def test_a_simulated_gpu_is_loaded_shown_and_unloaded(yard):  # R6.9 R6.10
    path = make_models.lora_sd1(os.path.join(yard.home, "one.safetensors"))
    settings = simulated_gpus(yard, 2)
    up = yard.cli("up", "--detach", "--set", "loader.devices=all", "--set", "loader.device_spare_bytes=0", **settings)
    assert up.returncode == 0, up.stderr
    try:
        assert yard.cli("install", path, "--name", "one").returncode == 0
        done = yard.cli("load", "one", "--device", "cuda:1")
        assert done.returncode == 0 and re.search(r"^device   cuda:1, GPU-[0-9a-f-]+\nform     device$", done.stdout, re.M), done.stderr
        assert "read " in done.stdout.splitlines()[-1]
        pinned = yard.cli("pin", "one", "--device", "cuda:0").stdout.strip()
        assert [(one["device"], one["form"], one["state"]) for one in yard.cli_json("ps")] == [
            ("cuda:0", "device", "leased"), ("cuda:1", "device", "leased")]
        held = {one["device"]: one["held_bytes"] for one in yard.cli_json("devices", **settings)}
        assert held["cuda:0"] == held["cuda:1"] >= os.path.getsize(path) and held["host"] == 0
        frame = yard.cli_json("top", "--once")[0]
        assert [one["seen"]["device"]["models"] for one in frame["loaders"]] == [1, 1, 0]
        assert "evicted 1 idle model" in yard.cli("unload", "one", "--device", "cuda:1", "--idle").stdout
        assert [(one["device"], one["lease"]) for one in yard.cli_json("ps")] == [("cuda:0", pinned)]
    finally:
        assert yard.cli("down").returncode == 0


# --- top -----------------------------------------------------------------------------------------------------------------------
def test_top_once_is_one_picture(loaded):
    yard, _, _ = loaded
    yard.cli("load", "one")
    done = yard.cli("top", "--once")
    assert done.returncode == 0 and not CONTROL.search(done.stdout), done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"modelyard top  \d\d:\d\d:\d\d  1 device, 1 model, 1 leased, 0 loading, 0 idle$", lines[0])
    assert re.match(r"host     \[[#=+~.]{30}\]  held .*  free .* of .*", lines[1]) and lines[4].startswith("one ")
    frame = yard.cli_json("top", "--once")[0]
    assert frame["loaders"][0]["seen"]["loads"][0]["name"] == "one" and frame["loaders"][0]["reads_bytes_per_s"] is None


def test_off_a_terminal_top_is_one_picture_after_the_other_with_rates(host):
    yard, make = host
    read = iter(range(0, 1 << 40, 50 << 20))
    make({"load.list": {"loads": []}, "load.device": lambda body: device(device="host", read_bytes=next(read), budget_bytes=1)})
    process = start(yard, "top", "--interval", "0.1", "--json")
    try:
        frames = [json.loads(process.stdout.readline()) for _ in range(3)]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0
    rates = [frame["loaders"][0]["reads_bytes_per_s"] for frame in frames]
    assert rates[0] is None and all(rate > 0 for rate in rates[1:])
    assert frames[2]["time"] > frames[0]["time"]


class Terminal:
    """A pseudo terminal of 100 x 20 with a program in it."""

    def __init__(self, words, environment):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.seen = bytearray()
        self.process = subprocess.Popen(words, env=environment, stdin=self.slave, stdout=self.slave, stderr=self.slave)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        try:
            while piece := os.read(self.master, 4096):
                self.seen.extend(piece)
        except OSError:
            pass

    def shows(self, text, since=0):
        return text.encode() in self.seen[since:]

    def press(self, key):
        os.write(self.master, key.encode())

    def end(self):
        code = self.process.wait(20)
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        self.reader.join(20)
        os.close(self.master)
        return code, after


@pytest.mark.parametrize("way", ["q", "SIGINT", "SIGTERM"])
def test_top_gives_the_terminal_back_as_it_was(loaded, way):
    yard, _, _ = loaded
    yard.cli("load", "one")
    terminal = Terminal([yard.program("modelyard"), "top", "--interval", "0.1"], yard.environment())
    try:
        wait_for(lambda: terminal.shows("\x1b[?1049h") and terminal.shows("reads "), what="two pictures")
    finally:
        terminal.press("q") if way == "q" else terminal.process.send_signal(getattr(signal, way))
        code, after = terminal.end()
    text = terminal.seen.decode()
    assert code == 0 and text.endswith("\x1b[?25h\x1b[?1049l"), text[-200:]
    assert after == terminal.before
    lines = re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", text.replace("\x1b[H", "\r\n")).split("\r\n")
    assert any(line.startswith("one ") for line in lines) and max(map(len, lines)) <= 100, lines


def test_top_goes_on_when_the_yard_comes_back(loaded):
    yard, _, _ = loaded
    terminal = Terminal([yard.program("modelyard"), "top", "--interval", "0.1"], yard.environment())
    try:
        wait_for(lambda: terminal.shows("host "), what="a picture")
        yard.kill("broker")
        wait_for(lambda: terminal.shows("the yard does not answer"), timeout=30, what="the loss")
        yard.start("broker")
        yard.ready("loader")
        seen = len(terminal.seen)
        wait_for(lambda: terminal.shows("1 device, 0 models, 0 leased", seen) and
                 not terminal.shows("does not answer", len(terminal.seen) - 500), timeout=30, what="the return")
    finally:
        terminal.press("q")
        code, _ = terminal.end()
    assert code == 0


def test_top_without_a_yard_fails_at_once(yard):
    done = yard.cli("top")
    assert done.returncode == 69 and "modelyard up" in done.stderr


# --- completion ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words, want", [
    (["pi"], ["pin"]), (["do"], ["down", "doctor"]), (["load", "--pre"], ["--precision", "--prefetch"]), (["unload", "--al"], ["--all-idle"]),
    (["load", "x", "--form", "m"], ["mapped"]), (["top", "--on"], ["--once"]), (["load", "--device", "h"], ["host"]),
    (["doctor", "--prove"], ["--prove-device"]), (["pin", "0000"], [key_of(1)])])
def test_completion_knows_the_commands_their_options_and_values(loaded, words, want):
    yard, _, _ = loaded
    script = yard.cli("completion", "bash").stdout
    line = " ".join(["modelyard", *words])
    environment = yard.environment(PATH=f"{yard.build}/bin:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", f'{script}\nCOMP_WORDS=({line}) COMP_CWORD={len(words)}\n_modelyard\necho "${{COMPREPLY[@]}}"'],
                          capture_output=True, text=True, env=environment, timeout=60)
    assert sorted(done.stdout.split()) == sorted(want), done.stderr
