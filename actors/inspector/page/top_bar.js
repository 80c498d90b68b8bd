/* The line at the top: which tunnel this is, how it is, and how much comes. */

import { byId, make, setText } from "./dom.js";
import { bytes, plural } from "./format.js";
import { copy } from "./notices.js";
import { Rate, SECONDS } from "./rate.js";

const GOOD = new Set(["registered", "visible"]);

export class TopBar {
  constructor() {
    this.status = {};
    this.isUp = false;
    this.rate = new Rate();
    this.bars = Array.from({ length: SECONDS }, () => make("i", {}, make("b")));
    byId("spark").append(...this.bars);
    byId("address").addEventListener("click", () => copy(this.address, "The address is copied."));
    setInterval(() => this.tick(), 1000);
  }

  get address() {
    return this.status.url || (this.status.hostnames?.[0] ? `https://${this.status.hostnames[0]}` : "");
  }

  take(status) {
    this.status = status;
    this.show();
  }

  connection(isUp) {
    this.isUp = isUp;
    this.show();
  }

  show() {
    const { state, count, limits, dropped } = this.status;
    setText(byId("address-text"), this.address.replace(/^https?:\/\//, "") || "no address yet");
    byId("address").disabled = !this.address;
    const dot = byId("state");
    dot.dataset.state = !this.isUp ? "bad" : GOOD.has(state) ? "good" : "doubtful";
    setText(byId("state-words"), this.isUp ? state || "connecting" : "inspector not reached");
    const words = [count === undefined ? "" : `${plural(count, "request")} kept`];
    if (limits?.count) words[0] += ` of ${limits.count.toLocaleString("en")}`;
    if (this.status.bytes) words.push(bytes(this.status.bytes));
    setText(byId("kept"), words.filter(Boolean).join(" · "));
    byId("dropped").hidden = !dropped;
    setText(byId("dropped"), dropped ? `${dropped.toLocaleString("en")} not seen` : "");
  }

  tick() {
    const now = Date.now() / 1000;
    const bars = this.rate.bars(now);
    const most = Math.max(4, ...bars.map((bar) => bar.all));
    bars.forEach((bar, index) => {
      const [whole, failed] = [this.bars[index], this.bars[index].firstChild];
      whole.style.height = `${(100 * bar.all) / most}%`;
      failed.style.height = bar.all ? `${(100 * bar.failed) / bar.all}%` : "0";
    });
    const perSecond = this.rate.perSecond(now);
    setText(byId("rate"), `${perSecond >= 10 ? Math.round(perSecond) : perSecond.toFixed(1).replace(/\.0$/, "")}/s`);
  }
}
