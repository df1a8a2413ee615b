"""Compares keygate with other proxies on this machine, and prints Markdown tables."""

import argparse
import contextlib
import csv
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
import report
from cases import CASES, Variant
from processes import LOAD_CORE, PROXY_CORE
from proxies import HERE, MOST_USED, Bench, Proxy, most_clients
from recipes import RECIPES, version


def run_case(case, options, out):
    """Measures one case and returns its Markdown."""
    with tempfile.TemporaryDirectory(prefix="keygate-bench-") as folder, contextlib.ExitStack() as stack:
        proxies = contenders(case, options, pathlib.Path(folder), stack)
        if case.kind == "streams":
            return report.of_streams(case, measure_streams(case, proxies, options))
        for proxy in proxies:
            proxy.prove_equivalent()
        if case.kind == "idle":
            return report.of_idle(case, measure_idle(case, proxies))
        results = {proxy.label: {} for proxy in proxies}
        if options.rounds:
            measure_rounds(case, proxies, options, out, results)
        if options.requests:
            count_costs(case, proxies, options, out, results)
        return report.of_load(case, results)


def contenders(case, options, folder, stack):
    """The proxies of a case, and their origin: one for all, or one each where their keys are not the same."""
    folder.chmod(0o755)  # nginx's worker is another user
    variants = case.variants or [Variant(name, case.key_count) for name in options.proxies]
    benches, proxies = {}, []
    for variant in variants:
        if variant.key_count not in benches:
            bench = Bench(folder / str(variant.key_count), variant.key_count, case.query, case.kind == "streams")
            if case.kind != "streams":
                stack.enter_context(bench.origin())
            benches[variant.key_count] = bench
        name = "keygate" if case.variants else variant.label
        proxies.append(Proxy(name, benches[variant.key_count], options.keygate, variant, case.cores))
    return proxies


def measure_idle(case, proxies):
    """The memory of idle connections, one proxy at a time."""
    results, count = {}, min(case.idle, most_clients() - 50)
    for proxy in proxies:
        client = proxy.bench.client(proxy, case.path, proxy.bench.keys[0])
        results[proxy.label] = measure.idle_connection_bytes(proxy, client, count)
        tell(f"{case.name}, {proxy.label}: {results[proxy.label]['answered Pss']:,.0f} bytes a connection")
    return results


def measure_streams(case, proxies, options):
    """The delay of events, without a proxy and through each in turn, in rounds; the median of each figure."""
    bench, rounds = proxies[0].bench, {"no proxy": []}
    for _ in range(max(1, options.rounds)):
        rounds["no proxy"].append(measure.streams(options.streams, case, options.seconds, bench))
        for proxy in proxies:
            with proxy.start() as process:
                figures = measure.streams(options.streams, case, options.seconds, bench, proxy, process)
            rounds.setdefault(proxy.label, []).append(figures)
            tell(f"{case.name}, {proxy.label}: p99 {figures['p99_us'] / 1e3:.2f} ms, {figures['busy']:.1%} of a core")
    return {name: medians(figures) for name, figures in rounds.items()}


def medians(rounds):
    """The median of each figure over the rounds."""
    return {column: statistics.median(each[column] for each in rounds) for column in rounds[0]}


