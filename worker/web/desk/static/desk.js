// Loads the live parts of the open page again when the server says that something has changed.
"use strict";

const live = () => [...document.querySelectorAll("[data-live]")];
let loading = false;
let again = false;

function isBusy() {
  const field = document.activeElement;
  const selection = document.getSelection();
  return (field !== null && field.matches("[data-live] input, [data-live] select, [data-live] textarea"))
    || (!selection.isCollapsed && live().some((part) => selection.containsNode(part, true)));
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

// What an operator has opened, scrolled or focused in the live parts.
function touched() {
  return [...document.querySelectorAll("[data-live] :is(a, summary, details, [tabindex])")];
}

function mark(each) {
  return `${each.tagName} ${each.getAttribute("href") ?? each.getAttribute("aria-label") ?? each.closest("[id]").id}`;
}

function replace(page) {
  const before = touched().map((each) => (
    { mark: mark(each), focused: each === document.activeElement, left: each.scrollLeft, open: each.open }
  ));
  for (const part of live()) {
    const next = page.getElementById(part.id);
    if (next) { part.replaceWith(document.adoptNode(next)); }
  }
  for (const each of touched()) {
    const at = before.findIndex((one) => one.mark === mark(each));
    if (at >= 0) { restore(each, before.splice(at, 1)[0]); }
  }
  if (before.some((one) => one.focused)) { document.getElementById("main").focus({ preventScroll: true }); }
  document.title = page.title;
}

function restore(each, was) {
  each.scrollLeft = was.left;
  if (each.matches("details")) { each.open = was.open; }
  if (was.focused) { each.focus({ preventScroll: true }); }
}

if (live().length > 0) {
  const state = document.getElementById("state");
  const source = new EventSource("/live");
  source.addEventListener("open", () => { state.textContent = "live"; });
  source.addEventListener("error", () => { state.textContent = "not live: trying again"; });
  source.addEventListener("changed", refresh);
  document.addEventListener("visibilitychange", refresh);
}
