/* How sizes, times, and text of strangers are written. Pure: no page, no clock. */

const UNITS = ["kB", "MB", "GB", "TB"];

/** A number of bytes as people say it: `999 B`, `1.2 kB`, `34 MB`. */
export function bytes(count) {
  if (count === null || count === undefined) return "–";
  if (count < 1000) return `${count} B`;
  let value = count;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < UNITS.length - 1);
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** A length of time in seconds: `0.4 ms`, `23 ms`, `1.20 s`, `2 min 5 s`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const ms = seconds * 1000;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const two = (number) => String(number).padStart(2, "0");

/** The time of day on this machine, to the millisecond: `14:03:09.042`. */
export function clock(epoch) {
  const date = new Date(epoch * 1000);
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** Day and time of day: `2026-11-26 14:03:09.042`. */
export function stamp(epoch) {
  const date = new Date(epoch * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(epoch)}`;
}

/** What became of an exchange, in one word for a colour: `open`, `failed`, `s1` to `s5`. */
export function outcome(summary) {
  if (summary.status === null || summary.status === undefined) {
    return summary.state === "ended" ? "failed" : "open";
  }
  const hundreds = Math.floor(summary.status / 100);
  return hundreds >= 1 && hundreds <= 5 ? `s${hundreds}` : "failed";
}

/** What the status cell says: the number, `…` while there is none, `✕` if none will come. */
export function statusText(summary) {
  if (summary.status !== null && summary.status !== undefined) return String(summary.status);
  return summary.state === "ended" ? "✕" : "…";
}

/** The same for those who hear the page. */
export function statusWords(summary) {
  if (summary.status !== null && summary.status !== undefined) return `status ${summary.status}`;
  return summary.state === "ended" ? "failed" : "still open";
}

/** The path and what follows it: `/a?b=1` is `["/a", "?b=1"]`. */
export function splitTarget(target) {
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark)];
}

/** The short word for a content type: `application/problem+json; charset=utf-8` is `json`. */
export function shortType(contentType) {
  const type = (contentType || "").split(";")[0].trim().toLowerCase();
  if (!type) return "";
  const sub = type.slice(type.indexOf("/") + 1);
  if (sub === "x-www-form-urlencoded") return "form";
  if (type.startsWith("multipart/")) return "multipart";
  if (sub.includes("javascript")) return "js";
  return sub.slice(sub.lastIndexOf("+") + 1).replace(/^(x-|vnd\.)/, "");
}

// What has no look of its own, or changes the look of what stands beside it: C0, C1, marks of direction, joiners, BOM.
// A stranger's header must not be able to show itself as another one.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

/** One line of a stranger's text, with what could not be seen in it made visible: `⟨202E⟩`, `␊`. */
export function visible(text) {
  return String(text).replace(UNSEEN, (char) => {
    const code = char.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "␡";
    return `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** `1 request`, `2 requests`. */
export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
