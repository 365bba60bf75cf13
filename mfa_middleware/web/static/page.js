// Small comforts. Every page works without them.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// A second click would send a code twice, and the second answer would hide the first.
let sending;
document.addEventListener("submit", (event) => {
  if (sending) event.preventDefault();
  sending = setTimeout(() => (sending = undefined), 3000);
});
window.addEventListener("pageshow", () => (sending = undefined));
