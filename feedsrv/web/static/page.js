// The page without this file works too: Enter sends the form, and addresses can be selected.
// Everything shown comes from the server, as the same part of the same page.
"use strict";

const input = document.getElementById("q");
const preview = document.getElementById("preview");
const live = document.getElementById("live");
const pause = 150; // milliseconds of quiet after which somebody has finished a word

let timer, asked;

document.documentElement.classList.add("js");

if (input && preview) {
  let last = input.value.trim();
  input.form.querySelector("button").hidden = true;
  input.addEventListener("input", () => {
    const query = input.value.trim().replace(/\s+/g, " ");
    if (query !== last) later((last = query), pause);
  });
  addEventListener("pageshow", () => again(last));
}

function later(query, wait, quietly) {
  clearTimeout(timer);
  timer = setTimeout(() => show(query, quietly), wait);
}

// Show what a feed of the query would hold. An answer that comes late is not wanted any more.
async function show(query, quietly) {
  if (quietly && isInUse()) return again(query);
  asked?.abort();
  asked = new AbortController();
  const own = new URL(input.form.action);
  if (query) own.searchParams.set("q", query);
  const part = new URL(own);
  part.pathname += "preview";
  preview.ariaBusy = "true";
  try {
    const answer = await fetch(part, { signal: asked.signal });
    if (!answer.ok) throw new Error(answer.statusText);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    preview.replaceChildren(...found.body.childNodes);
    history.replaceState(null, "", own);
    document.title = query ? `${query} – feedsrv` : "feedsrv: a feed of new papers on anything";
    if (!quietly) say(preview.querySelector("[data-said]")?.dataset.said ?? "");
    again(query);
  } catch (error) {
    if (error.name === "AbortError") return;
    say("The server cannot be reached. Press Enter to try again.");
  }
  preview.ariaBusy = "false";
}

// What somebody does not look at need not be fresh, and what somebody works with must not change.
function isInUse() {
  return document.hidden || preview.contains(document.activeElement) || preview.querySelector("[open]");
}

// While the window is still being read, look again in a moment.
function again(query) {
  const seconds = preview.querySelector("[data-again]")?.dataset.again;
  if (seconds) later(query, seconds * 1000, true);
}

function say(text) {
  live.textContent = text;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await copy(source);
  const label = button.firstChild;
  label.data = "Copied";
  button.classList.add("done");
  say("Copied.");
  setTimeout(() => {
    label.data = "Copy";
    button.classList.remove("done");
  }, 2000);
});

// The clipboard is for pages at https and localhost alone; elsewhere the older way still works.
async function copy(source) {
  try {
    return await navigator.clipboard.writeText(source.value ?? source.textContent);
  } catch {}
  if (source.select) source.select();
  else getSelection().selectAllChildren(source);
  document.execCommand("copy");
}
