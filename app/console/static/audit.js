// Shows the progress of exports. Without script, the browser downloads them by itself.

const TAIL = 16384; // bytes, enough to hold the end of a line
const form = document.querySelector("form[data-export]");
const bar = form.querySelector("[data-progress]");
const status = form.querySelector("[data-status]");
const cancel = form.querySelector("[data-cancel]");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [start] = form.querySelectorAll("button:not([type])");
  const stop = new AbortController();
  cancel.onclick = () => stop.abort();
  cancel.hidden = bar.hidden = false;
  start.disabled = true;
  try {
    await download(`${form.action}?${new URLSearchParams(new FormData(form))}`, stop.signal);
  } catch (error) {
    status.textContent = stop.signal.aborted ? t.cancelled : fill(t.export_failed, { reason: error.message });
  }
  cancel.hidden = bar.hidden = true;
  start.disabled = false;
});

async function download(address, signal) {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error(fill(t.answered, { status: response.status }));
  if (!response.headers.has("content-disposition")) throw new Error(t.signed_out);
  const last = Number(response.headers.get("x-until-sequence"));
  const reader = response.body.getReader();
  const parts = [];
  let size = 0;
  bar.removeAttribute("value");
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    showProgress(size, lastSequence(value), last);
  }
  // A proxy that speaks HTTP/1.0 can cut off an export as if it were complete.
  const type = response.headers.get("content-type");
  const whole = new Blob(parts, { type });
  const end = await whole.slice(-TAIL).text();
  if (type.startsWith("application/x-ndjson") && !end.includes('"last_sequence":')) throw new Error(t.incomplete);
  save(whole, nameOf(response));
  status.textContent = fill(t.export_done, { size: megabytes(size), event: last.toLocaleString() });
}

// The sequence of the last event in a part of an export; undefined for formats without it.
function lastSequence(bytes) {
  const text = new TextDecoder().decode(bytes.subarray(-TAIL));
  const match = [...text.matchAll(/"sequence":\s?(\d+)/g)].pop();
  return match ? Number(match[1]) : undefined;
}

function showProgress(size, sequence, last) {
  if (sequence === undefined) {
    status.textContent = megabytes(size);
    return;
  }
  bar.max = last;
  bar.value = sequence;
  status.textContent = fill(t.export_at, { size: megabytes(size), event: sequence.toLocaleString(), last: last.toLocaleString() });
}

function megabytes(size) {
  return `${(size / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 })} MB`;
}

function nameOf(response) {
  return /filename="([^"]+)"/.exec(response.headers.get("content-disposition"))[1];
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
