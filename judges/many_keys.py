#!/usr/bin/env python3
"""A wrong key against one key, a thousand, a hundred thousand: does the number of keys show?

What is measured is the processor time of the gate for each request, in rounds that take turns; the
best round counts, because what else the machine does only adds to it.
"""

import hashlib
import socket

from stand import KEY, Gate, Verdict, config

COUNTS, ROUNDS, REQUESTS, BATCH = (1, 1_000, 100_000), 9, 20_000, 100
# Wrong keys of the right length that are like a right one at the beginning, at the end, or nowhere.
WRONG = (KEY[:-1] + "6", "x" + KEY[1:], "z" * len(KEY))


def many(count):
    digests = (hashlib.sha256(b"%d" % at).hexdigest() for at in range(count - 1))
    keys = "".join(f'"sha256:{digest}", ' for digest in digests)
    return config(1, server="workers = 1").replace("keys = [", f"keys = [{keys}", 1)


def cost(gate, key):
    """Microseconds of processor time for each request."""
    request = f"GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n".encode() * BATCH
    before = gate.cpu_seconds()
    with socket.create_connection(("127.0.0.1", gate.port)) as stream:
        answers = stream.makefile("rb")
        for _ in range(REQUESTS // BATCH):
            stream.sendall(request)
            for _ in range(BATCH):
                assert answers.readline().startswith(b"HTTP/1.1 401 ")
                while answers.readline() != b"\r\n":
                    pass
                answers.read(len("Key auth fail"))
    return (gate.cpu_seconds() - before) / REQUESTS * 1e6


def main():
    verdict, times = Verdict(), {}
    with Gate(many(COUNTS[0])) as one, Gate(many(COUNTS[1])) as some, Gate(many(COUNTS[2])) as all:
        for _ in range(ROUNDS):
            for count, gate in zip(COUNTS, (one, some, all)):
                for key in WRONG:
                    times.setdefault((count, key), []).append(cost(gate, key))
    base = min(min(times[COUNTS[0], key]) for key in WRONG)
    for (count, key), costs in times.items():
        best = min(costs)
        verdict.row(f"{count} keys, a wrong one {key[:3]}...{key[-3:]}",
                    f"{best:.2f} us, {best / base:.3f} of that with one key", "<= 1.1",
                    best <= base * 1.1)
    verdict.end()


main()
