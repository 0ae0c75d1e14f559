// Everything works without this. With it, times are the reader's own.

"use strict";

localise(document);

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const then = new Date(time.dateTime);
    time.textContent = then.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

// What the server answered, to take parts of: nothing in it runs.
function pageOf(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

// What is to be copied: the button appears where the browser lets it work.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}
