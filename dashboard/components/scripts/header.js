// What the browser remembers: opacity, on or off, colors, light or dark. One listener for the whole page.
const root = document.documentElement;
const kept = JSON.parse(localStorage.getItem('vitrine-blend') || '{}');
const paint = () => {
  root.style.setProperty('--vt-opacity', (kept.opacity ?? 65) / 100);
  root.style.setProperty('--vt-split', `${kept.split ?? 0}%`);
  root.style.setProperty('--vt-filter', `url(#vt-${kept.colors || 'turbo'})`);
  root.dataset.vtColors = kept.colors || 'turbo';
  root.classList.toggle('vt-maps-off', kept.on === false);
  for (const node of document.querySelectorAll('[data-blend]')) {
    if (node.type === 'checkbox') node.checked = kept.on !== false;
    else if (kept[node.dataset.blend] !== undefined && node !== document.activeElement) node.value = kept[node.dataset.blend];
  }
};
const take = (event) => {
  const node = event.target.closest?.('[data-blend]');
  if (!node) return;
  kept[node.dataset.blend] = node.type === 'checkbox' ? node.checked : node.value;
  localStorage.setItem('vitrine-blend', JSON.stringify(kept));
  paint();
};
document.addEventListener('input', take);
document.addEventListener('change', take);
new MutationObserver(paint).observe(document.querySelector('gradio-app') || document.body, {childList: true, subtree: true});
document.addEventListener('click', async (event) => {
  const link = event.target.closest?.('[data-link]');
  if (link) {
    const address = location.origin + location.pathname + link.dataset.link;
    try { await navigator.clipboard.writeText(address); link.textContent = 'copied'; }
    catch { history.replaceState(null, '', address); link.textContent = 'see address bar'; }
    setTimeout(() => { link.textContent = 'copy link'; }, 1600);
  }
  const copy = event.target.closest?.('[data-copy]');
  if (copy) {
    const text = copy.parentElement.nextElementSibling;
    try { await navigator.clipboard.writeText(text.textContent); copy.textContent = 'copied'; }
    catch { getSelection().selectAllChildren(text); copy.textContent = 'selected'; }
    setTimeout(() => { copy.textContent = 'copy'; }, 1600);
  }
  if (event.target.closest?.('[data-theme-switch]')) {
    document.body.classList.toggle('dark');
    localStorage.setItem('vitrine-dark', document.body.classList.contains('dark') ? '1' : '0');
  }
});
// Findings stand above the images: those that a click on one shows come into sight.
document.addEventListener('click', ({target}) => {
  const asked = target.closest?.('#vt-what [data-action=group], #vt-what [data-action=all]');
  const images = asked && document.getElementById('vt-gallery');
  if (!images || images.getBoundingClientRect().top < innerHeight / 2) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  images.scrollIntoView({behavior: still ? 'instant' : 'smooth'});
});
const dark = localStorage.getItem('vitrine-dark');
if (dark !== null) document.body.classList.toggle('dark', dark === '1');
paint();
