// Adds a setting as soon as one is chosen from the list. Without script, a button does.

const form = document.querySelector("[data-many]");
const pick = form.querySelector("[data-pick]");
const names = new Set([...document.querySelectorAll("#settings option")].map((option) => option.value));

pick.addEventListener("input", () => {
  if (names.has(pick.value)) form.requestSubmit(form.querySelector("[data-add]"));
});
// Enter in the list of settings adds one; elsewhere it previews.
pick.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !pick.value) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("[data-add]"));
});
const values = form.querySelectorAll(".field-card [name^='/']:not([type=hidden])");
[...values].at(-1)?.focus();
