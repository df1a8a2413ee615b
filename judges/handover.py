#!/usr/bin/env python3
"""Successors under load: a new keygate beside the old one, then SIGTERM to the old one, 20 times.

Does any request fail, refused or reset? `handover.py RATE` changes the rate of 2,000 a second.
`handover.py RATE socket` stops the old one before the new one starts; both are passed a socket that stays
open here, as systemd does it.
"""

import signal
import socket
import sys
import time

from load import Load, Origin
from stand import Gate, Verdict, config, free_port, percentile

RATE = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
BY_SOCKET = sys.argv[2:] == ["socket"]
SUCCESSORS = 20
# Long enough that each serves alone, beside its predecessor, and beside its successor.
ALONE, TOGETHER = 1.0, 0.5


def stop(gate):
    """Stops it, and says with which code and after how long it ended."""
    begun = time.monotonic()
    gate.process.send_signal(signal.SIGTERM)
    return gate.process.wait(40), time.monotonic() - begun


def hand_over(text):
    """Begins with one gate and goes on to the last; their codes and times, panics and leaks."""
    ends, panics, leaks = [], 0, 0
    serving = Gate(text)
    serving.__enter__()
    yield serving
    for _ in range(SUCCESSORS):
        time.sleep(ALONE)
        successor = Gate(text)
        successor.__enter__()
        time.sleep(TOGETHER)
        ends.append(stop(serving))
        panics, leaks = panics + serving.panics(), leaks + serving.leaks()
        serving.__exit__()
        serving = successor
    time.sleep(ALONE)
    yield ends, panics, leaks
    serving.__exit__()


def restart(text, passed):
    """The same, one after the other."""
    ends, panics, leaks = [], 0, 0
    serving = Gate(text, passed=passed)
    serving.__enter__()
    yield serving
    for _ in range(SUCCESSORS):
        time.sleep(ALONE)
        ends.append(stop(serving))
        panics, leaks = panics + serving.panics(), leaks + serving.leaks()
        serving.__exit__()
        serving = Gate(text, passed=passed)
        serving.__enter__()
    time.sleep(ALONE)
    yield ends, panics, leaks
    serving.__exit__()


def main():
    verdict = Verdict()
    with Origin() as origin, socket.create_server(("127.0.0.1", 0), backlog=4096) as passed:
        if BY_SOCKET:
            steps = restart(config(origin.port).replace("127.0.0.1:0", "systemd"), passed)
        else:
            steps = hand_over(config(origin.port).replace("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
        gate = next(steps)
        with Load(gate.port, RATE * 1.1) as load:
            ends, panics, leaks = next(steps)
        next(steps, None)
        load.judge(verdict, RATE)
        verdict.none("requests without a key at the origin", origin.strangers.value)
        codes = [code for code, _ in ends]
        verdict.row("ended with 0", f"{codes.count(0)} of {len(codes)}", "all", not any(codes))
        times = [took for _, took in ends]
        told = f"{percentile(times, 0.5):.2f} s, at most {max(times):.2f} s"
        verdict.row("from SIGTERM to the end", told, "<= 5 s", max(times) <= 5)
        verdict.none("panics, and lines of the log that hold a key", panics + leaks)
    verdict.end()


if __name__ == "__main__":
    main()
