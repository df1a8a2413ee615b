"""The tables of the report, in Markdown."""

import statistics


def of_load(case, results):
    """The Markdown of one case: the table, the system calls by name, and where the instructions went if asked for."""
    lines = table(case, results, {
        "CPU µs/request": lambda r: f"{r['cpu_us']:.2f}",
        f"/ {next(iter(results))} (range)": lambda r: f"**{statistics.median(r['ratios']):.2f}** "
                                                    f"({min(r['ratios']):.2f} to {max(r['ratios']):.2f})",
        "requests/s": lambda r: f"{r['rate']:,.0f}",
        "p50 ms": lambda r: f"{r['p50_ms']:.2f}",
        "p99 ms": lambda r: f"{r['p99_ms']:.2f}",
        "core used": lambda r: f"{r['busy']:.0%}",
        "busiest thread": lambda r: f"{r['busiest']:.0%}" if "speed_up" in r else "",
        "times one worker": lambda r: f"{r['speed_up']:.2f}",
        "memory MiB": lambda r: f"{r['memory'] / 2**20:.1f}",
        "instructions/request": lambda r: f"{r['instructions']:,.0f}",
        "system calls/request": lambda r: f"{sum(r['calls'].values()):.2f}",
    })
    for name, result in results.items():
        calls = sorted(result.get("calls", {}).items(), key=lambda item: -item[1])
        if calls:
            lines += ["", f"System calls, {name}: " + ", ".join(f"{call} {n:.2f}" for call, n in calls if n >= 0.01)]
        for title, listed in result.get("costs", {}).items():
            lines += ["", f"Instructions per request, {name}, {title}:", ""]
            lines += [f"    {cost:9,.0f}  {place[:120]}" for place, cost in listed]
    return "\n".join(lines) + "\n"


def of_idle(case, results):
    """The Markdown of the memory of idle connections."""
    titles = {"answered": "KiB each, after an answer", "silent": "before any request"}
    lines = table(case, results, {
        f"{title}: {size.upper()}": lambda r, figure=f"{state} {size}": f"{r[figure] / 1024:.2f}"
        for state, title in titles.items() for size in ("Pss", "Rss")})
    return "\n".join(lines) + "\n"


def of_streams(case, results):
    """The Markdown of event streams."""
    lines = table(case, results, {
        "core used": lambda r: f"{r['busy']:.1%}",
        "events": lambda r: f"{r['events']:,.0f}",
        "late by, p50 ms": lambda r: f"{r['p50_us'] / 1e3:.2f}",
        "p99 ms": lambda r: f"{r['p99_us'] / 1e3:.2f}",
        "at most ms": lambda r: f"{r['most_us'] / 1e3:.2f}",
    })
    return "\n".join(lines) + "\n"


def table(case, results, columns):
    """The lines of a case's title and table; a column that nobody has a figure for is left out."""
    columns = {title: [cell(column, result) for result in results.values()] for title, column in columns.items()}
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    lines = [f"## {case.name}: {case.about}", "", "| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    return lines + [f"| {name} | " + " | ".join(row) + " |" for name, row in zip(results, zip(*columns.values()))]


def cell(column, result):
    """One figure, or nothing where it was not measured."""
    try:
        return column(result)
    except KeyError:
        return ""
