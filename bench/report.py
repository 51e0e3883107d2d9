"""Tables and plots of what bench/run measured.

SPDX-License-Identifier: Apache-2.0
"""

import math
import statistics

from limits import least_ms

INEXACT = 1e-3  # errors above this are marked with ~
OURS = "ingot"
BUSY = 0.5  # load average from which others disturb: engines that spin suffer most


# ---- figures -------------------------------------------------------------------------------------

def good(contest, name):
    result = contest["engines"].get(name)
    return result if result and result["status"] == "ok" and "median_ms" in result else None


def best_peer(contest):
    """Name of the fastest engine that is not Ingot, or None."""
    peers = [name for name in contest["engines"] if name != OURS and good(contest, name)]
    return min(peers, key=lambda name: contest["engines"][name]["median_ms"], default=None)


def ratio(contest, name, other):
    """How many times faster `other` is than `name`: median over the rounds that both were timed in."""
    a, b = good(contest, name), good(contest, other)
    if not a or not b:
        return None
    common = a["rounds"].keys() & b["rounds"].keys()
    if not common:
        return a["median_ms"] / b["median_ms"]
    return statistics.median(a["rounds"][k] / b["rounds"][k] for k in common)


def peak(contest):
    return statistics.median(entry["fma"] for entry in contest["log"])


def limit(contest, caches):
    return least_ms(contest["gflop"], contest["bytes_read"], peak(contest), contest["bandwidth"], caches,
                    contest["threads"])


def geomean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


# ---- text ----------------------------------------------------------------------------------------

