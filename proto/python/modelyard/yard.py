# SPDX-License-Identifier: Apache-2.0
"""The yard as a Python object: ask, load, follow, subscribe."""
from __future__ import annotations

import os
import queue
import uuid
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, TYPE_CHECKING

import msgpack
import zmq

from .bus import Bus, split_topic
from .errors import YardError, error
from .paths import run_directory

if TYPE_CHECKING:
    from .load import Model

FOLLOW_CREDIT = 256  # events under way to one follow; half of it is given back at a time
STEP_MS = 100  # how soon an iteration that waits notices Ctrl-C


class Event(NamedTuple):
    """One event. ``lost`` is only set by subscriptions: events of this name are missing before this one."""

    name: str
    subject: str
    body: Dict[str, Any]
    stamp: Dict[str, Any]
    lost: bool = False


def connect(run: Optional[str] = None, *, home: Optional[str] = None, endpoint: Optional[str] = None) -> "Yard":
    """Connects to the yard of a run directory (by default the one of $MODELYARD_RUN, $MODELYARD_HOME …) or an endpoint.

    Raises ``Unreachable`` when none answers."""
    if endpoint is None:
        path = os.path.join(run_directory(run, home), "command.ipc")
        if not os.path.exists(path):
            raise error("unreachable", f"no yard runs at {path}; start one with `modelyard up`, or name its run directory")
        endpoint = "ipc://" + path
    return Yard(Bus(endpoint))


class Yard:
    """A connection to a yard. Leases end with it; close it, or use it in a ``with``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __enter__(self) -> "Yard":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        self._bus.close()

    def ask(self, method: str, body: Optional[Dict[str, Any]] = None, timeout: Optional[float] = 30.0,
            once: Optional[str] = None, ttl_s: Optional[int] = None) -> Any:
        """One ask, its answer as a dict. ``method`` may name a place: ``load.list@loader/box7/cuda:0``.

        ``timeout=None`` waits for ever. After ``Gone`` or ``Timeout`` the outcome is unknown: repeat only with the same
        ``once`` key. A ``wrong_place`` is asked again where it says, once."""
        return self._ask(method, body, timeout=timeout, once=once, ttl_s=ttl_s)

    def _ask(self, method: str, body: Optional[Dict[str, Any]], **options: Any) -> Any:
        try:
            return self._bus.ask(method, body, **options)
        except YardError as failure:
            place = failure.failure.get("place")
            if failure.code != "wrong_place" or not place or "@" in method:
                raise
            return self._bus.ask(f"{method}@{place}", body, **options)

    def follow(self, *prefixes: str, subject: Optional[str] = None, after: Optional[int] = None,
               epoch: Optional[str] = None) -> "Follow":
        """Events in order and without a gap, of names that begin with any of the prefixes (none = all)."""
        return Follow(self._bus, list(prefixes), subject, after, epoch)

    def subscribe(self, *prefixes: str) -> "Subscription":
        """Events as they come, over a SUB socket: a slow reader loses some, and is told so."""
        return Subscription(self.ask("yard.version")["event_endpoint"], list(prefixes) or [""])

    def load(self, key: Optional[str] = None, *, name: Optional[str] = None, base: Optional[str] = None,
             type: Optional[str] = None, submodel: Optional[str] = None, whole: bool = False,
             device: Optional[str] = None, context: Optional[Dict[str, Any]] = None,
             timeout: Optional[float] = None, copy: bool = False, form: Optional[str] = None,
             precision: Optional[str] = None, variant: Optional[str] = None, priority: int = 0) -> "Model":
        """Loads a model, by key or by attributes that fit one, and attaches to its memory: see ``modelyard.load.Model``.

        A main model takes ``submodel`` ("unet", "vae" …) or ``whole=True``. A load takes as long as it takes, unless
        ``timeout`` (in seconds) is given. With ``copy`` its arrays and tensors are private copies, to be written. The rest is as
        ``load.model`` says (proto/MESSAGES.md)."""
        from .load import Model

        body = {"key": key, "name": name, "base": base, "type": type, "submodel": submodel, "device": device,
                "context": context, "form": form, "precision": precision, "variant": variant, "priority": priority or None}
        body = {field: value for field, value in body.items() if value is not None}
        if whole:
            body["whole"] = True
        answer = self._ask("load.model", body, timeout=timeout, late=self._release_late)
        try:
            return Model(self, answer, copy)
        except BaseException:
            self._release_quietly(answer)
            raise

    # --- the rest is for load.py -----------------------------------------------------------------------------------------

    def _release_late(self, answer: Dict[str, Any]) -> None:
        """On the bus's thread: a load that nobody waits for any more came; hand the lease back, do not wait."""
        try:
            self._bus._send_ask(uuid.uuid4().bytes, "load.release@" + answer["place"], {"lease": answer["lease"]}, {})
        except YardError:
            pass  # the connection is closing, and the lease ends with it

    def _release_quietly(self, answer: Dict[str, Any]) -> None:
        try:
            self.ask("load.release@" + answer["place"], {"lease": answer["lease"]}, timeout=5)
        except YardError:
            pass  # it is over already, or ends with this connection


