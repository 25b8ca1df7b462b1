# SPDX-License-Identifier: Apache-2.0
"""load.spread on simulated GPUs: how long until each of eight has all of a model, beside what their links leave possible.

A gather of S bytes over n devices takes S (n - 1) / n / link; the slower of that and of reading S once is the bound. What no
loader can overlap, the first chunk's way to the devices (8 MiB each, over links of the same speed), is taken off first. The
figure is of the phases read and gather, of the slowest device: before them the simulation writes all of its memory once, when it
is allocated (phase prepare), which takes longer than the rest and is nothing that hardware does. The whole ask is told beside it.
"""
from __future__ import annotations

import os
import statistics
import time
from typing import Any, Callable, Dict, List

import model_files
import modelyard
import page_cache
import rounds
import simulation
import table

MIB = 1 << 20
DEVICES, LINK = 8, 100  # MB/s, of each device: to it, and from device to device
FULL = {"model": 256 * MIB, "rounds": 9}
QUICK = {"model": 32 * MIB, "rounds": 1}
CHUNK = 8 * MIB  # of one device (read.h)
SPARE = 1024 * MIB  # what the loader sets aside for NCCL's own buffers, and rounding
EXCHANGE = ("read", "gather")  # phases of the loaders' answers
GOAL = "<= 1.15x"
SPREAD_S = 120


def spread(client: Any, places: Dict[str, str], key: str, path: str, whole: List[float]) -> float:
    """Seconds of the exchange, cold; those of the ask go to ``whole``. Afterwards nothing of it is left on any device."""
    page_cache.drop(path)
    start = time.perf_counter()
    answer = client.ask(f"load.spread@{places['cuda:0']}", {"key": key, "devices": list(places)}, timeout=SPREAD_S)
    whole.append(time.perf_counter() - start)
    ways = {row["device"]: row["way"] for row in answer["devices"]}
    if answer["fallback"] or set(ways.values()) != {"gathered"}:
        raise OSError(f"this was no gather: {ways}, {answer.get('fallback_reason') or answer['devices']}")
    for row in answer["devices"]:
        client.ask(f"load.release@{row['place']}", {"lease": row["load"]["lease"]})
    for place in places.values():
        model_files.evict(client, key, place)
    return max(sum(phase["us"] for phase in row["load"]["phases"] if phase["name"] in EXCHANGE)
               for row in answer["devices"]) / 1e6


def measure(yard: Any, client: Any, folder: str, number: int, read: Callable[[str], float], quick: bool) -> List[Dict[str, Any]]:
    """``read``: MB/s of the reader alone."""
    size = QUICK if quick else FULL
    path = model_files.filled(yard, "spread", size["model"])
    key = model_files.add(yard, client, path, number)
    devices = simulation.Simulation(yard, folder, DEVICES, size["model"] + SPARE)
    for at in range(DEVICES):
        devices.start(at, SIMCUDA_LINK_MB=str(LINK), SIMNCCL_LINK_MB=str(LINK))
    places = {device: model_files.place_of(client, device) for device in (f"cuda:{at}" for at in range(DEVICES))}
    total, chunk = os.stat(path).st_size, CHUNK / LINK / 1e6
    gather = total * (DEVICES - 1) / DEVICES / LINK / 1e6
    try:
        spread(client, places, key, path, [])  # rings are made and pinned with the first load
    except modelyard.NotServed as cause:
        table.say(f"there is no figure of spreads: {cause}")
        return []
    whole: List[float] = []
    found = rounds.measure({"ours": lambda: spread(client, places, key, path, whole) - chunk,
                            "bound": lambda: max(gather, total / read(path) / 1e6)}, size["rounds"])
    what = f"{DEVICES} simulated GPUs: cold, spread of {size['model'] // MIB} MiB, links of {LINK} MB/s"
    table.say(f"spread, less one chunk's {chunk:.3f} s: {rounds.spread(found)} s; a gather takes {gather:.3f} s")
    for at in range(DEVICES):
        devices.stop(at)
    devices.check()
    os.unlink(path)
    return [rounds.row(f"{what}, less one chunk", "s", found, "ours", "bound", GOAL, "the slower of gather and reader alone"),
            table.row(f"{what}, the whole ask", "s", statistics.median(whole))]
