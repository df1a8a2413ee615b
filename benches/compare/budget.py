"""Holds what a request costs keygate, in instructions and system calls, to the figures of budget.toml."""

import argparse
import configparser
import contextlib
import dataclasses
import pathlib
import platform
import re
import socket
import subprocess
import sys
import tempfile
import threading
import typing

import measure
from proxies import Bench, Proxy

RECORD = pathlib.Path(__file__).parents[1] / "budget.toml"
# The same binary gives the same figure to 0.5 %, whichever processor it is. On a machine with many times the work it can do,
# what keygate does once a second has a part in it: so a figure that is too great is taken again, and one that is recorded is
# the least.
MARGIN = 0.02
TRIES = 3
# N of `measure.per_request`: more takes longer and is no more exact.
REQUESTS = 500
# The same where every instruction is a stop: a request takes a second or two.
STEPPED = 10
# The exit status that says: other tools than those of the record, so nothing can be said.
NOT_COMPARABLE = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked, and how much more than recorded it may cost."""

    key: str = "valid"
    close: bool = False
    limited: bool = False
    margin: float = MARGIN


CASES = {
    "get": Case(),
    "limited": Case(limited=True),
    "missing": Case(key="missing"),
    "invalid": Case(key="wrong"),
    # Whether the request is there when the connection is accepted is a matter of luck, and so is a call or two.
    "connect": Case(close=True, margin=0.2),
}

ANSWER = (b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n"
          b"Content-Length: 33\r\nConnection: keep-alive\r\n\r\n" b'{"status":"ok","origin":"bench"}\n')


class Cost(typing.NamedTuple):
    """What one request costs; the order is by instructions."""

    instructions: int
    calls: dict  # system calls by name, whole ones: a part of one belongs to the clock or to the log
    places: dict  # lists of (function or crate, instructions) by title

    @property
    def system_calls(self):
        return sum(self.calls.values())


class Origin:
    """Answers each request with the same bytes, whatever is installed, so that only keygate can change a figure."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        received = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1 << 16):
                received += data
                while b"\r\n\r\n" in received:  # a GET has no body
                    _, _, received = received.partition(b"\r\n\r\n")
                    connection.sendall(ANSWER)


@contextlib.contextmanager
def stand(name, options):
    """The proxy of a case, and a client that asks it for what the case says."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="keygate-budget-") as folder:
        bench = Bench(folder, key_count=100, origin_port=Origin().port, limited=case.limited)
        proxy = Proxy("keygate", bench, options.keygate)
        key = {"valid": bench.keys[0], "wrong": bench.wrong_keys[0], "missing": None}[case.key]
        yield proxy, bench.client(proxy, "/small", key, case.close, host="api.example.com")


def cost(name, options, out):
    """Instructions of one request of a case, its system calls, and where the instructions went if that is asked for."""
    profile = f"{out}/{name}.callgrind"
    with stand(name, options) as (proxy, client):
        instructions = measure.per_request(measure.callgrind, proxy, client, REQUESTS, profile)["total"]
        calls = measure.per_request(measure.strace, proxy, client, REQUESTS, f"{out}/{name}.strace")
    calls = {call: round(count) for call, count in calls.items() if round(count) > 0}
    places = measure.costs(profile, REQUESTS, options.functions) if options.functions else {}
    return Cost(round(instructions), calls, places)


def made_with():
    """What a figure depends on besides keygate's source."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    # The C library copies and compares with what the processor has; of what came after AVX2, valgrind shows it nothing.
    has_avx2 = re.search(r"^flags\s*:.*\bavx2\b", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    processor = platform.machine() + (" with AVX2" if has_avx2 else "")
    return f"rustc {rustc}, {' '.join(platform.libc_ver())}, {valgrind}, {processor}"


def read_record():
    """The recorded figures by case, and what they were made with.

    Python before 3.11 has no reader of TOML; this one reads the part of it that is used.
    """
    parser = configparser.ConfigParser()
    parser.read_string(RECORD.read_text())
    return {case: dict(parser[case]) for case in parser.sections()}, parser["tools"]["made_with"].strip('"')


def write_record(costs):
    lines = ["# What one request costs keygate: user-space instructions and system calls of the release build, by case.",
             "# Written by `benches/budget.sh record`; benches/README.md says how to read it.",
             "[tools]", f'made_with = "{made_with()}"']
    for case, cost_ in costs.items():
        lines += ["", f"[{case}]", f"instructions = {cost_.instructions}", f"system_calls = {cost_.system_calls}"]
    RECORD.write_text("\n".join(lines) + "\n")
    print(f"recorded in {RECORD}")


def stays_within(recorded, name, measured):
    """Says how the figures of a case stand to the record; false if one is greater by more than the margin."""
    margin, holds = CASES[name].margin, True
    for figure in ("instructions", "system_calls"):
        now, then = getattr(measured, figure), float(recorded[name][figure])
        change = now / then - 1
        verdict = "holds"
        if change > margin:
            holds, verdict = False, f"TOO MUCH: more than {margin:.0%} above"
        elif change < -margin:
            verdict = "better: `benches/budget.sh record` sees to it that it stays so"
        print(f"{name:8} {figure:12} {now:9,.10g}  recorded {then:9,.10g}  {change:+7.2%}  {verdict}")
    return holds


def check(options, out):
    """Compares with the record and returns the exit status."""
    recorded, theirs = read_record()
    if all([any(stays_within(recorded, name, cost(name, options, out)) for _ in range(TRIES)) for name in options.cases]):
        return 0
    print(f"\nA request costs more than recorded, {TRIES} times. `benches/instructions.sh 40` lists where the instructions\n"
          "go: run it on this commit and on the one before. `benches/budget.sh show` lists the system calls. Where the\n"
          "cost is meant, `benches/budget.sh record` records it, and the commit says what it buys.")
    if theirs == made_with():
        return 1
    print(f"But this was measured with {made_with()}, and recorded with {theirs}: nothing can be said.")
    return NOT_COMPARABLE


def record(options, out):
    """Writes the record anew, with the least of a few measurements."""
    costs = {name: min(cost(name, options, out) for _ in range(TRIES)) for name in CASES}
    write_record(costs)
    show(costs)


def native(options, out):
    """Prints how many instructions the processor itself executes."""
    for name in options.cases:
        with stand(name, options) as (proxy, client):
            counted = measure.native(proxy, client, STEPPED, f"{out}/{name}")
        print(f"{name}: {counted:,.0f} instructions", flush=True)


def show(costs):
    for name, measured in costs.items():
        calls = ", ".join(f"{call} {count:g}" for call, count in sorted(measured.calls.items()))
        print(f"{name}: {measured.instructions:,} instructions, {measured.system_calls:g} system calls ({calls})")
        for title, listed in measured.places.items():
            print(f"\nInstructions per request {title}:")
            print("\n".join(f"{count:9,.0f}  {place[:120]}" for place, count in listed))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["check", "record", "show", "native"], nargs="?", default="check")
    parser.add_argument("--keygate", required=True, type=lambda path: pathlib.Path(path).resolve(), help="the binary")
    parser.add_argument("--cases", default=",".join(CASES), help="which of: " + ", ".join(CASES))
    parser.add_argument("--functions", default=0, type=int, help="also list this many of the costliest functions")
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    with tempfile.TemporaryDirectory(prefix="keygate-budget-") as out:
        if options.action == "check":
            return check(options, out)
        if options.action == "record":
            return record(options, out)
        if options.action == "native":
            return native(options, out)
        return show({name: cost(name, options, out) for name in options.cases})


if __name__ == "__main__":
    sys.exit(main())
