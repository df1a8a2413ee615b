#!/usr/bin/env python3
"""Certificates, keys and the configuration, each changed a hundred times in turn under load.

Does any request fail? HTTP/1.1 over TLS on kept and on new connections, and HTTP/2 by ALPN beside it
(`h2load`). `renewals.py RATE` changes the rate of 400 requests a second over HTTP/1.1.
"""

import hashlib
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import Load, Origin, connect, request, status
from stand import KEY, Gate, Verdict, config, percentile

RATE = int(sys.argv[1]) if len(sys.argv) > 1 else 400
ROUNDS = 100
OTHER_KEY = "k3_486ea46224d1bb4fb680f34f7c9ad96a"
OPENED = "/opened/x"
# Of each of the clients of h2load, and how many requests it sends before it connects anew.
H2_RATE, H2_CLIENTS, H2_REQUESTS = 50, 4, 400

TLS = """
[server.tls]
certificates = [{ cert = "site.pem", key = "site.key" }]
"""
KEYS = 'keys_file = "keys.toml"'
BAIT = '[locations.opened]\npath = "/opened/"\nupstream = "origin"\npublic = true\n'


def trusting():
    """Believes every certificate: which one is shown is what this looks at."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certificate(folder, number):
    """A certificate and its key, as text."""
    cert, key = Path(folder) / f"{number}.pem", Path(folder) / f"{number}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", f"/CN=number {number}"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", cert, "-keyout", key]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return cert.read_text(), key.read_text()


def keys(*valid):
    """A keys file of these."""
    records = []
    for number, key in enumerate(valid):
        digest = hashlib.sha256(key.encode()).hexdigest()
        records.append(f'[[key]]\nid = "k{number}"\nhash = "sha256:{digest}"\n')
    return "".join(records)


def h2load(port, stop, seen):
    """Rounds of requests over HTTP/2: how many there were, and what was not 200."""
    command = ["h2load", f"-n{H2_REQUESTS}", f"-c{H2_CLIENTS}", "-m10", f"--rps={H2_RATE}"]
    command += ["-H", f"x-api-key: {KEY}", "-H", "x-load: valid", f"https://127.0.0.1:{port}/x"]
    while not stop.is_set():
        told = subprocess.run(command, capture_output=True, text=True).stdout
        asked = re.search(r"(\d+) total, .*?(\d+) succeeded", told)
        well = re.search(r"status codes: (\d+) 2xx", told)
        is_h2 = "Application protocol: h2" in told
        if not (asked and well and is_h2 and asked[1] == asked[2] == well[1]):
            seen["told"].append(told)
        seen["asked"] += int(asked[1]) if asked else 0


class Changes:
    """What is changed, and how it is seen that it was taken over."""

    def __init__(self, gate, context, good, folder):
        self.gate, self.context, self.good, self.folder = gate, context, good, folder
        self.times = {"certificate": [], "keys": [], "configuration": []}

    def put(self, name, text):
        new = self.gate.path.parent.parent / "new"
        new.write_text(text)
        os.replace(new, self.gate.path.parent / name)

    def shown(self):
        with connect(self.gate.port, self.context) as stream:
            return ssl.DER_cert_to_PEM_cert(stream.getpeercert(binary_form=True))

    def answered(self, wanted):
        return status(self.gate.port, wanted, self.context)

    def certificate(self, number):
        cert, key = certificate(self.folder, number)
        self.put("site.key", key)
        self.put("site.pem", cert)
        return lambda: self.shown() == cert

    def keys(self, number):
        valid = [KEY, OTHER_KEY][: 1 + number % 2]
        self.put("keys.toml", keys(*valid))
        wanted = 200 if OTHER_KEY in valid else 401
        return lambda: self.answered(request(OTHER_KEY)) == wanted

    def configuration(self, number):
        is_open = number % 2 == 1
        self.put("keygate.toml", self.good + BAIT * is_open)
        return lambda: self.answered(request(path=OPENED)) == (200 if is_open else 401)

    def make(self, number):
        for kind, times in self.times.items():
            is_over = getattr(self, kind)(number)
            begun = time.monotonic()
            if number // 2 % 2:
                os.kill(self.gate.pid, signal.SIGHUP)
            while not is_over():
                if time.monotonic() > begun + 20:
                    sys.exit(f"waited in vain until the {kind} {number} is taken over")
                time.sleep(0.01)
            times.append((time.monotonic() - begun) * 1000)


def main():
    verdict, context = Verdict(), trusting()
    with tempfile.TemporaryDirectory() as folder, Origin() as origin:
        good = config(origin.port, server=TLS).replace(f'keys = ["{KEY}"]', KEYS)
        cert, key = certificate(folder, "first")
        files = {"site.pem": cert, "site.key": key, "keys.toml": keys(KEY)}
        with Gate(good, files=files) as gate:
            stop, seen = threading.Event(), {"asked": 0, "told": []}
            beside = threading.Thread(target=h2load, args=(gate.port, stop, seen))
            changes = Changes(gate, context, good, folder)
            with Load(gate.port, RATE * 1.1, 50, context) as load:
                beside.start()
                for number in range(1, ROUNDS + 1):
                    changes.make(number)
                stop.set()
                beside.join()
            load.judge(verdict, RATE, "over HTTP/1.1 with TLS: ")
            for told in seen["told"]:
                print(told)
            told = f"{len(seen['told'])} of {seen['asked']} requests"
            well = seen["asked"] > 0 and not seen["told"]
            verdict.row("over HTTP/2: rounds with a failure", told, 0, well)
            for kind, times in changes.times.items():
                told = f"{len(times)}, median {percentile(times, 0.5):.0f} ms"
                verdict.row(f"{kind}: taken over", told, ROUNDS, len(times) == ROUNDS)
            verdict.none("panics, and lines of the log that hold a key", gate.panics() + gate.leaks())
    verdict.end()


if __name__ == "__main__":
    main()
