"""Two parsers that know nothing of keygate: h11, which cuts a stream into requests, and llhttp (in Node), which must
find in the bytes of each just that request."""

import json
import re
import shutil
import struct
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import h11

LARGE = 1 << 20


# What llhttp knows; a method that it does not know is given to it as POST, because methods frame nothing.
METHODS = set(subprocess.run(["node", "-p", "http.METHODS.join(' ')"], capture_output=True, check=True).stdout.split())
LENGTH = re.compile(rb"(?i)\r\ncontent-length:[^\r\n]*")
BLANKS = re.compile(rb"(?i)(\r\n(?:content-length|transfer-encoding):[^\r\n]*?)[ \t]+(?=\r\n)")
TRAILERS = re.compile(rb"(?:\A|(?<=\n))0+(?:;[^\r\n]*)?(?:\r\n[^\r\n]+)+\r\n\r\n\Z")
IN_TRAILERS = re.compile(rb"(?i)(\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*?)(?:transfer-encoding|content-length):[^\r\n]*\r\n")


class Request(NamedTuple):
    method: bytes
    target: bytes
    fields: tuple
    body: bytes


class Reading(NamedTuple):
    """The whole requests of a stream, the bytes of each, and why there are no more."""

    requests: list
    pieces: list
    error: str | None


def by_h11(stream):
    """Reads message by message, so that no connection's end hides what stands behind it."""
    requests, pieces, rest = [], [], stream
    while True:
        # RFC 9112, section 2.2, lets empty lines stand before a request; h11 does not.
        while rest.startswith(b"\r\n"):
            rest = rest[2:]
        if not rest:
            return Reading(requests, pieces, None)
        try:
            request, left = first(rest)
        except h11.RemoteProtocolError as error:
            # h11 refuses framing fields in trailers, which RFC 9112, section 7.1.2, lets keygate drop.
            without = IN_TRAILERS.sub(rb"\1", rest, count=1)
            if without == rest:
                return Reading(requests, pieces, str(error))
            rest = without
            continue
        if not request:
            return Reading(requests, pieces, "cut off")
        requests.append(request)
        pieces.append(rest[: len(rest) - len(left)])
        rest = left


def first(stream):
    """The first request of a stream and what follows it; no request while it is not whole."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGE)
    connection.receive_data(stream)
    head, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            fields = tuple((name.lower(), value) for name, value in head.headers.raw_items())
            return Request(bytes(head.method), bytes(head.target), fields, body), connection.trailing_data[0]
        else:
            return None, stream


def for_llhttp(request, piece):
    """The bytes of a request without what llhttp refuses by policy, though RFC 9112 does not.

    It refuses a length beside a coding, which section 6.3 lets the coding override, and a length that is said twice, which
    it lets count once; blanks behind either, which are no part of the value (section 5.1); and framing fields in
    trailers, which section 7.1.2 lets keygate drop.
    """
    names = [name for name, _ in request.fields]
    if request.method not in METHODS:
        piece = b"POST" + piece[len(request.method) :]
    head, end, rest = piece.partition(b"\r\n\r\n")
    head = BLANKS.sub(rb"\1", head + b"\r\n")[:-2]
    lengths = LENGTH.findall(head)
    if b"transfer-encoding" in names:
        head, rest = LENGTH.sub(b"", head), TRAILERS.sub(b"0\r\n\r\n", rest)
    elif len(lengths) > 1:
        head = LENGTH.sub(b"", head) + lengths[0]
    return head + end + rest


def agrees(request, found):
    """Whether llhttp found just this request in its bytes, and found it whole."""
    if found["error"] or len(found["requests"]) != 1:
        return False
    one = found["requests"][0]
    latin = lambda text: text.encode("latin-1")
    method = request.method if request.method in METHODS else b"POST"
    return one["whole"] and (latin(one["method"]), latin(one["target"]), latin(one["body"])) == (method, request.target, request.body)


class Llhttp:
    """A process of Node that reads streams; `with Llhttp() as llhttp: llhttp.read(streams)`."""

    def __enter__(self):
        node = shutil.which("node")
        self.process = subprocess.Popen([node, Path(__file__).with_name("llhttp.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def read(self, streams):
        threading.Thread(target=self._write, args=(streams,), daemon=True).start()
        return [json.loads(self.process.stdout.readline()) for _ in streams]

    def _write(self, streams):
        for stream in streams:
            self.process.stdin.write(struct.pack(">I", len(stream)) + stream)
        self.process.stdin.flush()
