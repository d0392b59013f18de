// Loads the live parts of the open page again when the server says that something has changed, and counts deadlines
// down in between. What the reader does with a part is kept: open details, scrolled tables, the focus, a selection.
"use strict";

const live = () => [...document.querySelectorAll("[data-live]")];
const shownAt = new WeakMap();
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

function replace(page) {
  const before = needing();
  for (const part of live()) {
    const next = page.getElementById(part.id);
    if (next && !part.isEqualNode(next)) { replacePart(part, document.adoptNode(next)); }
  }
  document.title = page.title;
  if (needing() !== before) { document.getElementById("state").textContent = `live, needs you: ${needing()}`; }
  countDown();
}

function replacePart(part, next) {
  const focused = part.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const scrolled = new Map([...part.querySelectorAll(".wide")].map((each) => [nameOf(each), each.scrollLeft]));
  for (const each of next.querySelectorAll("details")) {
    const old = document.getElementById(each.id);
    if (old) { each.open = old.open; }
  }
  part.replaceWith(next);
  for (const each of next.querySelectorAll(".wide")) { each.scrollLeft = scrolled.get(nameOf(each)) || 0; }
  const same = focused && [...next.querySelectorAll("a, summary, .wide")].find((each) => nameOf(each) === focused);
  if (focused) { (same ?? document.getElementById("main")).focus({ preventScroll: true }); }
}

function nameOf(element) {
  const around = element.closest("details");
  const label = element.getAttribute("aria-label");
  return [element.tagName, element.getAttribute("href"), label, around && around.id].join(" ");
}

function needing() {
  return document.getElementById("nav").dataset.needing;
}

function countDown() {
  const now = performance.now();
  for (const each of document.querySelectorAll("[data-seconds]")) {
    if (!shownAt.has(each)) { shownAt.set(each, now); }
    const left = Number(each.dataset.seconds) - Math.floor((now - shownAt.get(each)) / 1000);
    const text = `${Math.floor(Math.abs(left) / 60)}:${String(Math.abs(left) % 60).padStart(2, "0")}`;
    each.textContent = left < 0 ? `${text} ago` : `in ${text}`;
  }
}

countDown();
setInterval(countDown, 1000);
if (live().length > 0) {
  const state = document.getElementById("state");
  const source = new EventSource("/live");
  source.addEventListener("open", () => { state.textContent = "live"; });
  source.addEventListener("error", () => { state.textContent = "not live: trying again"; });
  source.addEventListener("changed", refresh);
  document.addEventListener("visibilitychange", refresh);
}
