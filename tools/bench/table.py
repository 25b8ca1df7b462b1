# SPDX-License-Identifier: Apache-2.0
"""How every bench says what it measured: a table for people, or with --json one object a line.

    rows = [row ("load 1 GiB, p50", "ms", 3.1, "safetensors load_file", 1.2, goal="< 10")]
    finish (rows, json_lines=args.json)
"""
from __future__ import annotations

import json
import operator
import sys
from typing import Any, Dict, List, Optional

GOALS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
COLUMNS = ("what", "unit", "ours", "peer_name", "peer", "ratio", "goal", "met")


def row(what: str, unit: str, ours: float, peer_name: Optional[str] = None, peer: Optional[float] = None,
        goal: Optional[str] = None, ratio: Optional[float] = None) -> Dict[str, Any]:
    """``goal`` is a comparison of ours: "< 10", or of ratio: "<= 1.3x". ratio is ours / peer: below 1 we take less; of paired
    rounds (``rounds``) it is the median of theirs, and given."""
    met = None
    ratio = round(ratio or ours / peer, 3) if peer else None
    if goal is not None:
        sign, number = goal.split()
        met = GOALS[sign](ratio if number.endswith("x") else ours, float(number.rstrip("x")))
    return {"what": what, "unit": unit, "ours": round(ours, 4), "peer_name": peer_name,
            "peer": None if peer is None else round(peer, 4), "ratio": ratio, "goal": goal, "met": met}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def finish(rows: List[Dict[str, Any]], json_lines: bool) -> None:
    """Prints the rows and exits: 0 when every goal is met, else 1."""
    if json_lines:
        for one in rows:
            print(json.dumps({column: one[column] for column in COLUMNS}))
    else:
        cells = [COLUMNS] + [tuple(_text(one[column]) for column in COLUMNS) for one in rows]
        widths = [max(len(line[at]) for line in cells) for at in range(len(COLUMNS))]
        for line in cells:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    sys.exit(0 if all(one["met"] is not False for one in rows) else 1)


def say(sentence: str) -> None:
    """A remark beside the figures: on stderr, so that --json stays clean."""
    print(sentence, file=sys.stderr)
