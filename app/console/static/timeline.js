// Older changes come by themselves when the link to them comes into view.

const list = document.querySelector("[data-endless]");
const said = document.querySelector("[data-endless-said]");
const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => more(entry.target)),
  { rootMargin: "300px" },
);

watch();

function pager(page) {
  return page.querySelector("[data-endless-pager]");
}

function watch() {
  const link = pager(document).querySelector('a[rel="next"]');
  if (link) seen.observe(link);
}

async function more(link) {
  seen.unobserve(link);
  try {
    const answer = await fetch(link.href, { redirect: "manual" });
    if (answer.ok) append(pageOf(await answer.text()));
  } catch {
    // The link stays, and leads to the same changes.
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
  said.textContent = `${entries.length} older changes were added`;
  watch();
}
