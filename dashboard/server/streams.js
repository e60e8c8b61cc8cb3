// An event waits for its answer until the page has heard of the end of every stream of answers that the server
// has ended by then (server/streams.py): until it hears so, Gradio's page takes a stream for open, and opens
// no other. And a page that is left does not cut its streams itself, just before the browser does: Gradio's
// page would show each of them as a lost connection until the next page has come.
(() => {
  const WAIT = 3000;
  const fetched = window.fetch;
  let heard = 0, waiting = [], leaving = false;
  const hear = () => {
    heard += 1;
    for (const resolve of waiting.splice(0)) resolve();
  };
  const until = async (ended) => {
    while (heard < ended) await new Promise((resolve) => waiting.push(resolve));
  };
  addEventListener('beforeunload', () => { leaving = true; });
  const whileHere = (signal) => {
    if (signal.aborted) return signal;
    const stays = new AbortController();
    signal.addEventListener('abort', () => {
      hear();
      setTimeout(() => leaving || stays.abort(signal.reason));  // whoever else hears of the leaving comes first
    }, {once: true});
    return stays.signal;
  };
  window.fetch = async function (asked, options) {
    const url = String(asked?.url ?? asked), signal = options?.signal ?? asked?.signal;
    if (signal && url.includes('/queue/data')) options = {...options, signal: whileHere(signal)};
    const response = await fetched.call(this, asked, options);
    if (url.includes('/queue/join')) {
      const ended = Number(response.headers.get('x-ended-streams') ?? 0);
      if (heard < ended) await Promise.race([until(ended), new Promise((resolve) => setTimeout(resolve, WAIT))]);
      heard = Math.max(heard, ended);
    }
    return response;
  };
})();
