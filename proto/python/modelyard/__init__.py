# SPDX-License-Identifier: Apache-2.0
"""The Python client of modelyard.

    import modelyard
    with modelyard.connect () as yard:
        with yard.load (name="my-lora") as model:
            print (model ["some.weight"].shape)

Needs Debian's python3-zmq and python3-msgpack; tensors need numpy. Everything is a context manager; failures are exceptions
named after the yard's words (``modelyard.UnknownModel``), all of them ``modelyard.YardError``.
"""
from __future__ import annotations

from . import errors
from .errors import *  # noqa: F401,F403 - the classes of errors.py, by name
from .yard import Event, Follow, Subscription, Yard, connect

__version__ = "0.1.0"
__all__ = ["connect", "Yard", "Event", "Follow", "Subscription", "__version__", *errors.__all__]
