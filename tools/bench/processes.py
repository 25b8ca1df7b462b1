# SPDX-License-Identifier: Apache-2.0
"""What processes take, as the kernel counts it (proc(5)): CPU time, and memory with shared pages divided among their users."""
from __future__ import annotations

import os
import time
from typing import List, Tuple

TICKS = os.sysconf("SC_CLK_TCK")  # of utime and stime in a second; their resolution
UTIME = 11  # where utime stands in /proc/<pid>/stat after the name, and stime behind it
KIB_PER_MIB = 1024
QUIET_S = 0.05  # CPU in a second: five times what an idle yard takes in a sanitizer build


def tree(pid: int) -> List[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:  # grows while we walk
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
    return found


def cpu_s(pids: List[int]) -> float:
    """utime + stime of all of them so far."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[UTIME]) + int(fields[UTIME + 1])
    return ticks / TICKS


def pss_mib(pids: List[int]) -> float:
    kib = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            kib += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return kib / KIB_PER_MIB


def idle(pids: List[int], seconds: float) -> Tuple[float, float]:
    """Percent of one core over so many seconds, and MiB at their end."""
    before, start = cpu_s(pids), time.monotonic()
    time.sleep(seconds)
    used, passed = cpu_s(pids) - before, time.monotonic() - start
    return 100 * used / passed, pss_mib(pids)


def quiet(pids: List[int], limit_s: float) -> float:
    """Waits until a second passes with next to no work; CPU seconds since the processes began."""
    end = time.monotonic() + limit_s
    used = cpu_s(pids)
    while True:
        before = used
        time.sleep(1)
        used = cpu_s(pids)
        if used - before <= QUIET_S:
            return used
        if time.monotonic() > end:
            raise OSError(f"still at work after {limit_s:.0f} s")


def forget_pages(path: str) -> None:
    """Drops a file from the page cache, so that the next reader finds it on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
