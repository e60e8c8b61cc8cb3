"""The numbers on top: six cards that answer before a click."""

from dashboard.components.clickable import action, esc, percent, share
from explain.attention import UNIFORM_BORDER_MASS
from explain.errors import by_recall, looked_at_border, most_confused
from explain.run_data import RunData


def _card(name: str, value: str, note: str, click: str = "", title: str = "") -> str:
    tag = "button" if click else "div"
    return f'<{tag} class="vt-kpi" {click} title="{esc(title)}"><span>{esc(name)}</span><b>{esc(value)}</b><em>{esc(note)}</em></{tag}>'


def numbers(run: RunData, method: str) -> str:
    """Accuracy, macro F1, calibration, worst class, most confused pair, border."""
    e = run.evaluation
    low, high = e.interval
    failed = int(run.table["error"].notna().sum())
    unread = f", {failed} unreadable" if failed else ""
    cards = [
        _card("accuracy", "–" if e.accuracy != e.accuracy else f"{e.accuracy:.1%}".replace("%", " %"),
              f"95 % CI {100 * low:.1f}–{100 * high:.1f} %", title=f"Wilson interval; {len(run.ok)} images{unread}"),
        _card("macro F1", share(e.macro_f1), f"{len(run.present)} classes, {len(run.ok)} images{unread}"),
        _card("calibration error", share(e.calibration_error), "over-confident" if e.overconfidence > 0 else "under-confident",
              title="expected calibration error, 15 bins: how far confidence is from the share of right answers"),
    ]  # fmt: skip
    if run.present:
        worst = by_recall(run)[0]
        cards.append(_card("worst class", run.classes[worst], f"recall {share(e.recall[worst])}", action("class", worst)))
    if pair := most_confused(run):
        text = f"{run.classes[pair.label]} → {run.classes[pair.pred]}"
        cards.append(_card("most confused", text, f"{pair.count} of {pair.support}", action("cell", f"{pair.label},{pair.pred}")))
    wrong, right = looked_at_border(run, method)
    cards.append(_card("looked at the border", percent(wrong), f"of errors, {percent(right)} of hits",
                       title="images whose map for the prediction has more than half of its mass in the outer eighth on each side; "
                             f"a map without preference has {UNIFORM_BORDER_MASS:.0%} there"))  # fmt: skip
    return f'<div class="vt-kpis">{"".join(cards)}</div>'
