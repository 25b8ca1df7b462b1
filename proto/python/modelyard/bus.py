# SPDX-License-Identifier: Apache-2.0
"""The connection to the broker: asks, answers, pings, follows.

One thread of ours owns the socket (ZeroMQ sockets belong to one thread); callers hand it frames and wait. It also answers the
broker's pings while the caller computes, so leases live as long as the process runs Python at all. Code that holds
the interpreter's lock for more than five seconds without pause (no numpy call does) looks dead to the broker, and loses
its leases.
"""
from __future__ import annotations

import collections
import os
import queue
import socket as sockets
import threading
import time
import uuid
from typing import Any, Callable, Deque, Dict, FrozenSet, List, Optional, Tuple

import msgpack
import zmq

from .errors import YardError, error

PROTOCOL = 1
MESSAGE_MAX = 1024 * 1024  # bytes of a frame (ARCHITECTURE 2): the sender refuses
HELLO_S = 5.0  # a broker that lives answers in a millisecond
SILENT_S = 2.0  # no ping for so long: say hello again; it is harmless on a live connection
HELLOS_PER_ASK = 3  # repeats of one ask after hello_first; each is a broker that started in between
CLOSE_MS = 500  # for the last frames to leave

Frames = List[bytes]


class _Ask:
    """One ask on its way, and the caller that waits for it."""

    def __init__(self, ident: bytes, method: str, body: bytes, meta: Dict[str, Any]) -> None:
        self.ident, self.method, self.body, self.meta = ident, method, body, meta
        self.done = threading.Event()
        self.result: Any = None
        self.failure: Optional[YardError] = None
        self.hellos = 0

    def finish(self, result: Any = None, failure: Optional[YardError] = None) -> None:
        self.result, self.failure = result, failure
        self.done.set()


