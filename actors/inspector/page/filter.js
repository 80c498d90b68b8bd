/* Which exchanges are shown. Pure; `now` is given. */

/** What is asked for when nothing is. */
export const NOTHING = Object.freeze({ method: "", status: "", path: "", text: "", time: "", since: "", until: "" });

/** The kinds of status that can be asked for, with their words. */
export const STATUSES = [
  ["", "any status"],
  ["1xx", "1xx · upgraded"],
  ["2xx", "2xx · fine"],
  ["3xx", "3xx · elsewhere"],
  ["4xx", "4xx · refused"],
  ["5xx", "5xx · failed"],
  ["error", "no answer"],
  ["open", "still open"],
];

/** The times that can be asked for: seconds back from now, with their words. */
export const TIMES = [
  ["", "any time"],
  ["60", "last minute"],
  ["300", "last 5 minutes"],
  ["3600", "last hour"],
  ["between", "between …"],
];

/** Whether anything is asked for. */
export function isOn(filter) {
  return Object.entries(filter).some(([name, wanted]) => wanted && name !== "since" && name !== "until");
}

/**
 * A function that says whether a summary is shown.
 *
 * @param filter as `NOTHING`; since and until are local times as `<input type=datetime-local>` has them
 * @param now seconds of the epoch
 * @param textIds the ids that the server found for `filter.text`; null while it has not answered
 */
export function matcher(filter, now, textIds) {
  const checks = [];
  const path = filter.path.toLowerCase();
  if (filter.method) checks.push((summary) => summary.method === filter.method);
  if (filter.status) checks.push((summary) => hasStatus(summary, filter.status));
  if (path) checks.push((summary) => summary.target.toLowerCase().includes(path));
  if (filter.text) checks.push((summary) => textIds === null || textIds.has(summary.id));
  const { since, until } = span(filter, now);
  if (since !== null) checks.push((summary) => summary.started >= since);
  if (until !== null) checks.push((summary) => summary.started <= until);
  return (summary) => checks.every((check) => check(summary));
}

function hasStatus(summary, wanted) {
  if (wanted === "error") return summary.status === null && summary.state === "ended";
  if (wanted === "open") return summary.state !== "ended";
  if (wanted.endsWith("xx")) return Math.floor((summary.status ?? 0) / 100) === Number(wanted[0]);
  return summary.status === Number(wanted);
}

/** The time that is asked for: {since, until} in seconds of the epoch, null where there is no bound. */
export function span(filter, now) {
  if (filter.time === "between") return { since: epoch(filter.since), until: epoch(filter.until) };
  return { since: filter.time ? now - Number(filter.time) : null, until: null };
}

function epoch(local) {
  const ms = local ? new Date(local).getTime() : Number.NaN;
  return Number.isNaN(ms) ? null : ms / 1000;
}

/** The filter as the fragment of the page's address, so that a reload keeps it; "" if nothing is asked for. */
export function toFragment(filter, selected) {
  const words = new URLSearchParams();
  for (const [name, wanted] of Object.entries(filter)) if (wanted) words.set(name, wanted);
  if (selected) words.set("id", selected);
  return words.toString();
}

/** What a fragment says: {filter, selected}. */
export function fromFragment(fragment) {
  const words = new URLSearchParams(fragment);
  const filter = Object.fromEntries(Object.keys(NOTHING).map((name) => [name, words.get(name) ?? ""]));
  return { filter, selected: words.get("id") };
}
