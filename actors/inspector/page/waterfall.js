/* The bar that shows where the time of an exchange went. */

import { make } from "./dom.js";
import { duration } from "./format.js";
import { phases, step, total } from "./times.js";

const NARROWEST = 0.4; // percent: a phase that took no time can still be seen

/**
 * The bar and its legend.
 *
 * @param detail the exchange
 * @param scale seconds that the whole width stands for; its own length if left out
 */
export function waterfall(detail, scale) {
  const now = detail.state === "ended" ? null : Math.max(0, Date.now() / 1000 - detail.started);
  const found = phases(detail.times, now, detail.response?.is_own);
  const whole = Math.max(scale ?? 0, total(found)) || 1e-6;
  const bar = make("div.bar", { "aria-hidden": "true" });
  const between = step(whole);
  for (let at = between; between && at < whole; at += between) {
    const mark = make("i.tick");
    mark.style.left = `${(100 * at) / whole}%`;
    bar.append(mark);
  }
  for (const phase of found) {
    const piece = make(`b.phase.${phase.kind}`, phase.isOpen ? { "data-open": "" } : {});
    piece.style.left = `${Math.min(100 - NARROWEST, (100 * phase.from) / whole)}%`;
    piece.style.width = `${Math.max(NARROWEST, (100 * (phase.to - phase.from)) / whole)}%`;
    bar.append(piece);
  }
  const legend = found.map((phase) =>
    make(
      "div.leg",
      {},
      make(`dt.${phase.kind}`, {}, phase.words),
      make("dd", {}, duration(phase.to - phase.from), phase.isOpen ? " so far" : null),
    ),
  );
  const all = make("div.leg.total", {}, make("dt", {}, "all of it"), make("dd", {}, duration(total(found))));
  return make("div.waterfall", {}, bar, make("dl.legend", {}, legend, found.length > 1 ? all : null));
}
