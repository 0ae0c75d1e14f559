// All edits of the page are one draft: it is counted, reviewed, and kept in the browser until saved.

const DRAFTS = "backstory.draft.";
const LOOKS_SECRET = /\b(sk|pk|bks|xox[a-z]|gh[a-z]|key|token|eyJ)[-_.][\w-]{6,}|BEGIN [A-Z ]*PRIVATE KEY|\bBearer\s/i;
const form = document.querySelector("[data-draft]");
let isLeaving = false;

document.querySelector("[data-sign-out]").addEventListener("submit", () => {
  isLeaving = true;
  Object.keys(localStorage).filter((key) => key.startsWith(DRAFTS)).forEach((key) => localStorage.removeItem(key));
});
if (form) start();

function start() {
  if (new URLSearchParams(location.search).has("saved")) forget();
  offer();
  form.addEventListener("input", changed);
  form.addEventListener("reset", () => setTimeout(changed));
  form.addEventListener("click", reset);
  form.addEventListener("submit", submit);
  addEventListener("beforeunload", (event) => {
    if (!isLeaving && controls().some(isEdited)) event.preventDefault();
  });
  addEventListener("pageshow", changed); // the browser may have restored what was typed
  form.querySelector("[data-bar]").prepend(discarding());
  changed();
}

function key() {
  return DRAFTS + form.dataset.draft;
}

function controls() {
  return [...form.elements].filter((one) => one.name.startsWith("/") || one.name.startsWith("clear:"))
    .filter((one) => one.type !== "hidden");
}

function isEdited(one) {
  if (one.type === "checkbox") return one.checked !== one.defaultChecked;
  if (one.tagName === "SELECT") return [...one.options].some((option) => option.selected !== option.defaultSelected) && !isFirstByDefault(one);
  return one.value !== one.defaultValue;
}

function isFirstByDefault(select) {
  return select.selectedIndex === 0 && ![...select.options].some((option) => option.defaultSelected);
}

function edited() {
  return controls().filter((one) => isEdited(one) || one.closest("[data-typed]"));
}

function changed() {
  const rows = new Set(edited().map((one) => one.closest("[data-row]")));
  for (const row of form.querySelectorAll("[data-row]")) row.classList.toggle("edited", rows.has(row));
  const count = rows.size;
  const said = form.querySelector("[data-count]");
  const words = count === 0 ? said.dataset.none : unsaved(count);
  if (said.textContent !== words) said.textContent = words;
  form.querySelector("[data-discard]").hidden = count === 0;
  keep(rows);
}

function unsaved(count) {
  return count === 1 ? t.one_unsaved : fill(t.unsaved, { count });
}

// What was typed is kept by name; never what is, or may be, a secret.
function keep(rows) {
  const kept = [...rows].filter((row) => "keep" in row.dataset).flatMap((row) => controlsIn(row))
    .filter((one) => isEdited(one) && !LOOKS_SECRET.test(one.value))
    .map((one) => [one.name, one.type === "checkbox" ? one.checked : one.value]);
  if (!kept.length) return forget();
  localStorage.setItem(key(), JSON.stringify({ version: form.dataset.version, at: Date.now(), kept }));
}

function controlsIn(row) {
  return controls().filter((one) => row.contains(one));
}

function forget() {
  if (!form.dataset.offered) localStorage.removeItem(key());
}

function offer() {
  const said = form.querySelector("[data-count]");
  said.dataset.none = said.textContent;
  const draft = JSON.parse(localStorage.getItem(key()) ?? "null");
  if (!draft) return;
  form.dataset.offered = "yes"; // until it is decided, it stays
  const message = document.createElement("div");
  message.className = "message toast";
  message.setAttribute("role", "status");
  const words = document.createElement("p");
  words.textContent = fill(t.draft_found, { count: unsaved(draft.kept.length), when: distance(new Date(draft.at)) });
  message.append(words, draft.version === form.dataset.version ? restoring(draft, message) : older(draft), dropping(message));
  document.querySelector(".settings").before(message);
}

function restoring(draft, message) {
  return button(t.draft_restore, () => {
    message.remove();
    delete form.dataset.offered;
    for (const [name, value] of draft.kept) {
      for (const one of controls().filter((each) => each.name === name)) put(one, value);
    }
  });
}

// Over a later version, a restored draft would replace what others changed since: so it goes on
// over its own version, and saving it reports the conflicts.
function older(draft) {
  const link = document.createElement("a");
  link.href = `${location.pathname}?base=${draft.version}`;
  link.textContent = fill(t.draft_older, { version: draft.version });
  return link;
}

function dropping(message) {
  return button(t.draft_discard, () => {
    message.remove();
    delete form.dataset.offered;
    changed();
  });
}

function button(words, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "link";
  made.textContent = words;
  made.addEventListener("click", act);
  return made;
}

function discarding() {
  const made = button(t.discard, () => form.reset());
  made.dataset.discard = "";
  made.hidden = true;
  return made;
}

function put(one, value) {
  if (one.type === "checkbox") one.checked = value;
  else one.value = value;
  one.dispatchEvent(new Event("input", { bubbles: true }));
}

function reset(event) {
  const asked = event.target.closest("[data-reset]");
  if (!asked) return;
  event.preventDefault();
  asked.closest("details").open = false;
  for (const one of controlsIn(asked.closest("[data-row]"))) {
    const text = asked.dataset.reset;
    if (one.name.startsWith("clear:")) put(one, true);
    else put(one, one.type === "checkbox" ? text === "on" : text);
    one.focus();
  }
}

// The reason and the button that saves are in the review while it is open: there is one of each.
function review() {
  const dialog = document.querySelector("[data-review-dialog]");
  if (dialog.open) return;
  const moved = [...form.querySelectorAll("[data-moves]")];
  const homes = moved.map((one) => {
    const home = document.createComment("");
    one.replaceWith(home);
    return home;
  });
  dialog.querySelector("[data-review-bar]").prepend(...moved);
  dialog.addEventListener("close", () => homes.forEach((home, at) => home.replaceWith(moved[at])), { once: true });
  dialog.showModal();
}

async function submit(event) {
  if (!event.submitter?.matches("[data-review-open]")) {
    isLeaving = true;
    return;
  }
  event.preventDefault();
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(event.submitter.formAction, { method: "POST", body, redirect: "manual" });
    const shown = response.ok && pageOf(await response.text()).querySelector("[data-review]");
    if (!shown) throw new Error(response.status);
    document.querySelector("[data-review-shown]").replaceChildren(shown);
    review();
  } catch {
    isLeaving = true;
    form.action = event.submitter.formAction; // that page says what is wrong
    form.submit();
  }
}
