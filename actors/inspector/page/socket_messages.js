/* The messages of a WebSocket, as they came. */

import { coloured, make } from "./dom.js";
import { bytes as size, clock, plural, visible } from "./format.js";
import { lines } from "./hex.js";
import { looksLikeJson, pieces } from "./json.js";
import { fromBase64 } from "./text.js";

const SHOWN = 500; // at once; what came before is behind a button
const PREVIEW = 200; // characters of a message in its line

/** A view that takes each newer state of the exchange, and adds what is new. */
export class MessagesView {
  constructor() {
    this.box = make("ol.messages", { "aria-label": "messages" });
    this.hint = make("p.hint");
    this.earlier = make("button.more", { type: "button", onclick: () => this.showEarlier() });
    this.element = make("div", {}, this.hint, this.earlier, this.box);
    this.first = null;
    this.start = 0;
    this.messages = [];
  }

  take(detail) {
    const { messages, dropped, problem } = detail.websocket;
    this.started = detail.started;
    const isSame = this.first && messages[0] && this.first.at === messages[0].at && messages.length >= this.messages.length;
    if (!isSame) {
      this.box.replaceChildren();
      this.start = Math.max(0, messages.length - SHOWN);
    }
    const from = isSame ? this.messages.length : this.start;
    this.first = messages[0] ?? null;
    this.messages = messages;
    this.box.append(...messages.slice(from).map((message) => this.row(message)));
    const words = [];
    if (!messages.length) words.push(detail.state === "ended" ? "There were no messages." : "There are no messages yet.");
    if (dropped) words.push(`${plural(dropped, "message")} could not be kept.`);
    if (problem) words.push(visible(problem));
    this.hint.textContent = words.join(" ");
    this.hint.hidden = !words.length;
    this.tellEarlier();
  }

  tellEarlier() {
    this.earlier.hidden = !this.start;
    this.earlier.textContent = `Show ${plural(Math.min(SHOWN, this.start), "earlier message")}`;
  }

  showEarlier() {
    const from = Math.max(0, this.start - SHOWN);
    this.box.prepend(...this.messages.slice(from, this.start).map((message) => this.row(message)));
    this.start = from;
    this.tellEarlier();
  }

  row(message) {
    const whose = message.from === "visitor" ? "from the visitor" : "from the service";
    const line = [
      make("span.arrow", { title: whose, role: "img", "aria-label": whose }, message.from === "visitor" ? "↑" : "↓"),
      make("span.kind", {}, message.kind),
      make("bdi.preview", {}, preview(message)),
      make("span.size", {}, size(message.size)),
      make("time", {}, clock(this.started + message.at)),
    ];
    const { from, kind } = message;
    if (!message.data && !message.base64) return make("li", {}, make("div.message", { "data-from": from, "data-kind": kind }, line));
    const fold = make("details.message", { "data-from": from, "data-kind": kind }, make("summary", {}, line));
    fold.addEventListener("toggle", () => fold.open && fold.append(content(message)), { once: true });
    return make("li", {}, fold);
  }
}

function preview(message) {
  if (message.kind === "close") return [message.code, message.reason && visible(message.reason)].filter(Boolean).join(" · ");
  if (message.data) return visible(message.data.slice(0, PREVIEW));
  if (!message.base64) return "";
  const bytes = fromBase64(message.base64).subarray(0, 16);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function content(message) {
  const cut = message.complete ? null : make("p.hint.warn", {}, "Only its first part was kept.");
  const text = message.data;
  if (!text) return make("div.content", {}, cut, make("pre.code.hex", {}, lines(fromBase64(message.base64)).join("\n")));
  return make("div.content", {}, cut, looksLikeJson(text) ? coloured(pieces(text)) : make("pre.code", {}, text));
}
