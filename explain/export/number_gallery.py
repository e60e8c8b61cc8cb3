"""Export of images of a run of numbers: overlays, raw maps, originals, a page that opens without a server,
and tables. No torch."""

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from explain.analysis.numbers.groups import GROUPS, SORTS, NumberGroup
from explain.analysis.numbers.proposals import SUSPICIOUS, group_of
from explain.analysis.numbers.text import number, signed_number
from explain.export.anonymize import eye_band, without_eyes
from explain.export.files import (
    TABLE,
    atomic,
    claim,
    remove_stale,
    save_picture,
    write_manifest,
    written_to,
)
from explain.export.gallery import (
    INDEX,
    MANIFEST,
    MAPS,
    ORIGINALS,
    OVERLAYS,
    PHOTOS,
    PREDICTIONS,
    SHEET,
    ExportOptions,
)
from explain.export.names import safe_names, stem
from explain.export.number_sheet import COLUMNS as SHEET_COLUMNS
from explain.export.number_sheet import SheetCell, SheetRow, draw_number_sheet
from explain.export.sheet import LINES, TILE
from explain.export.templating import page
from explain.export.trust import trust_values, write_trust
from explain.formatting import counted
from explain.render import signed, signed_overlay, signed_problem
from explain.run.images import network_view, pictures_of
from explain.run.outputs.number_run import NOT_KEPT, NumbersRun
from models.errors import UserError
from models.files.csv_files import plain, spreadsheet_safe

EACH = 4
"""Images of a group where nothing else is said."""
MOST = 1000
"""Images of a group, at most."""
SELECTED = "selected"
PLAIN = ExportOptions()
COLUMNS = ("id", "output", "group", "true", "predicted", "error", "method", "layer", "files")


@dataclass(frozen=True)
class Picked:
    """`group`: a name of `GROUPS`, or `SELECTED`; `rows` of the run's table, in their order."""

    output: int
    group: str
    title: str
    rows: tuple[int, ...]


def picked(run: NumbersRun, options: ExportOptions) -> list[Picked]:
    """The images that are exported: a few of each group of every output, or of the one that was asked for
    (`NumbersRun.output`); or those that `select` names of the output that is shown first. Raises UserError
    for what the run lacks, and where no image is left."""
    if options.per_class is not None and not 1 <= options.per_class <= MOST:
        raise UserError(
            f"{counted(options.per_class, 'image')} per group cannot be exported: ask for 1 to {MOST}."
        )
    if options.select:
        sort = options.sort if options.sort in SORTS else ""
        found = [_picked(run, run.index, options.select, sort, options.per_class or MOST)]
    else:
        outputs = [run.index] if run.one_output else range(len(run.outputs))
        found = [_picked(run, k, key, "", options.per_class or EACH) for k in outputs for key in GROUPS]
    made = [one for one in found if one.rows]
    if not made:
        raise UserError(
            f"No readable image fits '{options.select or 'every group'}', so there is nothing to export."
        )
    return made


def named_group(run: NumbersRun, text: str) -> tuple[NumbersRun, str]:
    """The run of one output, and the name of a group of it: of 'age:over' those of age; of 'over' those of
    the output that is shown first."""
    name, colon, key = text.partition(":")
    if colon and name in run.outputs:
        return run.output(run.outputs.index(name)), key
    return run, text


def _picked(run: NumbersRun, output: int, key: str, sort: str, most: int) -> Picked:
    found: NumberGroup | None = group_of(run, output, key, sort)
    if found is None:
        raise unknown(key)
    name = key if key in GROUPS else SELECTED
    return Picked(output, name, found.title, tuple(found.rows[:most].tolist()))


def unknown(key: str) -> UserError:
    """The error for a name that is no group."""
    return UserError(
        f"Nothing is called '{key[:80]}': select {', '.join(GROUPS)}, {SUSPICIOUS}, or what a link of the "
        "page names, as box:TRUE FROM,TO,PREDICTED FROM,TO."
    )


