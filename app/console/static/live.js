// Says what others do to the assistant on the page. It asks while the page is seen.

const EVERY = 5000;
const bar = document.querySelector("[data-live]");
let known = bar?.dataset.version; // the last version that the page shows or tells of
let hasEnded = false;
let asked;
let timer;

if (bar) {
  timer = setTimeout(ask, EVERY);
  document.addEventListener("visibilitychange", again);
  addEventListener("pageshow", (event) => event.persisted && again());
  // What one does oneself is shown by the page that comes next.
  addEventListener("submit", (event) => event.target.method === "post" && pause());
}

function pause() {
  clearTimeout(timer);
  asked?.abort();
}

function again() {
  pause();
  if (document.visibilityState === "visible" && !hasEnded) ask();
}

async function ask() {
  asked = new AbortController();
  const { signal } = asked;
  try {
    const address = `${bar.dataset.live}&known=${known}`;
    await tell(await fetch(address, { redirect: "manual", signal }));
  } catch {
    // No answer: the server may be starting again, or nobody waits for it any more.
  }
  if (!signal.aborted && !hasEnded && document.visibilityState === "visible") {
    timer = setTimeout(ask, EVERY);
  }
}

async function tell(answer) {
  hasEnded = answer.type === "opaqueredirect" || answer.status === 401;
  if (hasEnded) {
    bar.replaceChildren(document.querySelector("[data-live-ended]").content.cloneNode(true));
  } else if (answer.status === 200 || answer.status === 404) {
    const said = pageOf(await answer.text()).querySelector("[data-live-said]");
    if (answer.status === 200) known = said.dataset.liveSaid;
    put(said);
  }
}

// What is said already is not announced again.
function put(said) {
  if (!said || said.dataset.liveSaid === bar.firstElementChild?.dataset.liveSaid) return;
  localise(said);
  bar.replaceChildren(said);
}
