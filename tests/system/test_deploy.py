"""What is delivered: the units, judged by systemd's own tools and run by systemd itself; the directories; an installation that works."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import make_models
from systemd_box import AS_USER, box_of  # noqa: F401
from yard import BUILD, ROOT, wait_for

UNITS = os.path.join(BUILD, "deploy", "systemd")
ACTORS = ("broker", "recorder", "prober", "installer", "downloader@1", "loader@host")
# systemd-analyze's "exposure", ten times its figure; 100 is a unit that says nothing. What is left: sockets of the file system, this
# root directory, limits that actors set for themselves; a network (downloader); devices and compiled kernels (loader of a device).
EXPOSURE = {"broker": 3, "recorder": 3, "prober": 4, "installer": 4, "downloader@": 12, "loader@host": 5, "loader@": 7}


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not here; tools/setup test installs it (package systemd)")


def verify(folder, *names):
    """What systemd says about units: its exit code is 0 for a misspelt key, so silence is what counts."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def unit_files(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith((".service", ".target")))


def test_systemd_finds_nothing_to_say_about_the_units():
    need("systemd-analyze")
    assert len(unit_files(UNITS)) == 7
    assert verify(UNITS, *unit_files(UNITS)) == ""
    assert verify(UNITS, "modelyard-loader@.service:modelyard-loader@host.service") == ""


@pytest.mark.parametrize("file, wrong", [("modelyard-broker.service", "ProtecHome=yes"),
                                         ("modelyard-.service.d/actor.conf", "Restart=sometimes"),
                                         ("modelyard-recorder.service", "ExecStart=/nowhere/modelyard-recorder")])
def test_a_mistake_in_a_unit_would_be_seen(tmp_path, file, wrong):
    need("systemd-analyze")
    units = tmp_path / "units"
    shutil.copytree(UNITS, units)
    with open(units / file, "a") as text:
        text.write(f"\n[Service]\n{wrong}\n")
    assert verify(units, *unit_files(units)) != ""


