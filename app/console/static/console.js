// Shows times in the reader's zone, and copies texts. Everything else works without script.

"use strict";

localise(document);

// A text of texts.js with its values.
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    const local = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const utc = time.title.split("\n").pop();
    const isShort = "short" in time.dataset;
    time.textContent = isShort ? distance(moment) : `${local} (${distance(moment)})`;
    time.title = isShort ? `${local}\n${utc}` : utc;
  }
}

// How long ago a moment was, in the largest unit that fits: "3 days ago". In figures: "last month"
// would be the calendar's.
function distance(moment) {
  const seconds = (moment - Date.now()) / 1000;
  const units = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(undefined, { numeric: unit === "second" ? "auto" : "always" }).format(Math.trunc(seconds / size), unit);
}

// A page of the server, to take parts from. Nothing in it runs.
function pageOf(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

// The button appears only where the browser lets pages write to the clipboard.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = t.copied;
  });
}

for (const button of document.querySelectorAll("button[data-copy-text]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copyText);
    button.textContent = t.copied;
  });
}

// One menu is open at a time; Escape and a click elsewhere close it.
addEventListener("click", (event) => closeMenus(event.target));
addEventListener("keydown", (event) => event.key === "Escape" && closeMenus(null));

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(except)) menu.open = false;
  }
}

// A message offers to undo for ten seconds, and for longer while one is at it.
const UNDO = 10_000; // milliseconds
const toast = document.querySelector("[data-toast]");
let isUsed = false; // a pointer that only rests there, since the click before, does not use it
toast?.addEventListener("pointermove", () => (isUsed = true));
toast?.addEventListener("pointerleave", () => (isUsed = false));
if (toast) setTimeout(hideUndo, UNDO);

function hideUndo() {
  if (isUsed || toast.matches(":focus-within")) setTimeout(hideUndo, UNDO);
  else toast.querySelector("[data-undo]")?.remove();
}
