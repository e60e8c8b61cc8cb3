// By keyboard alone, once a page: regions that scroll take the focus, arrows move among the tabs of Errors,
// and a control that is drawn anew has the focus that it had before.
const whole = document.querySelector('gradio-app') || document.body;

const scrolls = (node) => {
  const {overflowX, overflowY} = getComputedStyle(node);
  return (overflowX !== 'visible' && node.scrollWidth > node.clientWidth) || (overflowY !== 'visible' && node.scrollHeight > node.clientHeight);
};
const measure = (node) => {
  if (!scrolls(node)) {
    if (node.tabIndex === 0) ['tabindex', 'role', 'aria-label'].forEach((name) => node.removeAttribute(name));
    return;
  }
  node.tabIndex = 0;
  if (node.tagName !== 'DIV') return;
  node.role = 'region';
  node.ariaLabel = node.closest('section')?.querySelector('h2')?.firstChild?.textContent.trim() || 'table';
};
const sizes = new ResizeObserver((entries) => entries.forEach(({target}) => measure(target)));
const measureAll = () => {
  for (const node of document.querySelectorAll('.vt-scroll, .vt-tall, .vt-facts')) { sizes.observe(node); measure(node); }
};

const KEYS = ['action', 'blend', 'link'];
let focused = null; // the control that has the focus, and how to know it again
document.addEventListener('pointerdown', () => { focused = null; });
document.addEventListener('focusin', ({target}) => {
  const key = KEYS.find((name) => name in target.dataset), piece = target.closest('.block[id]');
  focused = key && piece ? {node: target, piece, key, name: target.dataset[key], value: target.dataset.value, label: target.ariaLabel} : null;
});
const focusAgain = () => {
  if (!focused || focused.node.isConnected || document.activeElement !== document.body) return;
  const {piece, key, name, value, label} = focused;
  const alike = [...piece.querySelectorAll(`[data-${key}="${CSS.escape(name)}"]`)].filter((node) => !node.disabled);
  const same = alike.find((node) => node.dataset.value === value && node.ariaLabel === label) || alike.find((node) => node.dataset.value === value) || alike.find((node) => label && node.ariaLabel === label);
  const next = same || piece.querySelector('h2');
  focused = null;
  if (!next) return;
  if (!same) next.tabIndex = -1;
  next.focus({preventScroll: true});
};

document.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], tab = event.target.closest?.('.vt-lenses [role=tab]');
  if (!step || !tab) return;
  const tabs = [...tab.parentElement.querySelectorAll('[role=tab]')];
  tabs.at((tabs.indexOf(tab) + step) % tabs.length).focus();
  event.preventDefault();
});

let due = false;
new MutationObserver(() => {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; measureAll(); focusAgain(); });
}).observe(whole, {childList: true, subtree: true});
measureAll();
