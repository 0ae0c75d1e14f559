// Exports tell how far they are. Without this the browser downloads them by itself.

const TAIL = 16384; // bytes, in which there is a line's end
const form = document.querySelector("form[data-export]");
const bar = form.querySelector("[data-progress]");
const said = form.querySelector("[data-said]");
const cancel = form.querySelector("[data-cancel]");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [go] = form.querySelectorAll("button:not([type])");
  const stop = new AbortController();
  cancel.onclick = () => stop.abort();
  for (const one of [cancel, bar]) one.hidden = false;
  go.disabled = true;
  try {
    await download(`${form.action}?${new URLSearchParams(new FormData(form))}`, stop.signal);
  } catch (error) {
    said.textContent = stop.signal.aborted ? "Cancelled" : `The export broke off: ${error.message}. Try again`;
  }
  for (const one of [cancel, bar]) one.hidden = true;
  go.disabled = false;
});

async function download(address, signal) {
  const answer = await fetch(address, { signal });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  if (!answer.headers.has("content-disposition")) throw new Error("you are signed out");
  const last = Number(answer.headers.get("x-until-sequence"));
  const reader = answer.body.getReader();
  const parts = [];
  let size = 0;
  bar.removeAttribute("value");
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    tell(size, reached(value), last);
  }
  // A proxy that speaks HTTP/1.0 can end an export in the middle as if it were whole.
  const type = answer.headers.get("content-type");
  const whole = new Blob(parts, { type });
  const end = await whole.slice(-TAIL).text();
  if (type.startsWith("application/x-ndjson") && !end.includes('"last_sequence":')) throw new Error("it has no end");
  save(whole, nameOf(answer));
  said.textContent = `Done: ${megabytes(size)}, up to event ${last.toLocaleString()}`;
}

// The sequence in the last line that a piece of an export in lines holds.
function reached(bytes) {
  const text = new TextDecoder().decode(bytes.subarray(-TAIL));
  const found = [...text.matchAll(/"sequence":\s?(\d+)/g)].pop();
  return found ? Number(found[1]) : undefined;
}

function tell(size, sequence, last) {
  if (sequence === undefined) {
    said.textContent = megabytes(size);
    return;
  }
  bar.max = last;
  bar.value = sequence;
  said.textContent = `${megabytes(size)}, event ${sequence.toLocaleString()} of ${last.toLocaleString()}`;
}

function megabytes(size) {
  return `${(size / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 })} MB`;
}

function nameOf(answer) {
  return /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))[1];
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
