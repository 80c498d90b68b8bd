/* A replay beside its original, with the differences marked. */

import * as api from "./api.js";
import { views } from "./bodies.js";
import { fieldRows, folded, parted, rows } from "./diff.js";
import { make } from "./dom.js";
import { value } from "./fields.js";
import { bytes as size, clock, duration, statusText, visible } from "./format.js";
import { lines as hexLines } from "./hex.js";
import * as json from "./json.js";
import { decoded } from "./text.js";
import { phases, total } from "./times.js";
import { waterfall } from "./waterfall.js";
import * as xml from "./xml.js";

const SHOWN_ROWS = 400; // of lines that differ, at once
const MOST_BYTES = 256 * 1024; // of each body: finding differences in more makes the page wait

/**
 * The view of two exchanges.
 *
 * @param original the detail of the one
 * @param replay the detail of the other
 */
export async function compareView(original, replay) {
  const [sent, received] = await Promise.all([bodyRows(original, replay, "request"), bodyRows(original, replay, "response")]);
  const scale = Math.max(lengthOf(original), lengthOf(replay));
  return make(
    "div.compare",
    {},
    make("div.pair.heads", {}, headOf(original, "Original", scale), headOf(replay, "Replay", scale)),
    section("Response", responseLines(original, replay), received),
    section("Request", requestLines(original, replay), sent),
  );
}

function lengthOf(detail) {
  return total(phases(detail.times, null, detail.response?.is_own));
}

function headOf(detail, words, scale) {
  return make(
    "div.head",
    { "data-outcome": detail.status === null ? "failed" : `s${Math.floor(detail.status / 100)}` },
    make("h4", {}, words, make("span.about", {}, clock(detail.started))),
    make("p.result", {}, make("span.status", {}, statusText(detail)), ` ${duration(detail.seconds)} · ${size(detail.response_bytes)}`),
    detail.error ? make("p.hint.bad", {}, visible(detail.error)) : null,
    waterfall(detail, scale),
  );
}

/** Fields and the line before them as rows: the line is the first. */
function requestLines(original, replay) {
  return withFirst(`${original.method} ${original.target}`, `${replay.method} ${replay.target}`, original.request, replay.request);
}

function responseLines(original, replay) {
  const line = (detail) => (detail.status === null ? "no response" : `status ${detail.status}`);
  return withFirst(line(original), line(replay), original.response, replay.response);
}

function withFirst(left, right, one, other) {
  const first = { kind: left === right ? "same" : "changed", left, right };
  const fields = fieldRows(one?.fields ?? [], other?.fields ?? []).map(({ kind, name, left: before, right: after }) => ({
    kind,
    left: before === null ? null : `${name}: ${before}`,
    right: after === null ? null : `${name}: ${after}`,
  }));
  return [first, ...fields];
}

/** The rows of the two bodies, and what is to be said of them. */
async function bodyRows(original, replay, side) {
  const [left, right] = await Promise.all([linesOf(original, side), linesOf(replay, side)]);
  const found = rows(left.lines, right.lines);
  const cut = left.isCut || right.isCut;
  return { found, cut };
}

async function linesOf(detail, side) {
  const told = detail[side];
  if (!told?.body.kept) return { lines: [], isCut: Boolean(told?.body.size) };
  const type = told.body.type ?? value(told.fields, "content-type");
  const whole = (await api.body(detail.id, side)).bytes;
  const bytes = whole.subarray(0, MOST_BYTES);
  return { lines: readable(bytes, type || ""), isCut: told.body.kept < told.body.size || bytes.length < whole.length };
}

function readable(bytes, type) {
  const [best] = views(bytes, type);
  if (best === "hex" || best === "image") return hexLines(bytes);
  const text = decoded(bytes, type);
  const pieces = best === "json" ? json.pieces(text) : best === "xml" ? xml.laidOut(text) : [["mark", text]];
  return pieces
    .map(([, piece]) => piece)
    .join("")
    .split(/\r?\n/);
}

function section(words, heads, { found, cut }) {
  const differing = [...heads, ...found].filter((row) => row.kind !== "same").length;
  const said = differing ? `${differing} ${differing === 1 ? "difference" : "differences"}` : "the same";
  return make(
    "section.difference",
    { "aria-label": words },
    make("h3", {}, words, make(differing ? "span.about.differs" : "span.about", {}, said)),
    make("div.rows", { role: "table", "aria-label": `${words}: headers` }, heads.map(rowView)),
    cut ? make("p.hint.warn", {}, "Of the bodies only what was kept is compared.") : null,
    found.length ? make("div.rows.lines", { role: "table", "aria-label": `${words}: body` }, rowViews(folded(found))) : null,
  );
}

/** The first rows, and a button for more. */
function rowViews(all) {
  const shown = all.slice(0, SHOWN_ROWS).map(rowView);
  const rest = all.slice(SHOWN_ROWS);
  return rest.length ? [...shown, unfolding(`Show more: ${rest.length} lines are left`, rest)] : shown;
}

function unfolding(words, rest) {
  const button = make("button.more", { type: "button" }, words);
  button.addEventListener("click", () => button.replaceWith(...rowViews(rest)));
  return button;
}

function rowView(row) {
  if (row.kind === "folded") return unfolding(`${row.rows.length} equal lines`, row.rows);
  const marked = row.kind === "changed" ? parted(row.left, row.right) : null;
  return make(
    "div.pair",
    { role: "row", "data-kind": row.kind },
    cell(row.left, "before", marked?.left, row.kind),
    cell(row.right, "after", marked?.right, row.kind),
  );
}

const SIGNS = { before: { changed: "−", removed: "−" }, after: { changed: "+", added: "+" } };

function cell(text, side, marked, kind) {
  const sign = make("span.sign", {}, SIGNS[side][kind] ?? "");
  if (text === null) return make(`div.cell.${side}.none`, { role: "cell" });
  const [before, middle, after] = marked ?? [text, "", ""];
  const content = make("bdi.value", {}, visible(before), middle ? make("mark", {}, visible(middle)) : null, visible(after));
  return make(`div.cell.${side}`, { role: "cell" }, sign, content);
}
