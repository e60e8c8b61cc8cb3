// Clicks reach the server in the order in which they were made, once a page: each is sent when the server has
// taken the one before. Two that are under way at once can overtake one another.
const send = window.fetch;
let taken = Promise.resolve();
window.fetch = (address, options) => {
  if (!String(address?.url ?? address).includes('/queue/join')) return send(address, options);
  const answer = taken.then(() => send(address, options));
  taken = answer.catch(() => {}); // one that fails holds up no other
  return answer;
};
