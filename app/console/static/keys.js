// Shortcuts of single keys: data-key says which, on what they press. "?" lists those of the page.

const OFF = "backstory.shortcuts";
const IN_TIME = 1500; // milliseconds between the two keys of "g a"
const dialog = document.querySelector("[data-keys]");
const opener = document.querySelector("[data-keys-open]");
const choice = dialog.querySelector("[data-keys-on]");
let last = { key: "", at: 0 };

opener.hidden = false;
opener.addEventListener("click", open);
choice.checked = localStorage.getItem(OFF) !== "off";
choice.addEventListener("change", () => {
  if (choice.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "off");
  mark();
});
addEventListener("storage", (event) => {
  if (event.key !== OFF) return;
  choice.checked = event.newValue !== "off";
  mark();
});
document.addEventListener("keydown", press);
new MutationObserver(mark).observe(document.querySelector("main"), { childList: true, subtree: true });
mark();

function press(event) {
  if (!choice.checked || event.defaultPrevented || event.isComposing || dialog.open) return;
  if (["Alt", "AltGraph", "Control", "Meta"].some((name) => event.getModifierState(name))) return;
  if (event.key === "Shift" || event.target.closest("input, select, textarea, [contenteditable]")) return;
  const isSecond = last.key === "g" && event.timeStamp - last.at < IN_TIME;
  const key = isSecond ? `g ${event.key}` : event.key;
  last = { key, at: event.timeStamp };
  const found = shortcuts().find((one) => one.key === key);
  if (!found) return;
  event.preventDefault();
  found.act();
}

// Those that do something on this page: key, words, act and, where there is one, what they press.
function shortcuts() {
  const found = [{ key: "?", words: "Show these shortcuts", act: open, on: opener }];
  const field = document.querySelector(
    'main form[method="get"] input:not([type="hidden"]), main form[method="get"] select',
  );
  if (field) found.push({ key: "/", words: "Go to the first filter", act: () => field.focus(), on: field });
  if (items().length) {
    found.push({ key: "j", words: "Next of the list", act: () => step(1) });
    found.push({ key: "k", words: "The one before in the list", act: () => step(-1) });
  }
  for (const on of document.querySelectorAll("[data-key]")) found.push(pressing(on, on.dataset.key));
  return found.concat(places());
}

function pressing(on, key, before = "") {
  const words = before + (on.dataset.keyWords ?? on.textContent.trim().replace(/\s+/g, " "));
  return { key, words, act: () => on.click(), on };
}

// "g" and a letter for each place of the navigation: an initial of its name that is free yet.
function places() {
  const taken = new Set();
  return [...document.querySelectorAll("[data-places] a")].map((link) => {
    const name = link.textContent.trim().toLowerCase();
    const letters = [...name.split(/\s+/).map((word) => word[0]), ...name.replace(/\s/g, "")];
    const letter = letters.find((one) => !taken.has(one));
    taken.add(letter);
    return pressing(link, `g ${letter}`, "Go to ");
  });
}

function items() {
  return [...document.querySelectorAll("main tbody > tr, main .timeline > li")]
    .map((item) => ({ item, target: item.querySelector("a[href], button") }))
    .filter((one) => one.target);
}

function step(by) {
  const all = items();
  const at = all.findIndex((one) => one.item.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
  all[Math.min(Math.max(next, 0), all.length - 1)].target.focus();
}

function open() {
  dialog.querySelector("[data-keys-list]").replaceChildren(...shortcuts().map(row));
  dialog.showModal();
}

function row({ key, words }) {
  const line = document.createElement("div");
  const keys = document.createElement("dt");
  for (const one of key.split(" ")) {
    const kbd = document.createElement("kbd");
    kbd.textContent = one;
    keys.append(kbd, " ");
  }
  const said = document.createElement("dd");
  said.textContent = words;
  line.append(keys, said);
  return line;
}

// aria-keyshortcuts has no way to say one key after another, so "g a" is in the list alone.
function mark() {
  for (const on of document.querySelectorAll("[aria-keyshortcuts]")) on.removeAttribute("aria-keyshortcuts");
  if (!choice.checked) return;
  for (const { key, on } of shortcuts()) if (on && key.length === 1) on.setAttribute("aria-keyshortcuts", key);
}
