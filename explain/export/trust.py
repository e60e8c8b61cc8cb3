"""What was measured of a run's maps (command `trust`), for reports and exports. torch comes only where
something was measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from explain.export.files import atomic
from explain.run.format import TRUST
from explain.run.reader import RunData
from models.counts import counted
from models.program import typed

if TYPE_CHECKING:
    import pandas as pd

    from explain.quality.comparison import Comparison
    from explain.quality.description import Description
    from explain.quality.verdict import Trust, Verdict

Values = dict[str, Any]
FILE = "trust.csv"


def measured(run: RunData) -> "Trust | None":
    """The figures of the maps at the run's own layer, of what this run explains (of a run of one label that
    label); of several measurements that which the page shows. None where nothing was measured."""
    if not (run.folder / TRUST).is_dir():
        return None
    from explain.quality.known import weakness
    from explain.quality.sample import target_name
    from explain.quality.store import stores
    from explain.quality.verdict import Trust

    target, layer, made = target_name(run), run.manifest.request.layer, []
    for store in stores(run.folder):
        if (store.settings.target, store.settings.layer) != (target, layer):
            continue
        try:
            found = Trust.of(store)
            if found.verdicts:
                made.append((weakness(store.settings, found, target), found))
        except (KeyError, TypeError, ValueError):  # columns of another version, or of another program
            continue
    return min(made, key=lambda pair: pair[0])[1] if made else None


def described(run: RunData, trust: "Trust") -> "Description":
    """What describes the maps of `trust`, of what the folder holds; nothing where that cannot be read."""
    from explain.quality.description import Description
    from explain.quality.sample import target_name

    try:
        found = Description.kept(run, trust, target_name(run))
        return found if [*found.methods, *found.regions] else Description(trust.verdicts)
    except (KeyError, TypeError, ValueError):  # columns of another version, or of another program
        return Description(trust.verdicts)


def trust_values(run: RunData) -> Values:
    """What the template `trust.html` needs."""
    trust = measured(run)
    if trust is None:
        command = typed(["trust", "RUN"])
        none = {"tables": [], "note": "not measured", "command": command, "file": ""}
        return {"trust": none | {"depth": _depth(run)}}
    from explain.quality.description_tables import tables_of
    from explain.quality.remarks import caution, concluded, explained
    from explain.quality.verdict import FIGURES

    layer = f", layer {trust.layer}" if trust.layer else ""
    tables = [
        {
            "title": FIGURES[name].title,
            "meaning": FIGURES[name].meaning,
            "controls": _controls(trust, name),
            "rows": [_row(v, name, _controls(trust, name)) for v in trust.verdicts],
        }
        for name in trust.figures
    ]
    verdicts = [
        {"title": v.title, "text": v.text, "milliseconds": f"{1000 * v.seconds:.1f}"} for v in trust.verdicts
    ]
    return {
        "trust": {
            "tables": tables,
            "note": f"{counted(trust.images, 'image')}{layer}; {explained(run)}",
            "caution": caution(run),
            "recommendation": concluded(run, trust),
            "verdicts": verdicts,
            "described": tables_of(described(run, trust)),
            "file": FILE,
            "depth": _depth(run),
        }
    }


def _depth(run: RunData) -> Values | None:
    """Of the best method of each layer that was measured; None where fewer than two were."""
    if not (run.folder / TRUST).is_dir():
        return None
    from explain.quality.depth import advice
    from explain.quality.format_text import layer_cells
    from explain.quality.known_depth import known_depth
    from explain.quality.next_run import command_at
    from explain.quality.verdict import FIGURES

    depth = known_depth(run)
    if depth is None:
        return None
    rows = [(one.name, f"{100 * one.fraction:.0f}", *layer_cells(one)) for one in depth.bars]
    command = command_at(run.manifest, depth.advised.layer) if depth.advised is not None else ""
    figure = {"title": depth.title, "name": FIGURES[depth.figure].title}
    about = {"images": counted(depth.images, "image"), "advice": advice(depth), "command": command}
    return figure | about | {"rows": rows}


def _controls(trust: "Trust", figure: str) -> list[tuple[str, str]]:
    """Name and heading of each control."""
    from explain.quality.format_text import HEADINGS

    names = dict.fromkeys(c for v in trust.verdicts for c in v.figures[figure].means)
    return [(name, HEADINGS[name]) for name in names]


def _row(verdict: "Verdict", figure: str, controls: list[tuple[str, str]]) -> Values:
    from explain.quality.format_text import number, p_text

    found = verdict.figures[figure]
    low, high = found.interval
    nan = float("nan")
    return {
        "title": verdict.title,
        "mean": number(found.mean),
        "controls": [(number(found.means.get(name, nan)), name == found.best) for name, _ in controls],
        "difference": f"{found.difference:+.3f}" if found.images else "",
        "interval": f"{low:+.3f} to {high:+.3f}" if low == low else "–",
        "p": p_text(found.p),
        "wins": f"{100 * found.wins:.0f} %" if found.images else "",
    }


def trust_table(trust: "Trust") -> "pd.DataFrame":
    """One row a method and figure: its mean, those of its controls, and the comparison with the best one."""
    import pandas as pd

    rows = []
    for verdict in trust.verdicts:
        for name, found in verdict.figures.items():
            row = {"method": verdict.method, "figure": name, "layer": trust.layer} | _compared(found)
            rows.append(row | {"seconds": verdict.seconds, "verdict": verdict.text})
    return pd.DataFrame(rows)


def _compared(found: "Comparison") -> Values:
    low, high = found.interval
    return {
        "images": found.images,
        "mean": found.mean,
        **{f"control.{control}": mean for control, mean in found.means.items()},
        "best_control": found.best,
        "difference": found.difference,
        "low": low,
        "high": high,
        "p": found.p,
        "wins": found.wins,
    }


def localization_table(description: "Description", layer: str) -> "pd.DataFrame":
    """As `trust_table`, of where maps lie: one row a region, method and figure, with the mean `area` of the
    region. `verdict` says what the figure does; it decides nothing."""
    import pandas as pd

    from explain.quality.description import localized_text

    verdicts = {v.method: v for v in description.verdicts}
    rows = []
    for region in description.regions:
        for name, by_method in region.figures.items():
            for method, found in by_method.items():
                text = localized_text(verdicts[method], found)
                row = {"method": method, "figure": name, "layer": layer, "region": region.name}
                rows.append(row | {"area": region.area} | _compared(found) | {"verdict": text})
    return pd.DataFrame(rows)


def description_table(description: "Description", layer: str) -> "pd.DataFrame":
    """One row a method and figure that describes its maps and says nothing of their quality: its `mean` over
    `images`. `figure`: entropy, gini, efficient_mprt, max_sensitivity; smooth_mprt and its `fraction` of
    layers with random weights. The verdict on the maps is of other figures and images, so it is not here."""
    import pandas as pd

    images, rows = description.images, []
    for one in description.methods:
        figures = [("entropy", one.entropy, "maps"), ("gini", one.gini, "maps")]
        figures.append(("efficient_mprt", one.efficient_mprt, "mprt"))
        figures.append(("max_sensitivity", one.max_sensitivity, "stability"))
        values = [(name, value, kind, float("nan")) for name, value, kind in figures if images[kind]]
        values += [("smooth_mprt", value, "mprt", f) for f, value in one.similarity.items()]
        for name, value, kind, fraction in values:
            row = {"method": one.method, "figure": name, "layer": layer, "images": images[kind]}
            rows.append(row | {"fraction": fraction, "mean": value})
    return pd.DataFrame(rows)


def write_trust(run: RunData, out: Path) -> set[Path]:
    """Write `trust.csv` into the folder of an export, and return it; where nothing was measured, an earlier
    one is removed. Column `table` says whether a row is of a figure that decides, of where maps lie
    (localization), or describes them. Raises UserError where it cannot be written."""
    import pandas as pd

    from models.csv_files import spreadsheet_safe

    trust = measured(run)
    if trust is None:
        (out / FILE).unlink(missing_ok=True)
        return set()
    description = described(run, trust)
    parts = {
        "decides": trust_table(trust),
        "localization": localization_table(description, trust.layer),
        "description": description_table(description, trust.layer),
    }
    table = pd.concat(
        [part.assign(table=name) for name, part in parts.items() if len(part)], ignore_index=True
    )
    with atomic(out / FILE) as temporary:
        spreadsheet_safe(table).to_csv(temporary, index=False, float_format="%.6g")
    return {out / FILE}