class NumberExport:
    """Into a folder, or into `out` where its name ends in .zip. An earlier export there is replaced.

    Raises UserError for options that do not fit the run, and where `out` holds something else.
    """

    def __init__(self, run: NumbersRun, out: Path, options: ExportOptions = PLAIN):
        self.run, self.out, self.options = run, out, options
        self.without_original = set[int]()  # rows
        self.methods = options.methods or run.manifest.request.methods[:1]
        if unknown := [m for m in self.methods if m not in run.manifest.request.methods]:
            raise UserError(
                f"The run has no method '{unknown[0]}': it has {', '.join(run.manifest.request.methods)}."
            )
        if options.blur_eyes:
            eye_band(run)
        self.picked = picked(run, options)

    @property
    def images(self) -> int:
        return len({row for one in self.picked for row in one.rows})

    @property
    def description(self) -> str:
        """Which images."""
        return description(self.run, self.picked)

    def steps(self) -> Generator[float, None, None]:
        """Write it; yields the fraction that is done."""
        yield from written_to(self.out, self._folder)

    def _folder(self, out: Path) -> Iterator[float]:
        claim(out, COLUMNS)
        folders, written = safe_names(self.run.outputs), set[Path]()
        entries, total = list[dict[str, Any]](), sum(len(one.rows) for one in self.picked)
        for one in self.picked:
            for rank, row in enumerate(one.rows, 1):
                name = f"{folders[one.output]}/{one.group}-{rank:02d}-{stem(self.run.table.at[row, 'id'])}"
                files = self._image(out, name, row, one.output)
                written |= {out / f for kind in ("original", "overlays", "maps") for f in files[kind]}
                entries.append({"row": row, "output": one.output, "group": one.group} | files)
                yield 0.9 * len(entries) / total
        for inner in (OVERLAYS, ORIGINALS, MAPS):
            remove_stale(out / inner, written)
        for file, table in ((TABLE, self._table(entries)), (PREDICTIONS, number_predictions(self.run))):
            with atomic(out / file) as temporary:
                spreadsheet_safe(table).to_csv(temporary, index=False, float_format="%.9g")
        self._sheet(out)
        with atomic(out / INDEX) as temporary:
            temporary.write_text(self._index(entries), encoding="utf-8")
        written |= write_trust(self.run, out)
        self._manifest(out, written | {out / file for file in (SHEET, TABLE, PREDICTIONS, INDEX)})
        yield 1.0

    def _sheet(self, out: Path) -> None:
        """As many images as fit, with the first method's maps."""
        run, left, shown = self.run, LINES, list[SheetRow]()
        for one in self.picked:
            cells = [self._cell(row, one) for row in one.rows[: left * SHEET_COLUMNS]]
            if cells:
                shown.append(SheetRow(run.outputs[one.output], one.title, cells))
                left -= shown[-1].lines
        drawn, total = sum(len(s.cells) for s in shown), sum(len(one.rows) for one in self.picked)
        limits = [f"the first {drawn} of {counted(total, 'image')}"] if drawn < total else []
        limits += ["the run has not ended"] if run.manifest.status != "complete" else []
        title = " · ".join([f"{run.manifest.network} on {run.manifest.request.data}", *limits])
        about = f"{run.title(self.methods[0])}, {run.manifest.request.where} · {self.description}"
        save_picture(draw_number_sheet(shown, title, about), out / SHEET)

    def _cell(self, row: int, one: Picked) -> SheetCell:
        run, texts = self.run, answer(self.run, row, one.output)
        images, why = [self._picture(row)], NOT_KEPT
        if run.has_map(one.output, row):
            raw = run.maps_of(self.methods[0], one.output, [row])[0]
            images, why = [*images, signed_overlay(images[0], signed(raw))], signed_problem(raw)
        small = [ImageOps.contain(image, (TILE, TILE), Image.Resampling.LANCZOS) for image in images]
        lines = (
            str(run.table.at[row, "id"]),
            f"true {texts['true']}",
            f"{texts['predicted']} ({texts['error']})",
        )
        return SheetCell([(image, why) for image in small], lines, one.group == "nearest")

    def _picture(self, row: int) -> Image.Image:
        picture = network_view(self.run, row)
        return without_eyes(picture, self.run) if self.options.blur_eyes else picture

    def _image(self, out: Path, name: str, row: int, output: int) -> dict[str, list[str]]:
        """Everything of one image; the files by kind, relative to `out`, and what to write below each
        overlay."""
        run, blur = self.run, self.options.blur_eyes
        picture, whole = pictures_of(run, row)
        picture = without_eyes(picture, run) if blur else picture
        plain_file = f"{OVERLAYS}/{name}.image.png"
        files = {"original": [], "overlays": [plain_file], "maps": [], "captions": ["input of the network"]}
        save_picture(picture, out / plain_file)
        kept = run.has_map(output, row)
        files["captions"][0] += "" if kept else f"; {NOT_KEPT}"
        for method in self.methods if kept else ():
            raw = run.maps_of(method, output, [row])[0]
            files["overlays"].append(f"{OVERLAYS}/{name}.{method}.png")
            files["captions"].append(", ".join(filter(None, [run.title(method), signed_problem(raw)])))
            save_picture(signed_overlay(picture, signed(raw)), out / files["overlays"][-1])
            if self.options.raw:
                files["maps"].append(f"{MAPS}/{name}.{method}.npy")
                with atomic(out / files["maps"][-1]) as temporary, temporary.open("wb") as file:
                    np.save(file, raw)
        if self.options.originals and whole is None:
            self.without_original.add(row)
        if self.options.originals and whole is not None:
            kind = "jpg" if Path(run.table.at[row, "id"]).suffix.lower() in PHOTOS else "png"
            files["original"] = [f"{ORIGINALS}/{name}.{kind}"]
            save_picture(without_eyes(whole, run, True) if blur else whole, out / files["original"][0])
        return files

    def _table(self, entries: list[dict[str, Any]]) -> pd.DataFrame:
        """One row an image of a group."""
        run = self.run
        rows, outputs = ([e[key] for e in entries] for key in ("row", "output"))
        truth, predicted = run.truth[rows, outputs], run.predicted[rows, outputs]
        return pd.DataFrame(
            {
                "id": run.table.loc[rows, "id"].map(plain).to_numpy(),
                "output": [plain(run.outputs[k]) for k in outputs],
                "group": [e["group"] for e in entries],
                "true": truth,
                "predicted": predicted,
                "error": predicted - truth,
                "method": ", ".join(self.methods),
                "layer": run.manifest.request.layer,
                "files": [" ".join([*e["original"], *e["overlays"], *e["maps"]]) for e in entries],
            },
            columns=list(COLUMNS),
        )

    def _index(self, entries: list[dict[str, Any]]) -> str:
        run, request = self.run, self.run.manifest.request
        groups = []
        for one in self.picked:
            of_group = [e for e in entries if (e["output"], e["group"]) == (one.output, one.group)]
            groups.append({"name": _heading(run, one), "cards": [self._card(e) for e in of_group]})
        return page(
            "number_index.html",
            title=f"{run.manifest.network} on {request.data}",
            description=self.description,
            titles=", ".join(run.title(m) for m in self.methods),
            layer=request.layer,
            images=self.images,
            groups=groups,
            table=TABLE,
            predictions=PREDICTIONS,
            manifest=MANIFEST,
            sheet=SHEET,
            **trust_values(self.run),
        )

    def _card(self, entry: dict[str, Any]) -> dict[str, Any]:
        row, k = entry["row"], entry["output"]
        shown = list(zip(entry["overlays"], entry["captions"], strict=True))
        return entry | {"id": self.run.table.at[row, "id"], "shown": shown} | answer(self.run, row, k)

    def _manifest(self, out: Path, files: set[Path]) -> None:
        about = {"selected": self.description, "images": self.images}
        write_manifest(out / MANIFEST, self.run.manifest, asdict(self.options), about, files)


def answer(run: NumbersRun, row: int, output: int) -> dict[str, str]:
    """True and predicted number of an image, and the error, as text."""
    true, predicted = float(run.truth[row, output]), float(run.predicted[row, output])
    return {
        "true": number(true),
        "predicted": number(predicted),
        "error": signed_number(predicted - true),
    }


def _heading(run: NumbersRun, one: Picked) -> str:
    return f"{run.outputs[one.output]}: {one.title}"


def description(run: NumbersRun, found: list[Picked]) -> str:
    """Which images were picked, as text."""
    return "; ".join(f"{_heading(run, one)}, {len(one.rows):,}" for one in found[:12])


def number_predictions(run: NumbersRun) -> pd.DataFrame:
    """True and predicted number of every readable image and every output."""
    rows = run.ok.index.to_numpy()
    columns: dict[str, Any] = {"id": run.table.loc[rows, "id"].map(plain).to_numpy()}
    for k, name in enumerate(run.outputs):
        columns[plain(f"true.{name}")] = run.truth[rows, k]
        columns[plain(f"predicted.{name}")] = run.predicted[rows, k]
    return pd.DataFrame(columns)
