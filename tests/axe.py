"""The rules of axe-core on a page: most of them over the whole document, the costly ones over what is new in
sight or looks otherwise than in the views before."""

from typing import TYPE_CHECKING, Any

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

if TYPE_CHECKING:
    from playwright import sync_api as playwright

CONTRAST, TARGET_SIZE = "color-contrast", "target-size"  # costly: they look for what lies around an element
CHECKS = """() => {
  axe.configure({noHtml: true});
  const seen = {};  // by what a rule depends on: what every element was when it was checked
  const width = () => innerWidth, theme = () => document.body.classList.contains('dark');
  const dependsOn = {'color-contrast': theme, 'target-size': width};
  const looks = ['color', 'backgroundColor', 'backgroundImage', 'opacity', 'fontSize', 'fontWeight'];
  const described = node => {
    const attributes = [...node.attributes].map(({name, value}) => [name, value.length, value.slice(0, 300)]);
    const texts = [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.data);
    const style = getComputedStyle(node);
    return JSON.stringify([attributes, texts, looks.map(name => style[name])]);
  };
  const violations = async (where, options) =>
    (await axe.run(where, {resultTypes: ['violations'], ...options})).violations;
  window.vitrineAxe = {
    whole: options => violations(document, options),
    changed: async rule => {
      const known = seen[[rule, dependsOn[rule]()]] ??= new WeakMap();
      const changed = new Set();
      for (const node of document.querySelectorAll('body, body *')) {
        if (!node.checkVisibility({visibilityProperty: true}) || node.closest('.visually-hidden')) continue;
        const now = described(node);
        if (known.get(node) !== now) changed.add(node);
        known.set(node, now);
      }
      const include = [...changed].filter(node => !changed.has(node.parentElement));
      return include.length ? violations({include}, {runOnly: {type: 'rule', values: [rule]}}) : [];
    },
  };
}"""


class Axe:
    """A page by the rules of axe-core, view after view."""

    def __init__(self, page: "playwright.Page"):
        self.page = page
        page.evaluate(axe.Axe().axe_script)
        page.evaluate(CHECKS)

    def view(self) -> list[str]:
        """The violations of the view that was just opened, by every rule."""
        costly = {rule: {"enabled": False} for rule in (CONTRAST, TARGET_SIZE)}
        found = self.page.evaluate("rules => vitrineAxe.whole({rules})", costly)
        return [*lines(found), *self.changed(CONTRAST), *self.changed(TARGET_SIZE)]

    def changed(self, rule: str) -> list[str]:
        """The violations of a costly rule by all in sight that was not checked before, or looked otherwise
        then, and by what is in it: for contrast in this theme, for the size of targets at this width."""
        return lines(self.page.evaluate("rule => vitrineAxe.changed(rule)", rule))


def lines(violations: list[dict[str, Any]]) -> list[str]:
    """Rule, target and why, contrast figures among it."""
    return [
        f"{v['id']}: {' '.join(map(str, node['target']))}: "
        + " ".join(c["message"] for kind in ("any", "all", "none") for c in node[kind])
        for v in violations
        for node in v["nodes"]
    ]
