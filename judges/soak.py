#!/usr/bin/env python3
"""Mixed traffic for an hour: does memory grow, do descriptors leak, is any answer wrong?

Sixty of a hundred requests carry the key, twenty a wrong one, ten are slow, ten are no HTTP at
all; the origin goes away for three seconds in every twenty-five. `soak.py SECONDS RATE` is shorter
or heavier; growth is then judged over the time that was measured.
"""

import asyncio
import os
import random
import sys
import time

from stand import KEY, Gate, Verdict, config, percentile, slope

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0
RATE = float(sys.argv[2]) if len(sys.argv) > 2 else 150.0
WARM_UP = min(600.0, SECONDS / 6)
UP, DOWN = 22.0, 3.0
# A request that was under way within this time of an outage may have met it.
MARGIN = 0.5
HEADER_TIMEOUT, BODY_TIMEOUT = 5.0, 5.0
# How much later than its time a connection may end: the machine may have other things to do.
LATE = 8.0
BIG = 512 * 1024
# How long this process may be held up before what it was doing is not judged: it may have been too
# slow itself. And how many requests it may be behind before it lets the others be.
STALL, BEHIND = 1.0, 100


class Origin:
    """Answers with what it got; goes away and comes back. Counts what should not have come."""

    def __init__(self):
        self.server, self.port, self.writers = None, 0, set()
        self.outages, self.strangers = [], 0

    async def open(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self.server.sockets[0].getsockname()[1]
        if self.outages:
            self.outages[-1][1] = time.monotonic()

    async def close(self):
        self.outages.append([time.monotonic(), float("inf")])
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    def was_down(self, begun, ended):
        return any(begun < back + MARGIN and gone - MARGIN < ended for gone, back in self.outages)

    async def flap(self):
        while True:
            await asyncio.sleep(UP)
            await self.close()
            await asyncio.sleep(DOWN)
            await self.open()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while await self.answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.strangers += b"x-soak: valid" not in head.lower() or KEY.encode() in head
        fields = fields_of(head)
        method, target, _ = head.split(b" ", 2)
        size = await read_body(reader, fields)
        if method == b"HEAD":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        elif target.startswith(b"/big"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(BIG // 65536):
                writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            body = b"%b %d" % (target, size)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        return True


def fields_of(head):
    lines = head.split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def read_body(reader, fields):
    """Reads a body and says how long it was."""
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        total = 0
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
            total += size
        await reader.readline()
        return total
    length = int(fields.get(b"content-length", 0))
    left = length
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise ConnectionError
        left -= len(piece)
    return length


class Traffic:
    """Everything that is sent, and what came of it."""

    def __init__(self, gate, origin):
        self.gate, self.origin = gate, origin
        self.idle, self.counts, self.wrong, self.delays = [], {}, [], []
        self.stalls = []
        self.serial = 0

    async def watch(self):
        """Notes when this process was held up."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            if (now := time.monotonic()) - before > STALL:
                self.stalls.append((before, now))

    def note(self, kind, outcome, right, begun):
        now = time.monotonic()
        if not right and any(begun - HEADER_TIMEOUT < end and start < now for start, end in self.stalls):
            outcome, right = "not judged", True
        self.counts[kind, outcome] = self.counts.get((kind, outcome), 0) + 1
        if not right:
            self.wrong.append(f"{time.strftime('%T')} {kind}: {outcome}")
            print("wrong:", self.wrong[-1], f"after {time.monotonic() - begun:.3f} s", flush=True)

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.gate.port)

    async def connection(self):
        """One that was kept, if it is still open, or a new one."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer, True
            writer.close()
        return *await self.connect(), False

    def put_back(self, reader, writer, fields):
        if fields.get(b"connection") == b"close" or len(self.idle) > 50 or random.random() < 0.3:
            writer.close()
        else:
            self.idle.append((reader, writer))

    async def exchange(self, request, method=b"GET"):
        """Sends a request on a kept connection and reads the answer; again if it had ended."""
        while True:
            reader, writer, kept = await self.connection()
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                writer.close()
                if kept and not getattr(error, "partial", b""):
                    continue
                raise
            break
        status, fields = int(head.split(b" ", 2)[1]), fields_of(head)
        body = b""
        try:
            if method != b"HEAD":
                body = await self.body(reader, fields)
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            writer.close()
            return status, None
        self.put_back(reader, writer, fields)
        return status, body

    async def body(self, reader, fields):
        if b"content-length" in fields:
            return await reader.readexactly(int(fields[b"content-length"]))
        return b"%d" % await read_body(reader, fields)

    async def valid(self):
        self.serial += 1
        serial = self.serial
        kind = random.choices(("get", "head", "post", "chunked", "big"), (60, 5, 20, 14, 1))[0]
        size = random.randrange(1, 65536) if kind in ("post", "chunked") else 0
        method = {"head": b"HEAD", "post": b"POST", "chunked": b"POST"}.get(kind, b"GET")
        target = b"/%b/%d" % (b"big" if kind == "big" else b"x", serial)
        expected = {"head": b"", "big": b"%d" % BIG}.get(kind, b"%b %d" % (target, size))
        request = valid_head(method, target) + framed(kind, size)
        begun = time.monotonic()
        status, body = await self.exchange(request, method)
        ended = time.monotonic()
        if status == 200 and body == expected:
            self.delays.append(ended - begun)
            return self.note("valid", "200", True, begun)
        outage = self.origin.was_down(begun, ended)
        right = outage and (status == 502 or status == 200 and body is None)
        outcome = f"{status} in an outage" if right else f"{status} {kind} {str(body)[:80]}"
        self.note("valid", outcome, right, begun)

    async def invalid(self):
        key = random.choice((KEY[:-1] + "6", KEY[:-1], KEY + "x", "x", KEY.upper(), ""))
        field = f"X-API-Key: {key}\r\n" * random.choice((1, 1, 1, 2))
        request = f"GET /x/0 HTTP/1.1\r\nHost: a.test\r\n{field}\r\n".encode()
        begun = time.monotonic()
        status, _ = await self.exchange(request)
        self.note("invalid", status, status == 401, begun)

    async def slow(self):
        await random.choice(
            (self.stalled_head, self.trickled_head, self.stalled_body, self.slow_reader, self.leaver)
        )()

    async def ends(self, kind, reader, writer, timeout, statuses):
        """Whether the gate ends a connection in its time, with one of these answers or none."""
        begun = time.monotonic()
        try:
            answer = await asyncio.wait_for(reader.read(), timeout + LATE)
        except ConnectionError:
            answer = b""
        except asyncio.TimeoutError:
            answer = b"HTTP/1.1 open-too-long"
        writer.close()
        status = answer[9:12].decode(errors="replace") or "closed"
        outage = status == "502" and self.origin.was_down(begun, time.monotonic())
        self.note(kind, status, status in statuses or outage, begun)

    async def stalled_head(self):
        reader, writer = await self.connect()
        head = valid_head(b"GET", b"/x/0")
        writer.write(head[: random.randrange(len(head))])
        await self.ends("stalled head", reader, writer, HEADER_TIMEOUT, ("408", "closed"))

    async def stalled_body(self):
        reader, writer = await self.connect()
        head = valid_head(b"POST", b"/x/0")
        writer.write(head + b"Content-Length: 9000\r\n\r\n" + bytes(random.randrange(8000)))
        await self.ends("stalled body", reader, writer, BODY_TIMEOUT, ("408",))

    async def trickled_head(self):
        reader, writer = await self.connect()
        request = valid_head(b"GET", b"/x/7") + b"Connection: close\r\n\r\n"
        for at in range(0, len(request), 8):
            writer.write(request[at : at + 8])
            await asyncio.sleep(0.05)
        await self.ends("trickled head", reader, writer, BODY_TIMEOUT, ("200",))

    async def slow_reader(self):
        reader, writer = await self.connect()
        begun = time.monotonic()
        writer.write(valid_head(b"GET", b"/big/0") + b"Connection: close\r\n\r\n")
        total = 0
        while piece := await reader.read(32768):
            total += len(piece)
            await asyncio.sleep(0.1)
        writer.close()
        outage = self.origin.was_down(begun, time.monotonic())
        self.note("slow reader", "whole" if total > BIG else "cut", total > BIG or outage, begun)

    async def leaver(self):
        _, writer = await self.connect()
        key = random.choice((KEY, "wrong"))
        writer.write(f"GET /big/1 HTTP/1.1\r\nHost: a.test\r\nX-Soak: valid\r\n"
                     f"X-API-Key: {key}\r\n\r\n".encode())
        await asyncio.sleep(random.random() / 5)
        writer.transport.abort()
        self.counts["leaver", "gone"] = self.counts.get(("leaver", "gone"), 0) + 1

    async def garbage(self):
        reader, writer = await self.connect()
        writer.write(garbage())
        if random.random() < 0.5:
            writer.write_eof()
        refusals = ("400", "401", "405", "408", "414", "431", "closed")
        await self.ends("garbage", reader, writer, HEADER_TIMEOUT + LATE, refusals)

    async def one(self, kind):
        begun = time.monotonic()
        try:
            await asyncio.wait_for(getattr(self, kind)(), 60)
        except Exception as error:  # Whatever it is, it is no right outcome outside an outage.
            outage = kind != "invalid" and self.origin.was_down(begun, time.monotonic())
            self.note(kind, f"{type(error).__name__}", outage, begun)


def valid_head(method, target):
    return b"%b %b HTTP/1.1\r\nHost: a.test\r\nX-Soak: valid\r\nX-API-Key: %b\r\n" % (
        method, target, KEY.encode())


def framed(kind, size):
    if kind == "post":
        return b"Content-Length: %d\r\n\r\n" % size + bytes(size)
    if kind == "chunked":
        cut = size // 2
        chunks = [piece for piece in (cut, size - cut) if piece]
        body = b"".join(b"%x\r\n%b\r\n" % (piece, bytes(piece)) for piece in chunks)
        return b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    return b"\r\n"


def garbage():
    """Bytes that no gate may let through: none of them holds a key."""
    host = b"Host: a.test\r\n"
    return random.choice((
        os.urandom(random.randrange(1, 3000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(50),
        b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * random.randrange(90, 3000) + b"\r\n",
        b"GET /" + b"a" * random.randrange(100, 100_000) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/9.9\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
        b"CONNECT a.test:443 HTTP/1.1\r\n" + host + b"\r\n",
    ))


def measured(gate, verdict, samples, traffic, origin, baseline, cpu):
    """Compares everything with its goal."""
    warm = [(at, kib) for at, kib in samples if at >= WARM_UP]
    span = warm[-1][0] - warm[0][0]
    growth = slope(warm) * min(3600.0, span if span < 1800 else 3600.0) / 1024
    over = "an hour" if span >= 1800 else f"{span:.0f} s"
    verdict.row("growth of memory (RSS)", f"{growth:+.3f} MiB in {over}", "< 1 MiB", growth < 1)
    first, last = warm[0][1] / 1024, warm[-1][1] / 1024
    verdict.row("memory", f"{first:.1f} MiB after warm-up, {last:.1f} at the end, "
                f"{gate.peak_kib() / 1024:.1f} at most", "told", True)
    after = gate.descriptors()
    verdict.row("descriptors", f"{after}, {baseline} before", "as before", after <= baseline)
    verdict.row("panics", gate.panics(), 0, gate.panics() == 0 and gate.is_running())
    verdict.row("keys in the logs", gate.leaks(), 0, gate.leaks() == 0)
    verdict.row("requests that reached the origin without the key, or with it",
                origin.strangers, 0, origin.strangers == 0)
    total = sum(traffic.counts.values())
    verdict.row("wrong outcomes", f"{len(traffic.wrong)} of {total}", 0, not traffic.wrong)
    unjudged = sum(count for (_, outcome), count in traffic.counts.items() if outcome == "not judged")
    verdict.row("not judged, because the judge itself was held up", f"{unjudged} of {total}, in "
                f"{len(traffic.stalls)} stalls", "< 1 %", unjudged < total / 100)
    p50, p99 = (percentile(traffic.delays, share) * 1000 for share in (0.5, 0.99))
    verdict.row("valid requests", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", "told", True)
    verdict.row("CPU of the gate", f"{cpu / SECONDS * 100:.1f} % of a core", "told", True)


async def sample(gate, samples, begun):
    while True:
        samples.append((time.monotonic() - begun, gate.rss_kib()))
        if len(samples) % 30 == 0:
            print(f"{samples[-1][0]:6.0f} s  RSS {samples[-1][1]} KiB  "
                  f"descriptors {gate.descriptors()}", flush=True)
        await asyncio.sleep(10 if SECONDS > 600 else 2)


async def drive(traffic):
    """Sends at the given rate until the time is over, then waits for what is under way."""
    under_way, begun = set(), time.monotonic()
    kinds, shares, sent = ("valid", "invalid", "slow", "garbage"), (60, 20, 10, 10), 0
    while (now := time.monotonic() - begun) < SECONDS:
        sent = max(sent, int(now * RATE) - BEHIND)
        while sent < now * RATE:
            sent += 1
            task = asyncio.create_task(traffic.one(random.choices(kinds, shares)[0]))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.sleep(0.01)
    if under_way:
        await asyncio.wait(under_way)


async def judge():
    origin, verdict, samples = Origin(), Verdict(), []
    await origin.open()
    server = (f'client_header_timeout = "{HEADER_TIMEOUT}s"\n'
              f'client_body_timeout = "{BODY_TIMEOUT}s"\n').replace(".0s", "s")
    with Gate(config(origin.port, 'delay = "100ms"', server)) as gate:
        traffic = Traffic(gate, origin)
        await traffic.valid()
        traffic.idle.pop()[1].close() if traffic.idle else None
        await asyncio.sleep(1)
        baseline, cpu = gate.descriptors(), gate.cpu_seconds()
        beside = [asyncio.create_task(sample(gate, samples, time.monotonic())),
                  asyncio.create_task(origin.flap()),
                  asyncio.create_task(traffic.watch())]
        await drive(traffic)
        for task in beside:
            task.cancel()
        cpu = gate.cpu_seconds() - cpu
        while traffic.idle:
            traffic.idle.pop()[1].close()
        for writer in list(origin.writers):
            writer.close()
        end = time.monotonic() + 15
        while gate.descriptors() > baseline and time.monotonic() < end:
            await asyncio.sleep(0.2)
        for (kind, outcome), count in sorted(traffic.counts.items(), key=str):
            print(f"{count:8}  {kind}: {outcome}")
        measured(gate, verdict, samples, traffic, origin, baseline, cpu)
    verdict.end()


asyncio.run(judge())
