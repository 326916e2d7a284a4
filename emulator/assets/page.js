// Keeps a page up to date, sends its forms without leaving it, and listens for keys. Everything works without it, too.
"use strict";

const second = 1000;
const main = document.getElementById("main");
const notes = document.getElementById("notes");
const connection = document.getElementById("connection");

// Durations and instants.

function duration(millis) {
  const seconds = Math.max(0, Math.floor(millis / second));
  const two = (n) => String(n).padStart(2, "0");
  if (seconds < 1) return `${Math.max(0, Math.floor(millis))} ms`;
  if (seconds < 10) return `${seconds}.${Math.floor(millis / 100) % 10} s`;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${two(Math.floor(seconds / 3600) % 24)} h`;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "long" });

function instant(at) {
  const seconds = (at - Date.now()) / second;
  const distance = Math.abs(seconds);
  if (distance < 45) return seconds < 0 ? "just now" : "in a moment";
  if (distance < 3600) return relative.format(Math.trunc(seconds / 60) || Math.sign(seconds), "minute");
  if (distance < 12 * 3600) return relative.format(Math.trunc(seconds / 3600), "hour");
  return `${day.format(at)}, ${clock.format(at)}`;
}

// Writes what depends on the time and on where the reader is.
function tell(root) {
  const now = Date.now();
  for (const element of root.querySelectorAll("[data-since]")) {
    element.textContent = duration(now - Number(element.dataset.since));
  }
  for (const element of root.querySelectorAll("[data-until]")) {
    element.textContent = duration(Number(element.dataset.until) - now);
  }
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    element.title = full.format(at);
    if (element.dataset.as !== "title") element.textContent = instant(at);
  }
}

// Changes what has changed and leaves the rest alone: focus, what was typed, what was opened, where was scrolled to.

const kept = { DETAILS: ["open"], DIALOG: ["open"], INPUT: ["value"], BUTTON: ["disabled"] };

function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.data = to.data;
    return;
  }
  const keep = kept[from.tagName] ?? [];
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !keep.includes(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value && !keep.includes(name)) from.setAttribute(name, value);
  }
  if (from.tagName === "TEXTAREA" || from.tagName === "SELECT") return;
  const named = new Map();
  for (const child of from.children) if (child.id) named.set(child.id, child);
  let at = from.firstChild;
  for (const next of [...to.childNodes]) {
    const alike = at && !at.id && !next.id && at.nodeType === next.nodeType && at.nodeName === next.nodeName;
    const match = next.id ? named.get(next.id) : alike ? at : null;
    if (!match) {
      from.insertBefore(document.adoptNode(next), at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else from.insertBefore(match, at);
    morph(match, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

const bottoms = () =>
  [...main.querySelectorAll("[data-follows]")].filter((log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 4);

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const next = page.getElementById("main");
  if (!next) return;
  tell(next);
  const followed = bottoms();
  const before = new Set(main.querySelectorAll("[data-follows]"));
  morph(main, next);
  document.title = main.dataset.title ?? document.title;
  for (const log of main.querySelectorAll("[data-follows]")) {
    if (followed.includes(log) || !before.has(log)) log.scrollTop = log.scrollHeight;
  }
}

// Asks again while somebody looks: every second, and less often when an answer takes long or the service is away.

let tag = null;
let timer = null;
let failures = 0;
let asked = 0;

async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  const began = performance.now();
  let pause = second;
  try {
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await fetch(location.href, { headers, cache: "no-store", credentials: "same-origin" });
    if (answer.status === 200) {
      const html = await answer.text();
      if (mine !== asked) return;
      tag = answer.headers.get("ETag");
      show(html);
    } else if (answer.status !== 304 && answer.status >= 500) {
      throw new Error(`status ${answer.status}`);
    }
    failures = 0;
    connection.className = "connection live";
    say(connection, "Live");
    pause = Math.max(pause, 10 * (performance.now() - began));
  } catch {
    failures += 1;
    if (failures > 1) {
      connection.className = "connection lost";
      say(connection, "The service does not answer");
    }
    pause = Math.min(10 * second, second * failures);
  }
  if (mine === asked && !document.hidden) timer = setTimeout(refresh, pause);
}

// A live region speaks whenever it is written to, so it is only written to when it has something new to say.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});

function note(text, bad) {
  const line = document.createElement("p");
  line.textContent = text;
  if (bad) line.className = "bad";
  notes.append(line);
  setTimeout(() => line.remove(), bad ? 9 * second : 5 * second);
}

// Forms.

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-sends]")) return;
  event.preventDefault();
  const button = form.querySelector("button:not([type=button])");
  button.disabled = true;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
      credentials: "same-origin",
    });
    const said = await answer.json();
    if (answer.ok) {
      const menu = form.closest("details.menu");
      if (menu) menu.open = false;
      form.reset();
      note(said.message);
      main.focus({ preventScroll: true });
    } else {
      note(said.error, true);
    }
  } catch {
    note("The service does not answer.", true);
  } finally {
    button.disabled = false;
  }
  refresh();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

// Keys.

const keys = document.getElementById("keys");
const switched = document.getElementById("keys-on");

switched.checked = localStorage.getItem("keys") !== "off";
switched.addEventListener("change", () => localStorage.setItem("keys", switched.checked ? "on" : "off"));

for (const opener of document.querySelectorAll("[data-opens]")) {
  opener.hidden = false;
  opener.addEventListener("click", () => document.getElementById(opener.dataset.opens).showModal());
}

function step(forward) {
  const stops = [...main.querySelectorAll("[data-row], [data-section]")];
  const now = stops.findIndex((stop) => stop === document.activeElement || stop.parentElement.contains(document.activeElement));
  const next = stops[Math.min(stops.length - 1, Math.max(0, now + (forward ? 1 : -1)))];
  next?.focus({ focusVisible: true });
  next?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    for (const menu of main.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (typing) typing.blur();
    return;
  }
  if (typing || !switched.checked) return;
  const marked = main.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (event.key === "?") keys.showModal();
  else if (event.key === "j") step(true);
  else if (event.key === "k") step(false);
  else if (event.key === "u") main.querySelector("[data-up]")?.click();
  else if (marked) {
    if (marked.tagName === "SUMMARY") {
      marked.parentElement.open = true;
      marked.parentElement.querySelector("input:not([type=hidden])").focus();
    } else marked.focus();
  } else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  for (const menu of main.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

tell(document);
for (const log of main.querySelectorAll("[data-follows]")) log.scrollTop = log.scrollHeight;
setInterval(() => !document.hidden && tell(main), second);
refresh();
