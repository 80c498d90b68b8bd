/* What is known of one exchange: its head, and the tabs below it. */

import * as api from "./api.js";
import { compareView } from "./compare.js";
import { byId, icon, make, setText } from "./dom.js";
import { bytes, duration, outcome, stamp, statusText, statusWords, visible } from "./format.js";
import { sideView } from "./sides.js";
import { MessagesView } from "./socket_messages.js";
import { waterfall } from "./waterfall.js";

const AGAIN_MS = 400; // at least, between two looks at an exchange that goes on

export class Detail {
  /**
   * @param store the `Store`
   * @param onSelect called with the id of another exchange that a user chose here
   */
  constructor(store, onSelect) {
    this.store = store;
    this.onSelect = onSelect;
    this.id = null;
    this.detail = null;
    this.isUnmasked = false;
    this.tab = "details";
    this.other = null; // the replay that the original is compared with
    this.drawnAs = {};
    this.timer = null;
    this.messages = null;
    for (const button of byId("tabs").children) button.addEventListener("click", () => this.choose(button.dataset.tab));
    byId("tabs").addEventListener("keydown", (event) => this.moveTab(event));
  }

  /** Show an exchange; null for none. */
  async show(id, tab) {
    if (tab) this.tab = tab;
    if (id !== this.id) {
      this.id = id;
      this.detail = null;
      this.other = null;
      this.isUnmasked = false;
      this.drawnAs = {};
      this.messages = null;
      clearTimeout(this.timer);
      this.timer = null;
    }
    byId("detail").hidden = !id;
    byId("nothing").hidden = Boolean(id);
    if (id) await this.load();
  }

  /** The store has a newer word about something. */
  changed(summary) {
    if (!this.id) return;
    const isShown = summary.id === this.id || summary.replay_of === this.id || summary.id === this.detail?.replay_of;
    if (isShown && this.timer === null) {
      this.timer = setTimeout(() => {
        this.timer = null;
        this.load();
      }, AGAIN_MS);
    }
  }

  async toggleMask() {
    this.isUnmasked = !this.isUnmasked;
    await this.load();
  }

  async load() {
    const { id } = this;
    const place = byId("detail-error");
    try {
      const detail = await api.detail(id, this.isUnmasked);
      if (id !== this.id) return; // another one has been chosen since
      this.detail = detail;
      place.hidden = true;
      this.draw();
    } catch (error) {
      if (id !== this.id) return;
      if (!this.detail) this.forget();
      place.hidden = false;
      setText(place, error.message);
    }
  }

  /** Nothing of the one before must stand below the name of another. */
  forget() {
    for (const name of ["head", "times", "request", "response", "messages", "compare"]) byId(`part-${name}`).replaceChildren();
  }

  choose(tab) {
    this.tab = tab;
    this.draw();
  }

