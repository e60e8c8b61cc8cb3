"""What a check found: the network's input, the accuracy of a sample, other readings, and the matching of
classes, to be corrected."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dashboard.components.command import command_words
from dashboard.components.controls import select
from dashboard.components.markup import NOTHING, action, html, join, verbatim
from dashboard.components.panel import empty, panel, row, table, warning
from explain.formatting import counted, p_value, percent

OUTDATED = "made with other settings: check again"
SETTINGS, SUBJECTS = "settings", "network or data"
"""What the form says otherwise since a check: only what it found is outdated, or also the classes that it
matched."""
ROWS, OUTPUTS, SHARES, READINGS = 100, 100, 8, 12
"""Maximum number of listed classes, of outputs in the list of a row, of predicted classes, of readings."""


def under_way(text: str) -> Markup:
    """While a check runs."""
    return panel("Check", html('<p class="vt-empty" role="status">{}</p>', text or "starting …"))


def not_checked() -> Markup:
    return panel(
        "Check",
        empty(
            "Check predicts a sample of at most 256 images: it shows what the network is fed, how many are "
            "right, whether another reading of the images is better, and which output each class is."
        ),
    )


def check_result(
    checked: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    command: str,
    corrected: str,
    outdated: str = "",
    found_by: str = "",
) -> Markup:
    """`checked`: of `check --json`; `rows`: its matching with corrections; `corrected`: where these are
    written, empty where there are none; `outdated`: `SETTINGS` or `SUBJECTS`, if the form says them otherwise
    now; `found_by`: how a check found an order of the outputs that is filled in, empty where none is."""
    if not checked:
        return not_checked()
    error = str(checked.get("error", ""))
    parts = [html('<pre class="vt-command">{}</pre>', command_words(command))]
    parts += [warning(error)] if error else []
    parts += [_facts(checked), _notes(checked)]
    result = [_readings(checked["readings"])] if "readings" in checked else []
    found = panel("Check", join(parts)) + join(result)
    matching = _matching(checked.get("outputs", []), rows, corrected, found_by)
    if not outdated:
        return found + matching
    classes = _greyed(matching) if outdated != SETTINGS else matching  # corrections are settings, too
    return html('<p class="vt-warning" role="status">{}</p>', OUTDATED) + _greyed(found) + classes


def _greyed(body: Markup) -> Markup:
    return html(
        '<div class="vt-outdated" role="group" aria-disabled="true" inert aria-label="check of '
        'other settings">{}</div>',
        body,
    )


def _facts(checked: Mapping[str, Any]) -> Markup:
    if "accuracy" not in checked:
        return NOTHING
    low, high = checked["interval"]
    facts = [
        ("accuracy of the sample", percent(checked["accuracy"])),
        ("95 % interval", f"{percent(low)} to {percent(high)}"),
        ("chance", percent(checked["chance"])),
        ("images", f"{checked['images']:,}"),
    ]
    facts += [("could not be read", f"{checked['unread']:,}")] if checked["unread"] else []
    verdict = (
        warning(str(checked["verdict"]))
        if checked["wrong"]
        else html("<p>No problem found: {}.</p>", checked["verdict"])
    )
    listed = join(html("<dt>{}</dt><dd>{}</dd>", name, value) for name, value in facts)
    return html('<dl class="vt-facts" tabindex="0">{}</dl>{}', listed, verdict)


def _notes(checked: Mapping[str, Any]) -> Markup:
    lines = [("input", checked.get("input", "")), ("data", checked.get("data", ""))]
    lines += [("note", note) for note in checked.get("notes", [])]
    if shares := checked.get("shares"):
        most = sorted(shares.items(), key=lambda share: -share[1])
        named = [f"{checked['outputs'][int(k)]} {percent(value)}" for k, value in most[:SHARES]]
        lines.append(("predicted", ", ".join(named) + (", …" if len(most) > SHARES else "")))
    return join(html("<p><small>{}</small> {}</p>", name, text) for name, text in lines if text)


def _readings(readings: Sequence[Mapping[str, Any]]) -> Markup:
    """The other readings, the best first; one that is better fills the form."""
    if not readings:
        return NOTHING
    rows = join(
        row(
            [
                reading["name"],
                f"{percent(reading['accuracy'])} of {reading['images']}",
                percent(reading["as_now"]),
                p_value(reading["p"]),
                _use(k, reading),
                html("<code>{}</code>", command_words(" ".join(reading["words"]))),
            ]
        )
        for k, reading in enumerate(readings[:READINGS])
    )
    heads = [
        ("images read as", "instead of as now"),
        ("right", "of the first images of the sample"),
        ("as now", "right of the same images as they are read now"),
        ("p", "of being better than now, exact McNemar test, corrected for the number of comparisons"),
        ("apply", "fill in the form"),
        ("options", "of the command line"),
    ]
    return panel("Other readings", table(heads, rows))


def _use(k: int, reading: Mapping[str, Any]) -> object:
    if "FILE" in reading["words"]:
        what = "class names" if "--class-names" in reading["words"] else "classes below"
        return f"correct the {what}" if reading["better"] else ""
    if reading["accuracy"] <= reading["as_now"]:
        return ""
    name = f"use {' '.join(reading['words'])}"
    return html('<button class="vt-link" aria-label="{}" {}>use</button>', name, action("use", k))


def _matching(
    outputs: Sequence[str], rows: Sequence[Mapping[str, Any]], corrected: str, found_by: str
) -> Markup:
    """Classes without an output first, then those whose names differ."""
    if not rows:
        return NOTHING
    ranked = sorted(range(len(rows)), key=lambda k: (*_order(rows[k]), k))
    names = {str(k): f"{k}: {name}" for k, name in enumerate(outputs)}
    body = join(
        row([rows[k]["data"], _output(k, rows[k], names), rows[k]["rule"], _leave_out(k, rows[k])])
        for k in ranked[:ROWS]
    )
    heads = [
        ("class of the data", ""),
        ("output of the network", "its number and name"),
        ("found by", "how they were matched"),
        ("images", "whether the images of the class are used"),
    ]
    more = f"; {len(rows) - ROWS} more are not listed" if len(rows) > ROWS else ""
    note = html("<p>Filled in by the check: {}.</p>", found_by) if found_by else NOTHING
    if corrected:
        note += html("<p>Corrections are written to <code>{}</code>.</p>", corrected)
    choices = _choices(outputs) if len(outputs) > OUTPUTS else NOTHING
    title = f"{counted(len(rows), 'class')} of the data, {counted(len(outputs), 'output')}{more}"
    return panel("Matching of classes", table(heads, body) + note + choices, title)


def _order(one: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether nothing is missing, and whether nothing is to be looked at."""
    return one["output"] is not None or bool(one.get("left_out")), one["rule"] == "equal names"


