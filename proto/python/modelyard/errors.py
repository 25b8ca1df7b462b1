# SPDX-License-Identifier: Apache-2.0
"""Failures of the yard as exceptions: one class for each word of errors.def, all of them YardError.

``except modelyard.UnknownModel`` catches one kind, ``except modelyard.YardError`` all. The sentence says the next step.
"""
from __future__ import annotations

from typing import Any, Dict, Optional, Type

#: The words of actors/ground/errors.def; a test keeps the two lists equal.
WORDS = (
    "not_served busy forbidden hello_first taken gone timeout bad_frame unknown_method invalid_message too_large too_old "
    "wrong_place conflict cancelled unreachable "
    "unknown_model duplicate_model invalid_model_config ambiguous_model wrong_store store_failed store_read_only "
    "unknown_job stale_token too_late "
    "invalid_source forbidden_address not_authorised not_found http_failed network_failed stalled source_changed integrity "
    "disk_full disk_failed file_locked "
    "invalid_file ambiguous probe_crashed "
    "model_not_found no_submodel submodel_needed unknown_lease not_local out_of_memory device_lost "
    "not_implemented invalid_config internal"
).split()


class YardError(Exception):
    """A failure that the yard named: ``code`` is its word, ``text`` its sentence, ``failure`` the whole message."""

    def __init__(self, code: str, text: str, failure: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.failure: Dict[str, Any] = failure or {"code": code, "text": text}


def _class_name(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))


def _make(word: str) -> Type[YardError]:
    bases = (YardError, TimeoutError) if word == "timeout" else (YardError,)
    return type(_class_name(word), bases, {"__doc__": f"The failure ``{word}``.", "__module__": __name__})


CLASSES: Dict[str, Type[YardError]] = {word: _make(word) for word in WORDS}
globals().update({cls.__name__: cls for cls in CLASSES.values()})
__all__ = ["YardError", "error", *sorted(cls.__name__ for cls in CLASSES.values())]


def error(code: str, text: str, failure: Optional[Dict[str, Any]] = None) -> YardError:
    """The exception of a word; of a word from a later version, plain YardError."""
    return CLASSES.get(code, YardError)(code, text, failure)
