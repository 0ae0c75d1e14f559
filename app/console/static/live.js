// Shows a banner when others change the assistant. It polls while the page is visible.

const INTERVAL = 5000; // milliseconds
const bar = document.querySelector("[data-live]");
let known = bar?.dataset.version; // the last version that the page shows or its banner tells of
let hasEnded = false;
let request;
let timer;

if (bar) {
  timer = setTimeout(poll, INTERVAL);
  document.addEventListener("visibilitychange", resume);
  addEventListener("pageshow", (event) => event.persisted && resume());
  // The next page shows the operator's own change: no banner for it on this one.
  addEventListener("submit", (event) => event.target.method === "post" && pause());
}

function pause() {
  clearTimeout(timer);
  request?.abort();
}

function resume() {
  pause();
  if (document.visibilityState === "visible" && !hasEnded) poll();
}

async function poll() {
  request = new AbortController();
  const { signal } = request;
  try {
    const address = `${bar.dataset.live}&known=${known}`;
    await read(await fetch(address, { redirect: "manual", signal }));
  } catch {
    // No answer: the server is restarting, or the request was aborted.
  }
  if (!signal.aborted && !hasEnded && document.visibilityState === "visible") {
    timer = setTimeout(poll, INTERVAL);
  }
}

async function read(response) {
  hasEnded = response.type === "opaqueredirect" || response.status === 401;
  if (hasEnded) {
    bar.replaceChildren(document.querySelector("[data-live-ended]").content.cloneNode(true));
  } else if (response.status === 200 || response.status === 404) {
    const message = pageOf(await response.text()).querySelector("[data-live-message]");
    if (response.status === 200) known = message.dataset.liveMessage;
    show(message);
  }
}

// A message that is shown already is not replaced: screen readers would announce it again.
function show(message) {
  if (!message || message.dataset.liveMessage === bar.firstElementChild?.dataset.liveMessage) return;
  localise(message);
  bar.replaceChildren(message);
}
