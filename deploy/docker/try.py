#!/usr/bin/env python3
"""Runs the steps of the Dockerfile without a container engine: `try.py CONTEXT`, as root.

The last stage's files are laid out in a folder, which becomes the root of a process in namespaces of its
own, read-only, with the image's user, its variables, and no capability. Its entry point must guard a
service, its health check must say so, and its stop signal must end it with 0.
"""

import http.client
import http.server
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
FILE = HERE / "Dockerfile"
KEY_FILE = "run/secrets/keygate_keys"


def last_stage():
    """The instructions after the last FROM, each with its arguments."""
    text = FILE.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    start = max(place for place, line in enumerate(lines) if line.startswith("FROM"))
    assert lines[start] == "FROM scratch", lines[start]
    return [line.split(None, 1) for line in lines[start + 1:]]


class Image:
    def __init__(self, context, root):
        self.root, self.environment, self.health = root, {}, None
        arguments = {}
        for instruction, rest in last_stage():
            for name, value in arguments.items():
                rest = rest.replace(f"${name}", value)
            match instruction:
                case "ARG":
                    name, _, value = rest.partition("=")
                    arguments[name] = value
                case "COPY":
                    self.copy(context, shlex.split(rest))
                case "ENV":
                    self.environment |= dict(word.split("=", 1) for word in shlex.split(rest))
                case "USER":
                    self.user = [int(number) for number in rest.split(":")]
                case "STOPSIGNAL":
                    self.stop_signal = rest
                case "HEALTHCHECK":
                    self.health = json.loads(rest.split("CMD", 1)[1])
                case "ENTRYPOINT":
                    self.entry_point = json.loads(rest)
                case "LABEL" | "EXPOSE":
                    pass
                case _:
                    raise SystemExit(f"{FILE}: {instruction} is none that this knows how to run")

    def copy(self, context, words):
        options = dict(word[2:].split("=") for word in words if word.startswith("--"))
        source, place = [word for word in words if not word.startswith("--")]
        # Of another stage: this machine's own authorities stand for those of that image.
        source = pathlib.Path(source) if "from" in options else context / source
        place = self.root / place.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, place)
            files = [path for path in place.rglob("*") if path.is_file()]
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
            files = [place]
        for path in files:
            path.chmod(int(options.get("chmod", "0644"), 8))

    def command(self, words):
        """These words in the image: its root is read-only, and there is no way to more rights."""
        user, group = self.user
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        inside = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\""
        return ["unshare", "--mount", "sh", "-c", inside, str(self.root), sys.executable, __file__,
                "--inside", str(self.root), f"{user}:{group}", *variables, "--", *words]


def become(root, user, variables, words):
    """The process in the image: a root, a user and variables, and what it has open is what it gets."""
    user, group = (int(number) for number in user.split(":"))
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    try:
        open("/written", "w")
    except OSError:
        os.execve(words[0], words, dict(word.split("=", 1) for word in variables))
    raise SystemExit("the root can be written to")


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def status(port, path, key=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"X-API-Key": key} if key else {})
    return connection.getresponse().status


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def configure(image, api):
    """What one mounts: the image's configuration with ports of this machine, and a keys file."""
    gate, admin = free_port(), free_port()
    path = image.root / "etc/keygate/keygate.toml"
    text = path.read_text()
    for written, real in [("0.0.0.0:8080", f"127.0.0.1:{gate}"), ("127.0.0.1:9090", f"127.0.0.1:{admin}"),
                          ("api:8000", f"127.0.0.1:{api}")]:
        assert written in text, f"{written} is not in {path}"
        text = text.replace(written, real)
    path.write_text(text)
    image.environment["KEYGATE_ADMIN"] = f"127.0.0.1:{admin}"
    keys = image.root / KEY_FILE
    keys.parent.mkdir(parents=True)
    binary = image.root / image.entry_point[0].lstrip("/")
    made = subprocess.run([binary, "keys", "add", "first", "--file", keys], check=True, capture_output=True)
    keys.chmod(0o644)
    return gate, made.stdout.decode().strip()


def until(what, condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


def main():
    context = pathlib.Path(sys.argv[1])
    api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        root.chmod(0o755)
        image = Image(context, root)
        port, key = configure(image, api.server_port)
        healthy = lambda: subprocess.run(image.command(image.health), capture_output=True).returncode == 0
        assert not healthy(), "it is healthy before it runs"
        serving = subprocess.Popen(image.command(image.entry_point), stdout=subprocess.DEVNULL)
        try:
            until("the health check succeeds", healthy)
            answers = [status(port, "/x"), status(port, "/x", "wrong" * 8), status(port, "/x", key), status(port, "/health")]
            assert answers == [401, 401, 200, 200], answers
            serving.send_signal(signal.Signals[image.stop_signal])
            assert serving.wait(20) == 0, serving.returncode
            assert not healthy(), "it is healthy after it ended"
        finally:
            serving.kill()
    print(f"the image guards a service as user {image.user[0]}, is well, and ends with 0")


if sys.argv[1] == "--inside":
    end = sys.argv.index("--")
    become(sys.argv[2], sys.argv[3], sys.argv[4:end], sys.argv[end + 1:])
else:
    main()
