// Everything works without this file; it only saves a few keystrokes.
"use strict";

const switcher = document.getElementById("switcher");

document.addEventListener("keydown", (event) => {
  if (!switcher) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    switcher.togglePopover();
  } else if (switcher.contains(event.target) && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    const stops = [...switcher.querySelectorAll("input[type=search], .menu__item")];
    const next = stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    stops[next]?.focus();
    event.preventDefault();
  }
});

// Without script a text is there to select and a page to print, so these buttons show only here.
const showButtons = () => document.querySelectorAll(":is([data-copy], [data-file], [data-print], [data-reveal])[hidden]").forEach((button) => (button.hidden = false));
document.addEventListener("htmx:afterSettle", showButtons);
showButtons();

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-print]")) window.print();
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText("value" in source ? source.value : source.innerText);
  button.querySelector("span").textContent = button.dataset.copied;
});

// A file is read here and sent as a text: no page takes files.
document.addEventListener("click", (event) => document.getElementById(event.target.closest("[data-file]")?.dataset.file)?.click());
document.addEventListener("change", async (event) => {
  const [file, field] = [event.target.files?.[0], document.getElementById(event.target.dataset.fills)];
  if (file && field) [field.value, event.target.value] = [await file.text(), ""];
});

// What is typed goes with a choice, which this makes; without script the form says so when both do not agree.
document.addEventListener("input", (event) => {
  const radio = document.getElementById(event.target.closest("[data-typing-chooses]")?.dataset.typingChooses);
  if (radio && !radio.disabled && event.target.type !== "radio" && event.target.value) radio.checked = true;
});

// A password is shown while it is typed, and hidden again when it is sent, so that no browser keeps it as a text.
const toggle = (button) => {
  const field = document.getElementById(button.dataset.reveal);
  const words = button.querySelector("span");
  [words.textContent, button.dataset.other] = [button.dataset.other, words.textContent];
  field.type = field.type === "password" ? "text" : "password";
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reveal]");
  if (button) toggle(button);
});
document.addEventListener("submit", (event) => {
  for (const button of event.target.querySelectorAll("[data-reveal]")) {
    if (document.getElementById(button.dataset.reveal).type === "text") toggle(button);
  }
});

// What a step-up interrupted goes on by itself.
const again = document.querySelector("form[data-send-at-once]");
again?.requestSubmit(again.querySelector("button"));

// Rows of a table that are chosen: all of the page at once, from one to another with Shift, and how many they are.
document.querySelectorAll("form[data-picks]").forEach((form) => {
  const [all, picked] = [form.querySelector("[data-picks-all]"), form.querySelector("[data-picked]")];
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  let last = null;
  const count = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    picked.querySelector("b").textContent = chosen;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
  };
  form.addEventListener("click", ({ target, shiftKey }) => {
    if (target === all) boxes.forEach((box) => (box.checked = all.checked));
    if (boxes.includes(target)) {
      const [from, to] = [boxes.indexOf(shiftKey && last ? last : target), boxes.indexOf(target)].sort((a, b) => a - b);
      boxes.slice(from, to + 1).forEach((box) => (box.checked = target.checked));
      last = target;
    }
    if (target === all || boxes.includes(target)) count();
  });
  all.hidden = picked.hidden = false;
  count();
});
