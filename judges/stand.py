"""What the judges share: a gate with its figures from /proc, and a verdict."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

KEY = "k1_9f86d081884c7d659a2feaa0c55ad015"


def binary():
    """The gate that is judged: `KEYGATE`, or the release build of this repository."""
    default = Path(__file__).resolve().parent.parent / "target" / "release" / "keygate"
    path = Path(os.environ.get("KEYGATE", default))
    if not path.is_file():
        sys.exit(f"{path} is not there: cargo build --release, or set KEYGATE")
    return str(path.resolve())


class Stream:
    """Reads a stream of the gate to its end; keeps the last lines and what must never be there."""

    KEPT = 200

    def __init__(self, stream):
        self.lines, self.count, self.leaks, self.panics = [], 0, 0, 0
        self.reloads, self.refusals = 0, 0
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            self.count += 1
            self.leaks += KEY.encode() in line
            self.panics += b"panicked" in line or b"a panic: please report it" in line
            self.reloads += b"reloaded the configuration" in line
            self.refusals += b"the configuration was not reloaded" in line
            self.lines.append(line.decode(errors="replace").rstrip())
            del self.lines[: -self.KEPT]


PASSING = Path(__file__).parent.parent / "tests/it/support/passing.py"


class Gate:
    """A running gate: `with Gate(config) as gate`. Its configuration is the folder of `gate.path`."""

    def __init__(self, config, limits=None, stdout=None, passed=None, files=None):
        self.config, self.limits, self.wanted_stdout = config, limits, stdout
        self.passed, self.files = passed, files or {}

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="keygate-judge-")
        self.path = Path(self.folder.name) / "config" / "keygate.toml"
        self.path.parent.mkdir()
        self.path.write_text(self.config)
        for name, text in self.files.items():
            (self.path.parent / name).write_text(text)
        command = [binary(), "--config", "config"]
        if self.passed:
            # It becomes keygate, which has then the socket that this has as its standard input.
            command = [PASSING, "keygate.socket=stdin", "--", *command]
        self.process = subprocess.Popen(
            command,
            stdin=self.passed or subprocess.DEVNULL,
            stdout=self.wanted_stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder.name,
            preexec_fn=self.limits,
        )
        self.pid = self.process.pid
        self.stdout = None if self.wanted_stdout else Stream(self.process.stdout)
        self.stderr = Stream(self.process.stderr)
        self.port = self._listening()
        return self

    def _listening(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            for line in self.stderr.lines:
                if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", line):
                    return int(found[1])
            time.sleep(0.01)
        sys.exit("the gate does not listen:\n" + "\n".join(self.stderr.lines))

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def is_running(self):
        return self.process.poll() is None

    def _status(self, name):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1])

    def rss_kib(self):
        return self._status("VmRSS")

    def peak_kib(self):
        return self._status("VmHWM")

    def threads(self):
        return self._status("Threads")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        """The processor time of all its threads, to the nanosecond."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def panics(self):
        streams = [stream for stream in (self.stdout, self.stderr) if stream]
        return sum(stream.panics for stream in streams)

    def leaks(self):
        streams = [stream for stream in (self.stdout, self.stderr) if stream]
        return sum(stream.leaks for stream in streams)


def config(origin_port, plugin="", server="", location=""):
    """A gate with one location `/` that asks for KEY in `X-API-Key`, in front of one origin."""
    return f"""
[server]
listen = "127.0.0.1:0"
{server}
[upstreams.origin]
addrs = ["127.0.0.1:{origin_port}"]
[plugins.key-auth]
header = "X-API-Key"
keys = ["{KEY}"]
hide_credentials = true
{plugin}
[locations.all]
path = "/"
upstream = "origin"
plugins = ["key-auth"]
{location}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def percentile(values, share):
    """The value below which this share of the values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def slope(points):
    """The slope of the straight line that lies closest to the points (least squares)."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


class Verdict:
    """Collects what was measured against what was wanted, prints it, and ends the process."""

    def __init__(self):
        self.rows = []

    def row(self, what, measured, goal, holds):
        self.rows.append((what, str(measured), str(goal), bool(holds)))

    def none(self, what, found):
        """A row of something that there must be none of."""
        self.row(what, found or 0, 0, not found)

    def end(self):
        width = max(len(what) for what, *_ in self.rows)
        for what, measured, goal, holds in self.rows:
            mark = "ok    " if holds else "MISSED"
            print(f"{mark}  {what:<{width}}  {measured}  (goal: {goal})", flush=True)
        sys.exit(0 if all(holds for *_, holds in self.rows) else 1)
