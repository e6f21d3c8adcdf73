"""Lines over time, as SVG."""

import html

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 900, 320, 70, 34, 20, 46
COLOURS = ["#2471a3", "#c0392b", "#7f8c8d", "#1e8449"]


def steps(largest):
    """About five round values from nothing to the largest."""
    step = 1
    while largest / step > 6:
        step *= 2 if str(step)[0] in "15" else 2.5
    return [step * number for number in range(int(largest / step) + 1)]


def lines(title, across, up, series, spans=(), limit=None):
    """`series`: name and points; `spans`: name, first and last place across, in the background; `limit`: name and height of a line to stay below."""
    points = [point for _, own in series for point in own]
    widest = max((x for x, _ in points), default=1) or 1
    highest = max([y for _, y in points] + ([limit[1]] if limit else []) + [1]) * 1.05

    def place(x, y):
        return LEFT + x / widest * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / highest * (HEIGHT - TOP - BOTTOM)

    shapes = [f'<text x="{LEFT}" y="18" font-weight="bold">{html.escape(title)}</text>']
    for name, first, last in spans:
        left, right = place(first, 0)[0], place(last, 0)[0]
        shapes.append(f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#f2f4f4"/>')
        shapes.append(f'<text x="{(left + right) / 2:.1f}" y="{TOP + 13}" text-anchor="middle" fill="#555">{html.escape(name)}</text>')
    for value in steps(highest):
        _, y = place(0, value)
        shapes.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        shapes.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in steps(widest):
        x, _ = place(value, 0)
        shapes.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    shapes.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{html.escape(across)}</text>')
    shapes.append(f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">{html.escape(up)}</text>')
    if limit:
        _, y = place(0, limit[1])
        shapes.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#c0392b" stroke-dasharray="6 4"/>')
        shapes.append(f'<text x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end" fill="#c0392b">{html.escape(limit[0])}</text>')
    for number, (name, own) in enumerate(series):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in own))
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.5"/>')
        if len(series) > 1:
            shapes.append(f'<text x="{WIDTH - RIGHT}" y="{TOP + 30 + 15 * number}" text-anchor="end" fill="{COLOURS[number % len(COLOURS)]}">{html.escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )
