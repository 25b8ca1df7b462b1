"""`modelyard doctor`: what it finds on machines that lack something."""
import json
import os
import re
import resource
import signal
import subprocess

import pytest

from loader_fixture import simulated_gpus

CHECKS = {"configuration", "memory", "memlock", "descriptors", "io_uring", "memfd", "cuda", "home", "home-space", "models",
          "models-space", "run", "broker"}


def examine(yard, code=0, **extra):
    """Runs the doctor; {check: [findings]}."""
    done = yard.cli("doctor", "--json", **extra)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    found = {}
    for line in done.stdout.splitlines():
        finding = json.loads(line)
        assert finding["state"] in ("ok", "warn", "fail") and finding["text"]
        found.setdefault(finding["check"], []).append(finding)
    return found


def state_of(found, check):
    return [finding["state"] for finding in found[check]]


def test_without_a_yard_it_warns_and_changes_nothing(yard):
    before = sorted(os.walk(yard.home))
    found = examine(yard)
    assert set(found) - {"device"} == CHECKS
    assert state_of(found, "broker") == ["warn"] and "modelyard up" in found["broker"][0]["next"]
    assert state_of(found, "home") == state_of(found, "run") == state_of(found, "memfd") == ["ok"]
    assert sorted(os.walk(yard.home)) == before
    plain = yard.cli("doctor")
    assert plain.returncode == 0 and all(re.match(r"(ok|warn|fail) +[a-z_-]+ +\S", line) for line in plain.stdout.splitlines())
    assert re.fullmatch(r"0 failed, \d+ warnings?\n", plain.stderr)


def test_a_yard_that_is_up_is_well_and_a_stopped_loader_is_a_failure(yard):
    yard.start("broker", "recorder", "loader")
    found = examine(yard)
    assert state_of(found, "broker") == state_of(found, "loader") == ["ok"] and "budget" in found["loader"][0]["text"]
    os.kill(yard.named["loader"].pid, signal.SIGSTOP)
    try:
        found = examine(yard, 1)
        assert state_of(found, "loader") == ["fail"] and "does not answer" in found["loader"][0]["text"]
    finally:
        os.kill(yard.named["loader"].pid, signal.SIGCONT)


def test_a_yard_without_a_loader_is_a_warning(yard):
    yard.start("broker", "recorder")
    assert state_of(examine(yard), "loader") == ["warn"]


def test_directories_that_cannot_be_used_are_failures(yard, make_yard, tmp_path):
    os.chmod(yard.run, 0o755)
    found = examine(yard, 1)
    assert state_of(found, "run") == ["fail"] and "0700" in found["run"][0]["next"]
    (tmp_path / "file").write_text("")
    other = make_yard(models_dir=str(tmp_path / "file"))
    assert state_of(examine(other, 1), "models") == ["fail"]
    long = examine(other, 1, MODELYARD_RUN="/tmp/" + "r" * 60)
    assert state_of(long, "run") == ["fail"] and "shorter" in long["run"][0]["next"]


def test_a_wrong_configuration_is_a_failure_and_the_rest_is_looked_at(yard):
    with open(os.path.join(yard.home, "modelyard.yaml"), "w") as file:
        file.write("loader:\n  fom: resident\n")
    found = examine(yard, 1)
    assert state_of(found, "configuration") == ["fail"] and "form" in found["configuration"][0]["text"]
    assert {"memlock", "io_uring", "home"} <= set(found)


def limited(yard, *limits):
    def limit():
        for which, value in limits:
            resource.setrlimit(which, (value, value))
    done = subprocess.run([yard.program("modelyard"), "doctor", "--json"], env=yard.environment(), preexec_fn=limit,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {finding["check"]: finding for finding in map(json.loads, done.stdout.splitlines())}


def test_low_limits_are_warnings_with_the_way_to_raise_them(yard):
    found = limited(yard, (resource.RLIMIT_MEMLOCK, 65536), (resource.RLIMIT_NOFILE, 256))
    assert found["memlock"]["state"] == "warn" and "LimitMEMLOCK" in found["memlock"]["next"]
    assert "64.0 KiB" in found["memlock"]["text"] and "128 MiB" in found["memlock"]["text"]
    assert found["descriptors"]["state"] == "warn" and "LimitNOFILE" in found["descriptors"]["next"]


def test_a_budget_above_the_machines_memory_is_a_warning(make_yard):
    yard = make_yard(**{"loader.host_bytes": str(1 << 50)})
    assert state_of(examine(yard), "memory") == ["warn"]


# --- GPUs (E7: whatever is wrong with the driver is a line, never a crash) -----------------------------------------------------
def has_plugin(yard):
    return os.path.exists(os.path.join(yard.build, "lib", "libmodelyard-cuda.so"))


@pytest.fixture
def gpus(yard):
    return lambda count: simulated_gpus(yard, count)


def test_no_gpu_is_a_warning_unless_the_configuration_asks_for_one(yard, make_yard):  # E7
    real = subprocess.run(["sh", "-c", "ls /dev/nvidia0"], capture_output=True).returncode == 0
    if real:
        pytest.skip("this machine has a GPU")
    found = examine(yard)
    assert state_of(found, "cuda") == ["warn"] and "host" in found["cuda"][0]["text"]
    asking = make_yard(**{"loader.devices": "cuda:0"})
    assert state_of(examine(asking, 1), "cuda") == ["fail"]


def test_a_library_that_does_not_fit_is_a_line(yard, tmp_path):  # E7
    if not has_plugin(yard):
        pytest.skip("this build has no plug-in for GPUs")
    (tmp_path / "cudart.c").write_text("int nothing;")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "libcudart.so.13"), str(tmp_path / "cudart.c")], check=True)
    found = examine(yard, LD_LIBRARY_PATH=str(tmp_path))
    assert state_of(found, "cuda") == ["warn"] and "cannot be opened" in found["cuda"][0]["text"]