def _leave_out(k: int, one: Mapping[str, Any]) -> Markup:
    """A button that leaves the images of a class out, or takes them back."""
    out = bool(one.get("left_out"))
    return html(
        '<button class="vt-link" aria-label="{}" {}>{}</button>',
        f"use the images of {one['data']}" if out else f"leave out the images of {one['data']}",
        action(f"leave:{k}"),
        "use" if out else "leave out",
    )


def _output(k: int, one: Mapping[str, Any], names: Mapping[str, str]) -> Markup:
    """A list of the outputs; where they are many, a field that completes their names."""
    label, output = f"output for {one['data']}", one["output"]
    if len(names) > OUTPUTS:
        return html(
            '<input type="text" list="vt-outputs" aria-label="{}" value="{}" placeholder="name or number" '
            "{}>",
            label,
            verbatim(one["name"]),
            action(f"named:{k}"),
        )
    missing = {} if output is not None else {"": "left out" if one.get("left_out") else "choose …"}
    return select(
        f"output:{k}", label, missing | dict(names), "" if output is None else str(output), show_label=False
    )


def _choices(outputs: Sequence[str]) -> Markup:
    options = join(html('<option value="{}"></option>', verbatim(name)) for name in outputs)
    return html('<datalist id="vt-outputs">{}</datalist>', options)
