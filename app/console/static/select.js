// Selects assistants: all of the page by one box, a range with Shift; says how many are selected.

const form = document.querySelector("[data-selected]");
const table = document.querySelector("[data-select]");
if (form && table) start();

function start() {
  const boxes = [...table.querySelectorAll("[name=assistant]")];
  const all = table.querySelector("[data-select-all]");
  const matching = form.querySelector("[data-select-matching]");
  let last = null;
  all.hidden = false;
  all.addEventListener("change", () => {
    boxes.forEach((box) => (box.checked = all.checked));
    show();
  });
  for (const box of boxes) {
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last) between(boxes, last, box).forEach((one) => (one.checked = box.checked));
      last = box;
      show();
    });
  }
  matching?.addEventListener("change", show);
  addEventListener("pageshow", show);
  show();

  function show() {
    const count = boxes.filter((box) => box.checked).length;
    all.checked = count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    const words = matching?.checked ? matching.parentElement.textContent.trim() : fill(t.selected, { count });
    form.querySelector("[data-select-count]").textContent = count || matching?.checked ? words : t.none_selected;
    const isAll = Boolean(matching?.checked);
    const two = form.querySelector("[data-select-two]");
    if (two) two.disabled = isAll || count !== 2;
    const some = form.querySelector("[data-select-some]");
    if (some) some.disabled = !isAll && count === 0;
    for (const row of table.tBodies[0].rows) row.classList.toggle("selected", row.querySelector("[name=assistant]").checked);
  }
}

function between(boxes, one, other) {
  const ends = [boxes.indexOf(one), boxes.indexOf(other)].sort((a, b) => a - b);
  return boxes.slice(ends[0], ends[1] + 1);
}
