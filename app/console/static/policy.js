// Adds a picked setting to its rule at once. Without script, saving adds what was entered.

const known = new Map([...document.querySelectorAll("#settings option")].map((each) => [each.value, each.textContent]));

for (const rule of document.querySelectorAll("[data-rule]")) {
  const input = rule.querySelector(".add input");
  input?.addEventListener("input", () => known.has(input.value) && add(rule, input));
  input?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !input.value) return;
    event.preventDefault();
    add(rule, input);
  });
}

function add(rule, input) {
  const path = known.get(input.value) ?? input.value;
  const boxes = [...rule.querySelectorAll("input[type=checkbox]")];
  const there = boxes.find((each) => each.value === encode(path));
  if (there) there.checked = true;
  else input.closest("label").before(row(rule.dataset.rule, path, input.value));
  input.value = "";
}

function row(name, path, words) {
  const made = document.createElement("label");
  made.className = "choice";
  const box = document.createElement("input");
  Object.assign(box, { type: "checkbox", name, value: encode(path), checked: true });
  const text = document.createElement("span");
  const title = document.createElement("b");
  const code = document.createElement("code");
  title.textContent = words === path ? "" : words;
  code.textContent = path;
  text.append(title, " ", code);
  made.append(box, text);
  return made;
}

// As the server reads it: a form would rewrite line ends.
function encode(path) {
  return path.replace(/[%\r\n]/g, encodeURIComponent);
}
