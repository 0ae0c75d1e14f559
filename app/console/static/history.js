// Filters the history as one types, loads older changes when their link comes into view, groups
// changes by the reader's days, and lets a period be dragged on the line over time.

const REST = 200; // milliseconds without a key, before results are loaded
const form = document.querySelector("[data-filters]");
let observer;
let request;
let timer;

form.elements.zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
form.removeAttribute("title"); // days are the reader's here
form.querySelector("[data-filters-go]").hidden = true;
form.addEventListener("input", changed);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  load(address());
});
document.addEventListener("click", followFilter);
begin();

function results() {
  return document.querySelector("[data-results]");
}

function begin() {
  group();
  watch();
  draggable(document.querySelector("[data-line]"));
  document.querySelector("#compare").addEventListener("change", offer);
  results().addEventListener("change", offer);
  offer();
}

// Two versions at most are compared: a third takes the place of the first that was chosen.
function offer(event) {
  const chosen = [...document.querySelectorAll("input[form=compare]:checked")];
  if (chosen.length > 2) chosen.find((one) => one !== event?.target).checked = false;
  document.querySelector("[data-compare]").disabled = chosen.length === 0;
}

function address() {
  const filters = [...new FormData(form)].filter(([, text]) => text);
  const isSet = filters.some(([name]) => name !== "zone");
  return location.pathname + (isSet ? `?${new URLSearchParams(filters)}` : "");
}

function changed(event) {
  if (event.target.name === "period") form.elements.since.value = form.elements.until.value = "";
  if (["since", "until"].includes(event.target.name)) form.elements.period.value = "";
  clearTimeout(timer);
  timer = setTimeout(() => load(address()), event.target.type === "search" ? REST : 0);
}

// A chip, or "Clear filters": the same page with fewer filters.
function followFilter(event) {
  const link = event.target.closest(".chosen-filters a, [data-results] .empty a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  clearTimeout(timer); // what was typed before no longer counts
  const left = new URL(link.href).searchParams;
  for (const one of form.elements) {
    if (one.name && one.name !== "zone") one.value = left.get(one.name) ?? "";
  }
  load(address()).then(() => form.elements.path.focus());
}

async function load(target) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  try {
    const response = await fetch(target, { redirect: "manual", signal });
    if (!response.ok) throw new Error(response.status);
    const shown = pageOf(await response.text()).querySelector("[data-results]");
    localise(shown);
    observer.disconnect();
    results().replaceWith(shown);
    history.replaceState(null, "", target);
    begin();
    const count = document.querySelectorAll("[data-endless] > li").length;
    document.querySelector("[data-endless-status]").textContent = fill(t.changes_found, { count });
  } catch {
    if (!signal.aborted) location.assign(target); // that page says what is wrong
  }
}

// -- days

function group() {
  let last = "";
  for (const item of document.querySelectorAll("[data-endless] > li")) {
    const moment = new Date(item.querySelector("time").dateTime);
    const day = moment.toLocaleDateString(undefined, { dateStyle: "full" });
    let heading = item.querySelector("[data-day]");
    if (day === last) heading?.remove();
    else {
      if (!heading) item.prepend((heading = Object.assign(document.createElement("h2"), { className: "day" })));
      heading.dataset.day = "";
      heading.textContent = day;
    }
    last = day;
  }
}

// -- older changes

function pager(page) {
  return page.querySelector("[data-endless-pager]");
}

function watch() {
  observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => append(entry.target)),
    { rootMargin: "300px" },
  );
  const link = pager(document).querySelector('a[rel="next"]');
  if (link) observer.observe(link);
}

async function append(link) {
  observer.unobserve(link);
  try {
    const response = await fetch(link.href, { redirect: "manual" });
    if (response.ok && link.isConnected) add(pageOf(await response.text()));
  } catch {
    // The link stays, and leads to these changes.
  }
}

function add(page) {
  const entries = [...page.querySelectorAll("[data-endless] > li")];
  const old = pager(document);
  const hadFocus = old.contains(document.activeElement);
  entries.forEach(localise);
  document.querySelector("[data-endless]").append(...entries);
  old.replaceWith(pager(page));
  if (hadFocus) entries[0].querySelector("a").focus();
  document.querySelector("[data-endless-status]").textContent = fill(t.older_loaded, { count: entries.length });
  group();
  watch();
}

// -- the line

function draggable(line) {
  if (!line) return;
  const drawing = line.querySelector("svg");
  const band = line.querySelector("[data-dragged]");
  let start = null;
  line.querySelector("[data-line-hint]").hidden = false;
  drawing.addEventListener("pointerdown", (event) => {
    start = place(event, drawing);
    drawing.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  drawing.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [from, to] = [start, place(event, drawing)].sort((one, other) => one - other);
    band.setAttribute("x", from * 1000);
    band.setAttribute("width", (to - from) * 1000);
  });
  drawing.addEventListener("pointerup", (event) => {
    if (start === null) return;
    choose(line, [start, place(event, drawing)].sort((one, other) => one - other));
    start = null;
  });
}

function place(event, drawing) {
  const { left, width } = drawing.getBoundingClientRect();
  return Math.min(Math.max((event.clientX - left) / width, 0), 1);
}

function choose(line, shares) {
  const since = Date.parse(line.dataset.since);
  const until = Date.parse(line.dataset.until);
  const [first, last] = shares.map((share) => dayOf(new Date(since + share * (until - since))));
  for (const [name, day] of [["since", first], ["until", last]]) {
    form.elements[name].type = "date";
    form.elements[name].value = day;
  }
  form.elements.period.value = "";
  load(address());
}

// The reader's day of a moment, as a date input holds it.
function dayOf(moment) {
  const [year, month, day] = [moment.getFullYear(), moment.getMonth() + 1, moment.getDate()];
  return `${year}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
}
