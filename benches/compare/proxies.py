"""The proxies that are compared: their configuration, how they start, and the proof that they do the same."""

import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from client import Client, free_port, wait_until_listening

HERE = pathlib.Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]
BODIES = {"64k": 64 << 10, "1m": 1 << 20}


class Bench:
    """One case's folder: keys, configuration files, the origin's files, logs."""

    def __init__(self, folder, key_count, origin_port=None):
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o755)  # nginx's worker is another user
        self.origin_port = origin_port or free_port()
        self.keys = make_keys("valid", key_count)
        self.wrong_keys = make_keys("wrong", 100)
        self.write("keys.txt", "\n".join(self.keys))
        self.write("wrong-keys.txt", "\n".join(self.wrong_keys))
        self.write("keys.nginx", "".join(f"{key} user-{i};\n" for i, key in enumerate(self.keys)))
        self.write("keys.haproxy", "".join(f"{key} user-{i}\n" for i, key in enumerate(self.keys)))
        self.write("keygate/plugins.key-auth.toml", 'header = "X-Api-Key"\nhide_credentials = true\nkeys = [\n'
                   + "".join(f'  "{key}",\n' for key in self.keys) + "]\n")
        for name, size in BODIES.items():
            self.write(f"files/{name}", "x" * size)
        self.render("origin.conf", "origin.conf")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def render(self, template, name, **values):
        """Copies a file of config/ with its @NAME@ places filled in."""
        values.update(DIR=self.folder, ORIGIN=self.origin_port)
        text = (HERE / "config" / template).read_text()
        self.write(name, re.sub(r"@([A-Z]+)@", lambda place: str(values[place[1]]), text))

    @contextlib.contextmanager
    def origin(self):
        """Runs the origin beside the load, on the core that the proxies leave alone."""
        command = ["nginx", "-e", "stderr", "-p", self.folder, "-c", self.folder / "origin.conf"]
        with running(command, LOAD_CORE, self.origin_port, self.folder / "origin.log"):
            yield


class Proxy:
    """One proxy of one case; it can be started as usual, or in one process under a tool such as valgrind."""

    def __init__(self, name, bench, binary):
        self.name, self.bench, self.binary = name, bench, binary
        self.port = free_port()
        self.log = bench.folder / f"{name}.log"
        template, target = {
            "nginx": ("nginx.conf", "nginx.conf"),
            "haproxy": ("haproxy.cfg", "haproxy.cfg"),
            "keygate": ("keygate.toml", "keygate/keygate.toml"),
        }[name]
        bench.render(template, target, PORT=self.port, LOG=self.log)

    def command(self, one_process):
        folder = self.bench.folder
        if self.name == "nginx":
            globals_ = "daemon off;" + (" master_process off;" if one_process else "")
            return ["nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf", "-g", globals_]
        if self.name == "haproxy":
            return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]
        return [self.binary, "serve", "--config", folder / "keygate"]

    @contextlib.contextmanager
    def start(self, tool=()):
        """Runs the proxy on its own core, its standard output appended to the access log."""
        command = [*tool, *self.command(one_process=bool(tool))]
        with running(command, PROXY_CORE, self.port, self.log) as process:
            yield process

    def prove_equivalent(self):
        """Raises unless the proxy checks, hides, adds and logs what the others do."""
        with self.start():
            self.prove_headers()
            self.prove_refusals()
            self.prove_access_log(requests=3)

    def prove_headers(self):
        status, body = Client(self.port, "/echo", self.bench.keys[-1]).send(1)
        self.expect(status == 200, f"answered {status} to a valid key")
        seen = json.loads(body)
        identifier = seen.pop("id")
        wanted = {"key": "", "for": "127.0.0.1", "proto": "http", "host": f"127.0.0.1:{self.port}", "real": "127.0.0.1"}
        self.expect(seen == wanted and identifier, f"sent the origin {seen}, id {identifier!r}")

    def prove_refusals(self):
        for key in (None, self.bench.wrong_keys[0]):
            status, _ = Client(self.port, "/echo", key).send(1)
            self.expect(status == 401, f"answered {status} to the key {key}")

    def prove_access_log(self, requests):
        deadline = time.monotonic() + 5
        while len(self.access_lines()) < requests and time.monotonic() < deadline:
            time.sleep(0.02)
        lines = self.access_lines()
        self.expect(len(lines) == requests, f"logged {lines} for {requests} requests")
        self.expect(self.bench.keys[-1] not in "".join(lines), "logged a key")

    def access_lines(self):
        return [line for line in self.log.read_text().splitlines() if "/echo" in line]

    def expect(self, holds, otherwise):
        if not holds:
            raise RuntimeError(f"{self.name} does not do what the others do: it {otherwise}")


def make_keys(seed, count):
    """Keys that are the same on every run and on every machine."""
    return ["bench_" + hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:40] for i in range(count)]


@contextlib.contextmanager
def running(command, core, port, log):
    """Runs a command pinned to a core until it listens and the caller is done, and ends it with all its children."""

    def prepare():
        os.sched_setaffinity(0, {core})
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: it ends when the bench is killed

    complaints = pathlib.Path(f"{log}.err")
    with open(log, "ab") as output, open(complaints, "ab") as errors:
        process = subprocess.Popen([str(part) for part in command], cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=errors, preexec_fn=prepare, start_new_session=True)
    try:
        if not wait_until_listening(port, process):
            raise RuntimeError(f"{command[0]} does not listen; it said:\n{complaints.read_text()[-2000:]}")
        yield process
    finally:
        stop(process)


def stop(process):
    """Asks the process and its children to end, and insists after ten seconds.

    It asks again every two seconds: nginx overlooks a signal that comes just before it goes to sleep.
    """
    for sign in (signal.SIGTERM,) * 5 + (signal.SIGKILL,):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            return


def version(name, binary):
    """The version line of a proxy."""
    command = [binary, "--version"] if name == "keygate" else [name, "-v"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = (done.stdout + done.stderr).strip().splitlines()[0]
    return f"{name} {re.search(r'[0-9][0-9A-Za-z.+~-]*', line)[0]}"
