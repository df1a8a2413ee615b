"""A deterministic client: one request at a time, on one connection, the same bytes on every run."""

import socket
import time


class Client:
    """Sends one fixed request to a proxy, again and again."""

    def __init__(self, port, path, key=None, close=False, host=None, body=b""):
        lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}"]
        if key:
            lines.append(f"X-Api-Key: {key}")
        if close:
            lines.append("Connection: close")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.port = port
        self.close = close
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def connect(self):
        """Opens a connection to the proxy."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, connection):
        """Sends the request once and returns the status and the body of the answer."""
        connection.sendall(self.request)
        return read_answer(connection)

    def send(self, count, kept=None):
        """Sends `count` requests, over a connection that is kept if there is one, and returns the last answer."""
        connection, answer = kept, None
        for _ in range(count):
            connection = connection or self.connect()
            answer = self.ask(connection)
            if self.close:
                while connection.recv(1 << 18):  # the proxy ends it first, so that the order is the same each time
                    pass
                connection.close()
                connection = None
        if connection and not kept:
            connection.close()
        return answer


def read_answer(connection):
    """Reads one answer that has a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    missing = int(headers["content-length"]) - len(body)
    parts = [body]
    while missing > 0:
        parts.append(receive(connection))
        missing -= len(parts[-1])
    return int(status.split()[1]), b"".join(parts)


def receive(connection):
    """Reads what is there; an end in the middle of an answer is an error."""
    data = connection.recv(1 << 18)
    if not data:
        raise ConnectionError("the proxy closed the connection in the middle of an answer")
    return data


def wait_until_listening(port, process, seconds=60):
    """Waits until something accepts on `port`; false if the process ends before, or takes too long."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def free_port():
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
