"""Steady load and an origin for it, in processes of their own: for judges of what must fail nobody."""

import asyncio
import multiprocessing
import socket
import threading
import time

from stand import KEY, free_port

WRONG_KEY = "k9_00000000000000000000000000000000"
MARK = "X-Load: valid"
PATIENCE = 10.0
SHOWN = 10


def request(key=None, path="/x", lines=""):
    """The bytes of a request; the origin takes only what carries the mark for one that was let through."""
    credential = f"X-API-Key: {key}\r\n" if key else ""
    mark = f"{MARK}\r\n" if key and key != WRONG_KEY else ""
    return f"GET {path} HTTP/1.1\r\nHost: a.test\r\n{credential}{mark}{lines}\r\n".encode()


def ask(stream, wanted):
    """Sends a request; the status, the body and whether the connection ends after it."""
    stream.sendall(wanted)
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += received(stream)
    head = data[:end].lower()
    size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    body = data[end + 4 :]
    while len(body) < size:
        body += received(stream)
    return int(head[9:12]), body, b"\r\nconnection: close" in head


def received(stream):
    data = stream.recv(65536)
    if not data:
        raise ConnectionError("the connection ended before the answer")
    return data


def connect(port, tls=None):
    """A connection; over TLS where there is a context for it."""
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(stream, server_hostname="localhost") if tls else stream


def status(port, wanted, tls=None):
    """The status of a request on a connection of its own; 0 if there is no answer."""
    try:
        with connect(port, tls) as stream:
            return ask(stream, wanted)[0]
    except OSError:
        return 0


class Origin:
    """Answers 200 to everything, and counts what no gate should have let through."""

    def __init__(self):
        self.port = free_port()
        self.requests = multiprocessing.Value("q", 0)
        self.strangers = multiprocessing.Value("q", 0)

    def __enter__(self):
        self.process = multiprocessing.Process(target=self._run, daemon=True)
        self.process.start()
        while not status(self.port, request(KEY)):
            time.sleep(0.01)
        self.requests.value = self.strangers.value = 0
        return self

    def __exit__(self, *_):
        self.process.kill()

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: OriginConnection(self), "127.0.0.1", self.port)
        await server.serve_forever()


class OriginConnection(asyncio.Protocol):
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self, origin):
        self.origin, self.data = origin, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head, self.data = self.data[:end].lower(), self.data[end + 4 :]
            self.origin.requests.value += 1
            self.origin.strangers.value += MARK.lower().encode() not in head
            self.transport.write(self.ANSWER)


class Load:
    """So many requests a second with a key, half of them on connections that are kept, half each on
    a new one; beside them, all the time, requests without a key and with a wrong one."""

    PROCESSES, THREADS = 2, 8

    def __init__(self, port, rate, keyless_rate=200, tls=None):
        # One thread of each process has no key.
        self.port, self.keyless_pace, self.tls = port, self.PROCESSES / keyless_rate, tls
        self.pace = self.PROCESSES * (self.THREADS - 1) / rate
        self.stop = multiprocessing.Event()
        self.results = multiprocessing.Queue()
        self.failed, self.sent, self.refused, self.admitted, self.told = 0, 0, 0, 0, []

    def __enter__(self):
        self.processes = [
            multiprocessing.Process(target=self._run, daemon=True) for _ in range(self.PROCESSES)
        ]
        for process in self.processes:
            process.start()
        self.begun = time.monotonic()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for _ in self.processes:
            sent, failed, refused, admitted, told = self.results.get(timeout=60)
            self.sent += sent
            self.failed += failed
            self.refused += refused
            self.admitted += admitted
            self.told += told
        self.rate = self.sent / (time.monotonic() - self.begun)
        for process in self.processes:
            process.join()

    def judge(self, verdict, rate, what=""):
        """Rows for what it saw, and a line for each of the first failures."""
        for told in self.told:
            print(f"{what}{told}")
        verdict.row(f"{what}requests a second", round(self.rate), f">= {rate}", self.rate >= rate)
        asked = self.sent + self.refused
        verdict.row(f"{what}failed", f"{self.failed} of {asked}", 0, self.failed == 0 < asked)
        keyless = self.refused + self.admitted
        told = f"{self.admitted} of {keyless}"
        verdict.row(f"{what}let in without a key", told, 0, self.admitted == 0 < keyless)

    def _run(self):
        tallies = [Tally() for _ in range(self.THREADS)]
        works = [self._keyless] + [self._kept, self._fresh] * self.THREADS
        threads = [
            threading.Thread(target=work, args=(tally,)) for work, tally in zip(works, tallies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sums = [sum(getattr(tally, name) for tally in tallies) for name in Tally.COUNTS]
        self.results.put((*sums, [line for tally in tallies for line in tally.told][:SHOWN]))

    def _turns(self, pace):
        """Each of its turns, at an even pace; a turn that is late is made up for."""
        turn = time.monotonic()
        while not self.stop.is_set():
            yield
            turn = max(turn + pace, time.monotonic() - 1.0)
            time.sleep(max(0.0, turn - time.monotonic()))

    def _kept(self, tally):
        wanted, stream = request(KEY), None
        for _ in self._turns(self.pace):
            try:
                stream = stream or connect(self.port, self.tls)
                answered, body, ends = ask(stream, wanted)
                tally.valid(answered, body)
                if ends:
                    stream = stream.close()
            except OSError as error:
                tally.fails(f"on a kept connection: {error!r}")
                stream = stream and stream.close()

    def _fresh(self, tally):
        wanted = request(KEY, lines="Connection: close\r\n")
        for _ in self._turns(self.pace):
            try:
                with connect(self.port, self.tls) as stream:
                    tally.valid(*ask(stream, wanted)[:2])
            except OSError as error:
                tally.fails(f"on a new connection: {error!r}")

    def _keyless(self, tally):
        bearer = request(lines=f"Authorization: Bearer {KEY}\r\n")
        wanted = [request(), request(WRONG_KEY), bearer, request(path="/")]
        for turn, _ in enumerate(self._turns(self.keyless_pace)):
            try:
                with connect(self.port, self.tls) as stream:
                    tally.keyless(ask(stream, wanted[turn % len(wanted)])[0])
            except OSError as error:
                tally.fails(f"without a key: {error!r}")


class Tally:
    """What one thread has seen."""

    COUNTS = ("sent", "failed", "refused", "admitted")

    def __init__(self):
        self.sent, self.failed, self.refused, self.admitted, self.told = 0, 0, 0, 0, []

    def valid(self, answered, body):
        self.sent += 1
        if (answered, body) != (200, b"ok"):
            self.fails(f"answered {answered} {body[:60]!r}")

    def keyless(self, answered):
        self.refused += answered == 401
        if answered != 401:
            self.admitted += answered < 400
            self.fails(f"without a key answered {answered}")

    def fails(self, told):
        self.failed += 1
        self.told.append(told)
        del self.told[SHOWN:]
