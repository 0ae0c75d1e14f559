// Everything works without this. With it, times are the reader's own.

"use strict";

for (const time of document.querySelectorAll("time[datetime]")) {
  const then = new Date(time.dateTime);
  time.textContent = then.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

// What is to be copied: the button appears where the browser lets it work.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}
