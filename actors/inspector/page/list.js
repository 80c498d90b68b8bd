/* The list of exchanges: as many rows in the page as are in sight, used again for others as one scrolls. */

import { beforePainting, byId, icon, make, setText } from "./dom.js";
import { bytes, clock, duration, outcome, shortType, splitTarget, statusText, statusWords, visible } from "./format.js";
import { keptScroll, scrollToRow, visibleRange } from "./windowing.js";

export class List {
  /**
   * @param store the `Store`
   * @param onSelect called with the id of what a user chose
   */
  constructor(store, onSelect) {
    this.store = store;
    this.ids = [];
    this.selected = null;
    this.box = byId("list");
    this.space = byId("list-space");
    this.rows = [];
    this.rowHeight = 1;
    this.viewHeight = 0;
    this.draw = beforePainting(() => this.drawn());
    this.box.addEventListener("scroll", this.draw, { passive: true });
    this.space.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) onSelect(row.dataset.id);
    });
    new ResizeObserver(() => this.measure()).observe(this.box);
  }

  measure() {
    if (!this.rows.length) this.rows.push(this.makeRow());
    const [row] = this.rows;
    const wasHidden = row.element.hidden;
    row.element.hidden = false;
    this.rowHeight = row.element.offsetHeight || this.rowHeight;
    row.element.hidden = wasHidden;
    this.viewHeight = this.box.clientHeight;
    this.drawn();
  }

  /** Show these, in this order. */
  show(ids) {
    const scroll = keptScroll(this.box.scrollTop, this.rowHeight, this.ids, ids);
    this.ids = ids;
    this.space.style.height = `${ids.length * this.rowHeight}px`;
    if (Math.abs(scroll - this.box.scrollTop) >= 1) this.box.scrollTop = scroll;
    this.drawn();
  }

  select(id, isScrolled = true) {
    this.selected = id;
    const index = this.ids.indexOf(id);
    if (index >= 0 && isScrolled) {
      this.box.scrollTop = scrollToRow(index, this.box.scrollTop, this.viewHeight, this.rowHeight);
    }
    this.drawn();
  }

  /** The id `steps` below the selected one; the first if there is none. */
  neighbour(steps) {
    const index = this.ids.indexOf(this.selected);
    if (index < 0) return this.ids[0];
    return this.ids[Math.min(this.ids.length - 1, Math.max(0, index + steps))];
  }

  focus() {
    this.box.focus({ preventScroll: true });
  }

  drawn() {
    const { first, last } = visibleRange(this.box.scrollTop, this.viewHeight, this.rowHeight, this.ids.length);
    while (this.rows.length < last - first) this.rows.push(this.makeRow());
    // Each row keeps the place it had, so that scrolling by one changes one row.
    const count = this.rows.length;
    const inUse = new Set();
    for (let index = first; index < last; index += 1) {
      const row = this.rows[index % count];
      inUse.add(row);
      this.fill(row, index);
    }
    for (const row of this.rows) if (!inUse.has(row)) row.element.hidden = true;
    const active = this.ids.indexOf(this.selected);
    if (active >= first && active < last) {
      this.box.setAttribute("aria-activedescendant", this.rows[active % count].element.id);
    } else {
      this.box.removeAttribute("aria-activedescendant");
    }
  }

  makeRow() {
    const row = {
      method: make("span.method"),
      path: make("span.path"),
      query: make("span.query"),
      status: make("span.status"),
      time: make("span.time"),
      took: make("span.took"),
      size: make("span.size"),
      note: make("span.note"),
      replayMark: make("span.mark", { title: "replay" }, icon("replay")),
      socketMark: make("span.mark", { title: "WebSocket" }, icon("socket")),
      summary: null,
      index: -1,
    };
    row.element = make(
      "div.row",
      { role: "option", id: `row-${this.rows.length}`, hidden: true },
      make("div.row-line", {}, row.method, make("bdi.target", {}, row.path, row.query), row.status),
      make("div.row-line.row-more", {}, row.replayMark, row.socketMark, row.time, row.took, row.size, row.note),
    );
    this.space.append(row.element);
    return row;
  }

  fill(row, index) {
    const summary = this.store.get(this.ids[index]);
    if (!summary) {
      row.element.hidden = true; // gone since: the next list is without it
      return;
    }
    const { element } = row;
    element.hidden = false;
    if (row.index !== index) {
      row.index = index;
      element.style.transform = `translateY(${index * this.rowHeight}px)`;
    }
    element.setAttribute("aria-posinset", index + 1);
    element.setAttribute("aria-setsize", this.ids.length);
    element.setAttribute("aria-selected", summary.id === this.selected);
    if (row.summary === summary) return;
    row.summary = summary;
    fillIn(row, summary);
  }
}

function fillIn(row, summary) {
  const { element } = row;
  const [path, query] = splitTarget(summary.target);
  element.dataset.id = summary.id;
  element.dataset.outcome = outcome(summary);
  setText(row.method, visible(summary.method));
  setText(row.path, visible(path));
  setText(row.query, visible(query));
  setText(row.status, statusText(summary));
  setText(row.time, clock(summary.started).slice(0, 8));
  setText(row.took, summary.seconds === null ? "" : duration(summary.seconds));
  setText(row.size, summary.response_bytes ? bytes(summary.response_bytes) : "");
  setText(row.note, noteOf(summary));
  row.note.classList.toggle("why", Boolean(summary.reason));
  row.replayMark.hidden = !summary.replay_of;
  row.socketMark.hidden = summary.kind === "http";
  element.setAttribute(
    "aria-label",
    `${summary.replay_of ? "Replay: " : ""}${summary.method} ${summary.target}, ${statusWords(summary)}, ${clock(summary.started)}`,
  );
}

function noteOf(summary) {
  if (summary.reason) return visible(summary.error || summary.reason);
  if (summary.kind !== "http") return summary.messages ? `${summary.messages} messages` : summary.kind;
  return visible(shortType(summary.content_type));
}
