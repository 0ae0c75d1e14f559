// The slider shows each version as it is reached, without another page.

const form = document.querySelector("[data-life]");
const slider = form.elements.version;
const STILL = 150; // milliseconds without a move
let asked;
let timer;

form.querySelector("button").hidden = true;

slider.addEventListener("input", () => {
  const wanted = slider.value;
  form.querySelector("output").textContent = `${wanted} of ${slider.max}`;
  asked?.abort(); // or an answer under way would set the slider back
  clearTimeout(timer);
  timer = setTimeout(() => show(`${location.pathname}?version=${wanted}`), STILL);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-life-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  clearTimeout(timer);
  show(link.href);
});

async function show(address) {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  try {
    const answer = await fetch(address, { redirect: "manual", signal });
    if (!answer.ok) throw new Error(answer.status);
    put(pageOf(await answer.text()));
    history.replaceState(null, "", address);
  } catch {
    if (!signal.aborted) location.assign(address); // the page that comes says what is wrong
  }
}

function put(page) {
  const step = document.activeElement?.dataset.lifeStep;
  const shown = page.querySelector("[data-life-shown]");
  localise(shown);
  document.querySelector("[data-life-shown]").replaceWith(shown);
  slider.max = page.querySelector("[data-life] [name=version]").max;
  slider.value = page.querySelector("[data-life] [name=version]").value;
  form.querySelector("output").textContent = page.querySelector("[data-life] output").textContent;
  document.querySelector("[name=as_of]").value = page.querySelector("[name=as_of]").value;
  document.title = page.title;
  if (step) (shown.querySelector(`[data-life-step=${step}]`) ?? slider).focus();
}
