/* What differs between two lists of lines, or two lists of header fields. Pure. */

const MOST_EDITS = 500; // the search takes time and memory with their square; what differs more is told as a whole

/**
 * The rows that show two lists beside each other: [{kind, left, right}], kind `same`, `changed`, `removed` or `added`;
 * the side that has nothing is null.
 */
export function rows(left, right) {
  let from = 0;
  while (from < left.length && from < right.length && left[from] === right[from]) from += 1;
  let tail = 0;
  const shorter = Math.min(left.length, right.length) - from;
  while (tail < shorter && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail += 1;
  const middle = edits(left.slice(from, left.length - tail), right.slice(from, right.length - tail));
  const same = (line) => ({ kind: "same", left: line, right: line });
  return [...left.slice(0, from).map(same), ...paired(middle), ...left.slice(left.length - tail, left.length).map(same)];
}

/** The shortest way from one list to the other (Myers 1986): [[kind, line]], kind `same`, `removed` or `added`. */
function edits(left, right) {
  const whole = [...left.map((line) => ["removed", line]), ...right.map((line) => ["added", line])];
  if (!left.length || !right.length) return whole;
  const furthest = new Map([[1, 0]]);
  const trace = [];
  for (let cost = 0; cost <= Math.min(left.length + right.length, MOST_EDITS); cost += 1) {
    trace.push(new Map(furthest));
    for (let diagonal = -cost; diagonal <= cost; diagonal += 2) {
      let x = goesDown(furthest, diagonal, cost) ? furthest.get(diagonal + 1) : furthest.get(diagonal - 1) + 1;
      while (x < left.length && x - diagonal < right.length && left[x] === right[x - diagonal]) x += 1;
      furthest.set(diagonal, x);
      if (x >= left.length && x - diagonal >= right.length) return walkedBack(trace, left, right);
    }
  }
  return whole;
}

function goesDown(furthest, diagonal, cost) {
  return diagonal === -cost || (diagonal !== cost && furthest.get(diagonal - 1) < furthest.get(diagonal + 1));
}

function walkedBack(trace, left, right) {
  const found = [];
  let x = left.length;
  let y = right.length;
  for (let cost = trace.length - 1; cost >= 0; cost -= 1) {
    const furthest = trace[cost];
    const down = goesDown(furthest, x - y, cost);
    const beforeX = furthest.get(down ? x - y + 1 : x - y - 1);
    const beforeY = beforeX - (down ? x - y + 1 : x - y - 1);
    while (x > beforeX && y > beforeY && x > 0 && y > 0) {
      found.push(["same", left[x - 1]]);
      x -= 1;
      y -= 1;
    }
    if (cost > 0) found.push(down ? ["added", right[beforeY]] : ["removed", left[beforeX]]);
    x = beforeX;
    y = beforeY;
  }
  return found.reverse();
}

/** Lines that went and lines that came at the same place stand beside each other. */
function paired(found) {
  const result = [];
  let gone = [];
  let come = [];
  const flush = () => {
    for (let at = 0; at < Math.max(gone.length, come.length); at += 1) {
      const [left, right] = [gone[at] ?? null, come[at] ?? null];
      result.push({ kind: left === null ? "added" : right === null ? "removed" : "changed", left, right });
    }
    gone = [];
    come = [];
  };
  for (const [kind, line] of found) {
    if (kind === "removed") gone.push(line);
    else if (kind === "added") come.push(line);
    else {
      flush();
      result.push({ kind, left: line, right: line });
    }
  }
  flush();
  return result;
}

/**
 * Two lists of fields beside each other, by name and not by place: [{kind, name, left, right}]. The order is the left's;
 * what only the right has comes last.
 */
export function fieldRows(left, right) {
  const rest = right.map(([name, value]) => ({ name, key: name.toLowerCase(), value }));
  const take = (wanted) => {
    const at = rest.findIndex(wanted);
    return at < 0 ? null : rest.splice(at, 1)[0];
  };
  // Equal ones first: of three cookies of one name it is the changed one that is marked.
  const equal = left.map(([name, value]) => take((other) => other.key === name.toLowerCase() && other.value === value));
  const found = left.map(([name, value], index) => {
    if (equal[index]) return { kind: "same", name, left: value, right: value };
    const other = take((candidate) => candidate.key === name.toLowerCase());
    if (other) return { kind: "changed", name, left: value, right: other.value };
    return { kind: "removed", name, left: value, right: null };
  });
  return [...found, ...rest.map(({ name, value }) => ({ kind: "added", name, left: null, right: value }))];
}

const KEPT_AROUND = 3; // equal lines that stay in sight around a difference

/** The rows with long equal runs folded: rows, and `{kind: "folded", rows}` for what is folded. */
export function folded(all) {
  const near = new Uint8Array(all.length);
  all.forEach((row, index) => {
    if (row.kind !== "same") near.fill(1, Math.max(0, index - KEPT_AROUND), index + KEPT_AROUND + 1);
  });
  const found = [];
  for (let at = 0; at < all.length; at += 1) {
    if (near[at]) {
      found.push(all[at]);
      continue;
    }
    let end = at;
    while (end < all.length && !near[end]) end += 1;
    if (end - at < 2) found.push(all[at]);
    else found.push({ kind: "folded", rows: all.slice(at, end) });
    at = end - 1;
  }
  return found;
}

/** Where two lines differ: {left, right}, each [what is the same before, what differs, what is the same after]. */
export function parted(left, right) {
  let from = 0;
  while (from < left.length && from < right.length && left[from] === right[from]) from += 1;
  let tail = 0;
  const shorter = Math.min(left.length, right.length) - from;
  while (tail < shorter && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail += 1;
  const cut = (line) => [line.slice(0, from), line.slice(from, line.length - tail), line.slice(line.length - tail)];
  return { left: cut(left), right: cut(right) };
}
