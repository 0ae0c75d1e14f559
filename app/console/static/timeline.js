// Loads older changes when the link to them comes into view.

const list = document.querySelector("[data-endless]");
const status = document.querySelector("[data-endless-status]");
const observer = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => load(entry.target)),
  { rootMargin: "300px" },
);

watch();

function pager(page) {
  return page.querySelector("[data-endless-pager]");
}

function watch() {
  const link = pager(document).querySelector('a[rel="next"]');
  if (link) observer.observe(link);
}

async function load(link) {
  observer.unobserve(link);
  try {
    const response = await fetch(link.href, { redirect: "manual" });
    if (response.ok) append(pageOf(await response.text()));
  } catch {
    // The link stays, and leads to these changes.
  }
}

function append(page) {
  const entries = [...page.querySelectorAll("[data-endless] > li")];
  const old = pager(document);
  const hadFocus = old.contains(document.activeElement);
  entries.forEach(localise);
  list.append(...entries);
  old.replaceWith(pager(page));
  if (hadFocus) entries[0].querySelector("a").focus();
  status.textContent = fill(t.older_loaded, { count: entries.length });
  watch();
}
