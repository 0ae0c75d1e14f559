// Filters the settings of the page as one types. Without script, the server does.

const form = document.querySelector("[data-filter]");
const box = form.elements.q;
const rows = [...document.querySelectorAll("[data-row]")];
const groups = [...document.querySelectorAll("details.group")];
const wasOpen = new Map(groups.map((group) => [group, !location.search && group.open]));
let isFiltering = false;

form.querySelector("[data-filter-go]").hidden = true;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelector("[data-filter-all]")?.addEventListener("click", (event) => {
  event.preventDefault();
  form.querySelectorAll("[name=only]").forEach((only) => (only.checked = false));
  box.value = "";
  show();
});
document.querySelector(".side nav").addEventListener("click", openGroup);
addEventListener("invalid", (event) => event.target.closest("details.group")?.setAttribute("open", ""), true);
openAt(location.hash);

function show() {
  const words = box.value.trim().toLowerCase();
  const only = [...form.querySelectorAll("[name=only]:checked")].map((each) => each.value);
  const hasFilter = Boolean(words) || only.length > 0;
  if (hasFilter && !isFiltering) groups.forEach((group) => wasOpen.set(group, group.open));
  let count = 0;
  for (const row of rows) {
    row.hidden = !(only.every((name) => name in row.dataset) && (!words || textOf(row).includes(words)));
    if (!row.hidden) count += 1;
  }
  for (const group of groups) {
    const shown = group.querySelectorAll("[data-row]:not([hidden])");
    group.hidden = !shown.length;
    group.open = hasFilter ? shown.length > 0 : wasOpen.get(group);
  }
  for (const heading of document.querySelectorAll(".group > h3")) heading.hidden = !hasRows(heading);
  isFiltering = hasFilter;
  document.querySelector("[data-filter-none]").hidden = count > 0;
  form.querySelector("[data-filter-status]").textContent = fill(count === 1 ? t.one_setting : t.settings_shown, { count });
}

function textOf(row) {
  const controls = [...row.querySelectorAll("[name^='/']:not([type=hidden], [type=password])"), ...row.querySelectorAll("output")];
  return [row.dataset.words, ...controls.map((each) => each.value)].join(" ").toLowerCase();
}

function hasRows(heading) {
  for (let next = heading.nextElementSibling; next && next.tagName !== "H3"; next = next.nextElementSibling) {
    if (!next.hidden) return true;
  }
  return false;
}

function openGroup(event) {
  const link = event.target.closest("a");
  if (link) openAt(link.hash);
}

function openAt(hash) {
  document.getElementById(hash.slice(1))?.closest("details.group")?.setAttribute("open", "");
}
