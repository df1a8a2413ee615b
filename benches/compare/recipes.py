"""How each proxy is configured and started so that all do the same."""

import dataclasses
import pathlib
import re
import shutil
import subprocess

# Where run.sh puts what is in no Debian package.
PEERS = pathlib.Path(__file__).parent / "out" / "peers"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One kind of proxy: the file of config/, and what stands in its places."""

    template: str
    command: tuple  # places in it are filled in as in the file
    header: str  # what reads the key from the header X-Api-Key
    query: str  # what reads it from the parameter api_key
    strip: str = ""  # what removes that parameter, where reading it does not
    undelayed: str = ""  # what passes the events of a stream on as they come, where that is not the default
    key: str = ""  # the line of one key in the configuration
    keys_file: str = ""  # where those lines stand, unless in the configuration itself
    h2_apart: bool = False  # whether HTTP/2 without TLS is spoken at a port of its own
    under_tools: bool = True  # whether it runs under valgrind and strace in one process
    one_process: tuple = ()  # what brings it there, added to the command
    version: str = "-v"


RECIPES = {
    "nginx": Recipe(
        "nginx.conf", ("nginx", "-e", "stderr", "-p", "@DIR@", "-c", "@CONFIG@"),
        header="http_x_api_key", query="arg_api_key", strip="set $args $other_args;",
        key="@KEY@ user-@NUMBER@;", keys_file="keys.nginx", h2_apart=True, one_process=("-g", "master_process off;")),
    "haproxy": Recipe(
        "haproxy.cfg", ("haproxy", "-db", "-f", "@CONFIG@"),
        header="req.hdr(x-api-key)", query="url_param(api_key)",
        strip="""http-request set-query '%[query,regsub("api_key=[^&]*&?","")]'""",
        undelayed="option http-no-delay", key="@KEY@ user-@NUMBER@", keys_file="keys.haproxy", h2_apart=True),
    "keygate": Recipe(
        "keygate.toml", ("keygate", "serve", "--config", "@CONFIG@"),
        header='header = "X-Api-Key"', query='query = "api_key"', key='"@KEY@",', version="--version"),
    "envoy": Recipe(
        "envoy.yaml", ("envoy", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", "@CONFIG@"),
        header="header: X-Api-Key", query="query: api_key", key="              - { key: @KEY@, client: user-@NUMBER@ }",
        under_tools=False, version="--version"),
    "caddy": Recipe(
        "Caddyfile", ("caddy", "run", "--adapter", "caddyfile", "--config", "@CONFIG@"),
        header="header.X-Api-Key", query="query.api_key", key="\t\t@KEY@ user-@NUMBER@", under_tools=False, version="version"),
    "pingap": Recipe(
        "pingap.toml", ("pingap", "-c", "@CONFIG@"),
        header='header = "X-Api-Key"', query='query = "api_key"', key='"@KEY@",', under_tools=False, version="--version"),
}


def program(name, binary):
    """The path of a proxy's program; keygate's is given, the others are installed."""
    if name == "keygate":
        return str(binary)
    found = shutil.which(name) or shutil.which(name, path=f"{PEERS}/bin")
    if not found:
        raise RuntimeError(f"there is no {name} here: benches/compare/run.sh --proxies {name} installs it")
    return found


def version(name, binary):
    """The version line of a proxy."""
    done = subprocess.run([program(name, binary), RECIPES[name].version], capture_output=True, text=True, check=False)
    line = next(line for line in (done.stdout + done.stderr).splitlines() if line.strip())
    return f"{name} {re.search(r'[0-9]+[.][0-9A-Za-z.+~-]*', line)[0]}"
