#!/usr/bin/env python3
"""slowhttptest in its four modes, a thousand connections each, while a client with the key works.

`slow.py MODE...` plays some of the modes: headers, body, upload, read, range. Needs Debian's
package slowhttptest and `ulimit -n` of 4,000 or more.
"""

import multiprocessing.pool
import re
import resource
import subprocess
import sys
import time

from beside import Origin, Prober, p99_ms
from stand import KEY, Gate, Verdict, config

CONNECTIONS, RATE, LENGTH = 1000, 200, 60
# What a key costs is not at issue here: the tool can send a cookie, but no header of its own.
PLUGIN = 'sources = ["header:X-API-Key", "cookie:key"]'
# What is attacked has an origin of its own: how busy that is must not show.
ATTACKED = """
[upstreams.attacked]
addrs = ["127.0.0.1:{port}"]
[locations.attacked]
path = "/attacked/"
upstream = "attacked"
plugins = ["key-auth"]
"""
COOKIE = ["-j", f"key={KEY}"]
# Descriptors beside the slow connections: the prober's, and what is kept to the origin.
SPARE = 10
GOAL_MS = 20

# What each mode sends, and when the gate must have closed each connection: the default timeouts,
# and a second. A thousand ranges are no slow request: the tool closes the connections itself.
MODES = {
    "headers": (["-H", "-i", "5", "-x", "24", "-t", "GET"], "small", 10),
    "body": (["-B", "-i", "5", "-s", "8192", "-x", "10"], "small", 2),
    "upload": (["-B", "-i", "5", "-s", "8192", "-x", "10", *COOKIE], "small", 30),
    "read": (["-X", "-w", "1", "-y", "1", "-z", "1", "-n", "1", "-k", "3", *COOKIE], "big", 30),
    "range": (["-R", "-t", "HEAD", "-a", "5", "-b", "3000", *COOKIE], "small", None),
}


def attack(port, mode):
    options, target, _ = MODES[mode]
    command = ["slowhttptest", *options, "-c", str(CONNECTIONS), "-r", str(RATE), "-l",
               str(LENGTH), "-p", "3", "-v", "1", "-u", f"http://127.0.0.1:{port}/attacked/{target}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def watch(gate, tool):
    """How many descriptors there are over time, until the tool ends; and what it said."""
    begun, notes = time.monotonic(), []
    output = multiprocessing.pool.ThreadPool(1).apply_async(tool.stdout.read)
    while tool.poll() is None:
        notes.append((time.monotonic() - begun, gate.descriptors(), gate.rss_kib()))
        time.sleep(0.1)
    return notes, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.get(10))


def judge(mode, origin, attacked, verdict):
    text = config(origin.port, PLUGIN).replace('header = "X-API-Key"\n', "")
    with Gate(text + ATTACKED.format(port=attacked.port)) as gate:
        with Prober(gate.port) as prober:
            time.sleep(5)
            quiet_until = time.monotonic()
            before, rss, cpu = gate.descriptors(), gate.rss_kib(), gate.cpu_seconds()
            notes, said = watch(gate, attack(gate.port, mode))
            probed = prober.finish()
        cpu = gate.cpu_seconds() - cpu
        available = re.findall(r"service available:\s*(\w+)", said)
        verdict.row(f"{mode}: the tool finds the service available",
                    f"{available.count('YES')} of {len(available)} times", "always",
                    available and set(available) == {"YES"})
        most = max(count for _, count, _ in notes) - before
        closes(mode, notes, before, most, verdict)
        p99, quiet = p99_ms(probed, quiet_until), p99_ms(probed, 0, quiet_until)
        verdict.row(f"{mode}: p99 of valid requests", f"{p99:.2f} ms ({quiet:.2f} ms in quiet)",
                    f"<= {max(GOAL_MS, 2 * quiet):.0f} ms", p99 <= max(GOAL_MS, 2 * quiet))
        failed = sum(not right for *_, right in probed)
        verdict.row(f"{mode}: valid requests not answered 200", f"{failed} of {len(probed)}", 0,
                    failed == 0)
        grown = max(kib for *_, kib in notes) - rss
        verdict.row(f"{mode}: memory", f"{grown / 1024:.1f} MiB for {most} descriptors, "
                    f"{cpu:.1f} s of CPU", "<= 256 MiB", grown <= 256 * 1024)
        verdict.row(f"{mode}: panics", gate.panics(), 0, gate.panics() == 0 and gate.is_running())


def closes(mode, notes, before, most, verdict):
    """Each connection is closed at its deadline, the last one counted from when all were open."""
    deadline = MODES[mode][2]
    if deadline is None:
        return
    opened = next(at for at, count, _ in notes if count - before == most)
    last = max((at for at, count, _ in notes if count > before + SPARE), default=0.0)
    verdict.row(f"{mode}: all slow connections are closed after", f"{last:.1f} s (at most {most})",
                f"{opened + deadline + 2:.1f} s", last <= opened + deadline + 2)


def main():
    multiprocessing.set_start_method("fork")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    verdict = Verdict()
    with Origin() as origin, Origin() as attacked:
        for mode in sys.argv[1:] or MODES:
            judge(mode, origin, attacked, verdict)
    verdict.end()


main()
