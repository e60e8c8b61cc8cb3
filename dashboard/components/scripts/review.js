// Keys of the review, while the focus is inside of it; and the focus stays there from image to image.
element.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (['INPUT', 'SELECT', 'TEXTAREA'].includes(event.target.tagName)) return;
  const node = element.querySelector(`[data-key~="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!node || node.disabled) return;
  event.preventDefault();
  clicked(node);
});
let inside = false;
element.addEventListener('focusin', () => { inside = true; });
document.addEventListener('focusin', (event) => { if (!element.contains(event.target)) inside = false; });
document.addEventListener('pointerdown', (event) => { if (!element.contains(event.target)) inside = false; });
new MutationObserver(() => {
  if (inside && document.activeElement === document.body) element.querySelector('.vt-review')?.focus({preventScroll: true});
}).observe(element, {childList: true, subtree: true});
