#!/usr/bin/env python3
"""Ten thousand wrong keys at a time, each answered after three seconds: what does waiting cost?

Three rounds: ten thousand clients that leave while they wait, ten thousand that stay, and ten more
than may wait. Needs `ulimit -n` of 12,000 or more, here and for the gate.
"""

import multiprocessing
import resource
import select
import socket
import struct
import sys
import time

from beside import Origin, Prober, p99_ms
from stand import Gate, Verdict, config, percentile

WAITING, EXCESS, DELAY = 10_000, 10, 3.0
# The keys are sent within this time, so that the client itself is not what is measured.
SPREAD = 1.0
# Connections to the origin that the gate may keep.
IDLE = 4
REQUEST = b"GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


class Crowd:
    """Connections that each send one wrong key."""

    def __init__(self, port, count):
        self.streams = [self.connect(port, index) for index in range(count)]
        self.sent, self.statuses, self.delays = {}, {}, {}

    @staticmethod
    def connect(port, index):
        stream = socket.socket()
        stream.bind((f"127.0.0.{2 + index % 4}", 0))
        stream.connect(("127.0.0.1", port))
        stream.setblocking(False)
        return stream

    def send(self):
        begun = time.monotonic()
        for index, stream in enumerate(self.streams):
            ahead = begun + SPREAD * index / len(self.streams) - time.monotonic()
            if ahead > 0.002:
                time.sleep(ahead)
            self.sent[stream.fileno()] = time.monotonic()
            stream.send(REQUEST)

    def receive(self):
        """Waits for all answers, and notes the status of each and how long it took."""
        poll, by_fd = select.epoll(), {stream.fileno(): stream for stream in self.streams}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        end = time.monotonic() + DELAY + 10
        while len(self.statuses) < len(by_fd) and time.monotonic() < end:
            for fd, _ in poll.poll(0.1, 4096):
                now = time.monotonic()
                try:
                    answer = by_fd[fd].recv(4096)
                except OSError:
                    answer = b""
                self.statuses[fd] = int(answer[9:12] or 0)
                self.delays[fd] = now - self.sent[fd]
        poll.close()

    def delays_of(self, status):
        return sorted(self.delays[fd] for fd, known in self.statuses.items() if known == status)

    def leave(self):
        for stream in self.streams:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            stream.close()


def seconds_until(condition, most=10.0):
    begun = time.monotonic()
    while not condition() and time.monotonic() - begun < most:
        time.sleep(0.005)
    return time.monotonic() - begun


def leaving(gate, verdict, baseline):
    """Clients that go while they wait are forgotten at once."""
    crowd = Crowd(gate.port, WAITING)
    crowd.send()
    time.sleep(0.5)
    held = gate.descriptors()
    crowd.leave()
    took = seconds_until(lambda: gate.descriptors() <= baseline + IDLE)
    verdict.row("clients that leave while they wait are forgotten after",
                f"{took:.2f} s ({held} descriptors, then {gate.descriptors()})", "< 1 s", took < 1)


def staying(gate, verdict, quiet):
    """Clients that stay are answered in time, cost little, and hold nobody up."""
    threads, cpu = gate.threads(), gate.cpu_seconds()
    crowd = Crowd(gate.port, WAITING)
    with Prober(gate.port) as prober:
        begun = time.monotonic()
        crowd.send()
        sent = time.monotonic()
        waiting_rss = gate.rss_kib()
        peak_threads = gate.threads()
        crowd.receive()
        ended = time.monotonic()
        notes = prober.finish()
    cpu = gate.cpu_seconds() - cpu
    crowd.leave()
    delays = crowd.delays_of(401)
    within = sum(DELAY <= delay <= DELAY * 1.1 for delay in delays)
    told = f"{delays[0]:.3f} to {delays[-1]:.3f} s" if delays else "none"
    verdict.row("answered 401 after 3 s +10 %", f"{within} of {WAITING} ({told}, p99 "
                f"{percentile(delays, 0.99):.3f} s)", WAITING, within == WAITING)
    verdict.row("threads while they wait", peak_threads, threads, peak_threads == threads)
    p99, limit = p99_ms(notes, begun, ended), max(2 * quiet, 5)
    verdict.row("p99 of valid requests from the first wrong key to the last answer",
                f"{p99:.2f} ms ({p99_ms(notes, sent, begun + DELAY):.2f} ms while all wait; "
                f"{quiet:.2f} ms in quiet)", f"<= {limit:.1f} ms", p99 <= limit)
    failed = sum(not right for *_, right in notes)
    verdict.row("valid requests not answered 200", f"{failed} of {len(notes)}", 0, failed == 0)
    verdict.row("CPU for each wrong key", f"{cpu / WAITING * 1e6:.0f} us, valid requests included",
                "told", True)
    return waiting_rss


def exceeding(gate, verdict):
    """Past the ten thousand that may wait, a wrong key is refused at once, and never admitted."""
    crowd = Crowd(gate.port, WAITING + EXCESS)
    crowd.send()
    crowd.receive()
    crowd.leave()
    at_once, delayed = crowd.delays_of(429), crowd.delays_of(401)
    verdict.row(f"of {WAITING + EXCESS} at a time, 401 after the delay and 429 at once",
                f"{len(delayed)} and {len(at_once)}, the latter within "
                f"{max(at_once, default=0) * 1000:.0f} ms",
                f"{WAITING} and {EXCESS}, within 500 ms",
                len(delayed) == WAITING and len(at_once) == EXCESS and max(at_once) < 0.5)


def quiet_p99(gate):
    with Prober(gate.port) as prober:
        time.sleep(5)
        return p99_ms(prober.finish())


def main():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if limit < 12_000:
        sys.exit("ulimit -n must be 12,000 or more")
    multiprocessing.set_start_method("fork")
    verdict = Verdict()
    server = f"max_connections = {WAITING + 100}"
    with Origin() as origin, Gate(config(origin.port, 'delay = "3s"', server)) as gate:
        quiet = quiet_p99(gate)
        empty, baseline = gate.rss_kib(), gate.descriptors()
        waiting = staying(gate, verdict, quiet)
        each = (waiting - empty) / WAITING
        verdict.row("memory (RSS) for each that waits, its connection included",
                    f"{each:.1f} KiB ({empty / 1024:.1f} MiB before, {waiting / 1024:.1f} MiB)",
                    "<= 20 KiB", each <= 20)
        seconds_until(lambda: gate.descriptors() <= baseline + IDLE)
        leaving(gate, verdict, baseline)
        exceeding(gate, verdict)
        # The allocator keeps what was freed, in pieces; rounds without end lead to about 32 KiB.
        most = gate.peak_kib() / (WAITING + EXCESS)
        verdict.row("memory for each after three rounds", f"{most:.1f} KiB", "<= 40 KiB", most <= 40)
        verdict.row("panics", gate.panics(), 0, gate.panics() == 0 and gate.is_running())
        verdict.row("keys in the logs", gate.leaks(), 0, gate.leaks() == 0)
    verdict.end()


main()
