#!/usr/bin/env python3
"""Upstream connections that are reset: what acts arrives once, what only asks is answered.

Of 100,000 POSTs every twentieth meets a reset, on connections that were used before and on fresh
ones: before it is read, after it, in the head of the answer, in its body, right behind it. Then as
many GETs, of which every twentieth on a used connection does, and then on fresh ones too.
`REQUESTS` changes how many there are.
"""

import os

import faulty
from stand import Gate, Verdict, config

REQUESTS = int(os.environ.get("REQUESTS", 100_000))
SHARE = 0.05


def play(method, fresh, places=faulty.PLACES):
    """What the origin and the clients saw of so many requests."""
    listener = faulty.listener()
    origin = faulty.Origin(listener, SHARE, fresh, places)
    with Gate(config(listener.getsockname()[1])) as gate:
        listener.close()
        clients = faulty.Clients(gate.port, method[0].lower(), [method.encode()], REQUESTS)
        seen = clients.result()
        panics = gate.panics()
    return origin.result(), seen, panics


def main():
    verdict = Verdict()
    arrived, seen, panics = play("POST", fresh=True)
    resets = sum(arrived["resets"].values())
    answered = seen["own"]
    verdict.row("POSTs that reached the origin twice", arrived["twice"], 0, arrived["twice"] == 0)
    verdict.row("POSTs that arrived changed", arrived["changed"], 0, arrived["changed"] == 0)
    verdict.row("answers to another POST", seen["another's"], 0, seen["another's"] == 0)
    verdict.row("POSTs without any outcome", lost(seen), 0, lost(seen) == 0)
    verdict.row("resets", resets, f">= {0.8 * SHARE * REQUESTS:.0f}", resets >= 0.8 * SHARE * REQUESTS)
    failed = REQUESTS - answered
    verdict.row("POSTs that failed", failed, "<= one a reset", failed <= resets)
    verdict.row("panics", panics, 0, panics == 0)
    print("POST, resets by place:", arrived["resets"])
    print("POST, outcomes:", {name: count for name, count in seen.items() if name != "seconds"})

    # An answer that has begun cannot be taken back.
    before = ("no answer", "half a head", "behind the answer")
    arrived, seen, panics = play("GET", fresh=False, places=before)
    resets, share = sum(arrived["resets"].values()), seen["own"] / REQUESTS
    verdict.row("GETs that succeeded", f"{share:.3%}", ">= 99.9 %", share >= 0.999)
    verdict.row("resets of used connections", resets, f">= {0.8 * SHARE * REQUESTS:.0f}",
                resets >= 0.8 * SHARE * REQUESTS)
    verdict.row("answers to another GET", seen["another's"], 0, seen["another's"] == 0)
    verdict.row("panics with GET", panics, 0, panics == 0)

    arrived, seen, _ = play("GET", fresh=True, places=before)
    fresh = sum(count for place, count in arrived["resets"].items() if "fresh" in place)
    share = seen["own"] / REQUESTS
    verdict.row("GETs that succeeded, fresh connections reset too", f"{share:.3%}", ">= 99.9 %",
                share >= 0.999)
    verdict.row("resets of fresh connections", fresh, "> 0", fresh > 0)
    verdict.end()


def lost(seen):
    outcomes = sum(count for name, count in seen.items() if name not in ("seconds", "unasked"))
    return REQUESTS - outcomes


if __name__ == "__main__":
    main()
