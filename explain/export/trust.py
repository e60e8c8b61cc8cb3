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
    from explain.quality.described.description import Description
    from explain.quality.known import Known
    from explain.quality.verdict import Trust, Verdict

Values = dict[str, Any]
FILE = "trust.csv"
TABLES = ("decides", "localization", "description")


def measured(run: RunData) -> "Known | None":
    """The figures of the maps at the run's own layer, of what this run explains (of a run of one label that
    label), as the page shows them: of several measurements the same one, in the same tables. None where
    nothing was measured."""
    if not (run.folder / TRUST).is_dir():
        return None
    from explain.quality.known import known_of_own

    return known_of_own(run)


def described(run: RunData, trust: "Trust", target: str) -> "Description":
    """What describes the maps of `trust`, of what the folder holds; nothing where that cannot be read."""
    from explain.quality.described.description import Description

    try:
        found = Description.kept(run, trust, target)
        return found if [*found.methods, *found.regions] else Description(trust.verdicts)
    except (KeyError, TypeError, ValueError):  # columns of another version, or of another program
        return Description(trust.verdicts)


def trust_values(run: RunData) -> Values:
    """What the template `trust.html` needs."""
    found = measured(run)
    if found is None:
        command = typed(["trust", "RUN"])
        none = {"parts": [], "note": "not measured", "command": command, "file": ""}
        return {"trust": none | {"depth": _depth(run)}}
    from explain.quality.remarks import caution, explained
    from explain.quality.tables import size_text

    alone = len(found.tables) == 1
    sizes = " and ".join(size_text(trust, alone) for trust in found.tables)
    layer = f", layer {found.layer}" if found.layer else ""
    return {
        "trust": {
            "parts": [_part(run, found, trust, "" if alone else size_text(trust)) for trust in found.tables],
            "note": f"{sizes}{layer}; {explained(run, found.settings.target)}",
            "caution": caution(run),
            "file": FILE,
            "depth": _depth(run),
        }
    }


def _part(run: RunData, found: "Known", trust: "Trust", size: str) -> Values:
    """Of one of the tables; `size`: of how many images it is, where there are several."""
    from explain.quality.described.tables import tables_of
    from explain.quality.remarks import concluded
    from explain.quality.verdict import FIGURES

    return {
        "size": size,
        "recommendation": concluded(run, trust),
        "tables": [
            {
                "title": FIGURES[name].title,
                "meaning": FIGURES[name].meaning,
                "controls": _controls(trust, name),
                "rows": [_row(v, name, trust.images, _controls(trust, name)) for v in trust.verdicts],
            }
            for name in trust.figures
        ],
        "verdicts": [
            {"title": v.title, "text": v.text, "milliseconds": f"{1000 * v.seconds:.1f}"}
            for v in trust.verdicts
        ],
        "described": tables_of(described(run, trust, found.settings.target)),
    }


def _depth(run: RunData) -> Values | None:
    """Of the best method of each layer that was measured; None where fewer than two were."""
    if not (run.folder / TRUST).is_dir():
        return None
    from explain.quality.format_text import layer_cells
    from explain.quality.next_run import command_at
    from explain.quality.over_depth.depth import advice
    from explain.quality.over_depth.known_depth import known_depth
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


def _row(verdict: "Verdict", figure: str, images: int, controls: list[tuple[str, str]]) -> Values:
    from explain.quality.format_text import named, number, p_text

    found = verdict.figures[figure]
    low, high = found.interval
    nan = float("nan")
    return {
        "title": named(verdict, figure, images),
        "mean": number(found.mean),
        "controls": [(number(found.means.get(name, nan)), name == found.best) for name, _ in controls],
        "difference": f"{found.difference:+.3f}" if found.images else "",
        "interval": f"{low:+.3f} to {high:+.3f}" if low == low else "–",
        "p": p_text(found.p),
        "wins": f"{100 * found.wins:.0f} %" if found.images else "",
    }


def trust_table(trust: "Trust") -> "pd.DataFrame":
    """One row a method and figure: its mean, those of its controls, and the comparison with the best one. The
    verdict is that of the figure that decides."""
    import pandas as pd

    rows = []
    for verdict in trust.verdicts:
        for name, found in verdict.figures.items():
            row = {"method": verdict.method, "figure": name, "layer": trust.layer} | _compared(found)
            decides = name == trust.decides
            rows.append(row | {"seconds": verdict.seconds, "verdict": verdict.text if decides else ""})
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

    from explain.quality.described.description import localized_text

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

    from models.files.csv_files import spreadsheet_safe

    found = measured(run)
    if found is None:
        (out / FILE).unlink(missing_ok=True)
        return set()
    parts = list[tuple[str, pd.DataFrame]]()
    for trust in found.tables:
        description = described(run, trust, found.settings.target)
        parts.append(("decides", trust_table(trust)))
        parts.append(("localization", localization_table(description, trust.layer)))
        parts.append(("description", description_table(description, trust.layer)))
    ordered = sorted(parts, key=lambda part: TABLES.index(part[0]))
    table = pd.concat([part.assign(table=name) for name, part in ordered if len(part)], ignore_index=True)
    with atomic(out / FILE) as temporary:
        spreadsheet_safe(table).to_csv(temporary, index=False, float_format="%.6g")
    return {out / FILE}
