"""The rules of axe-core on a page: most of them over the whole document, the costly ones over what is new in
sight or looks otherwise than in the views before."""

from typing import TYPE_CHECKING, Any

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

if TYPE_CHECKING:
    from playwright import sync_api as playwright

CONTRAST, TARGET_SIZE = "color-contrast", "target-size"  # costly: they look for what lies around an element
CHECKS = """() => {
  const rules = ['color-contrast', 'target-size'];
  const mark = rule => `data-${rule}`;  // on what a rule checks
  axe.configure({noHtml: true, rules: rules.map(id => ({id, selector: `[${mark(id)}]`}))});
  const seen = {};  // by what a rule depends on: what every element was when it was checked
  const width = () => innerWidth, theme = () => document.body.classList.contains('dark');
  const dependsOn = {'color-contrast': theme, 'target-size': width};
  const looks = ['color', 'backgroundColor', 'backgroundImage', 'opacity', 'fontSize', 'fontWeight'];
  const names = ['tabindex', 'role', 'aria-label'];  // attributes that change no color of what is inside
  const described = node => {
    const attributes = [...node.attributes].map(({name, value}) => [name, value.length, value.slice(0, 300)]);
    const texts = [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.data);
    const style = getComputedStyle(node), look = looks.map(name => style[name]);
    const own = JSON.stringify([attributes, texts, look]);
    const colors = JSON.stringify([attributes.filter(([name]) => !names.includes(name)), look]);
    return {'own': own, 'color-contrast': colors, 'target-size': own};
  };
  const markChanged = (node, known, within) => {
    if (!node.checkVisibility() || node.matches('.visually-hidden')) return;
    const now = described(node), inside = {};
    for (const rule in known) {
      const before = known[rule].get(node);
      if (node.checkVisibility({visibilityProperty: true})) {
        if (within[rule] || before?.own !== now.own) node.setAttribute(mark(rule), '');
        known[rule].set(node, now);
      }
      inside[rule] = within[rule] || before?.[rule] !== now[rule];
    }
    for (const child of node.children) markChanged(child, known, inside);
  };
  const without = panels => {  // axe reads every element of the page, however few it checks
    const places = panels.map(panel => [panel, document.createComment('')]);
    for (const [panel, place] of places) panel.replaceWith(place);
    return () => { for (const [panel, place] of places) place.replaceWith(panel); };
  };
  window.vitrineViolations = async (checked, hidden, options) => {
    const known = checked.map(rule => [rule, seen[[rule, dependsOn[rule]()]] ??= new WeakMap()]);
    markChanged(document.body, Object.fromEntries(known), {});
    const panels = hidden ? [] : [...document.querySelectorAll('[role=tabpanel]')];
    const restore = without(panels.filter(panel => !panel.checkVisibility()));
    try {
      return (await axe.run(document, {resultTypes: ['violations'], ...options})).violations;
    } finally {
      restore();
      for (const rule of rules)
        document.querySelectorAll(`[${mark(rule)}]`).forEach(node => node.removeAttribute(mark(rule)));
    }
  };
}"""


class Axe:
    """A page by the rules of axe-core, view after view."""

    def __init__(self, page: "playwright.Page"):
        self.page = page
        page.evaluate(axe.Axe().axe_script)
        page.evaluate(CHECKS)

    def view(self, hidden: bool = True) -> list[str]:
        """The violations of the view that was just opened, by every rule; by the costly ones, of all in sight
        that was not checked before, or looked otherwise then, and of what is in it. `hidden`: whether the
        tabs that are not open are looked at, too: they have the same elements at every width."""
        enabled = {"rules": {TARGET_SIZE: {"enabled": True}}}
        return self._violations([CONTRAST, TARGET_SIZE], hidden, enabled)

    def contrast(self) -> list[str]:
        """The violations of contrast alone, after the theme was changed: of what was not checked in this
        theme before, or looked otherwise then."""
        return self._violations([CONTRAST], False, {"runOnly": {"type": "rule", "values": [CONTRAST]}})

    def _violations(self, costly: list[str], hidden: bool, options: dict[str, Any]) -> list[str]:
        given = [costly, hidden, options]
        return lines(self.page.evaluate("given => vitrineViolations(...given)", given))


def lines(violations: list[dict[str, Any]]) -> list[str]:
    """Rule, target and why, contrast figures among it."""
    return [
        f"{v['id']}: {' '.join(map(str, node['target']))}: "
        + " ".join(c["message"] for kind in ("any", "all", "none") for c in node[kind])
        for v in violations
        for node in v["nodes"]
    ]
