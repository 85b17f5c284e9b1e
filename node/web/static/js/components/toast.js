// Short notes at the foot of the page, also spoken; and what only a screen reader hears.

let timer = 0;

export function toast(text) {
  const node = document.getElementById("toast");
  node.textContent = text;
  node.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => node.classList.remove("shown"), 4000);
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