def within(folder, unit):
    """Is the unit's exposure at most what is written above? And the report."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[unit]}",
                           f"modelyard-{unit}.service"], cwd=folder, capture_output=True, text=True)
    return done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_unit_is_as_closed_as_is_said(unit, tmp_path):
    need("systemd-analyze")
    closed, report = within(UNITS, unit)
    assert closed, report
    shutil.copytree(UNITS, tmp_path / "units")
    os.unlink(tmp_path / "units/modelyard-.service.d/actor.conf")
    assert not within(tmp_path / "units", unit)[0], "the threshold proves nothing"


def test_the_user_and_the_directories_are_made(tmp_path):
    need("systemd-sysusers", "systemd-tmpfiles")
    deploy = os.path.dirname(UNITS)
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    done = subprocess.run(["systemd-sysusers", "--dry-run", f"--root={root}", f"{deploy}/sysusers.d/modelyard.conf"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "Creating user 'modelyard'" in done.stderr, done
    assert not (root / "etc/passwd").exists()
    if os.geteuid() != 0:
        pytest.skip("systemd-tmpfiles of this version has no dry run, and giving a directory away needs root")
    subprocess.run(["systemd-sysusers", f"--root={root}", f"{deploy}/sysusers.d/modelyard.conf"], check=True, capture_output=True)
    user = int(re.search(r"^modelyard:[^:]*:(\d+):", (root / "etc/passwd").read_text(), re.M).group(1))
    done = subprocess.run(["systemd-tmpfiles", "--create", f"--root={root}", f"{deploy}/tmpfiles.d/modelyard.conf"],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done
    for path, mode in (("run/modelyard", 0o700), ("var/lib/modelyard", 0o700), ("var/lib/modelyard/models", 0o755)):
        status = os.stat(root / path)
        assert (status.st_uid, status.st_mode & 0o7777) == (user, mode), path
    assert os.readlink(root / "var/lib/modelyard/modelyard.yaml").endswith("/modelyard.yaml")


def install(prefix, **environment):
    done = subprocess.run(["cmake", "--install", BUILD, "--prefix", str(prefix)], capture_output=True, text=True,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr


# R8.2
def test_an_installed_yard_comes_up_and_reads_the_delivered_configuration(tmp_path, make_yard):
    yard = make_yard()
    prefix = tmp_path / "prefix"
    install(prefix)
    units = prefix / "lib/systemd/system"
    assert unit_files(units) == unit_files(UNITS)
    for name in unit_files(units):
        for program in re.findall(r"^ExecStart=(\S+)", (units / name).read_text(), re.M):
            assert program.startswith(f"{prefix}/libexec/modelyard/modelyard-") and os.access(program, os.X_OK)
    delivered = prefix / "etc/modelyard/modelyard.yaml"
    (tmp_path / "open.yaml").write_text(re.sub(r"(?m)^#", "", delivered.read_text()) + "\n# edited\n")
    shutil.copy(tmp_path / "open.yaml", os.path.join(yard.home, "modelyard.yaml"))
    environment = yard.environment()

    def modelyard(*words):
        done = subprocess.run([prefix / "bin/modelyard", *words], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout
    modelyard("up", "--detach")
    try:
        rows = [json.loads(line) for line in modelyard("actors", "--json").splitlines()]
        programs = {row["actor"]: os.readlink(f"/proc/{row['pid']}/exe") for row in rows if row["actor"] != "client"}
    finally:
        modelyard("down")
    assert programs == {actor: f"{prefix}/libexec/modelyard/modelyard-{actor}"
                        for actor in ("recorder", "prober", "installer", "loader", "downloader")}
    # A second installation keeps what an operator wrote.
    shutil.copy(tmp_path / "open.yaml", delivered)
    install(prefix)
    assert delivered.read_text().endswith("# edited\n")


def plain_build():
    """A build without sanitizers: their shadow memory and their reports are not what the units allow for."""
    for build in (BUILD, os.path.join(ROOT, "build", "release")):
        try:
            with open(os.path.join(build, "CMakeCache.txt")) as cache:
                plain = re.search(r"^YARD_SANITIZE:STRING=$", cache.read(), re.M)
        except FileNotFoundError:
            continue
        if plain and os.path.isdir(os.path.join(build, "deploy")) and os.path.exists(os.path.join(build, "bin/modelyard")):
            return build
    pytest.skip("no build without sanitizers: build the preset release first")


def check_walls(box):
    """What the kernel says of each actor, and what each can see."""
    for actor in ACTORS:
        process = box.show(f"modelyard-{actor}", "MainPID")[0]
        status = box.run("cat", f"/proc/{process}/status")
        for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            assert line in status, (actor, line)
        home = set(box.run("ls", "-A", f"/proc/{process}/root/var/lib/modelyard").split())
        assert ("yard.db" in home) == ("secrets" in home) == (actor == "recorder"), (actor, home)
        assert ("models" in home) == (actor != "broker"), (actor, home)
        links = [line.split(":")[0].strip() for line in box.run("cat", f"/proc/{process}/net/dev").splitlines() if ":" in line]
        own = box.run("readlink", f"/proc/{process}/ns/net") != box.run("readlink", "/proc/self/ns/net")
        assert own == (links == ["lo"]) == (actor != "downloader@1"), (actor, links)
        devices = set(box.run("ls", f"/proc/{process}/root/dev").split())
        assert devices <= {"char", "console", "core", "fd", "full", "hugepages", "log", "mqueue", "null", "ptmx", "pts", "random",
                           "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}, (actor, devices)


def ready(box):
    try:
        wait_for(lambda: all(box.state(f"modelyard-{actor}") == "active" for actor in ACTORS), what="the yard", timeout=60)
    except AssertionError:
        print(box.run("systemctl", "status", "--no-pager", "modelyard-*", check=False))
        print(box.run("sh", "-c", "tail -n 20 /var/log/modelyard-*", check=False))
        raise


# R8.2 R9.1
def test_systemd_runs_the_yard_behind_all_its_walls(box_of, nginx, tmp_path):  # noqa: F811
    box = box_of(plain_build())
    box.run("tee", "/etc/modelyard/modelyard.yaml", input="download: {allow_private: true}\n")
    box.run("systemctl", "start", "modelyard.target")
    ready(box)
    check_walls(box)

    # A model from a disk and one from a network, probed in the sandbox within the sandbox; one loaded, and read by its path.
    make_models.lora_sd1(tmp_path / "near.safetensors")
    box.run("mkdir", "-p", "/srv/models")
    with open(tmp_path / "near.safetensors", "rb") as file:
        box.run("dd", "of=/srv/models/near.safetensors", "status=none", stdin=file)
    box.modelyard("install", "/srv/models/near.safetensors")
    make_models.lora_sd1(nginx.root / "far.safetensors", rank=4)
    box.modelyard("install", f"{nginx.url}/far.safetensors")
    rows = [json.loads(line) for line in box.modelyard("ls", "--json").splitlines()]
    assert {row["config"]["name"] for row in rows} == {"near", "far"}
    for form in ("mapped", "resident"):
        view = json.loads(box.modelyard("load", "near", "--form", form, "--json"))["view"]
        box.run(*AS_USER, "cmp", f"{view}/near.safetensors", "/srv/models/near.safetensors")

    # Killed or stopped, they come back; nothing that was stored is gone.
    for unit, number in (("modelyard-broker", signal.SIGKILL), ("modelyard-recorder", signal.SIGKILL),
                         ("modelyard-prober", signal.SIGSTOP)):
        box.run("systemctl", "kill", "--kill-who=main", f"--signal={int(number)}", unit)
        wait_for(lambda: box.show(unit, "NRestarts")[0] == "1", what=f"another {unit}", timeout=60)
    ready(box)
    assert len(box.modelyard("ls", "--json").splitlines()) == len(rows)

    box.run("systemctl", "stop", "modelyard.target")
    for actor in ACTORS:
        wait_for(lambda: box.state(f"modelyard-{actor}") == "inactive", what=f"the end of {actor}")
        assert box.show(f"modelyard-{actor}", "Result", "ExecMainStatus") == ["success", "0"], (
            actor, box.run("sh", "-c", "tail -n 20 /var/log/modelyard-*"))
