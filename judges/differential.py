#!/usr/bin/env python3
"""Sends mutated requests through keygate, and asks two other parsers what arrived and what should have.

    judges/differential.py [COUNT [SEED [FIRST]]]

For every mutation it is checked that each parser sees, in the bytes that reached the origin, the same whole requests;
that these are as many as keygate answered with the origin's answer, in the same order; and that keygate took nothing
that a parser reads otherwise in the bytes that the client sent: method, target and body are the same.
"""

import asyncio
import collections
import os
import re
import subprocess
import sys
import time
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent / "target" / "judges-venv"
CANNOT_FETCH = 3

try:
    import h11  # noqa: F401
except ModuleNotFoundError:
    # Once: an environment of its own, with the one package that this needs.
    python = VENV / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "h11==0.16.0"], check=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"h11 cannot be fetched: {error}", file=sys.stderr)
        sys.exit(CANNOT_FETCH)
    os.execv(python, [python, *sys.argv])

import recorder
from mutations import mutation
from parsers import Llhttp, agrees, by_h11, for_llhttp
from stand import Gate, Verdict, config

BATCH = 2_000
AT_ONCE = 256
# Nobody answers the gate's patience: what is cut off is given up soon.
SERVER = 'client_header_timeout = "1s"\nclient_body_timeout = "1s"\nkeepalive_timeout = "1s"\n'
TAG = re.compile(rb"(?i)\r\nx-seen: (\d+)\.(\d+)\r\n")
ABSOLUTE = re.compile(rb"(?i)https?://[^/?#]*")


class Upstream(asyncio.Protocol):
    """A connection to the origin: everything that comes, and an answer to each whole request that names it."""

    def __init__(self, origin):
        self.origin, self.raw, self.pending, self.count, self.invited = origin, b"", b"", 0, False
        self.number = len(origin)
        origin.append(self)

    def connection_made(self, transport):
        self.transport, self.open = transport, True

    def connection_lost(self, _error):
        self.open = False

    def data_received(self, data):
        self.raw += data
        self.pending += data
        try:
            if not self.invited and recorder.expects(self.pending):
                self.invited = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            while read := recorder.parse(self.pending):
                self.pending, self.invited = read[1], False
                self.transport.write(f"HTTP/1.1 200 OK\r\nX-Seen: {self.number}.{self.count}\r\nContent-Length: 0\r\n\r\n".encode())
                self.count += 1
        except recorder.Dirty:
            self.transport.close()


class Client(asyncio.Protocol):
    """Sends what it has and keeps what comes until the gate ends the connection."""

    def __init__(self, sent, ended):
        self.sent, self.ended, self.received = sent, ended, b""

    def connection_made(self, transport):
        transport.write(self.sent)

    def data_received(self, data):
        self.received += data

    def connection_lost(self, _error):
        if not self.ended.done():
            self.ended.set_result(self.received)


def address(number):
    """Each mutation comes from an address of its own, which keygate tells the origin."""
    return f"127.{1 + (number >> 16) % 250}.{(number >> 8) & 255}.{number & 255}"


async def send(port, number, sent, results):
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    await loop.create_connection(lambda: Client(sent, ended), "127.0.0.1", port, local_addr=(address(number), 0))
    results[number] = await asyncio.wait_for(ended, 30)


async def batch(port, numbers, seed):
    """What was sent and received for each mutation."""
    sent = {number: mutation(seed, number) for number in numbers}
    results, waiting = {}, iter(numbers)

    async def worker():
        for number in waiting:
            await send(port, number, sent[number], results)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return sent, results


