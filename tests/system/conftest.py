"""Fixtures of the system tests: real processes, real sockets, real files."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "proto", "python"))
from yard import ROOT, Yard, wait_for  # noqa: E402


@pytest.fixture
def yard():
    """An empty yard; the test starts what it needs: yard.start ("broker", "recorder")."""
    one = Yard()
    try:
        yield one
    except BaseException:
        for process in one.processes:
            print(f"--- {process.actor} ---\n{one.log(process.actor)}")
        raise
    finally:
        one.stop()


@pytest.fixture
def make_yard():
    """Yards with settings: make_yard (**{"jobs.lease_ms": "1000"})."""
    made = []

    def make(**settings):
        made.append(Yard(**settings))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def nginx(tmp_path):
    """A real nginx on a port of its own, serving tmp_path/www; gives an object with .url, .root, .access_log."""
    root = tmp_path / "www"
    root.mkdir()
    work = tmp_path / "nginx"
    work.mkdir()
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = work / "nginx.conf"
    config.write_text(f"""
daemon off; master_process off; pid {work}/pid; error_log {work}/error.log; user root;
events {{ worker_connections 256; }}
http {{
    access_log {work}/access.log; sendfile on; default_type application/octet-stream; etag on;
    client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work}; scgi_temp_path {work};
    server {{ listen 127.0.0.1:{port}; root {root};
        location /slow/ {{ alias {root}/; limit_rate 4m; }}
        location /slower/ {{ alias {root}/; limit_rate 1m; }}
        location /forbidden/ {{ return 401; }} }}
}}""")
    def up():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    class Server:
        """stop () and start () make it go and come back, with what it serves."""
        url = f"http://127.0.0.1:{port}"
        path = root
        access_log = work / "access.log"

        def __init__(self):
            self.start()

        def start(self):
            self.process = subprocess.Popen(["nginx", "-e", str(work / "error.log"), "-c", str(config)], stderr=subprocess.PIPE)
            wait_for(up, what="nginx")

        def stop(self):
            self.process.terminate()
            self.process.wait(10)
            self.process.stderr.close()
    Server.root = root
    one = Server()
    yield one
    one.stop()


@pytest.fixture
def root_dir():
    return ROOT
