// The slider shows each version while it moves, and a day what it said then, without loading
// another page.

const form = document.querySelector("[data-life]");
const slider = form.elements.version;
const REST = 150; // milliseconds without a move, before a version is loaded
let request;
let timer;

const day = document.querySelector("[data-life-day]");
form.querySelector("button").hidden = true;
day.querySelector("button").hidden = true;
day.elements.zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
day.removeAttribute("title"); // days are the reader's here
day.addEventListener("submit", (event) => {
  event.preventDefault();
  showDay();
});
day.addEventListener("input", () => {
  clearTimeout(timer);
  if (new Date(day.elements.as_of.value).getFullYear() > 1999) timer = setTimeout(showDay, REST);
});
if (!location.search) day.elements.as_of.focus(); // a page without a version is asked for a day

function showDay() {
  return show(`${location.pathname}?${new URLSearchParams(new FormData(day))}`);
}

slider.addEventListener("input", () => {
  const version = slider.value;
  form.querySelector("output").textContent = fill(t.of_versions, { version, last: slider.max });
  request?.abort(); // an earlier answer would move the slider back
  clearTimeout(timer);
  timer = setTimeout(() => show(`${location.pathname}?version=${version}`), REST);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-life-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  clearTimeout(timer);
  show(link.href);
});

async function show(address) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  try {
    const response = await fetch(address, { redirect: "manual", signal });
    if (!response.ok) throw new Error(response.status);
    replace(pageOf(await response.text()));
    history.replaceState(null, "", address);
  } catch {
    if (!signal.aborted) location.assign(address); // that page says what is wrong
  }
}

function replace(page) {
  const step = document.activeElement?.dataset.lifeStep;
  const shown = page.querySelector("[data-life-shown]");
  localise(shown);
  document.querySelector("[data-life-shown]").replaceWith(shown);
  slider.max = page.querySelector("[data-life] [name=version]").max;
  slider.value = page.querySelector("[data-life] [name=version]").value;
  form.querySelector("output").textContent = page.querySelector("[data-life] output").textContent;
  const asked = page.querySelector("[name=as_of]").value;
  if (day.elements.as_of.value !== asked) day.elements.as_of.value = asked;
  document.title = page.title;
  if (step) (shown.querySelector(`[data-life-step=${step}]`) ?? slider).focus();
}
