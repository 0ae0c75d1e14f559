// A picked version is compared at once.

const form = document.querySelector("[data-compare-form]");
form.querySelector("[data-compare-go]").hidden = true;
form.addEventListener("change", () => form.requestSubmit());
