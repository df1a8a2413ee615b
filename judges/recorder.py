"""An origin that keeps every byte and answers every request, read strictly and independently of any library."""

import re
import socketserver
import threading

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.[01]")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t \x21-\x7e\x80-\xff]*?)[ \t]*")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Dirty(Exception):
    """Bytes that are no request of RFC 9112, read without any leniency."""


def parse(data):
    """The first request of the bytes and what is left of them; None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    start, *lines = data[:end].split(b"\r\n")
    line = LINE.fullmatch(start)
    fields = [FIELD.fullmatch(one) for one in lines]
    if not line or not all(fields):
        raise Dirty(data[:end])
    fields = [(field[1].lower(), field[2]) for field in fields]
    framed = body(data[end + 4 :], fields)
    if framed is None:
        return None
    return (line[1], line[2], fields, framed[0]), framed[1]


def body(data, fields):
    """The body and what follows it; None while it is not whole."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise Dirty(b"framed twice")
    if lengths and not lengths[0].isdigit() or codings and codings[0].lower() != b"chunked":
        raise Dirty(b"framed oddly")
    if codings:
        return chunks(data)
    length = int(lengths[0]) if lengths else 0
    return (data[:length], data[length:]) if len(data) >= length else None


def chunks(data):
    whole = b""
    while True:
        head = CHUNK.match(data)
        if not head:
            if b"\r\n" in data or len(data) > 18:
                raise Dirty(data[:40])
            return None
        size, data = int(head[1], 16), data[head.end() :]
        if size == 0:
            return trailers(data, whole)
        if len(data) < size + 2:
            return None
        if data[size : size + 2] != b"\r\n":
            raise Dirty(data[size : size + 2])
        whole, data = whole + data[:size], data[size + 2 :]


def trailers(data, whole):
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            return None
        if not line:
            return whole, data
        if not FIELD.fullmatch(line):
            raise Dirty(line)


def expects(data):
    """Whether the sender of a head waits to be asked for the body."""
    head, found, body = data.partition(b"\r\n\r\n")
    return found and not body and re.search(rb"\nexpect:[ \t]*100-continue", head, re.I)


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        kept = Kept()
        self.server.owner.connections.append(kept)
        pending, invited = b"", False
        while data := self.receive():
            kept.raw += data
            pending += data
            try:
                if not invited and expects(pending):
                    self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    invited = True
                while read := parse(pending):
                    invited = False
                    request, pending = read
                    kept.requests.append(request)
                    self.request.sendall(ANSWER if request[0] == b"HEAD" else ANSWER + b"ok")
            except Dirty as dirty:
                kept.dirty = bytes(dirty.args[0])
                return
            except OSError:
                return

    def receive(self):
        try:
            return self.request.recv(65536)
        except OSError:
            return b""


class Kept:
    """What came on one connection."""

    def __init__(self):
        self.raw, self.requests, self.dirty = b"", [], None


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 128


class Recorder:
    """`with Recorder() as origin`: listens on `origin.port`; `origin.connections` holds what came."""

    def __enter__(self):
        self.connections = []
        self.server = Server(("127.0.0.1", 0), Connection)
        self.server.owner = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def requests(self):
        return [request for kept in list(self.connections) for request in kept.requests]

    def dirty(self):
        return [kept.dirty for kept in list(self.connections) if kept.dirty is not None]
