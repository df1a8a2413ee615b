"""Compares keygate with nginx and HAProxy on this machine, and prints Markdown tables."""

import argparse
import contextlib
import csv
import dataclasses
import os
import pathlib
import platform
import re
import resource
import signal
import statistics
import sys
import tempfile
import time

import measure
from client import Client
from proxies import HERE, LOAD_CORE, PROXY_CORE, Bench, Proxy, version


@dataclasses.dataclass(frozen=True)
class Case:
    """What the load asks for, and what every answer must be."""

    name: str
    about: str
    path: str = "/small"
    key: str = "valid"  # or "wrong", "missing"
    status: int = 200
    key_count: int = 100
    close: bool = False


CASES = {case.name: case for case in (
    Case("get", "a small GET with a valid key, kept-alive connections"),
    Case("missing", "no key: 401", key="missing", status=401),
    Case("invalid", "a wrong key: 401", key="wrong", status=401),
    Case("connect", "a small GET with a valid key, a new connection for each request", close=True),
    Case("body64k", "an answer of 64 KiB", path="/64k"),
    Case("body1m", "an answer of 1 MiB", path="/1m"),
    Case("keys100k", "a small GET, 100,000 keys, each used in turn", key_count=100_000),
)}


def run_case(case, options, out):
    """Measures one case and returns its Markdown."""
    with tempfile.TemporaryDirectory(prefix="keygate-bench-") as folder, contextlib.ExitStack() as stack:
        bench = Bench(folder, case.key_count)
        stack.enter_context(bench.origin())
        proxies = [Proxy(name, bench, options.keygate) for name in options.proxies]
        for proxy in proxies:
            proxy.prove_equivalent()
        results = {proxy.name: {} for proxy in proxies}
        if options.rounds:
            measure_rounds(case, proxies, options, out, results)
        if options.requests or options.idle:
            count_costs(case, proxies, options, out, results)
        return case_table(case, options, results)


def measure_rounds(case, proxies, options, out, results):
    """Runs all proxies at once, and loads them in turn, so that a change of the machine's pace meets all alike."""
    rounds = {proxy.name: [] for proxy in proxies}
    with contextlib.ExitStack() as stack:
        processes = {proxy.name: stack.enter_context(proxy.start()) for proxy in proxies}
        for proxy in proxies:
            measure.load(proxy, case, options.connections, 1)  # warm up: connections, caches, memory
        for number in range(options.rounds):
            for proxy in proxies:
                figures = measure.round_figures(proxy, processes[proxy.name], case, options.connections, options.seconds)
                rounds[proxy.name].append(figures)
                tell(f"{case.name}, round {number + 1} of {options.rounds}, {proxy.name}: "
                     f"{figures['cpu_us']:.2f} us a request, {figures['rate']:,.0f} requests/s")
        for proxy in proxies:
            results[proxy.name]["memory"] = measure.memory_bytes(processes[proxy.name].pid)
    for name, figures in rounds.items():
        results[name].update({column: statistics.median(each[column] for each in figures) for column in figures[0]})
        results[name]["ratios"] = [own["cpu_us"] / base["cpu_us"] for own, base in zip(figures, rounds[options.proxies[0]])]
    write_rounds(out / f"{case.name}-rounds.csv", rounds)


