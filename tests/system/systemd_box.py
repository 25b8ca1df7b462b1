"""A machine of its own for the units: systemd as process 1 of new namespaces, over a copy-on-write view of this machine's root.

What the product installs is installed there below /usr; what systemd would pull in at a boot is empty targets, so that nothing of this
machine is started, mounted or set. The network is this machine's. Needs root, overlayfs and a cgroup 2 hierarchy.
"""
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from yard import wait_for

SYSTEMD = "/lib/systemd/systemd"
EMPTY_TARGETS = ("sysinit", "basic", "sockets", "timers", "paths", "slices", "shutdown", "multi-user", "network", "nss-lookup")
AS_USER = ("setpriv", "--reuid=modelyard", "--regid=modelyard", "--clear-groups")
# $1 the box's folder, $2 its cgroup, $3 the build to install, $4 the targets that are empty. Ends as systemd.
ENTER = r"""
set -eu
echo $$ > "$2/cgroup.procs"
exec unshare --mount --pid --fork --uts --ipc --cgroup --kill-child --propagation private bash -eu -c '
    box=$1 build=$2
    mount -t tmpfs tmpfs "$box"
    mkdir "$box/upper" "$box/work" "$box/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/root"
    cd "$box/root"
    mount -t proc proc proc
    mount --bind -o ro proc/sys proc/sys
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs tmpfs dev
    mkdir dev/shm dev/pts
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
    mount -t tmpfs tmpfs run
    mount -t tmpfs tmpfs tmp
    rm -rf var/lib/modelyard etc/modelyard
    DESTDIR=$PWD cmake --install "$build" --prefix /usr
    chroot . systemd-sysusers /usr/lib/sysusers.d/modelyard.conf
    chroot . systemd-tmpfiles --create /usr/lib/tmpfiles.d/modelyard.conf
    mkdir -p units before
    cp -r usr/lib/systemd/system/modelyard* units
    for target in $3; do printf "[Unit]\nDefaultDependencies=no\n" > units/$target.target; done
    printf "[Service]\nStandardError=append:/var/log/%%p-%%i.log\n" > units/modelyard-.service.d/log.conf
    pivot_root . before
    umount -l before
    exec env -i PATH=/usr/bin:/usr/sbin:/bin:/sbin container=box SYSTEMD_UNIT_PATH=/units SYSTEMD_LOG_TARGET=null \
        /lib/systemd/systemd --unit=multi-user.target
' box "$1" "$3" "$4"
"""


def own_cgroup():
    """The folder of this process in the cgroup 2 hierarchy, or None."""
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    roots = [words[4] for words in mounts if words[words.index("-") + 1] == "cgroup2"]
    with open("/proc/self/cgroup") as file:
        paths = [line.strip().split(":", 2)[2] for line in file if line.startswith("0::")]
    return roots[0] + paths[0].rstrip("/") if roots and paths else None


class Box:
    def __init__(self, build):
        self.folder = tempfile.mkdtemp(prefix="box", dir="/tmp")
        self.cgroup = f"{own_cgroup()}/{os.path.basename(self.folder)}"
        self.log = open(f"{self.folder}.log", "w+b")
        os.mkdir(self.cgroup)
        self.process = subprocess.Popen(["bash", "-c", ENTER, "enter", self.folder, self.cgroup, build, " ".join(EMPTY_TARGETS)],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.systemd = None

    def find_systemd(self):
        """Process 1 of the box, once it is systemd."""
        assert self.process.poll() is None, f"the box did not start:\n{self.said()}"
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            children = file.read().split()
        if children and os.path.realpath(f"/proc/{children[0]}/exe").endswith("/systemd"):
            self.systemd = children[0]
        return self.systemd

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def run(self, *words, check=True, **more):
        done = subprocess.run(["nsenter", "--target", self.systemd, "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root",
                               "--wd", "--", *words], capture_output=True, text=True, timeout=120, **more)
        assert done.returncode == 0 or not check, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def show(self, unit, *names):
        """The unit's properties."""
        return [self.run("systemctl", "show", "-P", name, unit).strip() for name in names]

    def state(self, unit):
        return self.show(unit, "ActiveState")[0]

    def modelyard(self, *words, **more):
        """The command line, as the yard's user."""
        return self.run(*AS_USER, "env", "MODELYARD_HOME=/var/lib/modelyard", "MODELYARD_RUN=/run/modelyard", "/usr/bin/modelyard",
                        *words, **more)

    def close(self):
        if self.systemd:
            try:
                os.kill(int(self.systemd), signal.SIGKILL)  # and with it everything in the box
            except ProcessLookupError:
                pass
        self.process.kill()
        self.process.wait(30)

        def left():
            """Bottom up; a cgroup is busy until the last of its processes is gone."""
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    return False
            return not os.path.exists(self.cgroup)
        wait_for(left, what="the end of the box")
        self.log.close()
        os.unlink(f"{self.folder}.log")
        shutil.rmtree(self.folder, ignore_errors=True)


def why_not():
    """A reason for which this machine cannot have a box, or None."""
    if os.geteuid() != 0:
        return "a box for systemd needs root"
    if not os.path.exists(SYSTEMD) or not shutil.which("nsenter"):
        return "a box needs systemd and nsenter (tools/setup test installs them)"
    if own_cgroup() is None or not os.access(own_cgroup(), os.W_OK):
        return "a box needs a cgroup 2 hierarchy that can be written to"
    with tempfile.TemporaryDirectory() as folder:
        probe = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--cgroup", "--propagation", "private", "bash", "-euc", f"""
            mount -t tmpfs tmpfs {folder}; mkdir {folder}/u {folder}/w {folder}/r
            mount -t overlay overlay -o lowerdir=/,upperdir={folder}/u,workdir={folder}/w {folder}/r
            mount -t cgroup2 cgroup2 {folder}/u; mount -t proc proc {folder}/r/proc"""], capture_output=True, text=True)
    return f"this machine allows no box: {probe.stderr.strip()}" if probe.returncode else None


@pytest.fixture
def box_of():
    """box_of (build): a box with that build's programs, whose systemd runs; modelyard.target is not started yet."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = []

    def make(build):
        made.append(Box(build))
        wait_for(made[-1].find_systemd, what="systemd in the box")
        wait_for(lambda: made[-1].run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded"),
                 what="the box")
        return made[-1]
    yield make
    for box in made:
        box.close()
