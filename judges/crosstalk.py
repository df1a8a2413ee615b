#!/usr/bin/env python3
"""Every client gets its own answers, whatever happens around it.

Clients send GETs and POSTs, each with an id, over many connections, eight at a time; every twentieth
batch is left in the middle: with a FIN or a RST, half sent, or with answers unread. The origin resets
every fiftieth request, and every tenth answer is unusual: chunked, in pieces, long, followed by an
answer that nobody asked for, or the last of its connection. `SECONDS` changes how long it takes.
"""

import os

import faulty
from stand import Gate, Verdict, config

SECONDS = int(os.environ.get("SECONDS", 180))


def main():
    listener = faulty.listener()
    origins = [faulty.Origin(listener, 0.02, fresh=True, odd=0.1) for _ in range(2)]
    with Gate(config(listener.getsockname()[1])) as gate:
        listener.close()
        processes = [
            faulty.Clients(gate.port, name, [b"GET", b"POST"], seconds=SECONDS, connections=64,
                           depth=8, aborts=0.05)
            for name in "ab"
        ]
        seen = [process.result() for process in processes]
        panics, runs = gate.panics(), gate.is_running()
    arrived = [origin.result() for origin in origins]
    report(seen, arrived, panics, runs)


def report(seen, arrived, panics, runs):
    def total(name):
        return sum(outcome[name] for outcome in seen)

    own, left = total("own"), total("left")
    twice = sum(origin["twice"] for origin in arrived)
    resets = sum(sum(origin["resets"].values()) for origin in arrived)
    seconds = max(outcome["seconds"] for outcome in seen)
    verdict = Verdict()
    verdict.row("answers that were the client's own", own, "> 0", own > 0)
    verdict.row("answers that were another's", total("another's"), 0, total("another's") == 0)
    verdict.row("bytes that nobody asked for", total("unasked"), 0, total("unasked") == 0)
    verdict.row("POSTs that reached an origin twice", twice, 0, twice == 0)
    verdict.row("requests that were left by their clients", left, "> 0", left > 0)
    verdict.row("connections that the origin reset", resets, "> 0", resets > 0)
    verdict.row("panics", panics, 0, panics == 0 and runs)
    requests = sum(origin["requests"] for origin in arrived)
    print(f"{requests} requests reached the origin in {seconds:.0f} s")
    print("outcomes:", {name: total(name) for name in sorted(set().union(*seen) - {"seconds"})})
    verdict.end()


if __name__ == "__main__":
    main()
