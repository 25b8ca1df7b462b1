# SPDX-License-Identifier: Apache-2.0
"""Rounds in pairs: each way once a round, in turning order, so that what else the machine does touches all alike.

    found = measure ({"ours": load, "peer": read}, 9)      # the second round begins with the peer
    found ["ours"], ratio (found, "ours", "peer")          # nine figures; the median of nine ratios
"""
from __future__ import annotations

import statistics
from typing import Callable, Dict, List, Optional

import table

Found = Dict[str, List[float]]


def measure(ways: Dict[str, Callable[[], float]], count: int) -> Found:
    found: Found = {name: [] for name in ways}
    order = list(ways)
    for _ in range(count):
        for name in order:
            found[name].append(ways[name]())
        order.reverse()
    return found


def ratio(found: Found, ours: str, peer: str) -> float:
    """Of the figures of one round each: a machine that was slow for a while was so to both."""
    return statistics.median(one / other for one, other in zip(found[ours], found[peer]))


def row(what: str, unit: str, found: Found, ours: str, peer: Optional[str], goal: Optional[str] = None,
        peer_name: Optional[str] = None) -> Dict[str, object]:
    """A row of the table, of medians; without a peer among what was found, a goal of the ratio falls away."""
    middle = statistics.median(found[ours])
    if peer is None or peer not in found:
        return table.row(what, unit, middle, goal=None if goal is None or goal.endswith("x") else goal)
    return table.row(what, unit, middle, peer_name or peer, statistics.median(found[peer]), goal, ratio(found, ours, peer))


def spread(found: Found) -> str:
    """The least and the most of each, for a remark."""
    return "; ".join(f"{name} {min(all_):.4g} to {max(all_):.4g}" for name, all_ in found.items())