def answers(received):
    """Every final response: its status and which of the origin's answers it is."""
    found, rest = [], received
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if not end or not status:
            return found, False
        if status[1].startswith(b"1"):
            continue
        tag = TAG.search(head + b"\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        # An answer of keygate's own to HEAD has a length and no body.
        if length and not rest.startswith(b"HTTP/1."):
            rest = rest[int(length[1]) :]
        found.append((int(status[1]), tag and (int(tag[1]), int(tag[2]))))
    return found, True


class Judge:
    """Compares, and keeps every disagreement."""

    def __init__(self, llhttp):
        self.llhttp, self.wrong, self.accepted = llhttp, [], 0
        self.kinds, self.statuses = collections.Counter(), collections.Counter()

    def note(self, kind, number, *told):
        self.kinds[kind] += 1
        if self.kinds[kind] <= 20:
            self.wrong.append(f"{kind}: {number}: {' '.join(map(repr, told))}")

    def read(self, streams):
        """What h11 reads in each stream, and for each of its requests whether llhttp reads the same."""
        readings = [by_h11(stream) for stream in streams]
        pieces = [for_llhttp(*one) for reading in readings for one in zip(reading.requests, reading.pieces)]
        found = iter(self.llhttp.read(pieces))
        return [(reading, [agrees(request, next(found)) for request in reading.requests]) for reading in readings]

    def arrived(self, upstreams):
        """The whole requests on the origin's connections, by their tags."""
        requests = {}
        for upstream, (reading, agreed) in zip(upstreams, self.read([upstream.raw for upstream in upstreams])):
            if upstream.count != len(reading.requests):
                self.note("h11 counts other requests upstream", upstream.number, upstream.raw, reading.error)
            if not all(agreed):
                self.note("h11 and llhttp disagree upstream", upstream.number, upstream.raw)
            if reading.error not in (None, "cut off"):
                self.note("what is upstream is no request", upstream.number, upstream.raw, reading.error)
            requests |= {(upstream.number, index): request for index, request in enumerate(reading.requests)}
        return requests

    def check(self, numbers, sent, received, found):
        by_client = collections.defaultdict(list)
        for tag, request in found.items():
            by_client[dict(request.fields).get(b"x-forwarded-for")].append(tag)
        for number, (reading, agreed) in zip(numbers, self.read([sent[number] for number in numbers])):
            responses, is_whole = answers(received[number])
            self.statuses.update(status for status, _ in responses)
            tags = [tag for _, tag in responses if tag]
            mine = by_client.pop(address(number).encode(), [])
            self.accepted += len(mine)
            if not is_whole:
                self.note("an answer is cut off", number, sent[number], received[number])
            elif sorted(tags) != sorted(mine) or len(set(tags)) != len(tags):
                self.note("answers and requests differ", number, sent[number], received[number], [found[tag] for tag in mine])
            else:
                self.taken(number, sent[number], responses, found, reading, agreed)
        for client, tags in by_client.items():
            self.note("nobody sent this", client, [found[tag] for tag in tags])

    def taken(self, number, sent, responses, found, reading, agreed):
        """Whether what keygate took is what both parsers read in the client's bytes."""
        for index, (_, tag) in enumerate(responses):
            if not tag:
                continue
            request = found[tag]
            if index >= len(reading.requests):
                self.note("keygate takes what h11 does not", number, sent, request, reading.error)
                return
            one = reading.requests[index]
            if (one.method, path(one.target), one.body) != (request.method, request.target, request.body):
                self.note("keygate and h11 disagree", number, sent, request, one)
            elif not agreed[index]:
                self.note("keygate takes what llhttp does not", number, sent, request)
            names = [name for name, _ in one.fields]
            if b"content-length" in names and b"transfer-encoding" in names and index + 1 < len(responses):
                self.note("a length beside a coding did not end the connection", number, sent)


def path(target):
    """The target as it is sent on: without a scheme and a host."""
    found = ABSOLUTE.match(target)
    rest = target[found.end() :] if found else target
    return rest if rest.startswith((b"/", b"*")) else b"/" + rest


async def run(count, seed, first, judge):
    origin = []
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(origin), "127.0.0.1", 0, backlog=1024)
    with Gate(config(server.sockets[0].getsockname()[1], server=SERVER), stdout=subprocess.DEVNULL) as gate:
        start = time.monotonic()
        for begin in range(first, first + count, BATCH):
            numbers = range(begin, min(begin + BATCH, first + count))
            sent, received = await batch(gate.port, numbers, seed)
            await at_rest(origin)
            judge.check(numbers, sent, received, judge.arrived(origin))
            for upstream in origin:
                upstream.transport.close()
            origin.clear()
            if sys.stderr.isatty():
                print(f"\r{numbers.stop - first} of {count}", end="", file=sys.stderr)
        return time.monotonic() - start, gate.is_running(), gate.panics()


async def at_rest(origin):
    """Waits until nothing is half sent: what breaks off ends its connection."""
    end = time.monotonic() + 5
    await asyncio.sleep(0.05)
    while any(upstream.open and upstream.pending for upstream in origin) and time.monotonic() < end:
        await asyncio.sleep(0.01)


def main():
    count, seed, first = (int(value) for value in (sys.argv[1:] + ["20000", "1", "0"][len(sys.argv) - 1 :]))
    with Llhttp() as llhttp:
        judge = Judge(llhttp)
        took, runs, panics = asyncio.run(run(count, seed, first, judge))
    for wrong in judge.wrong:
        print(wrong)
    verdict = Verdict()
    print(f"seed {seed}, mutations {first} to {first + count - 1}, {took:.0f} s; answers: {dict(sorted(judge.statuses.items()))}")
    verdict.row("mutations", count, count, True)
    verdict.row("requests that reached the origin", judge.accepted, "> a fifth of them", judge.accepted > count / 5)
    verdict.row("disagreements", dict(judge.kinds) or 0, 0, not judge.kinds)
    verdict.row("keygate runs, panics", f"{runs}, {panics}", "True, 0", runs and not panics)
    verdict.end()


if __name__ == "__main__":
    main()