class Follow:
    """An iterator of events, and a context manager that ends it. Raises ``Gone`` when the broker is another since, ``TooOld``
    when this follower fell out of the broker's log: take a snapshot and follow again."""

    def __init__(self, bus: Bus, prefixes: List[str], subject: Optional[str], after: Optional[int],
                 epoch: Optional[str]) -> None:
        self._bus, self._ident = bus, uuid.uuid4().bytes
        self._events: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        self._taken = 0
        body: Dict[str, Any] = {"prefixes": prefixes or [""], "credit": FOLLOW_CREDIT}
        body.update({field: value for field, value in (("subject", subject), ("after", after), ("epoch", epoch))
                     if value is not None})
        start = bus.follow(self._ident, body, self._events)
        #: The broker's life, and the number after which events come.
        self.epoch: str = start["epoch"]
        self.number: int = start["number"]

    def __enter__(self) -> "Follow":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        try:
            self._bus.unfollow(self._ident)
        except YardError:
            pass  # the connection is closed, and the follow with it

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.next(None)
        assert event is not None
        return event

    def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, or None when none came in time (seconds; None waits for ever)."""
        try:
            told = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(told, YardError):
            raise told
        self._taken += 1
        if self._taken == FOLLOW_CREDIT // 2:
            self._bus.credit(self._ident, self._taken)
            self._taken = 0
        topic, body, stamp = told
        self.number = stamp["number"]
        return Event(*split_topic(topic), body, stamp)


class Subscription:
    """An iterator of events over a SUB socket. ``Event.lost`` says that events of that name were lost before this one."""

    def __init__(self, endpoint: str, prefixes: List[str]) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.linger = 0
        self._last: Dict[str, int] = {}
        self._epoch: Optional[str] = None
        # `previous` promises continuity to whoever hears every event of a name, so not to subjects within a name.
        self._whole_names = not any("/" in prefix.rstrip("/") for prefix in prefixes)
        for prefix in prefixes:
            self._socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        self._socket.connect(endpoint)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while True:
            event = self.next(STEP_MS / 1000)
            if event is not None:
                return event

    def next(self, timeout: float) -> Optional[Event]:
        """The next event, or None when none came in time (seconds)."""
        if not self._socket.poll(max(0, int(timeout * 1000))):
            return None
        frames = self._socket.recv_multipart()
        name, subject = split_topic(frames[0].decode())
        stamp, body = msgpack.unpackb(frames[1]), msgpack.unpackb(frames[2])
        return Event(name, subject, body, stamp, self._has_gap(name, stamp))

    def _has_gap(self, name: str, stamp: Dict[str, Any]) -> bool:
        if stamp["epoch"] != self._epoch:
            self._epoch, self._last = stamp["epoch"], {}
        seen, self._last[name] = self._last.get(name), stamp["number"]
        return self._whole_names and seen is not None and stamp["previous"] != seen
