#!/usr/bin/env python3
"""A million addresses guess a key each, while a client with the key works: who remembers them all?

They stand in `X-Forwarded-For`, behind a trusted proxy; half of them are IPv6 networks.
"""

import multiprocessing
import socket
import time

from beside import Origin, Prober, p99_ms
from stand import KEY, Gate, Verdict, config

CLIENTS, BATCH = 1_000_000, 200
SERVER = 'trusted_proxies = ["127.0.0.1/32"]\n[log]\naccess = false'


def address(number):
    if number % 2:
        return f"2001:db8:{number >> 16 & 0xffff:x}:{number & 0xffff:x}::1"
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def guess(port, first, last, statuses):
    """Sends a wrong key from each of these addresses, many at a time."""
    with socket.create_connection(("127.0.0.1", port)) as stream:
        answers = stream.makefile("rb")
        for start in range(first, last, BATCH):
            stream.sendall(b"".join(
                b"GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong\r\nX-Forwarded-For: %b\r\n\r\n"
                % address(number).encode() for number in range(start, start + BATCH)))
            for _ in range(BATCH):
                status = int(answers.readline()[9:12])
                statuses[status] = statuses.get(status, 0) + 1
                length = 0
                while (field := answers.readline()) != b"\r\n":
                    if field.lower().startswith(b"content-length:"):
                        length = int(field[15:])
                answers.read(length)


def main():
    multiprocessing.set_start_method("fork")
    verdict, statuses = Verdict(), {}
    with Origin() as origin:
        text = config(origin.port, 'max_failures = "3/1h"', SERVER)
        with Gate(text) as gate:
            guess(gate.port, 0, 2000, {})
            rss, cpu = gate.rss_kib(), gate.cpu_seconds()
            with Prober(gate.port) as prober:
                time.sleep(3)
                begun = time.monotonic()
                guess(gate.port, 2000, CLIENTS, statuses)
                notes = prober.finish()
            cpu = gate.cpu_seconds() - cpu
            grown = gate.peak_kib() - rss
            verdict.row("memory for a million addresses", f"{grown / 1024:.1f} MiB", "<= 8 MiB",
                        grown <= 8 * 1024)
            verdict.row("their answers", statuses, "401 and 429 only", statuses.keys() <= {401, 429})
            failed = sum(not right for *_, right in notes)
            verdict.row("valid requests not answered 200", f"{failed} of {len(notes)}", 0,
                        failed == 0 and len(notes) > 100)
            quiet, p99 = p99_ms(notes, 0, begun), p99_ms(notes, begun)
            verdict.row("p99 of valid requests", f"{p99:.2f} ms ({quiet:.2f} ms in quiet)",
                        f"<= {max(10, 2 * quiet):.1f} ms", p99 <= max(10, 2 * quiet))
            verdict.row("CPU for each guess", f"{cpu / CLIENTS * 1e6:.1f} us", "told", True)
            verdict.row("panics", gate.panics(), 0, gate.panics() == 0 and gate.is_running())
    verdict.end()


main()