  moveTab(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!steps) return;
    const tabs = [...byId("tabs").children].filter((button) => !button.hidden);
    const next = tabs[(tabs.indexOf(document.activeElement) + steps + tabs.length) % tabs.length];
    this.choose(next.dataset.tab);
    next.focus();
  }

  /** Draw what has changed since the last time, and nothing else: what is being read stays. */
  draw() {
    const { detail } = this;
    if (!detail) return;
    const replays = this.store.replaysOf(detail.id);
    const has = {
      details: true,
      messages: detail.kind !== "http" && Boolean(detail.websocket),
      compare: Boolean(detail.replay_of) || replays.length > 0,
    };
    const tab = has[this.tab] ? this.tab : "details";
    for (const button of byId("tabs").children) {
      const name = button.dataset.tab;
      button.hidden = !has[name];
      button.setAttribute("aria-selected", name === tab);
      button.tabIndex = name === tab ? 0 : -1;
      byId(`panel-${name}`).hidden = name !== tab;
    }
    setText(byId("count-messages"), detail.messages ? String(detail.messages) : "");
    this.part("head", [headline(detail), this.isUnmasked, replays.length], () => this.head(replays));
    if (tab === "details") this.details();
    if (tab === "messages") this.socket();
    if (tab === "compare") this.compare(replays);
  }

  /** Make a part of the page anew if what it is made of is not what it was. */
  part(name, signature, build) {
    const now = JSON.stringify(signature);
    if (this.drawnAs[name] === now) return;
    this.drawnAs[name] = now;
    byId(`part-${name}`).replaceChildren(...[build()].flat().filter(Boolean));
  }

  details() {
    const { detail } = this;
    const unmask = () => this.toggleMask();
    this.part("times", [detail.id, detail.times, detail.state === "ended" ? 0 : Math.floor(Date.now() / 1000)], () => waterfall(detail));
    for (const side of ["request", "response"]) {
      this.part(side, [detail.id, detail[side], detail.error, detail.state === "ended"], () => sideView(detail, side, unmask));
    }
  }

  socket() {
    if (this.messages === null) {
      this.messages = new MessagesView();
      byId("part-messages").replaceChildren(this.messages.element);
    }
    this.messages.take(this.detail);
  }

  compare(replays) {
    const { detail } = this;
    const original = detail.replay_of ?? detail.id;
    const replay = detail.replay_of ? detail.id : (this.other ?? replays.at(-1).id);
    const all = this.store.replaysOf(original);
    const sequences = [original, replay].map((id) => this.store.get(id)?.sequence ?? 0);
    this.part("compare", [original, replay, this.isUnmasked, all.length, sequences], () => {
      const place = make("div", { "aria-busy": "true" });
      this.fillCompare(place, original, replay);
      return [all.length > 1 ? this.replayChoice(all, replay) : null, place];
    });
  }

  async fillCompare(place, original, replay) {
    try {
      const both = await Promise.all([original, replay].map((id) => api.detail(id, this.isUnmasked)));
      place.replaceChildren(await compareView(...both));
    } catch (error) {
      place.replaceChildren(make("p.hint.warn", {}, `They cannot be compared: ${error.message}`));
    }
    place.removeAttribute("aria-busy");
  }

  replayChoice(all, chosen) {
    const options = all.map((summary, index) =>
      make(
        "option",
        { value: summary.id, selected: summary.id === chosen },
        `${index + 1}: ${statusText(summary)} · ${duration(summary.seconds)} · ${stamp(summary.started).slice(11, 19)}`,
      ),
    );
    const choice = make("select", { "aria-label": "the replay" }, options);
    choice.addEventListener("change", () => {
      if (this.detail.replay_of) this.onSelect(choice.value, "compare");
      else {
        this.other = choice.value;
        this.draw();
      }
    });
    return make("label.choice", {}, `Replay (of ${all.length}) `, choice);
  }

  head(replays) {
    const { detail } = this;
    const box = byId("detail");
    Object.assign(box.dataset, { id: detail.id, state: detail.state });
    box.dataset.outcome = outcome(detail);
    for (const act of ["replay", "edit", "curl"]) byId(`act-${act}`).hidden = detail.kind !== "http";
    byId("act-replay").disabled = !detail.can_replay;
    byId("act-unmask").setAttribute("aria-pressed", this.isUnmasked);
    byId("act-unmask").hidden = !this.isUnmasked && !isMasked(detail);
    setText(byId("unmask-words"), this.isUnmasked ? "Hide secrets" : "Show secrets");
    return [
      make(
        "h2",
        { id: "detail-title", tabindex: "-1" },
        make("span.method", {}, visible(detail.method)),
        make("bdi.target", {}, visible(detail.target)),
        make("span.status", { title: statusWords(detail) }, statusText(detail)),
      ),
      make("dl.about-it", {}, facts(detail)),
      ...this.banners(replays),
    ];
  }

  banners(replays) {
    const { detail } = this;
    const found = [];
    const trouble = [detail.error || detail.reason, detail.hint].filter(Boolean);
    if (trouble.length) found.push(make("p.banner.bad", { role: "note" }, trouble.map(visible).join(" – ")));
    if (detail.response?.is_own) found.push(make("p.banner", {}, "The answer is the tunnel’s own: the service gave none."));
    if (detail.repeated) found.push(make("p.banner", {}, "The service closed its connection as the request came: it was sent once more."));
    if (detail.replay_of) {
      const go = () => this.onSelect(detail.replay_of, "details");
      found.push(make("p.banner", {}, icon("replay"), "A replay. ", make("button.link", { type: "button", onclick: go }, "See the original")));
    }
    if (replays.length) {
      const last = replays.at(-1);
      const words = replays.length === 1 ? "Replayed once: " : `Replayed ${replays.length} times, lastly: `;
      const go = () => this.choose("compare");
      found.push(
        make("p.banner", {}, icon("replay"), words, `${statusText(last)}. `, make("button.link", { type: "button", onclick: go }, "Compare")),
      );
    }
    return found;
  }
}

/** What the head is made of: everything but the sides, and without the count that changes with each event. */
function headline(detail) {
  const { request, response, times, websocket, sequence, ...rest } = detail;
  return [rest, isMasked(detail)];
}

function isMasked(detail) {
  return [detail.request, detail.response].some((side) => side?.fields.some((field) => field[2]));
}

function facts(detail) {
  const found = [
    ["came", stamp(detail.started)],
    ["took", detail.seconds === null ? null : duration(detail.seconds)],
    ["from", detail.visitor],
    ["to", detail.host],
    ["service", detail.origin],
    ["rule", detail.rule],
    ["sent", detail.request_bytes ? bytes(detail.request_bytes) : null],
    ["received", detail.response_bytes ? bytes(detail.response_bytes) : null],
    ["messages", detail.messages || null],
  ];
  return found
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, visible(value)))));
}
