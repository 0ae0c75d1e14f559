// Single-key shortcuts. An element with data-key is clicked by that key. "?" lists all of a page.

const OFF = "backstory.shortcuts";
const PAUSE = 1500; // milliseconds at most between the two keys of "g a"
const dialog = document.querySelector("[data-keys]");
const opener = document.querySelector("[data-keys-open]");
const choice = dialog.querySelector("[data-keys-on]");
const box = document.querySelector("[data-search]");
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
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key === "k" && !dialog.open) {
    event.preventDefault();
    search();
    return;
  }
  if (!choice.checked || event.defaultPrevented || event.isComposing || dialog.open) return;
  if (["Alt", "AltGraph", "Control", "Meta"].some((name) => event.getModifierState(name))) return;
  if (event.key === "Shift" || event.target.closest("input:not([type=date]), select, textarea, [contenteditable]")) return;
  const isSecond = last.key === "g" && event.timeStamp - last.at < PAUSE;
  const key = isSecond ? `g ${event.key}` : event.key;
  last = { key, at: event.timeStamp };
  const shortcut = shortcuts().find((each) => each.key === key);
  if (!shortcut) return;
  event.preventDefault();
  shortcut.act();
}

// The shortcuts of this page: key, words, act, and the element that the key is for, if any.
function shortcuts() {
  const list = [{ key: "?", words: t.show_shortcuts, act: open, element: opener }];
  list.push({ key: "/", words: t.to_search, act: search, element: box });
  const field = document.querySelector(
    'main form[method="get"] input:not([type="hidden"]), main form[method="get"] select',
  );
  if (field) list.push({ key: "f", words: t.to_filter, act: () => field.focus(), element: field });
  if (items().length) {
    list.push({ key: "j", words: t.next_item, act: () => step(1) });
    list.push({ key: "k", words: t.previous_item, act: () => step(-1) });
  }
  for (const element of document.querySelectorAll("[data-key]")) list.push(clicking(element, element.dataset.key));
  return list.concat(places());
}

function clicking(element, key, within = "{place}") {
  const place = element.dataset.keyWords ?? element.textContent.trim().replace(/\s+/g, " ");
  const words = fill(within, { place });
  return { key, words, act: () => element.click(), element };
}

// "g" and a letter for each place of the navigation: an initial, or else any letter of its name.
function places() {
  const taken = new Set();
  return [...document.querySelectorAll("[data-places] a")].map((link) => {
    const name = link.textContent.trim().toLowerCase();
    const letters = [...name.split(/\s+/).map((word) => word[0]), ...name.replace(/\s/g, "")];
    const letter = letters.find((each) => !taken.has(each));
    taken.add(letter);
    return clicking(link, `g ${letter}`, t.go_to);
  });
}

function search() {
  box.focus();
  box.select();
}

function items() {
  return [...document.querySelectorAll("main tbody > tr, main .timeline > li")]
    .map((item) => ({ item, target: item.querySelector("a[href], button") }))
    .filter(({ target }) => target);
}

function step(by) {
  const all = items();
  const at = all.findIndex(({ item }) => item.contains(document.activeElement));
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
  for (const name of key.split(" ")) {
    const kbd = document.createElement("kbd");
    kbd.textContent = name;
    keys.append(kbd, " ");
  }
  const description = document.createElement("dd");
  description.textContent = words;
  line.append(keys, description);
  return line;
}

// aria-keyshortcuts cannot express two keys in sequence, so "g a" is in the list alone.
function mark() {
  for (const element of document.querySelectorAll("[aria-keyshortcuts]")) element.removeAttribute("aria-keyshortcuts");
  if (!choice.checked) return;
  for (const { key, element } of shortcuts()) {
    if (element && key.length === 1) element.setAttribute("aria-keyshortcuts", key);
  }
}
