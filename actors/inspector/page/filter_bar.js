/* The fields above the list that say which exchanges are shown. */

import * as api from "./api.js";
import { byId, make } from "./dom.js";
import { NOTHING, STATUSES, TIMES, isOn, matcher } from "./filter.js";
import { visible } from "./format.js";

const TYPING_MS = 200; // after the last key, before the server is asked
const AGAIN_MS = 1000; // at least, between two searches while requests come: each looks through the whole ring
const MOST_FOUND = 100_000; // the ring's own bound is lower

export class FilterBar {
  /** @param onChange called when other exchanges are to be shown */
  constructor(onChange) {
    this.onChange = onChange;
    this.filter = { ...NOTHING };
    this.textIds = null;
    this.search = null;
    this.timer = null;
    this.isStale = false;
    this.form = byId("filter");
    this.fields = Object.fromEntries(Object.keys(NOTHING).map((name) => [name, this.form.elements[name]]));
    this.fields.status.append(...STATUSES.map(([value, words]) => make("option", { value }, words)));
    this.fields.time.append(...TIMES.map(([value, words]) => make("option", { value }, words)));
    this.form.addEventListener("input", () => this.read());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    byId("filter-reset").addEventListener("click", () => this.set(NOTHING));
    byId("filter-toggle").addEventListener("click", () => this.open(!this.form.classList.contains("open")));
  }

  /** A function that says whether a summary is shown now. */
  matcher() {
    return matcher(this.filter, Date.now() / 1000, this.textIds);
  }

  get isOn() {
    return isOn(this.filter);
  }

  get isByClock() {
    return this.filter.time !== "" && this.filter.time !== "between";
  }

  set(filter) {
    for (const [name, field] of Object.entries(this.fields)) {
      const wanted = filter[name] ?? "";
      if (name === "status" && wanted && ![...field.options].some((option) => option.value === wanted)) {
        field.append(make("option", { value: wanted }, visible(wanted)));
      }
      if (name === "method") this.offer([...new Set([...this.offered(), wanted])].filter(Boolean));
      field.value = wanted;
    }
    this.read();
  }

  focus(name) {
    this.open(true);
    this.fields[name].focus();
    this.fields[name].select?.();
  }

  /** On a narrow page the fields are folded away. */
  open(isOpen) {
    this.form.classList.toggle("open", isOpen);
    byId("filter-toggle").setAttribute("aria-expanded", isOpen);
  }

  offered() {
    return [...this.fields.method.options].map((option) => option.value).filter(Boolean);
  }

  /** Offer these methods, beside the one that is asked for. */
  offer(methods) {
    const wanted = this.filter.method;
    const all = [...new Set([...methods, ...(wanted ? [wanted] : [])])].sort();
    if (all.join(" ") === this.offered().join(" ")) return;
    const options = all.map((method) => make("option", { value: method }, visible(method)));
    this.fields.method.replaceChildren(make("option", { value: "" }, "any method"), ...options);
    this.fields.method.value = wanted;
  }

  read() {
    const before = this.filter.text;
    this.filter = Object.fromEntries(Object.entries(this.fields).map(([name, field]) => [name, field.value]));
    for (const field of Object.values(this.fields)) field.classList.toggle("used", field.value !== "");
    byId("filter-between").hidden = this.filter.time !== "between";
    byId("filter-reset").hidden = !this.isOn;
    byId("filter-toggle").classList.toggle("used", this.isOn);
    if (this.filter.text !== before) {
      this.textIds = null;
      this.ask(TYPING_MS);
    }
    this.onChange();
  }

  /** Something has come or changed: what was found for the text may no longer be all of it. */
  somethingChanged() {
    if (this.filter.text) this.ask(AGAIN_MS);
  }

  ask(wait) {
    this.isStale = true;
    if (wait === TYPING_MS) {
      clearTimeout(this.timer);
      this.timer = null;
      this.search?.abort();
      this.search = null;
    }
    if (this.timer === null && this.search === null) this.timer = setTimeout(() => this.find(), wait);
  }

  async find() {
    this.timer = null;
    if (!this.filter.text) return;
    this.isStale = false;
    const search = new AbortController();
    this.search = search;
    try {
      const found = await api.list({ text: this.filter.text, limit: MOST_FOUND }, search.signal);
      this.textIds = new Set(found.exchanges.map((summary) => summary.id));
      this.onChange();
    } catch {
      // A newer search, or no inspector: the header says so, and its next word starts another one.
    }
    if (this.search === search) {
      this.search = null;
      if (this.isStale) this.ask(AGAIN_MS);
    }
  }
}
