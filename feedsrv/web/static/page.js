// Optional: without this script, Enter submits the form and the addresses are links to copy.
// The server renders the preview; this script only replaces it.
"use strict";

const input = document.getElementById("q");
const preview = document.getElementById("preview");
const liveRegion = document.getElementById("live");
const debounceDelay = 150; // milliseconds

let timer, abortController;

if (input && preview) {
  let query = input.value.trim();
  input.addEventListener("input", () => {
    const typed = input.value.trim().replace(/\s+/g, " ");
    if (typed !== query) schedule((query = typed), debounceDelay);
  });
  addEventListener("pageshow", () => scheduleReload(query));
}

function schedule(query, delay, isReload) {
  clearTimeout(timer);
  timer = setTimeout(() => update(query, isReload), delay);
}

// Load the preview of a query. A newer call aborts the request of an older one.
async function update(query, isReload) {
  if (isReload && isInUse()) return scheduleReload(query);
  abortController?.abort();
  abortController = new AbortController();
  const pageUrl = new URL(input.form.action);
  if (query) pageUrl.searchParams.set("q", query);
  const previewUrl = new URL(pageUrl);
  previewUrl.pathname += "preview";
  preview.ariaBusy = "true";
  try {
    const response = await fetch(previewUrl, { signal: abortController.signal });
    // The address of a list was pasted.
    if (response.redirected) return location.assign(response.url);
    if (!response.ok) throw new Error(response.statusText);
    const content = new DOMParser().parseFromString(await response.text(), "text/html");
    preview.replaceChildren(...content.body.childNodes);
    history.replaceState(null, "", pageUrl);
    document.title = query ? `${query} – feedsrv` : "feedsrv: a feed of new papers on anything";
    if (!isReload) announce(preview.querySelector("[data-announcement]")?.dataset.announcement ?? "");
    scheduleReload(query);
  } catch (error) {
    if (error.name === "AbortError") return;
    announce("Cannot reach the server. Press Enter to try again.");
  }
  preview.ariaBusy = "false";
}

// A reload must not replace what the visitor works with, and is not needed in a hidden tab.
function isInUse() {
  return document.hidden || preview.contains(document.activeElement) || preview.querySelector("[open]");
}

// Reload the preview while the server is still loading papers.
function scheduleReload(query) {
  const seconds = preview.querySelector("[data-reload-seconds]")?.dataset.reloadSeconds;
  if (seconds) schedule(query, seconds * 1000, true);
}

function announce(text) {
  liveRegion.textContent = text;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await copy(source);
  const label = button.firstChild;
  label.data = "Copied";
  announce("Copied.");
  setTimeout(() => (label.data = "Copy"), 2000);
});

// navigator.clipboard exists only on HTTPS and localhost; execCommand works elsewhere.
async function copy(source) {
  try {
    return await navigator.clipboard.writeText(source.textContent);
  } catch {}
  getSelection().selectAllChildren(source);
  document.execCommand("copy");
}
