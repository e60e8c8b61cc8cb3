// Gradio's page gives all inputs of an event its status when it ends, and from then on looks each of them up
// whenever any event begins, goes on or ends: after a map in Inspect, 60 components eleven times a click. Only
// an input that streams shows a status, and this page has none.
(async () => {
  const chunk = document.querySelector('link[href*="/statustracker-"][href$=".js"]');
  if (!chunk) return;
  for (const {prototype} of Object.values(await import(chunk.href)).filter((found) => found?.prototype?.resolve_args)) {
    const statuses = prototype.resolve_args;
    prototype.resolve_args = function (event) {
      return statuses.call(this, event).filter(({type}) => type !== 'input');
    };
  }
})();
