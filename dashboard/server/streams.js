// An event waits for its answer until the page has heard that the stream of answers has ended, where the
// server says so (server/streams.py): Gradio's page takes a stream for open until then, and opens no other.
(() => {
  const WAIT = 3000;
  const fetched = window.fetch;
  let ended = Promise.resolve();
  window.fetch = async function (asked, options) {
    const url = String(asked?.url ?? asked), signal = asked?.signal ?? options?.signal;
    if (url.includes('/queue/data') && signal) {
      ended = new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}));
    }
    const response = await fetched.call(this, asked, options);
    if (url.includes('/queue/join') && response.headers.get('x-answers') === 'ended') {
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, WAIT))]);
    }
    return response;
  };
})();
