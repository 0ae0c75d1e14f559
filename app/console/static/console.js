// Everything works without this. With it, times are the reader's own.

"use strict";

for (const time of document.querySelectorAll("time[datetime]")) {
  const then = new Date(time.dateTime);
  time.textContent = then.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
