/* Where the time of an exchange went. Pure. */

const PHASES = [
  ["reach", "reaching the service", "connected"],
  ["wait", "waiting for its answer", "first_byte"],
  ["receive", "the answer", "ended"],
];

/**
 * The phases that an exchange went through: [{kind, words, from, to, isOpen}], in seconds after it came.
 *
 * @param times {connected, first_byte, ended}: seconds after the request came, or null
 * @param now seconds after it came, for a phase that goes on; null if none does
 * @param isOwn whether the answer is the tunnel's own
 */
export function phases(times, now, isOwn = false) {
  if (isOwn && (times.connected ?? null) === null && (times.ended ?? null) !== null) {
    return [{ kind: "wait", words: "the tunnel’s own answer", from: 0, to: times.ended, isOpen: false }];
  }
  const found = [];
  let from = 0;
  const add = (kind, words, to, isOpen) => {
    found.push({ kind, words, from, to: Math.max(from, to), isOpen });
    from = found.at(-1).to;
  };
  for (const [kind, words, until] of PHASES) {
    const to = times[until] ?? null;
    if (to !== null) {
      add(kind, words, to, false);
      continue;
    }
    // An answer without a connection is the tunnel's own: nothing was reached.
    if (until === "connected" && (times.first_byte ?? null) !== null) continue;
    const end = times.ended ?? now;
    if (end !== null) add(kind, words, end, (times.ended ?? null) === null);
    break;
  }
  return found;
}

/** How long all of it took. */
export function total(found) {
  return found.length ? found.at(-1).to : 0;
}

/** A mark on the scale that is round: 1, 2 or 5 times a power of ten, about a fifth of `seconds`. */
export function step(seconds) {
  const rough = seconds / 5;
  if (!(rough > 0)) return 0;
  const power = 10 ** Math.floor(Math.log10(rough));
  const times = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  return times * power;
}