class Bus:
    """A connection that says hello, keeps it alive, and matches answers to asks. Safe to use from several threads."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.epoch: Optional[str] = None
        self._welcomed = threading.Event()
        self._lock = threading.Lock()  # guards _out and _closed, and what the thread must not forget half of: _asks, _follows
        self._out: Deque[Frames] = collections.deque()
        self._closed = False
        self._asks: Dict[bytes, _Ask] = {}  # the thread's own, but for insertion before the frames are handed over
        self._late: Dict[bytes, Callable[[Any], None]] = {}
        self._follows: Dict[bytes, "queue.SimpleQueue[Any]"] = {}
        self._waiting_for_hello: List[_Ask] = []
        self._last_heard = time.monotonic()
        self._wake_in, self._wake_out = sockets.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._context = zmq.Context()
        self._open_socket()
        self._thread = threading.Thread(target=self._run, name="modelyard", daemon=True)
        self._thread.start()
        if not self._welcomed.wait(HELLO_S):
            self.close()
            raise error("unreachable", f"no yard answers at {endpoint}; start one with `modelyard up`")

    # --- for callers -----------------------------------------------------------------------------------------------------

    def ask(self, method: str, body: Optional[Dict[str, Any]] = None, *, timeout: Optional[float] = 30.0,
            once: Optional[str] = None, ttl_s: Optional[int] = None,
            late: Optional[Callable[[Any], None]] = None) -> Any:
        """Asks and waits. ``late`` gets an answer that comes after the timeout, to give back what it grants."""
        meta: Dict[str, Any] = {}
        if timeout is not None:
            meta["deadline_ms"] = max(1, int(timeout * 1000))
        if once is not None:
            meta["once"] = once
        if ttl_s is not None:
            meta["ttl_s"] = ttl_s
        ask = self._send_ask(uuid.uuid4().bytes, method, body, meta)
        try:
            in_time = ask.done.wait(timeout)
        except BaseException:  # Ctrl-C: nobody waits any more
            self._withdraw(ask, late)
            raise
        if not in_time:
            self._withdraw(ask, late)
            raise error("timeout", f"{method} was not answered in {timeout} s; the outcome is unknown")
        if ask.failure is not None:
            raise ask.failure
        return ask.result

    def follow(self, ident: bytes, body: Dict[str, Any], into: "queue.SimpleQueue[Any]") -> Any:
        """Starts a follow whose events, (topic, body, stamp), arrive in ``into``; a YardError in it is its end."""
        with self._lock:
            self._follows[ident] = into
        ask = self._send_ask(ident, "event.follow", body, {})
        if not ask.done.wait(HELLO_S):
            self.unfollow(ident)
            raise error("timeout", "event.follow was not answered; try again")
        if ask.failure is not None:
            self._follows.pop(ident, None)
            raise ask.failure
        return ask.result

    def credit(self, ident: bytes, more: int) -> None:
        self._send([b"YARD1C" + ident, b"", msgpack.packb({"more": more})])

    def unfollow(self, ident: bytes) -> None:
        if self._follows.pop(ident, None) is not None:
            self._send([b"YARD1B" + ident, b"", msgpack.packb({})])

    def close(self) -> None:
        """Says goodbye; open asks end with ``gone``."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._out.append([b"YARD1B", b"", msgpack.packb({"reason": "closed"})])
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(HELLO_S)

    # --- between caller and thread ---------------------------------------------------------------------------------------

    def _send_ask(self, ident: bytes, method: str, body: Optional[Dict[str, Any]], meta: Dict[str, Any]) -> _Ask:
        packed = msgpack.packb(body or {})
        if len(packed) > MESSAGE_MAX:
            raise error("too_large", f"the body of {method} has {len(packed)} bytes, the limit is {MESSAGE_MAX}")
        ask = _Ask(ident, method, packed, meta)
        with self._lock:
            self._asks[ident] = ask
        self._send(self._ask_frames(ask))
        return ask

    def _ask_frames(self, ask: _Ask) -> Frames:
        meta = dict(ask.meta)
        if self.epoch:
            meta["epoch"] = self.epoch
        return [b"YARD1A" + ask.ident, ask.method.encode(), ask.body, msgpack.packb(meta)]

    def _withdraw(self, ask: _Ask, late: Optional[Callable[[Any], None]]) -> None:
        if late is not None:
            self._late[ask.ident] = late
        self._asks.pop(ask.ident, None)
        self._send([b"YARD1B" + ask.ident, b"", msgpack.packb({})])

    def _send(self, frames: Frames) -> None:
        with self._lock:
            if self._closed:
                raise error("gone", "this connection is closed; connect again")
            self._out.append(frames)
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:
            pass  # it is awake already, or has ended

    # --- the thread ------------------------------------------------------------------------------------------------------

    def _open_socket(self) -> None:
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = CLOSE_MS
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_MAX)
        self._socket.connect(self.endpoint)
        self._instance = uuid.uuid4().hex
        self._say_hello()

    def _say_hello(self) -> None:
        self._last_heard = time.monotonic()
        hello = [b"YARD1H", b"", msgpack.packb({
            "actor": "client", "place": "client/" + self._instance, "instance": self._instance,
            "node": os.uname().nodename[:64] or "unknown", "methods": [], "protocol": PROTOCOL, "pid": os.getpid()})]
        with self._lock:
            if self._out and self._out[0][0] == b"YARD1H":
                self._out.popleft()  # the last one is still waiting for a broker
            self._out.appendleft(hello)

    def _run(self) -> None:
        try:
            while True:
                more = self._flush()
                if self._closed and not more:
                    break
                poller = zmq.Poller()
                poller.register(self._wake_out.fileno(), zmq.POLLIN)
                poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if more else 0))
                poller.poll(int(SILENT_S * 250))
                try:
                    self._wake_out.recv(4096)
                except BlockingIOError:
                    pass
                self._receive()
                if time.monotonic() - self._last_heard > SILENT_S:
                    self._say_hello()
        finally:
            self._end()

    def _flush(self) -> bool:
        """Sends what waits; true when the socket takes no more now (no broker, or a full one)."""
        while True:
            with self._lock:
                if not self._out:
                    return False
                frames = self._out.popleft()
            try:
                self._socket.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                with self._lock:
                    self._out.appendleft(frames)
                    return not self._closed  # a goodbye that nobody hears is none

    def _receive(self) -> None:
        # Asked before each message: libzmq then learns of a connection's end between two of them. In the middle of one it aborts.
        while self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) >= 3 and frames[0][:5] == b"YARD1":
                try:
                    self._take(frames)
                except (ValueError, KeyError, TypeError, msgpack.UnpackException):
                    continue  # not of this protocol: as if it had not come

    def _take(self, frames: Frames) -> None:
        letter, ident = frames[0][5:6], frames[0][6:]
        self._last_heard = time.monotonic()
        if letter == b"P":
            with self._lock:
                self._out.append([b"YARD1O", b"", msgpack.packb({"open_asks": len(self._asks)})])
        elif letter == b"W":
            self._on_welcome(msgpack.unpackb(frames[2]))
        elif letter == b"E":
            into = self._follows.get(ident)
            if into is not None:
                into.put((frames[1].decode(), msgpack.unpackb(frames[2]), msgpack.unpackb(frames[3])))
        elif letter == b"R":
            self._on_reply(ident, msgpack.unpackb(frames[2]))
        elif letter == b"F":
            self._on_failure(ident, msgpack.unpackb(frames[2]))

    def _on_welcome(self, welcome: Dict[str, Any]) -> None:
        epoch = welcome["epoch"]
        if self.epoch is not None and epoch != self.epoch:
            self._forget_everything("the broker is another since; what was open there is lost",
                                    but=frozenset(ask.ident for ask in self._waiting_for_hello))
        elif welcome.get("moved"):
            self._withdraw_everything()  # some may have left behind the hello: nobody will wait for those either
            self._forget_everything("the connection to the broker ended; what was open on it is lost")
        self.epoch = epoch
        self._welcomed.set()
        waiting, self._waiting_for_hello = self._waiting_for_hello, []
        for ask in waiting:
            with self._lock:
                self._asks[ask.ident] = ask
                self._out.append(self._ask_frames(ask))

    def _on_reply(self, ident: bytes, body: Any) -> None:
        ask = self._asks.pop(ident, None)
        if ask is not None:
            ask.finish(result=body)
            return
        late = self._late.pop(ident, None)
        if late is not None:
            late(body)

    def _on_failure(self, ident: bytes, body: Dict[str, Any]) -> None:
        failure = error(body["code"], body.get("text", ""), body)
        self._late.pop(ident, None)
        ask = self._asks.pop(ident, None)
        if ask is None:
            into = self._follows.pop(ident, None)
            if into is not None:
                into.put(failure)
            elif not ident and failure.code == "gone":
                self._start_anew(failure)
            elif not ident and failure.code == "hello_first":
                self._say_hello()
        elif failure.code == "hello_first" and ask.hellos < HELLOS_PER_ASK:
            ask.hellos += 1
            self._waiting_for_hello.append(ask)
            self._say_hello()
        else:
            ask.finish(failure=failure)

    def _start_anew(self, failure: YardError) -> None:
        """The broker took us for dead: everything we held is gone, and only a new instance may come in."""
        self._forget_everything(failure.text)
        self._socket.close(0)
        self.epoch = None
        self._open_socket()

    def _withdraw_everything(self) -> None:
        with self._lock:
            self._out.extend([b"YARD1B" + ident, b"", msgpack.packb({})] for ident in (*self._asks, *self._follows))

    def _forget_everything(self, why: str, but: FrozenSet[bytes] = frozenset()) -> None:
        """Ends what is open, ``but`` follows whose asks have not reached any broker yet."""
        with self._lock:
            asks, self._asks = list(self._asks.values()), {}
            follows = [into for ident, into in self._follows.items() if ident not in but]
            self._follows = {ident: into for ident, into in self._follows.items() if ident in but}
        self._late.clear()
        for ask in asks:
            ask.finish(failure=error("gone", f"{why}; the outcome of {ask.method} is unknown"))
        for into in follows:
            into.put(error("gone", f"{why}; follow again"))

    def _end(self) -> None:
        with self._lock:
            self._closed = True
        self._forget_everything("this connection is closed")
        for ask in self._waiting_for_hello:
            ask.finish(failure=error("gone", "this connection is closed"))
        self._socket.close(CLOSE_MS)
        self._context.term()
        self._wake_in.close()
        self._wake_out.close()


def split_topic(topic: str) -> Tuple[str, str]:
    """The event's name and its subject, from "name/subject/"."""
    name, _, subject = topic.partition("/")
    return name, subject[:-1] if subject.endswith("/") else subject
