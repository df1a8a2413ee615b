"""The proxies that are compared: their folder, how they start, and the proof that they do the same."""

import contextlib
import hashlib
import json
import pathlib
import re
import resource
import time

from cases import Variant
from client import Client, free_port
from processes import LOAD_CORE, PROXY_CORE, running
from recipes import RECIPES, program

HERE = pathlib.Path(__file__).parent
BODIES = {"64k": 64 << 10, "1m": 1 << 20}
# The keys that the load uses in turn: of a million, some from everywhere.
MOST_USED = 100_000
# A limit for keygate that no load meets, so that what it costs is seen.
LIMIT = '[plugins.rate-limit]\nrate = "10000/1s"\nby = "key"'


class Bench:
    """A folder with keys, configuration files, the origin's files and logs."""

    def __init__(self, folder, key_count, query=False, streams=False, origin_port=None, limited=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)  # nginx's worker is another user
        self.query, self.streams, self.limited = query, streams, limited
        self.origin_port = origin_port or free_port()
        self.keys = make_keys("valid", key_count)
        self.wrong_keys = make_keys("wrong", 100)
        self.write("keys.txt", "\n".join(self.keys[::-(-key_count // MOST_USED)]))
        self.write("wrong-keys.txt", "\n".join(self.wrong_keys))
        for name, size in BODIES.items():
            self.write(f"files/{name}", "x" * size)
        self.write("origin.conf", fill(config("origin.conf"), self.places()))

    def places(self):
        """What stands for the places that all files share."""
        return {"DIR": self.folder, "ORIGIN": self.origin_port}

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    @contextlib.contextmanager
    def origin(self):
        """Runs the origin beside the load, on the core that the proxies leave alone."""
        command = ["nginx", "-e", "stderr", "-p", self.folder, "-c", self.folder / "origin.conf"]
        with running(command, {LOAD_CORE}, self.origin_port, self.folder / "origin.log"):
            yield

    def client(self, proxy, path, key, close=False, host=None, body=b""):
        """A client that sends its key where this bench's proxies look for it."""
        if self.query and key:
            return Client(proxy.port, f"{path}?a=1&api_key={key}&b=2", close=close, host=host, body=body)
        return Client(proxy.port, path, key, close, host, body)


class Proxy:
    """One proxy of one case; it can be started as usual, or in one process under a tool such as valgrind."""

    def __init__(self, name, bench, binary, variant=None, cores=(PROXY_CORE,)):
        self.name, self.bench, self.binary, self.cores = name, bench, binary, set(cores)
        variant = variant or Variant(name)
        self.label = variant.label
        self.recipe = RECIPES[name]
        self.port = free_port()
        self.h2_port = free_port() if self.recipe.h2_apart else self.port
        self.log = bench.folder / f"{self.label}.log"
        self.log.touch()
        self.log.chmod(0o666)  # nginx's worker is another user
        keys = "\n".join(fill(self.recipe.key, {"KEY": key, "NUMBER": i}) for i, key in enumerate(bench.keys))
        if self.recipe.keys_file:
            bench.write(self.recipe.keys_file, keys + "\n")
        if variant.records:
            bench.write("records.toml", "".join(map(record, range(len(bench.keys)), bench.keys)))
        limited = bench.limited or variant.limited
        # A folder of its own: keygate watches it, and the log beside it would be a change.
        self.config = bench.folder / f"{self.label}-config" / self.recipe.template
        self.config.parent.mkdir(exist_ok=True)
        self.places = {**bench.places(), "PORT": self.port, "STREAMS": self.h2_port, "LOG": self.log, "CONFIG": self.config,
                       "WORKERS": variant.workers, "KEYS": keys,
                       "KEYGATES": f'keys_file = "{bench.folder}/records.toml"' if variant.records else f"keys = [\n{keys}\n]", "CLIENTS": most_clients(),
                       "PLACE": self.recipe.query if bench.query else self.recipe.header,
                       "STRIP": self.recipe.strip if bench.query else "",
                       "UNDELAYED": self.recipe.undelayed if bench.streams else "",
                       "LIMITED": ', "rate-limit"' if limited else "", "LIMIT": LIMIT if limited else ""}
        self.config.write_text(fill(config(self.recipe.template), self.places))

    @contextlib.contextmanager
    def start(self, tool=()):
        """Runs the proxy on its own core, its standard output appended to the access log."""
        command = [*tool, program(self.name, self.binary), *(fill(word, self.places) for word in self.recipe.command[1:])]
        if tool:
            command += self.recipe.one_process
        with running(command, self.cores, self.port, self.log) as process:
            yield process

    def prove_equivalent(self):
        """Raises unless the proxy checks, hides, adds and logs what the others do."""
        with self.start():
            self.prove_headers()
            self.prove_refusals()
            self.prove_access_log(requests=3)

    def prove_headers(self):
        status, body = self.bench.client(self, "/echo", self.bench.keys[-1]).send(1)
        self.expect(status == 200, f"answered {status} to a valid key")
        seen = json.loads(body)
        identifier = seen.pop("id")
        wanted = {"key": "", "for": "127.0.0.1", "proto": "http", "host": f"127.0.0.1:{self.port}", "real": "127.0.0.1",
                  "args": "a=1&b=2" if self.bench.query else ""}
        self.expect(seen == wanted and identifier, f"sent the origin {seen}, id {identifier!r}")

    def prove_refusals(self):
        for key in (None, self.bench.wrong_keys[0]):
            status, _ = self.bench.client(self, "/echo", key).send(1)
            self.expect(status == 401, f"answered {status} to the key {key}")

    def prove_access_log(self, requests):
        deadline = time.monotonic() + 20
        while len(self.access_lines()) < requests and time.monotonic() < deadline:
            time.sleep(0.02)
        lines = self.access_lines()
        self.expect(len(lines) == requests, f"logged {lines} for {requests} requests")
        self.expect(self.bench.keys[-1] not in "".join(lines), "logged a key")

    def access_lines(self):
        return [line for line in self.log.read_text().splitlines() if "/echo" in line]

    def expect(self, holds, otherwise):
        if not holds:
            raise RuntimeError(f"{self.label} does not do what the others do: it {otherwise}")


def record(number, key):
    """A key in a keys file."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f'[[key]]\nid = "user-{number}"\nhash = "sha256:{digest}"\nexpires = 2126-01-01T00:00:00Z\n'


def make_keys(seed, count):
    """Keys that are the same on every run and on every machine."""
    return ["bench_" + hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:40] for i in range(count)]


def most_clients():
    """How many clients every proxy can have: HAProxy wants two files for each, and some more."""
    return min(12_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 50)


def config(name):
    """A file of config/."""
    return (HERE / "config" / name).read_text()


def fill(text, places):
    """The text with its @NAME@ places filled in; what is no place stays."""
    return re.sub(r"@([A-Z]+)@", lambda place: str(places[place[1]]), text)
