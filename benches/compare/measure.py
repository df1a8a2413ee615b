"""What is measured: processor time and memory of a process tree, wrk's figures, instructions, system calls."""

import collections
import contextlib
import json
import os
import pathlib
import re
import subprocess
import time

from processes import LOAD_CORE, PROXY_CORE
from proxies import HERE

# How many requests are sent before each instruction of those that follow is counted.
WARM = 100


def tree(root):
    """The process `root` and all its descendants."""
    children = collections.defaultdict(list)
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        children[int(after_name[1])].append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found


def cpu_ns(root):
    """Nanoseconds that each thread of the tree has run, in user and kernel mode."""
    spent = {}
    for pid in tree(root):
        for schedule in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # the thread ended meanwhile
                spent[schedule.parent.name] = int(schedule.read_text().split()[0])
    return spent


def memory_bytes(root):
    """Memory of the tree: proportional set size, which counts once what processes share, and resident set size."""
    rollups = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in tree(root)]
    return {kind: sum(int(re.search(rf"^{kind}:\s+(\d+) kB", rollup, re.M)[1]) for rollup in rollups) * 1024
            for kind in ("Pss", "Rss")}


def idle_connection_bytes(proxy, client, count):
    """Memory that a fresh proxy keeps for each connection that waits, after an answer and before any request."""
    figures = {}
    for kind, begin in (("answered", client.ask), ("silent", lambda connection: None)):
        with proxy.start() as process, contextlib.ExitStack() as idle:
            client.send(100)
            before = memory_bytes(process.pid)
            for _ in range(count):
                begin(idle.enter_context(client.connect()))
            client.send(1)  # answered after all connections were accepted, by the one worker
            after = memory_bytes(process.pid)
        figures.update({f"{kind} {size}": (after[size] - before[size]) / count for size in after})
    return figures


def load(proxy, case, connections, seconds):
    """Puts load on the proxy for some seconds; every answer must have the expected status."""
    figures = (load_h2 if case.multiplexed else load_h1)(proxy, case, connections, seconds)
    expected = figures["requests"] if case.status >= 400 else 0
    if figures["broken"] or figures["refused"] != expected or not figures["requests"]:
        raise RuntimeError(f"{proxy.label}, case {case.name}: not every answer was {case.status}: {figures}")
    return figures


