"""The line above maps: which method they are of, and whether they say more than controls do; and the verdict
beside what rests on where maps are strong."""

from typing import Literal

from markupsafe import Markup

from dashboard.components.command import command_words
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.trust.trust_depth import over_depth
from explain.analysis.on_maps import at_chance, command, said_of
from explain.formatting import layer_label
from explain.quality.known import known, state_of, verdict_of
from explain.quality.sample import target_name
from explain.quality.verdict import BELIEVED, FIGURES, SHORT, Verdict
from explain.run.reader import RunData

MEASURE, STOP = "measure", "stop"
"""Actions of the line."""
NOT_YET = "Not measured yet. Do these maps say more than a spot in the center?"
CONTROL = "A control is a map that does not know what the network sees in the image, as a spot in the center."
NOTHING_FOLLOWS = "Do not conclude from where these maps are strong."
FAILED = "Do not conclude from where these maps are strong: another method or layer may say more."
KIND = {"passes": "vt-positive", "does not pass": "vt-negative", "unknown": ""}
Offer = Literal["button", "command", ""]


def trust_line(
    run: RunData, method: str, offer: Offer, progress: str = "", ended: str = "", live: bool = False
) -> Markup:
    """Of the run's maps of `method`, and below it the verdicts over depth. `offer`: how it can be measured by
    whoever reads it, as a button or as a command to copy; `progress`: of a measurement that runs; `ended`:
    why the last one gave less; `live`: whether maps can be computed here."""
    verdict, state, reason = verdict_of(run, method), state_of(run, method), at_chance(run)
    if progress:
        text, more = (
            f"Measuring how far the maps can be trusted ({progress}).",
            _button(STOP, "Cancel", offer),
        )
    elif verdict is None:
        text, more = _elsewhere(run, method) or NOT_YET, _offered(run, offer)
    else:
        text = "; ".join(filter(None, [verdict.text, reason]))
        more = _figures(run, verdict) + (_offered(run, offer) if state == "unknown" else NOTHING)
    return html(
        '<div class="vt-trust"><p role="status"><b>{name}</b>: <span class="{kind}">{text}</span></p>'
        "{more}{ended}{depth}</div>",
        name=run.title(method),
        kind="" if progress else KIND["does not pass" if reason and verdict else state],
        text=text,
        more=more,
        ended=html("<small>{}</small>", ended) if ended and not progress else NOTHING,
        depth=over_depth(run, offer != "", live),
    )


def verdict_note(run: RunData, *methods: str) -> Markup:
    """The verdicts on the run's maps of `methods`, a line each, for views that are about where maps are
    strong."""
    return join(html('<p class="vt-advice vt-maps-note">{}.</p>', said_of(run, m)) for m in methods)


def method_options(run: RunData, methods: list[str]) -> dict[str, str]:
    """The text of each method in a list: its name, and its verdict where one is known and the network is
    above chance."""
    return {m: _named(run, m) for m in methods}


def _named(run: RunData, method: str) -> str:
    said = state_of(run, method) != "unknown" and not at_chance(run)
    verdict = verdict_of(run, method) if said else None
    return run.title(method) if verdict is None else f"{run.title(method)}: {verdict.text}"


def _figures(run: RunData, verdict: Verdict) -> Markup:
    """Layer, number of images, and the means of the method and of its best control."""
    found = verdict.decisive
    name = BELIEVED if BELIEVED in verdict.figures else next(iter(verdict.figures))
    control = SHORT.get(found.best, found.best)
    means = f"{found.mean:.3f}, {control} {found.means[found.best]:.3f}" if found.images else "not known"
    layer = run.manifest.request.layer
    where = f"at {'' if ',' in layer else 'layer '}{layer_label(layer)}, " if layer else ""
    where += f"for {target_name(run)}, " if run.numbers else ""
    if target_name(run) and (measured := known(run)) is not None and not measured.settings.target:
        where += "for the most probable label of each image, "
    figure = FIGURES[name]
    return html(
        '<small title="{}">{}{:,} images; {}: {}. {}</small>',
        f"{figure.title}: {figure.meaning}",
        where,
        found.images,
        figure.title,
        means,
        " ".join(filter(None, [CONTROL, _advice(run, verdict)])),
    )


def _advice(run: RunData, verdict: Verdict) -> str:
    if at_chance(run):
        return NOTHING_FOLLOWS
    return "" if verdict.passes or verdict.decisive.outcome == "too few images" else FAILED


def _elsewhere(run: RunData, method: str) -> str:
    """Where the method was measured at another layer alone."""
    found = known(run)
    verdict = found.by_method.get(method) if found is not None and not found.own else None
    if found is None or verdict is None:
        return ""
    here, there = layer_label(run.manifest.request.layer), layer_label(found.layer)
    return f"Not measured at {here}, whose maps these are. At {there}: {verdict.text}."


def _offered(run: RunData, offer: Offer) -> Markup:
    if offer == "command":
        return html(
            '<span><button class="vt-link" data-copy>copy</button></span><code class="vt-command">{}</code>',
            command_words(command(run)),
        )
    return _button(MEASURE, "Measure", offer)


def _button(name: str, text: str, offer: Offer) -> Markup:
    return html('<button class="vt-run" {}>{}</button>', action(name), text) if offer == "button" else NOTHING
