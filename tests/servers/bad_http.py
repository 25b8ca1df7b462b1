#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that misbehaves as its test asks: every path is a behaviour, every request is a line of JSON.

    /<behaviour>[,<behaviour>...]/<size>/<name>     e.g. /short:40000/200000/model.safetensors

The body of a size is always the same bytes (a safetensors-like head, then a counter stream), so tests compute what they must get.
Behaviours, in the order they are applied:

    plain            ignores Range, answers 200
    etag:<x>         ETag "<x>" instead of the default; weak:<x> sends W/"<x>"; notag sends none
    nolength         no Content-Length and no chunks: the connection's end is the body's
    chunked          Transfer-Encoding: chunked
    first:<n>.<b>    the first n requests of this path get behaviour b (colons in b as ~)
    short:<n>        the connection ends after n bytes of each body
    reset:<n>        the same with a RST
    stall:<n>        after n bytes nothing comes any more, the connection stays
    silent           takes the request and never answers
    drip:<n>:<ms>    n bytes, then a wait of ms, and so on
    shift            Content-Range starts one byte later than asked
    total:<n>        Content-Range and Content-Length tell of a file of n bytes
    norange          206 without Content-Range
    cap:<n>          a 206 has at most n bytes
    longer:<n>       n bytes more than promised by Content-Range
    changed:<n>      from the n-th request on: another file of the same size, another ETag
    html             a login page with status 200
    json             an error in JSON with status 200
    gzip             Content-Encoding: gzip
    status:<n>       an empty answer with this status; retry:<s> adds Retry-After: s
    redirect:<url>   302 (url with ~ for : and | for /)
    loop             302 to itself
"""
import argparse
import json
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
counts = {}


def content(size, version=0):
    """Deterministic bytes: 8 bytes of a safetensors length, then a pattern that differs at every 8 bytes."""
    head = struct.pack("<Q", 64)
    block = b"".join(struct.pack("<II", number * 2654435761 & 0xffffffff, version) for number in range(8192))
    body = head + block * (size // len(block) + 1)
    return body[:size]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def note(self, **more):
        with lock:
            self.server.log.write(json.dumps({"port": self.server.server_port, "path": self.path, "range": self.headers.get("Range"),
                                              "if_range": self.headers.get("If-Range"),
                                              "authorization": self.headers.get("Authorization"),
                                              "encoding": self.headers.get("Accept-Encoding"),
                                              "referer": self.headers.get("Referer"), **more}) + "\n")
            self.server.log.flush()

    def do_GET(self):
        self.note()
        with lock:
            number = counts[self.path] = counts.get(self.path, 0) + 1
        words, size, _name = self.path.split("?")[0].strip("/").split("/", 2)
        self.behave(dict((word.split(":", 1) + [""])[:2] for word in words.split(",")), int(size), number)

    def behave(self, how, size, number):
        if "first" in how:
            count, inner = how.pop("first").split(".", 1)
            if number <= int(count):
                word = inner.replace("~", ":").split(":", 1) + [""]
                how[word[0]] = word[1]
        if "silent" in how:
            self.wait()
        elif "redirect" in how or "loop" in how:
            target = self.path if "loop" in how else how["redirect"].replace("~", ":").replace("|", "/")
            self.empty(302, Location=target)
        elif "status" in how:
            self.empty(int(how["status"]), **({"Retry-After": how["retry"]} if "retry" in how else {}))
        elif "html" in how or "json" in how:
            body = b"<!DOCTYPE html><html>Log in</html>" if "html" in how else b'{"error": "Unauthorized"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.serve(how, size, number)

    def empty(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def wait(self):
        """Until the client hangs up."""
        self.close_connection = True
        try:
            self.connection.settimeout(60)
            self.connection.recv(1)
        except OSError:
            pass

    def serve(self, how, size, number):
        changed = "changed" in how and number >= int(how["changed"])
        body = content(size, 1 if changed else 0)
        tag = None if "notag" in how else f'"{how.get("etag", "v")}{"-2" if changed else ""}"'
        if "weak" in how:
            tag = f'W/"{how["weak"]}"'
        asked = self.headers.get("Range")
        wants = self.headers.get("If-Range")
        ranged = asked and "plain" not in how and (wants is None or wants == tag)
        start = int(asked[6:].split("-")[0]) if ranged else 0
        if ranged and start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        end = min(size, start + int(how["cap"])) if ranged and "cap" in how else size
        total = int(how.get("total", size))
        self.send_response(206 if ranged else 200)
        if ranged and "norange" not in how:
            shift = 1 if "shift" in how else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{end - 1}/{total}")
        if tag:
            self.send_header("ETag", tag)
        if "gzip" in how:
            self.send_header("Content-Encoding", "gzip")
        data = body[start:end]
        if "longer" in how:
            data += b"x" * int(how["longer"])
        if "chunked" in how:
            self.send_header("Transfer-Encoding", "chunked")
        elif "nolength" in how:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data) if "total" not in how or ranged else total))
        self.end_headers()
        self.body(how, data)

    def body(self, how, data):
        try:
            if "short" in how or "reset" in how:
                self.wfile.write(data[:int(how.get("short") or how["reset"])])
                self.wfile.flush()
                if "reset" in how:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close() if "reset" in how else None
            elif "stall" in how:
                self.wfile.write(data[:int(how["stall"])])
                self.wfile.flush()
                self.wait()
            elif "drip" in how:
                count, wait = how["drip"].split(":")
                for at in range(0, len(data), int(count)):
                    self.wfile.write(data[at:at + int(count)])
                    self.wfile.flush()
                    threading.Event().wait(int(wait) / 1000)
            elif "chunked" in how:
                for at in range(0, len(data), 10000):
                    piece = data[at:at + 10000]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(data)
                if "nolength" in how:
                    self.close_connection = True
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", required=True, help="requests, as lines of JSON")
    parser.add_argument("--ports", type=int, default=2, help="how many servers: a redirect to another port is to another origin")
    options = parser.parse_args()
    log = open(options.log, "a", encoding="utf-8")
    servers = [Server(("127.0.0.1", 0), Handler) for _ in range(options.ports)]
    for server in servers:
        server.log = log
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(" ".join(str(server.server_port) for server in servers), flush=True)
    sys.stdin.read()  # until whoever started us closes it


if __name__ == "__main__":
    main()
