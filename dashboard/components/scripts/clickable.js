// In every piece that `clickable` makes: `element` and `trigger` are Gradio's.
const report = (node, value) => trigger('keep' in node.dataset ? 'submit' : 'select', {index: node.dataset.action, value: String(value)});
const clicked = (node) => {
  if (node && element.contains(node) && !['SELECT', 'INPUT', 'TEXTAREA'].includes(node.tagName)) report(node, node.dataset.value ?? '');
};
element.addEventListener('click', (event) => clicked(event.target.closest('[data-action]')));
// A piece that is drawn anew while the button is held down: the browser reports no click on what replaced it.
let pressed = null;
element.addEventListener('pointerdown', (event) => { pressed = event.target.closest('[data-action]'); });
element.addEventListener('pointerup', (event) => {
  const node = event.target.closest('[data-action]');
  if (pressed && !pressed.isConnected && node?.dataset.action === pressed.dataset.action && node.dataset.value === pressed.dataset.value) clicked(node);
  pressed = null;
});
element.addEventListener('keydown', (event) => {
  const node = event.target.closest('[data-action]');
  if (node && node === event.target && ['Enter', ' '].includes(event.key) && !['SELECT', 'INPUT', 'TEXTAREA', 'BUTTON'].includes(node.tagName)) {
    event.preventDefault();
    report(node, node.dataset.value ?? '');
  }
});
element.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
  const cell = event.target.closest('.vt-matrix td');
  if (!step || !cell) return;
  const row = cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + step[0]];
  row?.cells[cell.cellIndex + step[1]]?.querySelector('button')?.focus();
  event.preventDefault();
});
element.addEventListener('change', (event) => {
  const node = event.target.closest('select[data-action], input[data-action], textarea[data-action]');
  if (node?.type === 'range') return released(node);
  if (node) report(node, node.type === 'checkbox' ? node.checked : node.value);
});
// A range reports once when it is released; of several keys that follow one another, only the last.
let pause = null;
const released = (node) => {
  clearTimeout(pause);
  pause = setTimeout(() => report(node, node.value), 250);
};
element.addEventListener('input', (event) => {
  const node = event.target.closest('input[type=range][data-action]');
  const shown = node && element.querySelector(`input[type=number][data-action="${node.dataset.action}"]`);
  if (shown) shown.value = node.value;
});
