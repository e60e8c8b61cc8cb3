// On the plane of predicted against true numbers: a click, or a drag that draws a rectangle or a lasso. Places
// are fractions of the square's sides until they are reported, in the numbers of the axes.
const SIDE = 300, MOVED = 4, APART = 0.02, CORNERS = 64;
let drawing = null;
const within = (value) => Math.min(1, Math.max(0, value));
const placeOf = (svg, event) => {
  const {left, bottom, width, height} = svg.querySelector('.vt-plane').getBoundingClientRect();
  return [within((event.clientX - left) / width), within((bottom - event.clientY) / height)];
};
const inNumbers = (svg, place) => place.map((value) => {
  const low = Number(svg.dataset.low), high = Number(svg.dataset.high);
  return Number((low + value * (high - low)).toPrecision(7));
});
const cornersOf = ({svg, places}) => {
  if (svg.dataset.tool === 'lasso') return places;
  const [[a, b], [c, d]] = [places[0], places.at(-1)];
  return [[a, b], [c, b], [c, d], [a, d]];
};
const path = (corners) => `M${corners.map(([x, y]) => `${(SIDE * x).toFixed(1)} ${(SIDE * (1 - y)).toFixed(1)}`).join('L')}z`;
const regionOf = (one) => {
  if (one.svg.dataset.tool === 'lasso') {
    const every = Math.ceil(one.places.length / CORNERS), corners = one.places.filter((_, k) => k % every === 0);
    return corners.length < 3 ? null : `lasso:${corners.map((place) => inNumbers(one.svg, place).join(',')).join(';')}`;
  }
  const [first, last] = [one.places[0], one.places.at(-1)].map((place) => inNumbers(one.svg, place));
  const sides = [0, 1].flatMap((k) => [Math.min(first[k], last[k]), Math.max(first[k], last[k])]);
  return sides[0] < sides[1] && sides[2] < sides[3] ? `box:${sides.join(',')}` : null;
};
const leave = () => { drawing?.svg.querySelector('.vt-drawn')?.removeAttribute('d'); drawing = null; };

element.addEventListener('pointerdown', (event) => {
  const svg = event.target.closest('.vt-scatter');
  if (!svg || event.button || !event.isPrimary) return;
  svg.setPointerCapture(event.pointerId);
  drawing = {svg, places: [placeOf(svg, event)], from: [event.clientX, event.clientY], moved: false};
});
element.addEventListener('pointermove', (event) => {
  const svg = event.target.closest('.vt-scatter');
  if (!svg) return;
  const place = placeOf(svg, event), [x, y] = inNumbers(svg, place).map((value) => Number(value.toPrecision(3)));
  const shown = svg.closest('.vt-panel').querySelector('.vt-readout');
  if (shown) shown.textContent = `true ${x} · predicted ${y}`.replaceAll('-', '−');
  if (!drawing?.svg.isConnected) return;
  drawing.moved ||= Math.hypot(event.clientX - drawing.from[0], event.clientY - drawing.from[1]) > MOVED;
  const before = drawing.places.at(-1);
  if (drawing.svg.dataset.tool !== 'lasso') drawing.places = [drawing.places[0], place];
  else if (Math.hypot(place[0] - before[0], place[1] - before[1]) > APART) drawing.places.push(place);
  if (drawing.moved) drawing.svg.querySelector('.vt-drawn').setAttribute('d', path(cornersOf(drawing)));
});
element.addEventListener('pointerup', () => {
  if (drawing?.svg.isConnected) {
    const region = drawing.moved ? regionOf(drawing) : null;
    if (region) trigger('select', {index: 'drawn', value: region});
    else if (!drawing.moved) trigger('select', {index: 'at', value: inNumbers(drawing.svg, drawing.places[0]).join(',')});
  }
  leave();
});
element.addEventListener('pointercancel', leave);
element.addEventListener('pointerleave', () => element.querySelectorAll('.vt-readout').forEach((node) => { node.textContent = ''; }));
document.addEventListener('keydown', (event) => { if (event.key === 'Escape') leave(); });
