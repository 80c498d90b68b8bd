/* The exchanges that the page knows of, in the order in which they came. Pure. */

const STAGES = ["open", "answered", "ended"];

export class Store {
  constructor() {
    this.byId = new Map();
    this.ordered = []; // ids, the oldest first: what comes is put at the end, or close to it
    this.most = Infinity; // as many as the server keeps; set when it has said so
  }

  get size() {
    return this.byId.size;
  }

  get(id) {
    return this.byId.get(id);
  }

  /** Take in what is new or has changed; an older word about the same exchange changes nothing. Returns what was known. */
  put(summary) {
    const known = this.byId.get(summary.id);
    if (known) {
      if (isNewer(summary, known)) this.byId.set(summary.id, summary);
      return known;
    }
    let at = this.ordered.length;
    while (at > 0 && this.byId.get(this.ordered[at - 1]).started > summary.started) at -= 1;
    this.ordered.splice(at, 0, summary.id);
    this.byId.set(summary.id, summary);
    if (this.ordered.length > this.most) this.byId.delete(this.ordered.shift());
    return undefined;
  }

  /** The server has let go of these. */
  remove(ids) {
    for (const id of ids) this.byId.delete(id);
    this.ordered = this.ordered.filter((id) => this.byId.has(id));
  }

  clear() {
    this.byId.clear();
    this.ordered = [];
  }

  /** What the server had at `sequence`: whatever it does not name is gone, but for what has come since. */
  replace(summaries, sequence) {
    const named = new Set(summaries.map((summary) => summary.id));
    this.remove(this.ordered.filter((id) => !named.has(id) && this.byId.get(id).sequence <= sequence));
    for (const summary of summaries.toReversed()) this.put(summary);
  }

  /** The ids of those that are shown, the newest first. */
  shown(matches) {
    const found = [];
    for (let at = this.ordered.length - 1; at >= 0; at -= 1) {
      if (matches(this.byId.get(this.ordered[at]))) found.push(this.ordered[at]);
    }
    return found;
  }

  /** The methods that there are, in the order of the alphabet. */
  methods() {
    return [...new Set([...this.byId.values()].map((summary) => summary.method))].sort();
  }

  /** The replays of an exchange, the oldest first. */
  replaysOf(id) {
    return this.ordered.map((each) => this.byId.get(each)).filter((summary) => summary.replay_of === id);
  }
}

function isNewer(summary, known) {
  if (summary.sequence !== known.sequence) return summary.sequence > known.sequence;
  return STAGES.indexOf(summary.state) >= STAGES.indexOf(known.state);
}
