"""An origin that breaks connections off at every place, and clients that know whose answers they get.

Both are loops over sockets in processes of their own, because a judge needs more requests than
threads of Python can carry. Every request has an id, in its field `X-Id` and in its body; the
answer to it is its id, once or many times.
"""

import collections
import multiprocessing
import random
import re
import select
import socket
import struct
import time

from stand import KEY

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.I)
ID = re.compile(rb"\r\nx-id: (\w+)", re.I)
RESET = struct.pack("ii", 1, 0)
PLACES = ("no answer", "half a head", "half a body", "behind the answer")


def reset(stream):
    """Ends a connection with a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.close()


class Process:
    """Runs `work` in a process of its own; `result` tells it to come to an end, and gives back what it
    returned."""

    def __init__(self, *arguments):
        context = multiprocessing.get_context("fork")
        self.results, to = context.Pipe(duplex=False)
        self.finish = context.Event()
        self.process = context.Process(target=self._run, args=(to, *arguments), daemon=True)
        self.process.start()
        to.close()

    def _run(self, to, *arguments):
        to.send(self.work(*arguments))

    def result(self):
        self.finish.set()
        result = self.results.recv()
        self.process.join()
        return result


class Loop:
    """Streams, each with the state that belongs to it, and perhaps a socket that accepts more."""

    def __init__(self, listener=None):
        self.poll, self.streams, self.listener = select.epoll(), {}, listener
        if listener:
            listener.setblocking(False)
            self.poll.register(listener, select.EPOLLIN)

    def add(self, stream, state):
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.streams[stream.fileno()] = (stream, state)
        self.poll.register(stream, select.EPOLLIN)

    def drop(self, stream):
        self.streams.pop(stream.fileno(), None)
        stream.close()

    def drop_with_reset(self, stream):
        self.streams.pop(stream.fileno(), None)
        reset(stream)

    def turn(self, received, accepted=None):
        """Calls `received(stream, state, data)` with what has come, or with nothing when a stream has
        ended, and `accepted(stream)` with new ones."""
        for number, _ in self.poll.poll(0.2):
            stream, state = self.streams.get(number, (None, None))
            if stream:
                if (data := read(stream)) is not None:
                    received(stream, state, data)
            elif self.listener and number == self.listener.fileno():
                self.accept(accepted)

    def accept(self, accepted):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            accepted(stream)


def read(stream):
    """What has come; nothing at the end; none if there is nothing yet."""
    try:
        return stream.recv(262144)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def write(stream, data):
    """Writes all of it, if the other side takes it within five seconds."""
    try:
        sent = stream.send(data)
        while sent < len(data):
            select.select([], [stream], [], 5)
            sent += stream.send(data[sent:])
    except OSError:
        pass


class Origin(Process):
    """An origin that resets the connection at this share of requests: on used connections, and if
    `fresh` on fresh ones too. It counts how often each POST came, and where it reset. `odd` is the
    share of answers that are right but unusual: chunks, pieces, bytes behind them, an end."""

    def __init__(self, listener, share, fresh, places=PLACES, odd=0.0):
        self.share, self.fresh, self.places, self.odd = share, fresh, places, odd
        super().__init__(listener)

    def work(self, listener):
        self.loop, self.random = Loop(listener), random.Random(7)
        self.posts, self.resets = collections.Counter(), collections.Counter()
        self.requests = self.changed = 0
        # The gate closes all its connections when it ends.
        while self.loop.streams or not self.finish.is_set():
            self.loop.turn(self.received, self.accepted)
        return {
            "requests": self.requests,
            "twice": sum(count > 1 for count in self.posts.values()),
            "changed": self.changed,
            "resets": dict(self.resets),
        }

    def accepted(self, stream):
        if self.fresh and self.random.random() < self.share:
            self.resets["unread, fresh"] += 1
            reset(stream)
        else:
            self.loop.add(stream, {"buffer": b"", "used": False})

    def received(self, stream, state, data):
        state["buffer"] += data
        if not data:
            # One that broke off counts too: what came of it may have been acted on.
            if b"\r\n\r\n" in state["buffer"]:
                self.count(state["buffer"])
            self.loop.drop(stream)
            return
        while (end := state["buffer"].find(b"\r\n\r\n")) >= 0:
            head = state["buffer"][: end + 2]
            length = LENGTH.search(head)
            whole = end + 4 + int(length[1] if length else 0)
            if len(state["buffer"]) < whole:
                return
            body, state["buffer"] = state["buffer"][end + 4 : whole], state["buffer"][whole:]
            if not self.request(stream, state, head, body):
                return

    def count(self, head):
        id = ID.search(head)[1]
        self.requests += 1
        if head.startswith(b"POST"):
            self.posts[id] += 1
        return id

    def request(self, stream, state, head, body):
        """Answers a request; false when it ended the connection instead."""
        id = self.count(head)
        self.changed += body != (id if head.startswith(b"POST") else b"")
        used, state["used"] = state["used"], True
        answer = id * (1 + self.random.randrange(40) if self.odd else 1)
        if (used or self.fresh) and self.random.random() < self.share:
            place = self.random.choice(self.places)
            self.resets[f"{place}, {'used' if used else 'fresh'}"] += 1
            if place == "half a head":
                write(stream, b"HTTP/1.1 200 OK\r\nContent-")
            if place == "half a body":
                write(stream, head_of(len(answer) + 9) + answer)
            if place == "behind the answer":
                write(stream, head_of(len(answer)) + answer)
            self.loop.drop_with_reset(stream)
            return False
        if self.random.random() < self.odd:
            return self.unusual(stream, answer)
        write(stream, head_of(len(answer)) + answer)
        return True

    def unusual(self, stream, answer):
        kind = self.random.randrange(5)
        if kind == 0:
            middle = len(answer) // 2 or 1
            pieces = [piece for piece in (answer[:middle], answer[middle:]) if piece]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            write(stream, head + chunks + b"0\r\n\r\n")
        elif kind == 1:
            write(stream, head_of(len(answer)))
            write(stream, answer)
        elif kind == 2:
            write(stream, head_of(len(answer) * 500) + answer * 500)
        elif kind == 3:
            write(stream, head_of(len(answer)) + answer + head_of(6) + b"poison")
        else:
            write(stream, head_of(len(answer), b"Connection: close\r\n") + answer)
            self.loop.drop(stream)
            return False
        return True


def head_of(length, more=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (length, more)


class Clients(Process):
    """Clients on many connections that send `count` requests, or as many as fit into `seconds`, and
    `depth` of them without waiting for answers. `aborts` is the share of batches that a client leaves
    before it has read everything. `name` keeps the ids of several processes apart."""

    def __init__(self, port, name, methods, count=None, seconds=None, connections=32, depth=1,
                 aborts=0.0):
        self.port, self.name, self.methods = port, name, methods
        self.count, self.seconds = count or 1 << 60, seconds or 1 << 30
        self.connections, self.depth, self.aborts = connections, depth, aborts
        super().__init__()

    def work(self):
        self.loop, self.random, self.sent = Loop(), random.Random(self.name), 0
        self.outcomes = collections.Counter()
        self.end = time.monotonic() + self.seconds
        begun = time.monotonic()
        for _ in range(self.connections):
            self.open()
        while self.loop.streams:
            self.loop.turn(self.received)
        self.outcomes["seconds"] = time.monotonic() - begun
        return self.outcomes

    def open(self):
        if self.sent < self.count and time.monotonic() < self.end:
            stream = socket.create_connection(("127.0.0.1", self.port))
            state = {"buffer": bytearray(), "owed": collections.deque()}
            self.loop.add(stream, state)
            self.batch(stream, state)

    def batch(self, stream, state):
        """Sends the next requests."""
        requests = []
        for _ in range(min(self.depth, self.count - self.sent)):
            id = f"{self.name}{self.sent:x}z".encode()
            method = self.methods[self.sent % len(self.methods)]
            self.sent += 1
            state["owed"].append(id)
            requests.append(request(method, id))
        data = b"".join(requests)
        if self.random.random() < self.aborts:
            self.leave(stream, state, data)
        else:
            write(stream, data)

    def leave(self, stream, state, data):
        """Leaves in the middle of the requests, right behind them, or with some answers unread."""
        place = self.random.randrange(3)
        write(stream, data[: self.random.randrange(len(data))] if place == 0 else data)
        self.outcomes["left"] += len(state["owed"])
        self.random.choice((self.loop.drop, self.loop.drop_with_reset))(stream)
        self.open()

    def received(self, stream, state, data):
        state["buffer"] += data
        while state["owed"] and (answer := taken(state["buffer"])):
            status, body = answer
            self.judge(state["owed"].popleft(), status, body)
        if not data:
            # What is owed still broke off with the connection.
            self.outcomes["cut"] += len(state["owed"])
            self.loop.drop(stream)
            self.open()
        elif not state["owed"]:
            self.outcomes["unasked"] += len(state["buffer"]) > 0
            if self.sent < self.count and time.monotonic() < self.end:
                self.batch(stream, state)
            else:
                self.loop.drop(stream)

    def judge(self, id, status, body):
        if status == 200:
            own = body and not body.replace(id, b"")
            self.outcomes["own" if own else "another's"] += 1
        else:
            self.outcomes[str(status)] += 1


def request(method, id):
    body = id if method == b"POST" else b""
    framing = b"Content-Length: %d\r\n" % len(body) if body else b""
    return (b"%b /%b HTTP/1.1\r\nHost: a.test\r\nX-API-Key: %b\r\nX-Id: %b\r\n%b\r\n%b"
            % (method, id, KEY.encode(), id, framing, body))


def taken(buffer):
    """Takes the first response off the buffer: its status and body; nothing while it is not whole."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, start = bytes(buffer[: end + 2]), end + 4
    if length := LENGTH.search(head):
        whole = start + int(length[1])
        if len(buffer) < whole:
            return None
        body = bytes(buffer[start:whole])
    else:
        body, whole = b"", start
        while True:
            line = buffer.find(b"\r\n", whole)
            if line < 0:
                return None
            size = int(buffer[whole:line], 16)
            if len(buffer) < line + 4 + size:
                return None
            body += buffer[line + 2 : line + 2 + size]
            whole = line + 4 + size
            if size == 0:
                break
    del buffer[:whole]
    return int(head[9:12]), body


def listener():
    """A listening socket on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    return listener
