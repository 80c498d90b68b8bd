/* The page: who is told of what. */

import * as api from "./api.js";
import { command } from "./curl.js";
import { Detail } from "./detail.js";
import { beforePainting, byId, setText } from "./dom.js";
import { EditDialog } from "./edit_dialog.js";
import { FilterBar } from "./filter_bar.js";
import { NOTHING, fromFragment, toFragment } from "./filter.js";
import { outcome, plural } from "./format.js";
import * as help from "./help.js";
import { meaning } from "./keys.js";
import { List } from "./list.js";
import { follow } from "./live.js";
import { copy, say, trying } from "./notices.js";
import { Store } from "./store.js";
import * as theme from "./theme.js";
import { TopBar } from "./top_bar.js";

const BAD = new Set(["failed", "s5"]);
const ADDRESS_MS = 250; // after the last change, before the page's address says so
const CLOCK_MS = 1000; // how often a filter by “last minute” looks at the clock

const store = new Store();
const top = new TopBar();
const list = new List(store, (id) => select(id));
const detail = new Detail(store, (id, tab) => select(id, tab));
const editing = new EditDialog((id) => sent(id));
const redraw = beforePainting(showList);
const filters = new FilterBar(() => {
  remember();
  redraw();
});
let paused = null; // the ids that are shown while the list stands still
let pending = null; // a replay that has been sent, and not been seen yet
let remembering = null; // the timer of the address
let came = 0; // since the pause

function showList() {
  const matches = filters.matcher();
  const ids = paused ? paused.filter((id) => store.get(id) && matches(store.get(id))) : store.shown(matches);
  list.show(ids);
  filters.offer(store.methods());
  setText(byId("shown"), filters.isOn ? `${ids.length.toLocaleString("en")} of ${plural(store.size, "request")}` : plural(store.size, "request"));
  byId("list-empty").hidden = ids.length > 0;
  byId("list-none").hidden = store.size > 0;
  byId("list-no-match").hidden = store.size === 0;
  setText(byId("pause-words"), paused ? (came ? `Go on · ${came.toLocaleString("en")} new` : "Go on") : "Pause");
}

async function select(id, tab) {
  list.select(id);
  document.body.classList.toggle("in-detail", Boolean(id));
  remember();
  await detail.show(id, tab);
}

/** Keep in the address what is shown, once it stands still: browsers hold up a page that changes it with every key. */
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const fragment = toFragment(filters.filter, list.selected);
    if (fragment !== location.hash.slice(1)) history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname);
  }, ADDRESS_MS);
}

function sent(id) {
  pending = id;
  say("Sent again.");
  if (store.get(id)) showSent();
}

function showSent() {
  const id = pending;
  pending = null;
  select(id, "compare");
}

const acts = {
  next: () => move(1),
  previous: () => move(-1),
  first: () => move(-Infinity),
  last: () => move(Infinity),
  open: () => {
    if (!list.selected) move(1);
    else byId("detail-title")?.focus();
  },
  back() {
    if (document.activeElement?.matches("input, select, textarea")) document.activeElement.blur();
    else select(null);
    list.focus();
  },
  search: () => filters.focus("text"),
  path: () => filters.focus("path"),
  all: () => filters.set(NOTHING),
  tab: (key) => detail.choose(["details", "messages", "compare"][Number(key) - 1]),
  replay: () => withDetail(async ({ id }) => sent((await api.replay(id, {})).id), true),
  edit: () => withDetail((shown) => editing.open(shown), true),
  curl: () => withDetail(copyAsCurl, true),
  unmask: () => withDetail(() => detail.toggleMask()),
  pause() {
    paused = paused ? null : list.ids;
    came = 0;
    byId("act-pause").setAttribute("aria-pressed", paused !== null);
    showList();
  },
  theme: () => say(`Colours: ${theme.next()}.`),
  help: () => byId("help-dialog").showModal(),
  clear: () => byId("clear-dialog").showModal(),
};

function move(steps) {
  const id = list.neighbour(Number.isFinite(steps) ? steps : steps > 0 ? list.ids.length : -list.ids.length);
  if (id) select(id);
}

/** Do something with what is shown; `isAgain`: it is about sending it again, here or from a shell. */
function withDetail(work, isAgain = false) {
  const shown = detail.detail;
  if (!shown) return say("Choose a request first.", "bad");
  if (isAgain && shown.kind !== "http") return say("A WebSocket cannot be sent again.", "bad");
  return trying(() => work(shown));
}

async function copyAsCurl(shown) {
  const { fields, body } = shown.request;
  const { bytes } = body.kept ? await api.body(shown.id, "request", false) : { bytes: new Uint8Array() };
  const { url } = top.status;
  const base = url && new URL(url).host === shown.host ? url.replace(/\/$/, "") : `https://${shown.host}`;
  const words = ["The command is copied"];
  if (fields.some((field) => field[2])) words.push(", its secrets masked: show them first to have them in it");
  if (body.kept < body.size) words.push(`, with the ${plural(body.kept, "byte")} of the body that were kept`);
  await copy(command({ method: shown.method, base, target: shown.target, fields, body: bytes }), `${words.join("")}.`);
}

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || !(help.keysAreOn() || event.key === "Escape" || event.key === "?")) return;
  const focused = document.activeElement ?? document.body;
  const entry = meaning(event, focused.tagName, focused === document.body || focused === list.box);
  if (!entry) return;
  event.preventDefault();
  acts[entry.does](event.key);
});

for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => acts[button.dataset.act]());
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
}
byId("clear-yes").addEventListener("click", () => {
  byId("clear-dialog").close();
  trying(api.clear);
});
window.addEventListener("hashchange", () => restore());

function restore() {
  const told = fromFragment(location.hash.slice(1));
  filters.set(told.filter);
  if (told.selected !== list.selected) select(told.selected);
}

theme.apply();
help.fill();
restore();
setInterval(() => filters.isByClock && redraw(), CLOCK_MS);
follow(store, {
  changed(summary, known) {
    if (summary) {
      if (!known) {
        came += 1;
        top.rate.came(summary.started);
      }
      if (BAD.has(outcome(summary)) && !(known && BAD.has(outcome(known)))) top.rate.failed(summary.started);
      detail.changed(summary);
      if (summary.id === pending) showSent();
    }
    filters.somethingChanged();
    redraw();
  },
  cleared() {
    top.rate.reset(); // all that the server still has comes again
    redraw();
  },
  status: (status) => top.take(status),
  connection: (isUp) => top.connection(isUp),
});