def write_rounds(path, rounds):
    """Keeps the raw value of each round."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["round", "proxy", *next(iter(rounds.values()))[0]])
        for name, figures in rounds.items():
            writer.writerows([number + 1, name, *each.values()] for number, each in enumerate(figures))


def count_costs(case, proxies, options, out, results):
    """Counts instructions, system calls and the memory of idle connections, one proxy at a time."""
    for proxy in proxies:
        result = results[proxy.name]
        key = {"valid": proxy.bench.keys[0], "wrong": proxy.bench.wrong_keys[0], "missing": None}[case.key]
        client = Client(proxy.port, case.path, key, case.close)
        if options.idle and not case.close:
            result["idle"] = measure.idle_connection_bytes(proxy, client, options.idle)
        if options.requests:
            profile = str(out / f"{case.name}-{proxy.name}.callgrind")
            result["instructions"] = measure.per_request(measure.callgrind, proxy, client, options.requests, profile)["total"]
            if options.functions:
                result["costs"] = measure.costs(profile, options.requests, options.functions)
            tell(f"{case.name}, {proxy.name}: {result['instructions']:,.0f} instructions a request")
        if options.requests and options.system_calls:
            calls = str(out / f"{case.name}-{proxy.name}.strace")
            result["calls"] = measure.per_request(measure.strace, proxy, client, options.requests, calls)


def case_table(case, options, results):
    """The Markdown of one case: the table, the system calls by name, and where the instructions went if asked for."""
    columns = {
        "CPU µs/request": lambda r: f"{r['cpu_us']:.2f}",
        f"/ {options.proxies[0]} (range)": lambda r: f"**{statistics.median(r['ratios']):.2f}** "
                                                    f"({min(r['ratios']):.2f} to {max(r['ratios']):.2f})",
        "requests/s": lambda r: f"{r['rate']:,.0f}",
        "p50 ms": lambda r: f"{r['p50_ms']:.2f}",
        "p99 ms": lambda r: f"{r['p99_ms']:.2f}",
        "core used": lambda r: f"{r['busy']:.0%}",
        "memory MiB": lambda r: f"{r['memory'] / 2**20:.1f}",
        "KiB/idle connection": lambda r: f"{r['idle'] / 1024:.1f}",
        "instructions/request": lambda r: f"{r['instructions']:,.0f}",
        "system calls/request": lambda r: f"{sum(r['calls'].values()):.2f}",
    }
    lines = [f"## {case.name}: {case.about}", "", "| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for name, result in results.items():
        lines.append(f"| {name} | " + " | ".join(cell(column, result) for column in columns.values()) + " |")
    for name, result in results.items():
        calls = sorted(result.get("calls", {}).items(), key=lambda item: -item[1])
        if calls:
            lines += ["", f"System calls, {name}: " + ", ".join(f"{call} {n:.2f}" for call, n in calls if n >= 0.01)]
        for title, listed in result.get("costs", {}).items():
            lines += ["", f"Instructions per request, {name}, {title}:", ""]
            lines += [f"    {cost:9,.0f}  {place[:120]}" for place, cost in listed]
    return "\n".join(lines) + "\n"


def cell(column, result):
    """One figure, or nothing where it was not measured."""
    try:
        return column(result)
    except KeyError:
        return ""


def machine(options):
    """The lines that say where the figures come from."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    versions = ", ".join(version(name, options.keygate) for name in options.proxies)
    lines = [f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
             f"load before the run {os.getloadavg()[0]:.2f}; {versions}."]
    if options.rounds:
        lines += [f"Medians of {options.rounds} interleaved rounds of {options.seconds} s, {options.connections} connections; "
                  f"proxy on core {PROXY_CORE}, load and origin on core {LOAD_CORE}.",
                  "Times hold for this machine and this hour: compare the ratios of one run, never the times of two."]
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keygate", default=HERE.parents[1] / "target/release/keygate", type=pathlib.Path, help="the binary")
    parser.add_argument("--proxies", default="nginx,haproxy,keygate", help="which, in this order; ratios are to the first")
    parser.add_argument("--cases", default="get", help="which of: all, " + ", ".join(CASES))
    parser.add_argument("--rounds", default=7, type=up_to(100), help="timed rounds; 0: none")
    parser.add_argument("--seconds", default=4, type=up_to(60), help="length of a round")
    parser.add_argument("--connections", default=64, type=up_to(1000))
    parser.add_argument("--idle", default=2000, type=up_to(4000), help="idle connections whose memory is measured; 0: none")
    parser.add_argument("--requests", default=1000, type=up_to(100_000), help="N: instructions are counted over N and 3N; 0: not at all")
    parser.add_argument("--no-system-calls", dest="system_calls", action="store_false", help="skip strace")
    parser.add_argument("--functions", default=0, type=up_to(1000), help="also list this many of the costliest functions")
    options = parser.parse_args()
    options.keygate = options.keygate.resolve()
    options.proxies = options.proxies.split(",")
    options.cases = list(CASES) if options.cases == "all" else options.cases.split(",")
    if unknown := set(options.cases) - set(CASES) | set(options.proxies) - {"nginx", "haproxy", "keygate"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if "keygate" in options.proxies and not os.access(options.keygate, os.X_OK):
        parser.error(f"no binary at {options.keygate}: build it, or name it with --keygate")
    return options


def up_to(limit):
    """A number of the command line that keeps the run bounded."""

    def parse(text):
        if not 0 <= int(text) <= limit:
            raise argparse.ArgumentTypeError(f"{text} is not between 0 and {limit}")
        return int(text)

    return parse


def tell(line):
    """Progress goes to the standard error, so that the standard output is the report alone."""
    print(line, file=sys.stderr, flush=True)


def allow_open_files():
    """Raises the limit of open files as far as allowed, for the idle connections; children inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every child is ended on the way out
    os.sched_setaffinity(0, {LOAD_CORE})
    allow_open_files()
    out = HERE / "out" / time.strftime("%Y-%m-%dT%H-%M-%S")
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "report.md", "w") as report:
        for part in (machine(options), *(run_case(CASES[name], options, out) for name in options.cases)):
            print(part, flush=True)
            print(part, file=report, flush=True)
    tell(f"kept in {out}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"compare: {error}")
