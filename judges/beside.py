"""What runs beside an attack, in processes of their own: an origin, and a client with the key."""

import multiprocessing
import socket
import threading
import time

from stand import KEY, percentile

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Origin:
    """Answers every request, once it is whole, with 200; `.../big` with 64 MiB of body."""

    BIG = bytes(64 * 1024 * 1024)

    def __enter__(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = listener.getsockname()[1]
        self.process = multiprocessing.Process(target=self.run, args=(listener,), daemon=True)
        self.process.start()
        listener.close()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()

    def run(self, listener):
        threading.stack_size(256 * 1024)
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = stream.makefile("rb")
        try:
            while line := received.readline():
                length = 0
                while (field := received.readline()) not in (b"\r\n", b""):
                    name, _, value = field.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                if len(received.read(length)) < length:
                    break
                self.answer(stream, line)
        except OSError:
            pass
        stream.close()

    def answer(self, stream, line):
        if not line.split(b" ")[1].endswith(b"big"):
            return stream.sendall(RESPONSE)
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.BIG))
        stream.sendall(self.BIG)


class Prober:
    """A client with the key: notes how long each of its requests takes, at a steady pace."""

    PACE = 1 / 250

    def __init__(self, port):
        self.port = port

    def __enter__(self):
        self.results, child = multiprocessing.Pipe(False)
        self.stop = multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run, args=(child,), daemon=True)
        self.process.start()
        child.close()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()

    def run(self, results):
        request = f"GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {KEY}\r\n\r\n".encode()
        notes, stream, due = [], None, time.monotonic()
        while not self.stop.is_set():
            begun = time.monotonic()
            try:
                stream = stream or socket.create_connection(("127.0.0.1", self.port), timeout=10)
                stream.sendall(request)
                right = stream.recv(65536).startswith(b"HTTP/1.1 200 ")
            except OSError:
                right, stream = False, None
            notes.append((begun, time.monotonic() - begun, right))
            due = max(due + self.PACE, begun)
            time.sleep(max(0.0, due - time.monotonic()))
        results.send(notes)

    def finish(self):
        """All notes: when a request was sent, how long it took, and whether it was answered 200."""
        self.stop.set()
        return self.results.recv()


def p99_ms(notes, begun=0.0, ended=float("inf")):
    """The 99th percentile of the requests sent between two times."""
    return percentile([took for at, took, _ in notes if begun <= at < ended], 0.99) * 1000
