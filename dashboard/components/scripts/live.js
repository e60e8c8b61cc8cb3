// The camera's panel: one frame is under way at a time, and drawn while the next one is, so what is shown is never older
// than two frames. `element` and `server` are Gradio's; the texts stand in the panel.
{
  const panel = element.querySelector('.vt-camera');
  const part = (name) => panel.querySelector(`[data-live="${name}"]`);
  const VIEW = 640, SENT = 320;  // longer sides, in pixels, of what is shown and of what is sent
  const camera = document.createElement('video'), small = document.createElement('canvas');
  let taken = document.createElement('canvas'), next = document.createElement('canvas');
  const shown = part('stack').querySelector('canvas');
  camera.muted = camera.playsInline = true;
  let media = null, stream = '', turn = 0, fresh = false, frames = 0, interval = 0, drawn = 0, rated = 0;

  const say = (text) => { part('said').textContent = text; };
  const text = (name) => panel.getAttribute(`data-text-${name}`);
  const fitted = (canvas, picture, width, height, side) => {
    const scale = Math.min(1, side / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  };
  const watchFrames = (mine) => camera.requestVideoFrameCallback?.(() => {
    fresh = true;
    if (mine === turn) watchFrames(mine);
  });
  const nextFrame = async () => {
    for (let k = 0; k < 100 && !fresh && camera.requestVideoFrameCallback; k++) await new Promise((go) => setTimeout(go, 5));
    fresh = false;
  };
  const outOfSight = () => document.hidden || !panel.open || panel.offsetParent === null;

  const stop = (message) => {
    turn += 1;
    media?.getTracks().forEach((track) => track.stop());
    camera.srcObject = media = null;
    if (stream) server.live_stop({stream}).catch(() => {});
    stream = '';
    part('stop').hidden = true;
    part('start').hidden = false;
    part('start').disabled = false;
    part('view').hidden = true;
    part('rate').textContent = part('top').textContent = '';
    for (const name of ['over', 'bars', 'caption']) part(name).textContent = '';
    for (const canvas of [shown, taken, next, small]) canvas.width = canvas.height = 0;
    say(message);
  };

  const draw = (answer) => {
    const now = performance.now();
    shown.width = taken.width;
    shown.height = taken.height;
    shown.getContext('2d').drawImage(taken, 0, 0);
    part('stack').style.aspectRatio = `${taken.width} / ${taken.height}`;
    for (const name of ['over', 'bars', 'caption']) {
      if (part(name).dataset.held !== answer[name]) part(name).innerHTML = part(name).dataset.held = answer[name];
    }
    if (part('top').textContent !== answer.top) part('top').textContent = answer.top;
    frames += 1;
    if (drawn) interval = interval ? interval + (now - drawn - interval) / 5 : now - drawn;
    drawn = now;
    if (interval && now - rated > 500) {
      part('rate').textContent = `${(1000 / interval).toFixed(1)} frames/s`;
      rated = now;
    }
    part('view').dataset.frames = frames;
    part('view').dataset.ms = JSON.stringify(answer.ms);
  };

  const send = () => {
    fitted(next, camera, camera.videoWidth, camera.videoHeight, VIEW);
    fitted(small, next, next.width, next.height, SENT);
    return server.live_frame({stream, picture: small.toDataURL('image/jpeg', 0.85)}).catch(() => ({error: text('lost')}));
  };

  const follow = async (mine) => {
    let before = null;
    while (mine === turn) {
      await nextFrame();
      if (mine !== turn) return;
      if (outOfSight()) return stop(text('hidden'));
      const asked = send();
      if (before) draw(before);
      [taken, next] = [next, taken];
      const answer = await asked;
      if (mine !== turn) return;
      if (answer?.error) return stop(answer.error);
      before = answer?.dropped ? null : answer;
    }
  };

  const start = async () => {
    const mine = ++turn;
    part('start').disabled = true;
    part('start').hidden = true;
    part('stop').hidden = false;
    part('stop').focus();
    say(text('waiting'));
    let opened;
    try {
      opened = await navigator.mediaDevices.getUserMedia({video: {width: {ideal: VIEW}, height: {ideal: 480}}, audio: false});
    } catch (error) {
      const why = {NotAllowedError: 'refused', NotFoundError: 'none', OverconstrainedError: 'none'}[error.name] || 'broken';
      if (mine === turn) stop(text(why));
      return;
    }
    if (mine !== turn) return opened.getTracks().forEach((track) => track.stop());
    media = opened;
    media.getVideoTracks()[0].addEventListener('ended', () => { if (mine === turn) stop(text('broken')); });
    let begun;
    try {
      begun = await server.live_begin({});
    } catch {
      begun = {error: text('lost')};
    }
    if (mine !== turn) return begun.stream && server.live_stop({stream: begun.stream}).catch(() => {});
    if (begun.error) return stop(begun.error);
    stream = begun.stream;
    part('verdict').innerHTML = begun.verdict;
    camera.srcObject = media;
    await camera.play().catch(() => {});
    if (mine !== turn) return;
    frames = interval = drawn = rated = 0;
    say('');
    part('view').hidden = false;
    watchFrames(mine);
    follow(mine);
  };

  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    part('start').disabled = true;
    say(text('insecure'));
  }
  part('start').addEventListener('click', start);
  part('stop').addEventListener('click', () => { stop(text('stopped')); part('start').focus(); });
  panel.addEventListener('toggle', () => { if (!panel.open && media) stop(text('stopped')); });
  document.addEventListener('visibilitychange', () => { if (document.hidden && media) stop(text('hidden')); });
  window.addEventListener('pagehide', () => { if (media) stop(text('hidden')); });
}
