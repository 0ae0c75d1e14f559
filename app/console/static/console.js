// Shows times in the reader's zone, and copies texts. Everything else works without script.

"use strict";

localise(document);

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
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
    button.textContent = "Copied";
  });
}
