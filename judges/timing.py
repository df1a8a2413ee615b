#!/usr/bin/env python3
"""A wrong key that is almost right against one that is not at all: does the answer's time differ?

Pairs of requests on one kept-alive connection, in random order within each pair, without a delay.
A last row shows what this judge can see: a key of 4,000 bytes, whose digest takes longer.
`judges/timing.py 1000` sends so many pairs instead of 200,000.
"""

import math
import random
import socket
import statistics
import string
import sys
import time

from stand import KEY, Gate, Verdict, config

PAIRS = 200_000
LETTERS = string.ascii_letters + string.digits


def far():
    return "".join(random.choices(LETTERS, k=len(KEY)))


def near():
    return KEY[:-1] + random.choice(LETTERS.replace(KEY[-1], ""))


def long():
    return far() * (4_000 // len(KEY))


def sent(stream, key):
    """Nanoseconds from the request to the whole answer."""
    request = f"GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n".encode()
    start = time.perf_counter_ns()
    stream.sendall(request)
    answer = stream.recv(4096)
    took = time.perf_counter_ns() - start
    assert answer.startswith(b"HTTP/1.1 401 ") and answer.endswith(b"Key auth fail"), answer
    return took


def measured(port, makers, pairs):
    """The times of both makers' keys."""
    times = ([], [])
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(pairs + 1_000):
            keys = [make() for make in makers]
            for which in random.sample((0, 1), 2):
                took = sent(stream, keys[which])
                # The first ones only warm everything up.
                if number >= 1_000:
                    times[which].append(took)
    return times


def mann_whitney(one, other):
    """The probability of a difference like this, or a greater one, if there is none (two-sided)."""
    values = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks, ties, at = 0.0, 0, 0
    while at < len(values):
        end = at
        while end < len(values) and values[end][0] == values[at][0]:
            end += 1
        ranks += sum(1 for _, which in values[at:end] if which == 0) * (at + 1 + end) / 2
        ties += (end - at) ** 3 - (end - at)
        at = end
    n, m = len(one), len(other)
    total = n + m
    u = ranks - n * (n + 1) / 2
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    return math.erfc(abs(u - n * m / 2) / math.sqrt(2 * variance))


def figures(one, other):
    """The difference of the medians, its standard error (both in nanoseconds), and the probability."""
    def error(times):
        # Of a median: half the width of the middle 2/sqrt(n) of the values.
        ordered, reach = sorted(times), round(math.sqrt(len(times)) / 2)
        middle = len(ordered) // 2
        return (ordered[middle + reach] - ordered[middle - reach]) / 2

    difference = statistics.median(one) - statistics.median(other)
    return difference, math.hypot(error(one), error(other)), mann_whitney(one, other)


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    verdict = Verdict()
    with Gate(config(1, server="workers = 1")) as gate:
        difference, error, chance = figures(*measured(gate.port, (near, far), pairs))
        verdict.row("all but the last character against none",
                    f"{difference:+.0f} ns (+-{error:.0f}), p = {chance:.3f}",
                    "< 100 ns or p > 0.01", abs(difference) < 100 or chance > 0.01)
        difference, error, chance = figures(*measured(gate.port, (long, far), pairs // 10))
        verdict.row("4,000 bytes against 35: is seen",
                    f"{difference:+.0f} ns (+-{error:.0f}), p = {chance:.3f}",
                    "> 100 ns and p < 0.01", difference > 100 and chance < 0.01)
    verdict.end()


main()