def measure_rounds(case, proxies, options, out, results):
    """Runs all proxies at once, and loads them in turn and back, so that a change of the machine's pace meets all alike."""
    rounds = {proxy.label: [] for proxy in proxies}
    connections = case.connections or options.connections
    with contextlib.ExitStack() as stack:
        processes = {proxy.label: stack.enter_context(proxy.start()) for proxy in proxies}
        for proxy in proxies:
            measure.load(proxy, case, connections, 1)  # warm up: connections, caches, memory
        for number in range(options.rounds):
            for proxy in proxies[::-1 if number % 2 else 1]:
                figures = measure.round_figures(proxy, processes[proxy.label], case, connections, options.seconds)
                rounds[proxy.label].append(figures)
                tell(f"{case.name}, round {number + 1} of {options.rounds}, {proxy.label}: "
                     f"{figures['cpu_us']:.2f} us a request, {figures['rate']:,.0f} requests/s")
        for proxy in proxies:
            results[proxy.label]["memory"] = measure.memory_bytes(processes[proxy.label].pid)["Pss"]
    for name, figures in rounds.items():
        results[name].update(medians(figures))
        base = rounds[proxies[0].label]
        results[name]["ratios"] = [own["cpu_us"] / first["cpu_us"] for own, first in zip(figures, base)]
        if len(case.cores) > 1:
            results[name]["speed_up"] = statistics.median(
                first["cpu_us"] / (own["cpu_us"] * own["busiest"]) for own, first in zip(figures, base))
    write_rounds(out / f"{case.name}-rounds.csv", rounds)


def write_rounds(path, rounds):
    """Keeps the raw value of each round."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["round", "proxy", *next(iter(rounds.values()))[0]])
        for name, figures in rounds.items():
            writer.writerows([number + 1, name, *each.values()] for number, each in enumerate(figures))


def count_costs(case, proxies, options, out, results):
    """Counts instructions and system calls, one proxy at a time."""
    for proxy in proxies:
        if not proxy.recipe.under_tools or len(proxy.bench.keys) > MOST_USED:
            continue  # valgrind does not run it, or takes minutes to read so many keys
        result = results[proxy.label]
        key = {"valid": proxy.bench.keys[0], "wrong": proxy.bench.wrong_keys[0], "missing": None}[case.key]
        client = proxy.bench.client(proxy, case.path, key, case.close, body=b"x" * case.body)
        profile = str(out / f"{case.name}-{proxy.label}.callgrind")
        result["instructions"] = measure.per_request(measure.callgrind, proxy, client, options.requests, profile)["total"]
        if options.functions:
            result["costs"] = measure.costs(profile, options.requests, options.functions)
        tell(f"{case.name}, {proxy.label}: {result['instructions']:,.0f} instructions a request")
        if options.system_calls:
            calls = str(out / f"{case.name}-{proxy.label}.strace")
            result["calls"] = measure.per_request(measure.strace, proxy, client, options.requests, calls)


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
    parser.add_argument("--proxies", default="nginx,haproxy,keygate", help="which of " + ", ".join(RECIPES) + "; ratios are to the first")
    parser.add_argument("--cases", default="get", help="which of: all, " + ", ".join(CASES))
    parser.add_argument("--rounds", default=7, type=up_to(100), help="timed rounds; 0: none")
    parser.add_argument("--seconds", default=4, type=up_to(60), help="length of a round")
    parser.add_argument("--connections", default=64, type=up_to(1000))
    parser.add_argument("--streams", default=HERE.parent / "streams/target/release/keygate-streams", type=pathlib.Path,
                        help="the program that puts the load of the case `streams` on")
    parser.add_argument("--requests", default=1000, type=up_to(100_000), help="N: instructions are counted over N and 3N; 0: not at all")
    parser.add_argument("--no-system-calls", dest="system_calls", action="store_false", help="skip strace")
    parser.add_argument("--functions", default=0, type=up_to(1000), help="also list this many of the costliest functions")
    options = parser.parse_args()
    options.keygate = options.keygate.resolve()
    options.proxies = options.proxies.split(",")
    options.cases = list(CASES) if options.cases == "all" else options.cases.split(",")
    if unknown := set(options.cases) - set(CASES) | set(options.proxies) - set(RECIPES):
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
    with open(out / "report.md", "w") as kept:
        for part in (machine(options), *(run_case(CASES[name], options, out) for name in options.cases)):
            print(part, flush=True)
            print(part, file=kept, flush=True)
    tell(f"kept in {out}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"compare: {error}")