def loaded(command, seconds):
    """What a program that puts load on says at its end."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds + 60,
                          preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}), check=True)
    return done.stdout


def load_h2(proxy, case, connections, seconds):
    """The figures of h2load, which sends one key."""
    key = {"valid": ["-H", f"x-api-key: {proxy.bench.keys[0]}"], "missing": []}[case.key]
    said = loaded(["h2load", f"-D{seconds}", f"-c{connections}", f"-m{case.multiplexed}", *key,
                   f"http://127.0.0.1:{proxy.h2_port}{case.path}"], seconds)
    requests, broken = re.search(r"^requests: .* (\d+) done, .* (\d+) errored", said, re.M).groups()
    refused = re.search(r"(\d+) 4xx", said)[1]
    return {"requests": int(requests), "broken": int(broken), "refused": int(refused), "seconds": seconds}


def load_h1(proxy, case, connections, seconds):
    """The figures of wrk."""
    keys = {"valid": "keys.txt", "wrong": "wrong-keys.txt", "missing": None}[case.key]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", HERE / "load.lua",
               f"http://127.0.0.1:{proxy.port}{case.path}", "--",
               proxy.bench.folder / keys if keys else "-", "query" if case.query else "header",
               "close" if case.close else "keep", case.body, case.different]
    return json.loads(re.search(r"FIGURES (.*)", loaded(command, seconds))[1])


def spent_since(before, root):
    """Nanoseconds that the tree has run since, and those of its busiest thread."""
    each = [ns - before.get(thread, 0) for thread, ns in cpu_ns(root).items()]
    return sum(each), max(each)


def round_figures(proxy, process, case, connections, seconds):
    """One round: the load's figures, and the proxy's processor time for each request."""
    before = cpu_ns(process.pid)
    figures = load(proxy, case, connections, seconds)
    spent, busiest = spent_since(before, process.pid)
    os.truncate(proxy.log, 0)  # opened for appending by all; bounds the disk
    return {
        "cpu_us": spent / 1e3 / figures["requests"],
        "rate": figures["requests"] / figures["seconds"],
        "busy": spent / 1e9 / figures["seconds"],
        "busiest": busiest / spent,
        **{f"{p}_ms": figures[f"{p}_us"] / 1e3 for p in ("p50", "p99") if f"{p}_us" in figures},
    }


def streams(program, case, seconds, bench, proxy=None, process=None):
    """The delay of events over many streams at once, through a proxy or straight from the origin, and what it costs."""
    gate = proxy.port if proxy else bench.origin_port
    command = [program, bench.origin_port, gate, bench.keys[0], case.streams, case.events_a_second, seconds]
    with subprocess.Popen([str(part) for part in command], text=True, stdout=subprocess.PIPE,
                          preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE})) as load_:
        load_.stdout.readline()  # "measuring": all streams are open
        before = cpu_ns(process.pid) if process else {}
        line = load_.stdout.readline()
        spent = spent_since(before, process.pid)[0] if process else 0
    if load_.returncode:
        raise RuntimeError(f"{proxy.label if proxy else 'the load alone'}: the streams broke")
    return {**json.loads(line), "busy": spent / 1e9 / seconds}


def callgrind(proxy, client, count, out):
    """Instructions in user space of the whole life of the proxy, with `count` requests in it."""
    with proxy.start(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]):
        client.send(count)
    total = re.search(r"^(?:totals|summary): (\d+)", pathlib.Path(out).read_text(), re.M)
    if not total:
        raise RuntimeError(f"{proxy.label} did not end in time under valgrind")
    return {"total": int(total[1])}


def strace(proxy, client, count, out):
    """System calls of the whole life of the proxy, with `count` requests in it, by name."""
    with proxy.start(["strace", "-f", "-c", "-o", out]):
        client.send(count)
    calls = collections.Counter()
    for line in pathlib.Path(out).read_text().splitlines():
        fields = line.split()
        if fields and re.fullmatch(r"[0-9.]+", fields[0]) and fields[-1] != "total":
            calls[fields[-1]] += int(fields[3])
    return calls


def native(proxy, client, count, out):
    """Instructions in user space of one request, of `count` that are sent over one connection, as the processor executes them."""
    program, lines = pathlib.Path(f"{out}.steps"), pathlib.Path(f"{out}.stretches")
    subprocess.run(["cc", "-O2", "-o", program, pathlib.Path(__file__).with_name("steps.c")], check=True)
    with proxy.start() as process, open(lines, "w") as output:
        connection = None if client.close else client.connect()
        client.send(WARM, connection)
        thread = thread_of(process.pid, "worker")
        with subprocess.Popen([program, thread.name, thread_of(process.pid, "timers").name], stdout=output, stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, {PROXY_CORE})) as steps:
            if (said := steps.stderr.readline()) != "following\n":
                raise RuntimeError(f"cannot follow the worker: {said}")
            client.send(count, connection)
            wait_until_it_waits(thread)
            steps.terminate()
    stretches = [list(map(int, line.split())) for line in lines.read_text().splitlines()]
    # What had no other system call than the wait has only looked at the time.
    return sum(stretch[-1] for stretch in stretches if len(stretch) > 1) / count


def thread_of(process, name):
    """The folder of proc(5) of the one thread of a process whose name begins so."""
    threads = pathlib.Path(f"/proc/{process}/task").iterdir()
    return next(thread for thread in threads if (thread / "comm").read_text().startswith(name))


def wait_until_it_waits(thread):
    """Waits until a thread sleeps, for longer than it sleeps between two of a tracer's steps."""
    asleep = 0
    while asleep < 3:
        asleep = asleep + 1 if ") S " in (thread / "stat").read_text() else 0
        time.sleep(0.01)


def per_request(tool, proxy, client, count, out):
    """What one request costs: the difference between a life with 3N requests and one with N, divided by 2N."""
    small = tool(proxy, client, count, f"{out}-{count}")
    large = tool(proxy, client, 3 * count, f"{out}-{3 * count}")
    return {name: (large[name] - small[name]) / (2 * count) for name in large}


def costs(out, count, limit):
    """Where the instructions of one request go, by the same difference: three titled lists of (name, instructions)."""

    def difference(inclusive):
        small, large = (functions(f"{out}-{times * count}", inclusive) for times in (1, 3))
        return {place: (large[place] - small[place]) / (2 * count) for place in large}

    crates, own, whole = collections.Counter(), collections.Counter(), collections.Counter()
    for (file, function), cost in difference(inclusive=False).items():
        crates[crate(file)] += cost
        own[function] += cost
    for (_, function), cost in difference(inclusive=True).items():
        whole[function] = max(whole[function], cost)  # inlined parts of other files are listed apart, and are in the whole
    return {"by crate": crates.most_common(limit),
            "by function, without what it calls": own.most_common(limit),
            "by function, with what it calls": whole.most_common(limit)}


def functions(out, inclusive):
    """Instructions of one run by source file and function, as callgrind_annotate lists them."""
    command = ["callgrind_annotate", "--threshold=100", "--auto=no", f"--inclusive={'yes' if inclusive else 'no'}", out]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = collections.Counter()
    for line in text.splitlines():
        entry = re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(\S+?):(.*?)(?: \[[^\]]*\])?$", line)
        if entry:
            listed[entry[2], entry[3]] += int(entry[1].replace(",", ""))
    return listed


def crate(file):
    """The crate that a source file belongs to, whichever function it was inlined into."""
    if found := re.search(r"/registry/src/[^/]+/(.+?)-\d", file):
        return found[1]
    if found := re.search(r"/rustc/[^/]+/library/(\w+)/", file):
        return found[1]
    if file.startswith("./") or "sysdeps" in file:
        return "libc"
    return "unknown" if file == "???" else "keygate"
