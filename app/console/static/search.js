// Shows what a search finds while one types. Without script, and with Enter, a page does.

const WAIT = 150; // milliseconds without a key before the server is asked
const box = document.querySelector("[data-search]");
const panel = document.querySelector("[data-search-found]");
let request;
let timer;

box.addEventListener("input", () => {
  clearTimeout(timer);
  request?.abort();
  if (box.value.trim()) timer = setTimeout(ask, WAIT);
  else close();
});
box.addEventListener("focus", () => box.value.trim() && panel.firstElementChild && open());
document.addEventListener("keydown", press);
addEventListener("click", (event) => event.target.closest(".search") || close());
addEventListener("focusin", (event) => event.target.closest(".search") || close());

async function ask() {
  request = new AbortController();
  const { signal } = request;
  try {
    const query = new URLSearchParams({ q: box.value, brief: true });
    const response = await fetch(`/search?${query}`, { redirect: "manual", signal });
    if (!response.ok) return;
    const found = pageOf(await response.text()).querySelector("[data-found]");
    if (signal.aborted || document.activeElement !== box) return;
    localise(found);
    stay(found);
    panel.replaceChildren(...found.children);
    document.querySelector("[data-search-status]").textContent = fill(t.results, { count: links().length });
    open();
  } catch {
    // Aborted by the next key, or no answer: Enter still leads to the page.
  }
}

// On a page of an assistant, a setting is that assistant's.
function stay(found) {
  const at = location.pathname.match(/^\/assistants\/\d+(?=\/|$)/);
  for (const link of at ? found.querySelectorAll("a[data-setting]") : []) {
    link.href = `${at[0]}?${new URLSearchParams({ q: link.dataset.setting })}`;
  }
}

function press(event) {
  if (panel.hidden || !event.target.closest(".search")) return;
  if (event.key === "Escape") {
    box.focus();
    close();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const all = [box, ...links()];
    const next = all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    all[Math.min(Math.max(next, 0), all.length - 1)].focus();
  }
}

function links() {
  return [...panel.querySelectorAll("a[href]")];
}

function open() {
  panel.hidden = false;
}

function close() {
  panel.hidden = true;
}
