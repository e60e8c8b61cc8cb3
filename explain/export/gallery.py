"""Export of images: originals, overlays, raw maps, a sheet, a page that opens without a server, and tables.
No torch."""

import math
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from explain.analysis.findings import Findings
from explain.analysis.ranking import ClassSample
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
from explain.export.names import safe_names, stem
from explain.export.selection import Selection, selected
from explain.export.sheet import LINES, TILE, Tile, draw_sheet
from explain.export.table import COLUMNS, everything, predictions
from explain.export.templating import page
from explain.export.trust import trust_values, write_trust
from explain.formatting import TARGET_NAMES, counted, decimal, evidence
from explain.render import normalize, overlay, problem
from explain.run.format import TARGETS
from explain.run.images import pictures_of
from models.errors import UserError
from models.files.csv_files import spreadsheet_safe

SHEET, PREDICTIONS, MANIFEST, INDEX = "sheet.png", "predictions.csv", "manifest.json", "index.html"
OVERLAYS, ORIGINALS, MAPS = "overlays", "originals", "maps"
RESULTS = ("wrong", "right")
PHOTOS = {".jpg", ".jpeg", ".webp", ".mpo"}  # whose pixels were rounded before: written as JPEG again


@dataclass(frozen=True)
class ExportOptions:
    """`select` and `per_class`: which images (`selection.selected`). `methods`: of the run's (default: the
    first). `originals`: at full size, where they can be read; `raw`: maps as numbers; `blur_eyes`: cover the
    eyes of aligned faces."""

    select: str = ""
    per_class: int | None = None
    methods: tuple[str, ...] = ()
    sort: str = "most confident"
    originals: bool = True
    raw: bool = True
    blur_eyes: bool = False


class Export:
    """Into a folder, or into `out` where its name ends in .zip. An earlier export there is replaced.

    Raises UserError for options that do not fit the run, and where `out` holds something else.
    """

    def __init__(self, findings: Findings, out: Path, options: ExportOptions = ExportOptions()):
        run = findings.run
        if options.per_class is not None and not 1 <= options.per_class <= 2 * LINES:
            raise UserError(
                f"{counted(options.per_class, 'image')} per class cannot be exported: ask for 1 to "
                f"{2 * LINES}."
            )
        if not len(run.ok):
            raise UserError(
                f"The run '{run.folder}' has no readable image, so there is nothing to export: look at its "
                "data."
            )
        self.run, self.out, self.options = run, out, options
        self.without_original = set[int]()  # rows
        self.methods = options.methods or run.manifest.request.methods[:1]
        if unknown := [m for m in self.methods if m not in run.manifest.request.methods]:
            raise UserError(
                f"The run has no method '{unknown[0]}': it has {', '.join(run.manifest.request.methods)}."
            )
        if options.blur_eyes:
            eye_band(run)
        self.selection: Selection = selected(findings, options.select, options.per_class, options.sort)

    @property
    def images(self) -> int:
        return len(self.selection.rows)

    @property
    def description(self) -> str:
        """Which images, and the threshold where it is not the network's own."""
        return "; ".join(filter(None, [self.selection.description, self.run.decision]))

    def steps(self) -> Generator[float, None, None]:
        """Write it; yields the fraction that is done."""
        yield from written_to(self.out, self._folder)

    def _folder(self, out: Path) -> Iterator[float]:
        claim(out, COLUMNS)
        folders, written, entries = safe_names(self.run.classes), set[Path](), []
        picked = [
            (s.index, result, rank, row)
            for s in self.selection.samples
            for result in RESULTS
            for rank, row in enumerate(getattr(s, result).tolist(), 1)
        ]
        on_sheet, tiles = self._on_sheet(), dict[int, list[Tile]]()
        shown = {row for s in on_sheet for result in RESULTS for row in getattr(s, result).tolist()}
        for done, (index, result, rank, row) in enumerate(picked, 1):
            name = f"{result}-{rank:02d}-{stem(self.run.table.at[row, 'id'])}"
            files, small = self._image(out, f"{folders[index]}/{name}", row, result, row in shown)
            if small:
                tiles[row] = small
            written |= {out / file for kind in ("original", "overlays", "maps") for file in files[kind]}
            entries.append({"row": row, "result": result} | files)
            yield 0.9 * done / len(picked)
        for inner in (OVERLAYS, ORIGINALS, MAPS):
            remove_stale(out / inner, written)
        self._sheet(out, on_sheet, tiles)
        for name, table in (
            (TABLE, everything(self.run, entries, self.methods)),
            (PREDICTIONS, predictions(self.run)),
        ):
            with atomic(out / name) as temporary:
                spreadsheet_safe(table).to_csv(temporary, index=False, float_format="%.6g")
        with atomic(out / INDEX) as temporary:
            temporary.write_text(self._index(entries), encoding="utf-8")
        written |= write_trust(self.run, out)
        self._manifest(out, written | {out / name for name in (SHEET, TABLE, PREDICTIONS, INDEX)})
        yield 1.0

    def _maps(self, row: int, result: str) -> Iterator[tuple[str, str, np.ndarray]]:
        """(method, target, raw map); of correct images for one target, the two are the same."""
        for method in self.methods:
            for target in TARGETS if result == "wrong" else TARGETS[:1]:
                if self.run.label_sets is not None and self.run.no_map(row, target):
                    continue
                yield method, target, self.run.maps(method, target, [row])[0]

    def _image(
        self, out: Path, name: str, row: int, result: str, on_sheet: bool
    ) -> tuple[dict[str, list[str]], list[Tile]]:
        """Everything of one image; the files by kind, relative to `out`, and what to write below each
        overlay; and what the sheet shows of it."""
        picture, whole = pictures_of(self.run, row)
        picture = without_eyes(picture, self.run) if self.options.blur_eyes else picture
        tiles = [(_small(picture), "")] if on_sheet else []
        files: dict[str, list[str]] = {
            "original": [],
            "overlays": [f"{OVERLAYS}/{name}.image.png"],
            "maps": [],
            "captions": ["input of the network"],
        }
        save_picture(picture, out / files["overlays"][0])
        for method, target, raw in self._maps(row, result):
            which = (
                f"{name}.{method}.{TARGET_NAMES[target]}"
                if len(self.methods) > 1
                else f"{name}.{TARGET_NAMES[target]}"
            )
            files["overlays"].append(f"{OVERLAYS}/{which}.png")
            files["captions"].append(self._caption(row, method, target, raw))
            over = overlay(picture, normalize(raw))
            save_picture(over, out / files["overlays"][-1])
            if on_sheet and method == self.methods[0]:
                tiles.append((_small(over), self._problem(row, target, raw)))
            if self.options.raw:
                files["maps"].append(f"{MAPS}/{which}.npy")
                with atomic(out / files["maps"][-1]) as temporary, temporary.open("wb") as file:
                    np.save(file, raw)
        files["original"] = self._original(out, name, row, whole)
        return files, tiles

    def _original(self, out: Path, name: str, row: int, whole: Image.Image | None) -> list[str]:
        """The file of the original at full size (`whole`), relative to `out`; none where it is not the run's
        picture any more."""
        if not self.options.originals:
            return []
        if whole is None:
            self.without_original.add(row)
            return []
        kind = "jpg" if Path(self.run.table.at[row, "id"]).suffix.lower() in PHOTOS else "png"
        file = f"{ORIGINALS}/{name}.{kind}"
        whole = without_eyes(whole, self.run, whole=True) if self.options.blur_eyes else whole
        save_picture(whole, out / file)
        return [file]

    def _caption(self, row: int, method: str, target: str, raw: np.ndarray) -> str:
        name = self.run.classes[int(self.run.table.at[row, target])]
        title = self.run.title(method) if len(self.methods) > 1 else ""
        return ", ".join(filter(None, [evidence(name, target), title, self._problem(row, target, raw)]))

    def _problem(self, row: int, target: str, raw: np.ndarray) -> str:
        return self.run.no_map(row, target) or problem(raw)

    def _on_sheet(self) -> list[ClassSample]:
        """As many classes and images as fit."""
        samples = self._samples()
        columns, lines, fitting = _columns(samples), 0, []
        for s in samples:
            lines += max(1, math.ceil(max(len(s.wrong), len(s.right)) / columns))
            if lines > LINES:
                break
            fitting.append(s)
        return fitting

    def _samples(self) -> list[ClassSample]:
        return [
            ClassSample(s.index, s.wrong[: 2 * LINES], s.right[: 2 * LINES]) for s in self.selection.samples
        ]

    def _sheet(self, out: Path, fitting: list[ClassSample], tiles: dict[int, list[Tile]]) -> None:
        """With the first method's maps."""
        run, method, samples = self.run, self.methods[0], self._samples()
        limits = (
            [f"the worst {len(fitting)} of {counted(len(samples), 'class')}"]
            if len(fitting) < len(samples)
            else []
        )
        limits += ["the run has not ended"] if run.manifest.status != "complete" else []
        title = " · ".join([f"{run.manifest.network} on {run.manifest.request.data}", *limits])
        e = run.evaluation
        about = (
            f"{run.title(method)}, {run.manifest.request.where} · accuracy {100 * e.accuracy:.1f} % of "
            f"{counted(e.support.sum(), 'image')} · {self.description}"
        )
        save_picture(draw_sheet(run, fitting, tiles, _columns(samples), title, about), out / SHEET)

    def _index(self, entries: list[dict[str, Any]]) -> str:
        run, request = self.run, self.run.manifest.request
        titles = [run.title(m) for m in self.methods]
        cards: dict[int, list[dict[str, Any]]] = {}
        for entry in entries:
            item = run.table.loc[entry["row"]]
            cards.setdefault(int(item["label"]), []).append(
                entry
                | {
                    "id": item["id"],
                    "label": run.classes[int(item["label"])],
                    "pred": run.classes[int(item["pred"])],
                    "confidence": decimal(item["confidence"]),
                    "wrong": entry["result"] == "wrong",
                    "shown": list(zip(entry["overlays"], entry["captions"], strict=True)),
                }
            )
        groups = [
            {"name": run.classes[s.index], "cards": cards.get(s.index, [])} for s in self.selection.samples
        ]
        return page(
            "index.html",
            title=f"{self.run.manifest.network} on {request.data}",
            description=self.description,
            titles=", ".join(titles),
            layer=request.layer,
            images=self.images,
            groups=groups,
            sheet=SHEET,
            table=TABLE,
            predictions=PREDICTIONS,
            manifest=MANIFEST,
            **trust_values(run),
        )

    def _decision(self) -> dict[str, Any]:
        run = self.run
        return {"threshold": run.threshold, "positive": run.classes[run.positive]} if run.binary else {}

    def _manifest(self, out: Path, files: set[Path]) -> None:
        about = {"selected": self.description, "images": self.images, **self._decision()}
        write_manifest(out / MANIFEST, self.run.manifest, asdict(self.options), about, files)


def _columns(samples: list[ClassSample]) -> int:
    return min(2, max(max(len(s.wrong), len(s.right)) for s in samples))


def _small(picture: Image.Image) -> Image.Image:
    return ImageOps.contain(picture, (TILE, TILE), Image.Resampling.LANCZOS)


def export(findings: Findings, out: Path, options: ExportOptions = ExportOptions()) -> Export:
    """Write it in one call."""
    made = Export(findings, out, options)
    for _ in made.steps():
        pass
    return made
