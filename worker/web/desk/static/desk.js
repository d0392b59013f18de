// Loads the live parts of the open page again when the server says that something has changed.
"use strict";

const live = () => [...document.querySelectorAll("[data-live]")];
let loading = false;
let again = false;

function isBusy() {
  const field = document.activeElement;
  return field !== null && field.matches("[data-live] input, [data-live] select, [data-live] textarea");
}

async function refresh() {
  if (loading) { again = true; return; }
  if (document.hidden || isBusy()) { return; }
  loading = true;
  try {
    const answer = await fetch(location.href, { headers: { "Accept": "text/html" } });
    if (answer.redirected) { location.reload(); return; }
    if (answer.ok) { replace(new DOMParser().parseFromString(await answer.text(), "text/html")); }
  } finally {
    loading = false;
    if (again) { again = false; refresh(); }
  }
}

function replace(page) {
  const focused = document.activeElement && document.activeElement.closest("[data-live]") ? document.activeElement : null;
  const address = focused && focused.getAttribute("href");
  const open = new Set([...document.querySelectorAll("[data-live] details[open]")].map((each) => each.id));
  for (const part of live()) {
    const next = page.getElementById(part.id);
    if (next) { part.replaceWith(document.adoptNode(next)); }
  }
  for (const each of document.querySelectorAll("[data-live] details")) { each.open = open.has(each.id); }
  if (address) {
    const same = [...document.querySelectorAll("[data-live] a")].find((each) => each.getAttribute("href") === address);
    if (same) { same.focus(); }
  }
  document.title = page.title;
}

if (live().length > 0) {
  const state = document.getElementById("state");
  const source = new EventSource("/live");
  source.addEventListener("open", () => { state.textContent = "live"; });
  source.addEventListener("error", () => { state.textContent = "not live: trying again"; });
  source.addEventListener("changed", refresh);
  document.addEventListener("visibilitychange", refresh);
}
