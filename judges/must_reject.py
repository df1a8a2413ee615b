#!/usr/bin/env python3
"""Plays the probes of tests/it/catalogue/probes.txt against keygate, nginx and HAProxy side by side.

Each stands with its defaults in front of an origin that takes everything. A probe is refused where nothing whole
reaches the origin and the client gets no answer below 400. Without nginx or HAProxy those columns are left out.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from recorder import Recorder
from stand import Gate, Verdict, free_port

PROBES = Path(__file__).resolve().parent.parent / "tests" / "it" / "catalogue" / "probes.txt"
# How long a proxy may be silent before it counts as waiting for more, and how long an answer's end may take.
SILENCE, QUIET = 1.5, 0.1
STATUS = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)")

KEYGATE = """
[server]
listen = "127.0.0.1:0"
[upstreams.origin]
addrs = ["127.0.0.1:{origin}"]
[locations.all]
path = "/"
upstream = "origin"
public = true
"""
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{origin}; }} }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend all
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""


def probes():
    """Name, expectation and bytes of each probe."""
    for line in PROBES.read_text().splitlines():
        if line and not line.startswith("#"):
            name, expectation, payload = re.split(r" +", line, maxsplit=2)
            yield name, expectation, unescaped(payload)


def unescaped(text):
    """`\\r`, `\\n`, `\\t`, `\\\\`, `\\xHH`, and `{TEXT x N}` for N times TEXT."""
    text = re.sub(r"\{(.*?) x (\d+)\}", lambda found: found[1] * int(found[2]), text)
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


class Outcome:
    """What came of one probe: final statuses at the client, whole requests and dirt at the origin."""

    def __init__(self, statuses, arrived, dirt):
        self.statuses, self.arrived, self.dirt = statuses, arrived, dirt
        self.is_refused = not arrived and not dirt and all(status >= 400 for status in statuses)
        self.is_double = len(statuses) > 1 or arrived > 1

    def __str__(self):
        return f"{'/'.join(map(str, self.statuses)) or 'none'}, {self.arrived} upstream{' DIRTY' if self.dirt else ''}"


def ask(port, payload):
    """Every final status that a connection gives to these bytes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        with contextlib.suppress(OSError):
            client.sendall(payload)
        patience = SILENCE
        with contextlib.suppress(OSError):
            client.settimeout(patience)
            while data := client.recv(65536):
                received += data
                client.settimeout(QUIET)
    return [int(status) for status in STATUS.findall(received)]


def play(port, origin):
    outcomes = {}
    for name, _, payload in probes():
        before, dirt = len(origin.requests()), len(origin.dirty())
        statuses = ask(port, payload)
        outcomes[name] = Outcome(statuses, len(origin.requests()) - before, len(origin.dirty()) - dirt)
    return outcomes


def judge_keygate(results):
    with Recorder() as origin, Gate(KEYGATE.format(origin=origin.port)) as gate:
        results["keygate"] = play(gate.port, origin)


def judge(name, text, command, results):
    port = free_port()
    with Recorder() as origin, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        config = Path(folder) / "config"
        config.write_text(text.format(port=port, origin=origin.port, folder=folder))
        process = subprocess.Popen([*command, str(config)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_for(port)
            results[name] = play(port, origin)
        finally:
            process.terminate()
            process.wait()


def wait_for(port):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    sys.exit("a proxy does not listen")


def main():
    results = {}
    threads = [threading.Thread(target=judge_keygate, args=(results,))]
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx:
        threads.append(threading.Thread(target=judge, args=("nginx", NGINX, [nginx, "-e", "stderr", "-c"], results)))
    if haproxy := shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin"):
        threads.append(threading.Thread(target=judge, args=("HAProxy", HAPROXY, [haproxy, "-db", "-f"], results)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report(results)


def report(results):
    table = {name: expectation for name, expectation, _ in probes()}
    must = [name for name, expectation in table.items() if expectation in ("must", "cut")]
    verdict = Verdict()
    for proxy, outcomes in sorted(results.items(), key=lambda result: result[0] != "keygate"):
        for name in must:
            if not outcomes[name].is_refused:
                print(f"{proxy} accepts {name}: {outcomes[name]}")
        refused = sum(outcomes[name].is_refused for name in must)
        double = [name for name in table if outcomes[name].is_double]
        dirty = [name for name in table if outcomes[name].dirt]
        own = proxy == "keygate"
        verdict.row(f"{proxy} refuses", f"{refused} of {len(must)}", len(must), refused == len(must) or not own)
        verdict.row(f"{proxy} answers twice", len(double), f"0 of {len(table)}", not double or not own)
        verdict.row(f"{proxy} sends on what is malformed", len(dirty), f"0 of {len(table)}", not dirty or not own)
    for name, expectation in table.items():
        outcome = results["keygate"][name]
        if outcome.is_refused == (expectation == "serves"):
            verdict.row(f"keygate: {name}", outcome, expectation, False)
    verdict.end()


if __name__ == "__main__":
    main()
