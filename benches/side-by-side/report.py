"""Results as Markdown and as a plot."""

import html
import statistics

PER_GB = "CPU seconds a GB"
PER_REQUEST = "CPU ms a request"
MEMORY = "MiB"


def costs(row, column):
    """What each repetition cost, in the row's unit."""
    values = []
    for sample in row["samples"].get(column, []):
        cpu = sample["user"] + sample["kernel"]
        if row["unit"] == PER_GB:
            values.append(cpu / sample["bytes"] * 1e9)
        elif row["unit"] == PER_REQUEST:
            values.append(cpu / sample["requests"] * 1e3)
        else:
            values.append(sample["peak"])
    return values


def number(value, unit):
    return f"{value:.0f}" if unit == MEMORY else f"{value:.3f}" if unit == PER_REQUEST else f"{value:.2f}"


def base_of(column, columns):
    """What a column is compared with: nginx, with TLS where the column has it."""
    base = "nginx-tls" if column.endswith("-tls") else "nginx"
    return base if base in columns and base != column else None


def cell(row, column, columns):
    values = costs(row, column)
    if not values:
        return "–"
    middle = statistics.median(values)
    text = number(middle, row["unit"])
    if len(values) > 1:
        text += f" ({number(min(values), row['unit'])}–{number(max(values), row['unit'])})"
    base = base_of(column, columns)
    others = costs(row, base) if base else []
    if others and statistics.median(others) > 0 and row["unit"] != MEMORY:
        text += f" **×{middle / statistics.median(others):.2f}**"
    return text


def table(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(line) + " |" for line in lines)])


def middle(row, column, value):
    samples = row["samples"].get(column, [])
    return statistics.median(value(sample) for sample in samples) if samples else None


def shown(value, form):
    return "–" if value is None else form.format(value)


def latency(row, column):
    if not row["samples"].get(column):
        return "–"
    return " / ".join(f"{middle(row, column, lambda sample: sample[share] * 1e3):.2f}" for share in ("p50", "p99"))


def markdown(results):
    columns, rows = results["columns"], results["rows"]
    measured = [row for row in rows if row["unit"] != MEMORY]
    lines = [[f"{row['name']}, {row['unit']}", *(cell(row, column, columns) for column in columns)] for row in measured]
    peaks = []
    for column in columns:
        values = [sample["peak"] for row in measured for sample in row["samples"].get(column, [])]
        peaks.append(f"{max(values):.0f}" if values else "–")
    lines.append(["peak memory in the rows above, MiB", *peaks])
    lines += [[f"peak memory, {row['name']}, MiB", *(cell(row, column, columns) for column in columns)] for row in rows if row["unit"] == MEMORY]
    text = [
        f"{results['date']}, {results['machine']}; {', '.join(f'{name}: {version}' for name, version in results['versions'].items())}; "
        f"median of {results['repetitions']} interleaved repetitions (least–most), and times nginx.",
        "",
        table(["work", *columns], lines),
        "",
        "Of that, share of the kernel:",
        "",
        table(["work", *columns], [
            [row["name"], *(
                shown(middle(row, column, lambda sample: sample["kernel"] / max(1e-9, sample["kernel"] + sample["user"])), "{:.0%}")
                for column in columns
            )]
            for row in measured
        ]),
        "",
        "Throughput, client and storage on the same cores, MB/s or requests a second:",
        "",
        table(["work", *columns], [
            [row["name"], *(
                shown(
                    middle(row, column, lambda sample: (sample["bytes"] / 1e6 if row["unit"] == PER_GB else sample["requests"]) / sample["seconds"]),
                    "{:.0f}",
                )
                for column in columns
            )]
            for row in measured
        ]),
        "",
        "Latency, ms, p50 / p99:",
        "",
        table(["work", *columns], [
            [f"{row['name']}, {row['connections']} at once", *(
                latency(row, column)
                for column in columns
            )]
            for row in measured if row["unit"] == PER_REQUEST
        ]),
        "",
    ]
    return "\n".join(text)


COLOURS = ["#7f8c8d", "#b5a27a", "#2471a3", "#76a5c9", "#5dade2", "#a9cce3", "#515a5a", "#8d7b4f", "#1a5276", "#c0392b", "#e67e22"]
WIDTH, LEFT, BAR, GAP = 900, 240, 13, 14


def plot(results):
    """Bars, a panel for each unit, from nothing to the largest."""
    columns = results["columns"]
    colour = {column: COLOURS[place % len(COLOURS)] for place, column in enumerate(columns)}
    shapes, top = [], 20
    for place, column in enumerate(columns):
        across = 20 + place % 5 * 175
        down = top + place // 5 * 18
        shapes.append(f'<rect x="{across}" y="{down}" width="11" height="11" fill="{colour[column]}"/>')
        shapes.append(f'<text x="{across + 16}" y="{down + 10}">{html.escape(column)}</text>')
    top += (len(columns) + 4) // 5 * 18 + 14
    for unit in (PER_GB, PER_REQUEST, MEMORY):
        rows = [row for row in results["rows"] if row["unit"] == unit]
        middles = {(row["name"], column): statistics.median(costs(row, column)) for row in rows for column in columns if costs(row, column)}
        if not middles:
            continue
        title = "Peak memory, MiB" if unit == MEMORY else unit
        shapes.append(f'<text x="20" y="{top + 10}" font-weight="bold">{title}</text>')
        top += 22
        scale = (WIDTH - LEFT - 80) / max(middles.values())
        for row in rows:
            shapes.append(f'<text x="{LEFT - 10}" y="{top + 11}" text-anchor="end">{html.escape(row["name"])}</text>')
            for column in columns:
                value = middles.get((row["name"], column))
                if value is None:
                    continue
                width = max(1, value * scale)
                shapes.append(f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 2}" fill="{colour[column]}"/>')
                shapes.append(f'<text x="{LEFT + width + 5:.1f}" y="{top + 10}" fill="#555">{number(value, unit)}</text>')
                top += BAR
            top += GAP
        top += 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )
