"""What `check` finds, as the JSON object of `check --json`. Heavy packages are imported inside."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from explain.cli.matching import open_both
from explain.cli.options import DataOfTask, LabeledColumns, Network
from models.errors import UserError
from models.inputs.options import PreprocessingOptions

if TYPE_CHECKING:
    from explain.run.preflight.check import Preflight
    from explain.run.preflight.matched import Matched
    from models.classifier import Classifier
    from models.data.source import ImageSource

UNMATCHED, LEFT_OUT = "no output found", "left out by --classes"


def json_answer(
    network: Network,
    data: DataOfTask,
    columns: LabeledColumns,
    classes: Path | None,
    class_names: str | None,
    preprocessing: PreprocessingOptions,
    expect: float | None,
    write_classes: Path | None = None,
) -> tuple[dict[str, Any], UserError | None]:
    """The object, and the error where something was refused: then it has the key `error`, and what was found
    out before (docs/files.md has all keys)."""
    from explain.run.preflight.matched import data_line, matched_to

    answer: dict[str, Any] = {}
    try:
        classifier, source = open_both(network, data, columns, class_names, preprocessing)
        answer |= {
            "input": classifier.input_described,
            "notes": list(classifier.notes),
            "data": data_line(source),
            "outputs": list(classifier.classes),
            "matching": unmatched_rows(classifier, source),
        }
        matched = matched_to(classifier, source, classes)
        answer["notes"] += matched.notes
        rows = [*matched_rows(matched, matched.source), *left_out_rows(matched, source)]
        rows.sort(key=lambda row: source.classes.index(row["data"]))
        answer |= {"outputs": list(matched.classifier.classes), "matching": rows}
        found = looked_at(matched, matched.source)
        answer |= preflight_answer(found, expect)
        if write_classes:
            answer["notes"].append(written_order(found, write_classes))
    except UserError as error:
        return {**answer, "error": str(error)}, error
    return answer, None


def looked_at(matched: "Matched", source: "ImageSource", decisive: bool = False) -> "Preflight":
    """The preflight of a network whose classes are matched; `decisive` as there."""
    from explain.run.engine import match
    from explain.run.preflight.check import preflight

    outputs = match(matched.classifier, source, matched.mapping, matched.order).outputs
    return preflight(matched.classifier, source, outputs, order=matched.order, decisive=decisive)


def written_order(found: "Preflight", path: Path) -> str:
    """Write the order of the outputs that is better beyond doubt, as `--classes` reads it, and say so in one
    line; or why nothing is written. Raises UserError where the file exists or cannot be written."""
    from models.classes.mapping import write_mapping

    if found.better is None or found.better.outputs is None:
        return f"{path} is not written: no other order of the outputs is better beyond doubt"
    if found.names_from:
        return f"{path} is not written: the names in {found.names_from} are to be corrected"
    write_mapping(path, found.better.outputs)
    unknown = [name for name, output in found.better.outputs.items() if output is None]
    asked = f"; replace ? in the lines of {', '.join(unknown[:6])}, which the sample does not show"
    return f"{path} is written, for --classes {path}{asked if unknown else ''}"


def matched_rows(matched: "Matched", source: "ImageSource") -> list[dict[str, Any]]:
    """One row per class of the data: the output that it is, its name, and the rule by which it was found;
    an empty class may have none."""
    from explain.run.engine import match

    found = match(matched.classifier, source, matched.mapping, matched.order)
    names, rules = matched.classifier.classes, {data: rule for data, _, rule in found.folded}
    rules |= dict.fromkeys(matched.mapping or {}, "--classes")
    plain = f"--classes {matched.order}" if matched.order else ""
    return [
        _row(data, output, names[output], rules.get(data) or plain or _rule(data, names[output]))
        if output >= 0
        else _row(data, None, "", UNMATCHED)
        for data, output in zip(source.classes, found.outputs, strict=True)
    ]


def left_out_rows(matched: "Matched", source: "ImageSource") -> list[dict[str, Any]]:
    """The rows of the classes of `source` whose images are left out."""
    names = [name for name in source.classes if name not in matched.source.classes]
    return [_row(name, None, "", LEFT_OUT) | {"left_out": True} for name in names]


def unmatched_rows(classifier: "Classifier", source: "ImageSource") -> list[dict[str, Any]]:
    """The rows before anything but equal names is known."""
    names = list(classifier.classes)
    return [
        _row(data, names.index(data), data, "equal names")
        if names.count(data) == 1
        else _row(data, None, "", UNMATCHED)
        for data in source.classes
    ]


def _rule(data: str, output: str) -> str:
    return "equal names" if data == output else "number"


def _row(data: str, output: int | None, name: str, rule: str) -> dict[str, Any]:
    return {"data": data, "output": output, "name": name, "rule": rule}


def preflight_answer(found: "Preflight", expect: float | None) -> dict[str, Any]:
    """Numbers are fractions of 1."""
    from explain.analysis.verdict import verdict, wrong

    better = found.better
    return {
        "images": found.images,
        "unread": found.unread,
        **(_classes_answer(found) if found.numbers is None else _numbers_answer(found)),
        "readings": [
            {
                "name": trial.name,
                "words": list(trial.words),
                "accuracy": trial.accuracy,
                "as_now": found.as_now(trial),
                "images": len(trial.right),
                "p": trial.p,
                "better": trial is better,
                "outputs": None if trial.outputs is None else dict(trial.outputs),
            }
            for trial in found.tried
        ],
        "untried": found.untried,
        "verdict": verdict(found, expect),
        "wrong": bool(wrong(found, expect)),
    }


def _classes_answer(found: "Preflight") -> dict[str, Any]:
    from models.measures.chance import chance_level

    e = found.evaluation
    called = e.confusion.sum(0)
    shares = {str(k): float(called[k] / found.images) for k in range(len(called)) if called[k]}
    return {
        "accuracy": float(e.accuracy),
        "interval": [float(end) for end in e.interval],
        "chance": float(chance_level(e)),
        "shares": {} if found.of_sets else shares,
    }


def _numbers_answer(found: "Preflight") -> dict[str, Any]:
    """Of each output its measures (null where one is not defined), and the RMSE of answering the mean;
    `nearer`: the fraction of images that are nearer to the true numbers than their mean."""
    from explain.analysis.numbers.verdict import sample_scores

    scores = sample_scores(found)
    measures = {
        name: {key: _known(values[k]) for key, values in scores.values.items()}
        | {"rmse_of_mean": float(scores.truth[:, k].std())}
        for k, name in enumerate(scores.names)
    }
    return {"measures": measures, "nearer": float(found.evaluation.accuracy)}


def _known(value: float) -> float | None:
    return float(value) if value == value else None
