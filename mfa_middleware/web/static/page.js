// Small comforts. Every page works without them.
"use strict";

// Reload and Back show the page anew, instead of sending its form once more.
if (document.body.dataset.again) history.replaceState(null, "", document.body.dataset.again);

// An empty live region first, and words into it later: only so is a change announced.
const announced = document.createElement("p");
announced.className = "unseen";
announced.setAttribute("role", "status");

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const label = button.textContent;
  button.hidden = false;
  button.after(announced);
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    await navigator.clipboard.writeText("tight" in button.dataset ? text.replace(/\s/g, "") : text);
    button.textContent = announced.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = label), 4000);
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// How long a lock lasts. The sentence beside it says the same without it.
for (const clock of document.querySelectorAll("[data-countdown]")) {
  const end = Date.now() + clock.dataset.countdown * 1000;
  const two = (number) => String(number).padStart(2, "0");
  const show = () => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    const [hours, minutes] = [Math.floor(left / 3600), Math.floor(left / 60) % 60];
    clock.textContent = (hours ? `${hours}:${two(minutes)}` : minutes) + `:${two(left % 60)}`;
    if (left) setTimeout(show, 1000);
  };
  clock.hidden = false;
  show();
}

// A code that arrives whole, pasted or filled in, needs no further click. One that is typed waits for Enter.
const code = document.querySelector("input.code[inputmode=numeric]");
code?.addEventListener("input", (event) => {
  const whole = event.inputType === "insertFromPaste" || event.inputType === "insertReplacementText";
  if (whole && /^\d{3}[\s-]?\d{3,5}$/.test(code.value.trim())) code.form.requestSubmit();
});

// A second click would send a code twice, and the second answer would hide the first.
let sending;
document.addEventListener("submit", (event) => {
  if (sending) event.preventDefault();
  sending = setTimeout(() => (sending = undefined), 3000);
});
window.addEventListener("pageshow", () => (sending = undefined));
