"""The review of labels: one image and the answers to it, and what all answers say."""

from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join, verbatim
from dashboard.components.panel import empty, panel, row, table
from explain import render
from explain.analysis.label_errors.review import Progress, Review, predicted, tally
from explain.analysis.label_errors.review_sample import Shown
from explain.formatting import counted, decimal, percent
from explain.run.people.review import AGREE, OTHER, SKIP, SUSPICIOUS, UNSURE, Answer

DIGITS = 9  # classes that have a key
STRATA = ("most suspicious tenth", "next fifth", "other images")
HEADS = tuple((name, "") for name in ("images", "in all", "in the sample", "decided", "wrong"))
HIDDEN = "The network's prediction is hidden until you answer, so that it does not lead you."
HOW = (
    "Two of three images are a random sample, which the estimate rests on; each third one is the most "
    "suspicious that is left. Suspicion learns from the answers."
)


def name_field(name: str) -> Markup:
    """Who reviews."""
    return html(
        '<label class="vt-reviewer">Reviewer <input data-action="name" value="{}" maxlength="80" '
        'placeholder="your name" autocomplete="off"></label>',
        verbatim(name),
    )


def review_card(review: Review, name: str, shown: Shown | None) -> Markup:
    """The image that a reviewer sees, and the answers that it can get."""
    if not name:
        return panel("Review of labels", name_field(name) + empty(f"Type your name to begin. {HIDDEN}"))
    given = review.of(name)
    last = _last(review, given[-1]) if given else NOTHING
    if shown is None:
        body = empty("All images are answered.") + _buttons_below(bool(given)) + last
        return panel("Review of labels", body + name_field(name), counted(len(given), "answer"))
    run, label = review.run, review.run.classes[int(review.run.ok.at[shown.row, "label"])]
    why = "one of the most suspicious" if shown.part == SUSPICIOUS else "of the random sample"
    return html(
        '<section class="vt-panel vt-review" tabindex="0" aria-label="Image {number}, label {label}: is it '
        'right? Keys: a agrees, digits give another class, u unsure, s skips, z takes the last answer back.">'
        "<h2>Image {number} <small>{why}</small></h2>"
        '<div class="vt-reviewed"><img class="vt-photo" src="{picture}" alt="image {number} of the review">'
        '<div><p class="vt-question">Label: <b>{label}</b></p>{answers}</div></div>'
        "{last}{below}{name}</section>",
        number=len(given) + 1,
        label=label,
        why=why,
        name=name_field(name),
        picture=render.jpeg_url(run.thumbnails([shown.row])[0]),
        answers=_answers(run.classes, label, shown.row),
        below=html('<p class="vt-empty">{}</p>', HIDDEN),
        last=last,
    )


def _answers(classes: tuple[str, ...], label: str, shown: int) -> Markup:
    """Buttons with their keys; of many classes, a list for those without a key."""
    others = [
        _button(f"{shown} {OTHER} {k}", name, str(k + 1))
        for k, name in enumerate(classes[:DIGITS])
        if name != label
    ]
    more = NOTHING
    if len(classes) > DIGITS:
        options = join(
            html('<option value="{}">{}</option>', k, name) for k, name in enumerate(classes) if name != label
        )
        more = html(
            '<select data-action="pick:{}" aria-label="another class"><option value="">another class'
            "</option>{}</select>",
            shown,
            options,
        )
    return html(
        '<div class="vt-answers">{agree}</div>'
        '<div class="vt-answers" role="group" aria-label="another class">{others}{more}</div>'
        '<div class="vt-answers">{unsure}{skip}{undo}</div>',
        agree=_button(
            f"{shown} {AGREE}", "agree", f"a {own}" if (own := classes.index(label) + 1) <= DIGITS else "a"
        ),
        others=join(others),
        more=more,
        unsure=_button(f"{shown} {UNSURE}", "unsure", "u"),
        skip=_button(f"{shown} {SKIP}", "skip", "s"),
        undo=_undo(),
    )


def _button(value: str, text: str, keys: str) -> Markup:
    """`keys`: with spaces between them; the first one is shown."""
    return html(
        '<button class="vt-answer" {} data-key="{}" aria-keyshortcuts="{}">{} <kbd>{}</kbd></button>',
        action("say", value),
        keys,
        keys,
        text,
        keys.split()[0],
    )


def _undo() -> Markup:
    return html(
        '<button class="vt-answer" {} data-key="z" aria-keyshortcuts="z">undo <kbd>z</kbd></button>',
        action("undo"),
    )


def _buttons_below(any_answer: bool) -> Markup:
    return html('<div class="vt-answers">{}</div>', _undo()) if any_answer else NOTHING


def _last(review: Review, given: Answer) -> Markup:
    """The last answer, and now what the network says."""
    guess, probability = predicted(review, given)
    said = given.says or given.kind
    return html(
        '<p class="vt-last" role="status">Last image: label {}, your answer {}; the network predicts {} '
        "{}.</p>",
        given.given,
        said,
        guess,
        decimal(probability),
    )


def review_state(review: Review, progress: Progress) -> Markup:
    """The estimate, or what is missing; the sample; reviewers; what to do with the corrections."""
    return _estimate(progress) + _people(progress) + _files(review, progress)


def _estimate(progress: Progress) -> Markup:
    if progress.estimate is None:
        said = html(
            '<p class="vt-verdict" role="status">An estimate needs {} more.</p>',
            counted(progress.missing, "answer"),
        )
    else:
        e = progress.estimate
        said = html(
            '<p class="vt-verdict" role="status">About <b>{}</b> of the labels are wrong '
            "(95 % interval {} to {}).</p>",
            percent(e.fraction),
            percent(e.low),
            percent(e.high),
        )
    rows = join(
        row((name, s.size, s.drawn, s.decided, s.wrong))
        for name, s in zip(STRATA, progress.strata, strict=False)
    )
    return panel("Wrong labels", said + table(HEADS, rows) + empty(HOW))


def _people(progress: Progress) -> Markup:
    if not progress.reviewers:
        return panel("Reviewers", empty("No answers yet."))
    heads = tuple((name, "") for name in ("reviewer", "answers", "label wrong", "unsure", "skipped"))
    rows = join(
        row((name, len(given), n.get(OTHER, 0), n.get(UNSURE, 0), n.get(SKIP, 0)))
        for name, given in progress.reviewers.items()
        for n in (tally(given),)
    )
    lines = join(
        html(
            "<p>{} and {} give the same class to {} of {}{}.</p>",
            a.first,
            a.second,
            a.same,
            counted(a.images, "image"),
            f" (kappa {decimal(a.kappa)})" if a.kappa == a.kappa else "",
        )
        for a in progress.agreements
    )
    return panel("Reviewers", table(heads, rows) + lines)


def _files(review: Review, progress: Progress) -> Markup:
    if not progress.wrong:
        return NOTHING
    text = html(
        "<p>{} of {} with a decision have a wrong label. Their notes have the class that most reviewers "
        "give: <code>notes RUN --labels labels.csv</code> writes them, "
        "<code>train --labels labels.csv</code> trains on them.</p>",
        progress.wrong,
        counted(progress.decided, "image"),
    )
    return panel("Corrected labels", text)
