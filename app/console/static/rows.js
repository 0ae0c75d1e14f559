// Lists as rows that can be added, moved and removed. The text area below stays what the form sends.

document.querySelectorAll("textarea[data-lines]").forEach(start);

function start(area) {
  const name = area.closest("[data-row]").querySelector("label").textContent;
  const rows = document.createElement("div");
  rows.className = "rows";
  const toggle = button(t.as_text, () => show(rows.hidden));
  toggle.dataset.toggle = "";
  area.before(rows);
  area.after(toggle);
  area.form.addEventListener("reset", () => setTimeout(draw));
  area.addEventListener("input", (event) => event.isTrusted || rows.contains(document.activeElement) || draw());
  draw();
  show(true);

  function show(asRows) {
    if (asRows) draw();
    rows.hidden = !asRows;
    area.hidden = asRows;
    toggle.textContent = asRows ? t.as_text : t.as_rows;
  }

  function draw() {
    const lines = area.value.split("\n").filter(Boolean);
    rows.replaceChildren(...lines.map(row), button(t.add, () => add()));
  }

  function add() {
    const made = row("", rows.children.length - 1);
    rows.lastElementChild.before(made);
    made.querySelector("input").focus();
  }

  function row(text, index) {
    const made = document.createElement("div");
    const input = document.createElement("input");
    input.value = text;
    input.setAttribute("aria-label", fill(t.item, { setting: name, number: index + 1 }));
    input.addEventListener("input", (event) => {
      event.stopPropagation();
      write();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      add();
    });
    made.append(
      input,
      small("↑", t.move_up, () => made.previousElementSibling?.before(made)),
      small("↓", t.move_down, () => made.nextElementSibling?.matches("div") && made.nextElementSibling.after(made)),
      small("×", t.remove, () => made.remove()),
    );
    return made;
  }

  function small(sign, words, act) {
    const made = button(sign, () => {
      act();
      write();
    });
    made.setAttribute("aria-label", words);
    made.title = words;
    return made;
  }

  // An untouched list is sent as it was: only an edit writes the text.
  function write() {
    area.value = [...rows.querySelectorAll("input")].map((each) => each.value).filter(Boolean).join("\n");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function button(words, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.addEventListener("click", act);
  return made;
}