def number(value, digits=3):
    """At most so many significant digits, no exponent; "-" for None."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def cell(contest, name, field="median_ms", scale=1):
    result = contest["engines"].get(name, {})
    if not good(contest, name) or field not in result:
        return "-"
    return ("~" if result["error"] > INEXACT else "") + number(result[field] * scale)


def table(header, rows):
    """Markdown, columns padded to be read as text too."""
    rows = [list(map(str, row)) for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [[text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths))]
             for row in rows]
    lines.insert(1, ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def contest_line(contest):
    """One line per contest, while measuring."""
    times = sorted((r["median_ms"], name) for name, r in contest["engines"].items() if good(contest, name))
    text = ", ".join(f"{name} {number(ms)}" for ms, name in times)
    return f"{contest['model']}, {plural(contest['threads'])}, ms: {text}"


def plural(threads):
    return f"{threads} thread{'s' * (threads > 1)}"


def names_of(results):
    """Engines that ran at least one model, in the order of the options."""
    return [name for name in results["options"]["engines"]
            if any(good(contest, name) for contest in results["contests"])]


def speed_table(results, threads):
    """Median times, Ingot against the best peer, and against the machine."""
    names, rows, ratios = names_of(results), [], []
    for contest in (c for c in results["contests"] if c["threads"] == threads):
        peer, ours = best_peer(contest), good(contest, OURS)
        least = limit(contest, results["caches"])
        ratios.append(ratio(contest, peer, OURS) if peer else None)
        rows.append([contest["model"], f"{contest['gflop']:.3g}", *(cell(contest, name) for name in names),
                     peer or "-", number(ratios[-1]), number(least),
                     f"{100 * least / ours['median_ms']:.0f} %" if ours else "-"])
    rows.append(["geometric mean", "", *("" for _ in names), "", number(geomean(ratios)), "", ""])
    return table(["model", "GFLOP", *names, "best peer", "ratio", "limit", "of limit"], rows)


def figure_table(results, threads, field, scale=1):
    """One figure of every engine."""
    names = names_of(results)
    rows = [[c["model"], *(cell(c, name, field, scale) for name in names)]
            for c in results["contests"] if c["threads"] == threads]
    return table(["model", *names], rows)


def scaling_table(results):
    """Times at 1 thread over times at the most threads."""
    names, counts = names_of(results), sorted({c["threads"] for c in results["contests"]})
    by_key = {(c["model"], c["threads"]): c for c in results["contests"]}
    rows = []
    for model in dict.fromkeys(c["model"] for c in results["contests"]):
        pair = [by_key.get((model, n)) for n in (counts[0], counts[-1])]
        if all(pair):
            times = [[good(c, name) for c in pair] for name in names]
            rows.append([model, *(number(a["median_ms"] / b["median_ms"]) if a and b else "-" for a, b in times)])
    return table(["model", *names], rows)


def limits_table(results):
    """The machine, as measured in the same run: medians over all contests."""
    rows = []
    for threads in sorted({c["threads"] for c in results["contests"]}):
        those = [c for c in results["contests"] if c["threads"] == threads]
        clocks = sorted(entry["ghz"] for c in those for entry in c["log"])
        levels = [f"{statistics.median(c['bandwidth'][level]['read'] for c in those):.0f} / "
                  f"{statistics.median(c['bandwidth'][level]['copy'] for c in those):.0f}"
                  for level in ("L1", "L2", "L3", "DRAM")]
        rows.append([threads, number(statistics.median(map(peak, those))), *levels,
                     f"{clocks[0]:.2f} to {clocks[-1]:.2f}"])
    return table(["threads", "FMA GFLOP/s", "L1 GB/s", "L2", "L3", "DRAM", "clock GHz"], rows)


def reasons(results):
    """What did not run, and why; models with the same reason together."""
    missing = {}
    for contest in results["contests"]:
        for name, result in contest["engines"].items():
            if result["status"] != "ok":
                missing.setdefault((name, result["status"], result["reason"]), {})[contest["model"]] = None
    for name, version in results["versions"].items():
        if version.startswith("none: ") and not any(key[0] == name for key in missing):
            missing[(name, "impossible", version)] = {}
    lines = [f"- {name}: {', '.join(models) or 'all'}: {status}: {reason}" if status not in reason else
             f"- {name}: {', '.join(models) or 'all'}: {reason}"
             for (name, status, reason), models in sorted(missing.items())]
    return "\n".join(lines) + "\n" if lines else "Nothing: every engine ran every model.\n"


def tables(results):
    """All tables, as one Markdown text."""
    info = results["machine"]
    busy = info["load"][0] > BUSY
    parts = [f"Measured {info['date']} on {info['cpu']}, {len(info['cpus'])} processors, Linux {info['kernel']}; "
             f"load average at the start {info['load'][0]:.1f}{', too much for figures to be good' * busy}.\n",
             "Versions: " + ", ".join(f"{name} {v}" for name, v in results["versions"].items()) + "\n",
             "## The machine\n\nBandwidth is that of reading / of copying (read and written bytes together).\n",
             limits_table(results)]
    counts = sorted({c["threads"] for c in results["contests"]})
    for n in counts:
        parts += [f"## Median time in ms, {plural(n)}\n\n`ratio`: how many times faster Ingot is than "
                  "the best peer. `limit`: arithmetic at FMA peak or reading the weights once. `~`: normwise "
                  f"relative error above {INEXACT:g}.\n", speed_table(results, n)]
    first, last = counts[0], counts[-1]
    parts += ["## Largest normwise relative error\n", error_table(results, first)]
    if first != last:
        parts += [f"## Speed-up from {first} to {plural(last)}\n", scaling_table(results)]
    for title, field, scale in (("Load, ms", "load_ms", 1), ("First run, ms", "first_ms", 1),
                                ("Peak memory, MB (without interpreter and inputs)", "peak_mb", 1),
                                ("Artefact, MB", "artefact_bytes", 1e-6), ("Libraries, MB", "runtime_bytes", 1e-6),
                                ("Compilation or conversion ahead of time, s", "compile_s", 1)):
        parts += [f"## {title}\n", figure_table(results, first, field, scale)]
    parts += ["## What did not run\n", reasons(results)]
    return "\n".join(parts)


def error_table(results, threads):
    names = names_of(results)
    rows = [[c["model"], *(f"{good(c, n)['error']:.1e}" if good(c, n) else "-" for n in names)]
            for c in results["contests"] if c["threads"] == threads]
    return table(["model", *names], rows)


# ---- plot ----------------------------------------------------------------------------------------

SLOWEST, FASTEST = 1 / 16, 4  # of the plot, against the best peer; beyond is drawn at the edge


def plot(results, path):
    """Speed of every engine relative to the best peer, a panel per number of threads: path.svg and path.png."""
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "ingot"
    counts, names = sorted({c["threads"] for c in results["contests"]}), names_of(results)
    models = list(dict.fromkeys(c["model"] for c in results["contests"]))
    figure, axes = plt.subplots(1, len(counts), sharey=True, squeeze=False, layout="constrained",
                                figsize=(1.5 + 4.5 * len(counts), 1.6 + 0.28 * len(models)))
    for axis, threads in zip(axes[0], counts):
        panel(axis, [c for c in results["contests"] if c["threads"] == threads], models, names)
        axis.set_title(plural(threads))
    axes[0][0].set_yticks(range(len(models)), models)
    axes[0][0].set_ylim(len(models) - 0.5, -0.5)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels) or 1), frameon=False)
    for suffix in ("svg", "png"):
        figure.savefig(f"{path}.{suffix}", dpi=120, metadata={"Date": None} if suffix == "svg" else None)
    plt.close(figure)


def panel(axis, contests, models, names):
    marks = "osDv^<>phX*P"
    for i, name in enumerate(names):
        points = []
        for contest in contests:
            peer, result = best_peer(contest), good(contest, name)
            if peer and result:
                speed = contest["engines"][peer]["median_ms"] / result["median_ms"]
                points.append((min(max(speed, SLOWEST), FASTEST), models.index(contest["model"])))
        ours = name == OURS
        axis.plot([x for x, _ in points], [y for _, y in points], marks[i % len(marks)], label=name, clip_on=False,
                  color="black" if ours else f"C{i % 10}", markersize=8 if ours else 5, zorder=3 if ours else 2)
    ticks = [2.0 ** k for k in range(-4, 3)]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    axis.set_xlim(SLOWEST, FASTEST)
    axis.axvline(1, color="grey", linewidth=0.8)
    axis.grid(axis="y", linewidth=0.3)
    axis.set_xlabel("speed, best peer = 1")
