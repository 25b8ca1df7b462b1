# SPDX-License-Identifier: Apache-2.0
"""The benches' own programs (bench-ask, bench-echo …): found beside the measured build, run, and started on a yard."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any, Dict, Iterable, List

WORD_S = 600  # one run of one program, in a sanitizer build too


def program(build: str, name: str) -> str:
    path = os.path.join(build, "bench", "bench-" + name)
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is missing; build it (cmake --build {build})")
    return path


def run(build: str, name: str, *words: Any) -> Dict[str, float]:
    """What the program says, as an object."""
    done = subprocess.run([program(build, name), *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=WORD_S)
    if done.returncode:
        raise OSError(f"bench-{name} {' '.join(map(str, words))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def start(build: str, name: str, *words: Any) -> subprocess.Popen:
    """A program that says "ready", and then goes on."""
    process = subprocess.Popen([program(build, name), *map(str, words)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    if process.stdout.readline().strip() != "ready":
        end(process)
        raise OSError(f"bench-{name} {' '.join(map(str, words))} did not start: {process.stderr.read().strip()}")
    return process


def start_actor(yard: Any, name: str) -> None:
    """An actor of the bench's on a running yard, which stops it with its own."""
    with open(os.path.join(yard.home, name + ".log"), "ab") as log:
        process = subprocess.Popen([program(yard.build, name)], env=yard.environment(), stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)
    process.actor = name  # type: ignore[attr-defined]
    yard.processes.append(process)
    yard.named[name] = process
    yard.ready(name)


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def endpoint(yard: Any) -> str:
    return f"ipc://{yard.run}/command.ipc"


def medians(rounds: Iterable[Dict[str, float]]) -> Dict[str, float]:
    """By name, over all rounds."""
    rows: List[Dict[str, float]] = list(rounds)
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def load_of(say: Any) -> None:
    """A figure of a machine that was busy with something else is another figure."""
    say(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
