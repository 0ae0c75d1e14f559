// The prompt's editor: line numbers and marks lie behind a text area that grows with its text.

const PARTS = /\{\{\s*[\w.]+\s*\}\}/g; // template variables such as {{name}}

document.querySelectorAll("textarea[data-editor]").forEach(edit);

function edit(area) {
  const behind = element("div", "behind text");
  behind.setAttribute("aria-hidden", "true");
  const editor = element("div", "editor");
  area.replaceWith(editor);
  editor.append(behind, area);
  const { tools, box, status, counts } = toolbar(area.dataset.editor);
  editor.after(tools);
  const draw = () => {
    const found = box.value ? new RegExp(box.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi") : null;
    behind.replaceChildren(...area.value.split("\n").map((line) => lineOf(line, found)));
    area.style.height = CSS.supports("field-sizing", "content") ? "" : `${behind.scrollHeight}px`;
    const size = [...area.value].length;
    counts.textContent = fill(t.lines_counted, { characters: size.toLocaleString(), tokens: Math.ceil(size / 4).toLocaleString() });
  };
  area.addEventListener("input", draw);
  area.form?.addEventListener("reset", () => setTimeout(draw));
  box.addEventListener("input", () => {
    draw();
    go(0);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // a form would be sent
    go(event.shiftKey ? -1 : 1);
  });
  let at = 0;
  const go = (by) => {
    const marks = [...behind.querySelectorAll("mark.found")];
    at = by && marks.length ? (at + by + marks.length) % marks.length : 0;
    status.textContent = box.value ? fill(t.found, { number: marks.length ? at + 1 : 0, count: marks.length }) : "";
    marks[at]?.scrollIntoView({ block: "nearest" });
  };
  draw();
}

function lineOf(text, found) {
  const line = element("div");
  const marks = [...matches(text, PARTS, "variable"), ...matches(text, found, "found")].sort((a, b) => a.start - b.start);
  let end = 0;
  for (const { start, words, kind } of marks) {
    if (start < end) continue;
    const mark = element("mark", kind);
    mark.textContent = words;
    line.append(text.slice(end, start), mark);
    end = start + words.length;
  }
  line.append(text.slice(end) || "\u200b");
  return line;
}

function matches(text, pattern, kind) {
  return pattern ? [...text.matchAll(pattern)].map((one) => ({ start: one.index, words: one[0], kind })) : [];
}

function toolbar(words) {
  const tools = element("div", "tools");
  const label = element("label");
  const box = element("input");
  box.type = "search";
  label.append(words, box);
  const status = element("span");
  status.setAttribute("role", "status");
  const counts = element("span");
  tools.append(counts, label, status);
  return { tools, box, status, counts };
}

function element(name, kind = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  return made;
}
