/* How many requests came in each of the last seconds. Pure; `now` is given. */

export const SECONDS = 60;

export class Rate {
  constructor() {
    this.counts = new Map(); // second → {all, failed}
  }

  reset() {
    this.counts.clear();
  }

  /** A request came at `started`, seconds of the epoch. */
  came(started) {
    const second = Math.floor(started);
    const count = this.counts.get(second) ?? { all: 0, failed: 0 };
    count.all += 1;
    this.counts.set(second, count);
  }

  /** One of them failed. */
  failed(started) {
    const count = this.counts.get(Math.floor(started));
    if (count) count.failed += 1;
  }

  /** The last minute, the oldest second first: [{all, failed}]. What is older is forgotten. */
  bars(now) {
    const last = Math.floor(now);
    for (const second of this.counts.keys()) if (second <= last - SECONDS) this.counts.delete(second);
    return Array.from({ length: SECONDS }, (_, index) => this.counts.get(last - SECONDS + 1 + index) ?? { all: 0, failed: 0 });
  }

  /** Requests a second, over the last whole seconds. */
  perSecond(now) {
    const whole = this.bars(now).slice(-6, -1);
    return whole.reduce((sum, bar) => sum + bar.all, 0) / whole.length;
  }
}