@pytest.mark.parametrize("body, says", [("abort ();", "signal 6"), ("_exit (7);", "status 7")])
def test_a_driver_that_takes_its_process_with_it_is_a_line(yard, gpus, tmp_path, body, says):  # E7
    (tmp_path / "crash.c").write_text("#include <stdlib.h>\n#include <unistd.h>\n"
                                      f"int cudaGetDeviceCount (int *count) {{ *count = 0; {body} return 0; }}")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "crash.so"), str(tmp_path / "crash.c")], check=True)
    crashing = {**gpus(1), "LD_PRELOAD": str(tmp_path / "crash.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    found = examine(yard, **crashing)
    assert state_of(found, "cuda") == ["warn"] and says in found["cuda"][0]["text"], found["cuda"]
    yard.start("broker", "recorder", "loader")
    assert yard.cli("devices", **crashing).returncode == 0


def test_simulated_devices_are_listed_and_without_loaders_shown_as_such(yard, gpus):
    found = examine(yard, **gpus(2))
    assert state_of(found, "cuda") == ["ok"] and re.search(r"driver for CUDA \d+\.\d+, runtime", found["cuda"][0]["text"])
    assert state_of(found, "device") == ["ok", "ok"] and "cuda:1 is " in found["device"][1]["text"]
    yard.start("broker", "recorder", "loader")
    done = yard.cli("devices", **gpus(2))
    assert done.returncode == 0 and done.stdout.count("no loader; start one with") == 2, done.stderr
    rows = yard.cli_json("devices", **gpus(2))
    assert [row["device"] for row in rows if row["place"] is None] == ["cuda:0", "cuda:1"]


def test_a_driver_without_devices_is_a_line(yard, gpus):
    assert state_of(examine(yard, **gpus(0)), "cuda") == ["warn"]


# --- proofs --------------------------------------------------------------------------------------------------------------------
def test_the_host_proves_itself(yard):
    done = yard.cli("doctor", "--prove-device", "host", "--json", timeout=120)
    proofs = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(proofs) >= 6 and {proof["outcome"] for proof in proofs} <= {"pass", "skip"}, done.stdout
    assert all(proof["why"] for proof in proofs if proof["outcome"] == "skip")


def test_a_simulated_device_proves_itself(yard, gpus):
    done = yard.cli("doctor", "--prove-device", "cuda:0", timeout=120, **gpus(1))
    assert done.returncode == 0 and "fail" not in re.sub(r"0 failed", "", done.stdout + done.stderr), done.stdout + done.stderr


def test_a_device_that_is_not_there_cannot_be_proven(yard):
    done = yard.cli("doctor", "--prove-device", "tpu")
    assert done.returncode == 2 and "cuda:0" in done.stderr


# --- up starts a loader for each GPU that the configuration names ----------------------------------------------------------------
def devices_up(yard, setting, **settings):
    """Starts a yard, gives what it has loaders for and the supervisor's log; takes it down."""
    up = yard.cli("up", "--detach", "--only", "broker,recorder,loader", "--set", f"loader.devices={setting}", **settings)
    try:
        assert up.returncode == 0, up.stderr
        rows = [json.loads(line) for line in yard.cli("devices", "--json", **settings).stdout.splitlines()]
        with open(os.path.join(yard.home, "log", "up.log")) as file:
            return sorted(row["device"] for row in rows if row["place"]), file.read()
    finally:
        assert yard.cli("down").returncode == 0


def test_up_starts_a_loader_a_gpu(yard, gpus):
    assert devices_up(yard, "all", **gpus(2))[0] == ["cuda:0", "cuda:1", "host"]


def test_up_runs_without_a_gpu_that_is_not_there(yard, gpus):  # E7
    devices, log = devices_up(yard, "cuda:1 cuda:5", **gpus(2))
    assert devices == ["cuda:1", "host"] and "device.left_out device=cuda:5" in log


def test_up_runs_on_the_host_where_the_driver_is_missing(yard):  # E7
    devices, log = devices_up(yard, "cuda:7")
    assert devices == ["host"] and "device.left_out" in log
