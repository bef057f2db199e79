#!/usr/bin/env python3
"""Draws docs/scale.svg from docs/scale.jsonl, and prints the table of docs/scale.md.

In the picture one curve per figure, next to a multiple of log N (dashed) through its first point.
"""

import json
import math
import pathlib

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT, COLUMNS = 300, 210, 3
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 30, 34
PANELS = [
    ("links per peer", "links", ["mean", "p99"]),
    ("hops of a path", "hops", ["mean", "p99"]),
    ("messages/s per peer, calm", "messages", ["mean", "p99"]),
    ("create, ms", "create_ms", ["p50", "p99"]),
    ("locate, ms", "locate_ms", ["mean", "p99"]),
    ("told after a crash, ms", "crash_ms", ["p50"]),
    ("told after a vanish, ms", "vanish_ms", ["p50"]),
    ("told after a signal, ms", "signal_ms", ["p50"]),
    ("messages per death", "messages_per_death", [None]),
]
# Lines of the table: words, and the figures of one column. A figure is a key, or a key and a part of its distribution.
LINES = [
    ("links per peer: mean / p99 / max", "{:.0f} / {:.0f} / {:.0f}", ["links.mean", "links.p99", "links.max"]),
    ("hops of a path: mean / p99 / max", "{:.1f} / {:.0f} / {:.0f}", ["hops.mean", "hops.p99", "hops.max"]),
    ("paths carried per peer: mean / max", "{:.0f} / {:.0f}", ["carried.mean", "carried.max"]),
    ("join: p50 / p99", "{:.0f} / {:.0f}", ["join_ms.p50", "join_ms.p99"]),
    ("locate: mean / p99", "{:.0f} / {:.0f}", ["locate_ms.mean", "locate_ms.p99"]),
    ("create: p50 / p99", "{:.0f} / {:.0f}", ["create_ms.p50", "create_ms.p99"]),
    ("calm, messages/s per peer: mean / p99 / max", "{:.2f} / {:.2f} / {:.2f}", ["messages.mean", "messages.p99", "messages.max"]),
    ("calm, bytes/s per peer: p50 / mean / p99", "{:.0f} / {:.0f} / {:.0f}", ["bytes.p50", "bytes.mean", "bytes.p99"]),
    ("churn, messages/s · bytes/s per peer", "{:.2f} · {:.0f}", ["churn_messages", "churn_bytes"]),
    ("deaths · groups that failed", "{:,} · {:,}", ["deaths", "failed"]),
    ("repairs · messages per death", "{:.1f} · {:,.0f}", ["repairs_per_death", "messages_per_death"]),
    ("told after a crash: p50 / p99 / max", "{:.0f} / {:.0f} / {:.0f}", ["crash_ms.p50", "crash_ms.p99", "crash_ms.max"]),
    ("told after a vanish: p50 / p99 / max", "{:.0f} / {:.0f} / {:.0f}", ["vanish_ms.p50", "vanish_ms.p99", "vanish_ms.max"]),
    ("told after a signal: p50 / p99 / max", "{:.0f} / {:.0f} / {:.0f}", ["signal_ms.p50", "signal_ms.p99", "signal_ms.max"]),
    ("worst notification ÷ bound", "{:.2f}", ["share_of_bound.max"]),
    ("creations refused · other violations", "{} · {}", ["refused", "others"]),
    ("memory per peer at most, KiB", "{:.0f}", ["kib"]),
    ("events", "{:.1f} M", ["millions"]),
]
COLOURS = ["#1f5fa8", "#c2571a"]


def figure(row, name):
    derived = {
        "kib": lambda: row["memory"] / 1024 / row["peers"],
        "millions": lambda: row["events"] / 1e6,
        "others": lambda: row["violations"] - row["refused"],
    }
    if name in derived:
        return derived[name]()
    key, _, part = name.partition(".")
    return row[key][part] if part else row[key]


def table(rows):
    lines = ["| peers, groups | " + " | ".join(f"{row['peers']:,}" for row in rows) + " |", "| --- |" + " --- |" * len(rows)]
    for words, shape, names in LINES:
        cells = [shape.format(*(figure(row, name) for name in names)) for row in rows]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def panel(rows, title, key, parts):
    peers = [row["peers"] for row in rows]
    curves = [[row[key] if part is None else row[key][part] for row in rows] for part in parts]
    grown = [curves[0][0] * math.log(n) / math.log(peers[0]) for n in peers]
    top = 1.15 * max(max(curve) for curve in [*curves, grown]) or 1
    low, high = math.log10(peers[0]), math.log10(peers[-1])

    def x(n):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(n) - low) / ((high - low) or 1)

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    def line(values, style):
        points = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in zip(peers, values))
        return f'<polyline points="{points}" fill="none" {style}/>'

    out = [f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>']
    for share in (0, 0.5, 1):
        value = top / 1.15 * share
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        label = f"{value:.0f}" if value >= 20 or share == 0 else f"{value:.1f}"
        out.append(f'<text x="{LEFT - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{label}</text>')
    for n in peers:
        label = f"{n // 1000} k" if n >= 1000 else str(n)
        out.append(f'<text x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label}</text>')
    out.append(line(grown, 'stroke="#888" stroke-dasharray="5 4"'))
    for curve, part, colour in zip(curves, parts, COLOURS):
        out.append(line(curve, f'stroke="{colour}" stroke-width="2"'))
        out += [f'<circle cx="{x(n):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for n, v in zip(peers, curve)]
        if part:
            end = y(curve[-1])
            out.append(f'<text x="{WIDTH - RIGHT}" y="{end - 7:.1f}" text-anchor="end" fill="{colour}">{part}</text>')
    return "\n".join(out)


def main():
    lines = (HERE / "scale.jsonl").read_text().splitlines()
    rows = sorted((json.loads(line) for line in lines if line), key=lambda row: row["peers"])
    height = HEIGHT * math.ceil(len(PANELS) / COLUMNS)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * COLUMNS}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH * COLUMNS}" height="{height}" fill="white"/>',
    ]
    for at, (title, key, parts) in enumerate(PANELS):
        place = f"{at % COLUMNS * WIDTH},{at // COLUMNS * HEIGHT}"
        out.append(f'<g transform="translate({place})">\n{panel(rows, title, key, parts)}\n</g>')
    (HERE / "scale.svg").write_text("\n".join(out) + "\n</svg>\n")
    print(table(rows))


if __name__ == "__main__":
    main()
