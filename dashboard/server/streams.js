// An event waits for its answer until the page has heard of the end of every stream of answers that the server
// has ended by then (server/streams.py): until it hears so, Gradio's page takes a stream for open, and opens
// no other.
(() => {
  const WAIT = 3000;
  const fetched = window.fetch;
  let heard = 0, waiting = [];
  const hear = () => {
    heard += 1;
    for (const resolve of waiting.splice(0)) resolve();
  };
  const until = async (ended) => {
    while (heard < ended) await new Promise((resolve) => waiting.push(resolve));
  };
  window.fetch = async function (asked, options) {
    const url = String(asked?.url ?? asked), signal = asked?.signal ?? options?.signal;
    if (url.includes('/queue/data')) signal?.addEventListener('abort', hear, {once: true});
    const response = await fetched.call(this, asked, options);
    if (url.includes('/queue/join')) {
      const ended = Number(response.headers.get('x-ended-streams') ?? 0);
      if (heard < ended) await Promise.race([until(ended), new Promise((resolve) => setTimeout(resolve, WAIT))]);
      heard = Math.max(heard, ended);
    }
    return response;
  };
})();
