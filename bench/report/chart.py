"""The README's chart: microseconds per record to Parquet and bytes per row, ours beside the peers'."""

from .data import Case

WHO = {"ours": ("otlp2iceberg", "#2f81f7"), "otlp2records": ("otlp2records", "#8b949e"), "otel-arrow": ("otel-arrow", "#b08800")}
ROWS = {"logs-300B": "logs, 300 bytes", "logs-1KB": "logs, 1 KB", "spans": "spans", "metrics": "metrics"}
RECORDS = 8_192
LEFT, PANEL, GAP, BAR, TOP = 120, 250, 90, 11, 58


def svg(measured: list[Case]) -> str:
    """A plain SVG with a transparent background, in colours that are readable on light and dark pages."""
    found = {case.kind: case for case in measured if case.records == RECORDS}
    shown = [found[kind] for kind in ROWS if kind in found]
    group = 3 * (BAR + 2) + 14
    height = TOP + group * len(shown) + 26
    width = LEFT + PANEL + GAP + PANEL + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="Microseconds of CPU per record from OTLP to Parquet, and bytes of Parquet per row">',
        "<style>text{font:12px system-ui,sans-serif;fill:#57606a}.title{font-weight:600}.value{font-size:11px}"
        "@media(prefers-color-scheme:dark){text{fill:#b1bac4}}</style>",
    ]
    x = LEFT
    for name, colour in WHO.values():
        parts.append(f'<rect x="{x}" y="8" width="11" height="11" fill="{colour}"/><text x="{x + 16}" y="18">{name}</text>')
        x += 40 + 7 * len(name)
    panels = (
        (LEFT, "µs of one core per record, OTLP to Parquet", lambda case, who: case.median(f"parquet-{who}"), "{:.2f}"),
        (LEFT + PANEL + GAP, "bytes of Parquet per row", lambda case, who: case.file_bytes[f"parquet-{who}"], "{:.0f}"),
    )
    for index, case in enumerate(shown):
        y = TOP + index * group
        parts.append(f'<text x="{LEFT - 8}" y="{y + 24}" text-anchor="end">{ROWS[case.kind]}</text>')
    for left, title, value, style in panels:
        parts.append(f'<text class="title" x="{left}" y="46">{title}</text>')
        most = max(value(case, who) for case in shown for who in WHO)
        for index, case in enumerate(shown):
            for position, (who, (_, colour)) in enumerate(WHO.items()):
                y = TOP + index * group + position * (BAR + 2)
                length = max(1.0, PANEL * value(case, who) / most)
                text = style.format(value(case, who))
                parts.append(
                    f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
                    f'<text class="value" x="{left + length + 5:.1f}" y="{y + BAR - 1}">{text}</text>'
                )
    parts.append(
        f'<text class="value" x="{LEFT}" y="{height - 8}">Batches of {RECORDS:,} records, zstd level 1, medians of one run; '
        "shorter is better. make bench</text></svg>"
    )
    return "\n".join(parts) + "\n"
