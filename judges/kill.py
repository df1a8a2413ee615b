#!/usr/bin/env python3
"""Kills the gate at random under load and starts it again, 100 times (`kill.py TIMES`).

How soon does it serve again, is it ever half open meanwhile, and does anything stay behind?
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import Load, Origin, request, status
from stand import KEY, Stream, Verdict, binary, config, free_port, percentile

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 100
RATE = 500
SHORTEST, LONGEST = 0.05, 0.6
PATIENCE = 10.0


def start(folder):
    process = subprocess.Popen(
        [binary(), "--config", "config"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return process, [Stream(process.stdout), Stream(process.stderr)]


def ready(port):
    """Asks until it serves: the seconds that took, and what was answered without a key by then."""
    begun, keyless = time.monotonic(), []
    while time.monotonic() < begun + PATIENCE:
        if answered := status(port, request()):
            keyless.append(answered)
        if status(port, request(KEY)) == 200:
            return time.monotonic() - begun, keyless
        time.sleep(0.001)
    sys.exit("it does not serve again")


def trial(folder, port):
    """Kills and starts: the seconds to be ready, odd answers, panics and leaks."""
    times, odd, panics, leaks = [], [], 0, 0
    for _ in range(TIMES):
        process, streams = start(folder)
        took, keyless = ready(port)
        times.append(took)
        odd += [answered for answered in keyless if answered != 401]
        time.sleep(random.uniform(SHORTEST, LONGEST))
        process.kill()
        process.wait()
        panics += sum(stream.panics for stream in streams)
        leaks += sum(stream.leaks for stream in streams)
    return times, odd, panics, leaks


def main():
    verdict = Verdict()
    with Origin() as origin, tempfile.TemporaryDirectory(prefix="keygate-judge-") as folder:
        port = free_port()
        file = Path(folder, "config", "keygate.toml")
        file.parent.mkdir()
        text = config(origin.port).replace("127.0.0.1:0", f"127.0.0.1:{port}")
        file.write_text(text)
        with Load(port, RATE) as load:
            times, odd, panics, leaks = trial(folder, port)
        millis = [took * 1000 for took in times]
        half, most = percentile(millis, 0.5), max(millis)
        verdict.row(f"ready again, median of {TIMES}", f"{half:.0f} ms", "<= 100 ms", half <= 100)
        verdict.row("ready again, slowest", f"{most:.0f} ms", "<= 2,000 ms", most <= 2000)
        verdict.none("answers without a key that were no 401", odd)
        keyless = load.refused + load.admitted
        told = f"{load.admitted} of {keyless}"
        verdict.row("let in without a key", told, 0, load.admitted == 0 < keyless)
        verdict.none("requests without a key at the origin", origin.strangers.value)
        verdict.row("requests served meanwhile", load.sent, "> 0", load.sent > 0)
        left = [path for path in Path(folder).rglob("*") if path.is_file() and path != file]
        verdict.none("files left behind", left)
        verdict.row("the configuration", "read only", "read only", file.read_text() == text)
        verdict.none("panics, and lines of the log that hold a key", panics + leaks)
    verdict.end()


if __name__ == "__main__":
    main()
