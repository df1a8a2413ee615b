#!/usr/bin/env python3
"""Reloads under load: does any request fail, does any without a key get in, does memory grow?

A hundred good reloads in a minute, then every kind of wrong one, then a thousand in a row; more
than RATE requests a second all the time but in the last. `reloads.py RATE` changes the rate.
"""

import os
import signal
import sys
import time

from load import Load, Origin, request, status
from stand import KEY, Gate, Verdict, config, percentile

RATE = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
GOOD, SECONDS = 100, 60.0
ROUNDS, HELD = 9, 0.15
MANY, WARM_UP = 1000, 100
OTHER_KEY = "k3_486ea46224d1bb4fb680f34f7c9ad96a"
OPENED = "/opened/x"


def replace(gate, text):
    """Puts a file in the place of the configuration in one step."""
    new = gate.path.parent.parent / "new"
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.replace(new, gate.path)


def wait_for(what, condition, patience=10.0):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited in vain until {what}")
        time.sleep(0.002)


def hang_up(gate):
    os.kill(gate.pid, signal.SIGHUP)


def accepts(gate, key):
    return status(gate.port, request(key)) == 200


def good_reloads(gate, good):
    """The times from a hangup, or a changed file, to the first request that is served by it."""
    times = {True: [], False: []}
    begun = time.monotonic()
    for number in range(GOOD):
        time.sleep(max(0.0, begun + number * SECONDS / GOOD - time.monotonic()))
        with_other = number % 2 == 0
        replace(gate, good.replace(f'"{KEY}"', f'"{KEY}", "{OTHER_KEY}"') if with_other else good)
        start, by_signal = time.monotonic(), number % 4 < 2
        if by_signal:
            hang_up(gate)
        wait_for("it is taken over", lambda: accepts(gate, OTHER_KEY) == with_other)
        times[by_signal].append((time.monotonic() - start) * 1000)
    replace(gate, good)
    wait_for("the first one is back", lambda: not accepts(gate, OTHER_KEY))
    return times


def write(text):
    return lambda gate: replace(gate, text)


def dangling(gate):
    gate.path.unlink()
    gate.path.symlink_to("nowhere")


def folder_gone(gate):
    gate.path.parent.rename(gate.path.parent.with_name("away"))


def wrong_kinds(good):
    """What can be wrong: each with what makes it so."""
    bait = '[locations.opened]\npath = "/opened/"\nupstream = "origin"\npublic = true\n'
    opened = good.replace(f'"{KEY}"', f'"{OTHER_KEY}"') + bait
    keys = f'keys = ["{OTHER_KEY}"]'
    return {
        "syntax": write(opened + "[plugins\n"),
        "unknown field": write(opened.replace("hide_credentials", "hide_credential")),
        "unknown plugin": write(opened.replace('["key-auth"]', '["keyauht"]')),
        "no guard": write(opened.replace('plugins = ["key-auth"]', "")),
        "no keys": write(opened.replace(keys, "keys = []")),
        "empty key": write(opened.replace(keys, 'keys = [""]')),
        "another type": write(opened.replace(keys, "keys = true")),
        "unset variable": write(opened.replace(keys, 'keys = ["${NOT_SET_ANYWHERE}"]')),
        "cut": write(opened[: opened.index("[locations.all]") + 20]),
        "not UTF-8": write(opened.encode() + b"\xff\n"),
        "empty file": write(""),
        "deleted file": lambda gate: gate.path.unlink(),
        "dangling link": dangling,
        "folder gone": folder_gone,
    }


def repair(gate, good):
    away = gate.path.parent.with_name("away")
    if away.exists():
        away.rename(gate.path.parent)
    replace(gate, good)


def wrong_reloads(gate, good):
    """How many wrong ones there were, and each after which the old one was not what served."""
    kinds, count, lost = wrong_kinds(good), 0, []
    for kind, spoil in list(kinds.items()) * ROUNDS:
        before, reloads = gate.stderr.refusals, gate.stderr.reloads
        spoil(gate)
        hang_up(gate)
        wait_for(f"the error of {kind} is logged", lambda: gate.stderr.refusals > before)
        wanted = [request(KEY), request(), request(OTHER_KEY), request(path=OPENED)]
        if (found := [status(gate.port, one) for one in wanted]) != [200, 401, 401, 401]:
            lost.append((kind, found))
        count += 1
        # The change of the files is a reason to reload as well, a moment later.
        time.sleep(HELD)
        repair(gate, good)
        hang_up(gate)
        wait_for("the good one is back", lambda: gate.stderr.reloads > reloads)
    return len(kinds), count, lost


def many_reloads(gate):
    """What a thousand reloads add: KiB of memory, descriptors, threads."""

    def reload():
        before = gate.stderr.reloads
        hang_up(gate)
        wait_for("it is reloaded", lambda: gate.stderr.reloads > before)

    def figures():
        # Threads that read files end after ten idle seconds.
        time.sleep(11)
        return gate.rss_kib(), gate.descriptors(), gate.threads()

    for _ in range(WARM_UP):
        reload()
    before = figures()
    for _ in range(MANY):
        reload()
    return [after - before for after, before in zip(figures(), before)]


def main():
    verdict = Verdict()
    with Origin() as origin, Gate(good := config(origin.port)) as gate:
        # A little more than is asked for, to make up for the start.
        with Load(gate.port, RATE * 1.1) as load:
            times = good_reloads(gate, good)
        load.judge(verdict, RATE, f"{GOOD} good reloads: ")
        for by_signal, what, goal in [(True, "SIGHUP", 100), (False, "changed file", 1000)]:
            half = percentile(times[by_signal], 0.5)
            told = f"{what} to the first request served by it, median"
            verdict.row(told, f"{half:.0f} ms", f"<= {goal} ms", half <= goal)
        with Load(gate.port, RATE * 1.1) as load:
            kinds, count, lost = wrong_reloads(gate, good)
        load.judge(verdict, RATE, f"{count} wrong reloads of {kinds} kinds: ")
        verdict.none("wrong reloads after which the old one did not serve", lost)
        verdict.none("requests without a key at the origin", origin.strangers.value)
        memory, descriptors, threads = many_reloads(gate)
        told = f"memory after {MANY} more"
        verdict.row(told, f"{memory:+} KiB", "<= +5,120 KiB", memory <= 5120)
        verdict.row("descriptors after them", f"{descriptors:+}", "±2", abs(descriptors) <= 2)
        verdict.row("threads after them", f"{threads:+}", "±1", abs(threads) <= 1)
        verdict.none("panics, and lines of the log that hold a key", gate.panics() + gate.leaks())
    verdict.end()


if __name__ == "__main__":
    main()
