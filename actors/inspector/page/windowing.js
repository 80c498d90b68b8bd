/* Which rows of a long list are in sight. Pure. */

const BEYOND = 6; // rows above and below what is in sight, so that none is missing while one scrolls

/** The rows to have in the page: {first, last}, last not included. */
export function visibleRange(scrollTop, viewHeight, rowHeight, count) {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - BEYOND);
  const last = Math.min(count, Math.ceil((scrollTop + viewHeight) / rowHeight) + BEYOND);
  return { first: Math.min(first, last), last };
}

/**
 * Where to scroll to when the list has become another one: who reads further down keeps the row before their eyes,
 * and who is at the top stays there, with what is new.
 *
 * @param before the ids before, `after` those now
 */
export function keptScroll(scrollTop, rowHeight, before, after) {
  if (scrollTop < rowHeight / 2) return 0;
  const row = Math.min(before.length - 1, Math.floor(scrollTop / rowHeight));
  const places = new Map(after.map((id, index) => [id, index]));
  for (let at = row; at < before.length; at += 1) {
    const now = places.get(before[at]);
    if (now !== undefined) return Math.max(0, scrollTop + (now - at) * rowHeight);
  }
  return Math.max(0, Math.min(scrollTop, (after.length - 1) * rowHeight));
}

/** Where to scroll to so that a row is in sight as a whole. */
export function scrollToRow(index, scrollTop, viewHeight, rowHeight) {
  if (index * rowHeight < scrollTop) return index * rowHeight;
  return Math.max(scrollTop, (index + 1) * rowHeight - viewHeight);
}
