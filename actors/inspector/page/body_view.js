/* A body, in the ways that there are to look at it. What is in it is shown as text or as an image, and never as a page. */

import { NAMES, imageType, views } from "./bodies.js";
import { coloured, make } from "./dom.js";
import { bytes as size, visible } from "./format.js";
import { pairs } from "./forms.js";
import { lines } from "./hex.js";
import * as json from "./json.js";
import { parts } from "./multipart.js";
import { copy } from "./notices.js";
import { decoded } from "./text.js";
import * as xml from "./xml.js";

const SHOWN_BYTES = 256 * 1024; // at once: laying out more makes the page wait
const SHOWN_HEX_BYTES = 32 * 1024; // each is four characters or more
const SHOWN_PAIRS = 500; // of a form: each is a row of its own

const chosen = new Map(); // content type → the view that was last chosen for it

/**
 * The view of some bytes.
 *
 * @param bytes Uint8Array, without coding
 * @param contentType as it was told, or ""
 * @param name what a download is called
 */
export function bodyView(bytes, contentType, name) {
  const names = views(bytes, contentType);
  const key = contentType.split(";")[0];
  const place = make("div.body-view");
  const buttons = names.map((view) =>
    make("button.view", { type: "button", "data-view": view, onclick: () => choose(view, true) }, NAMES[view]),
  );

  function choose(view, isAsked) {
    if (isAsked) chosen.set(key, view);
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.view === view);
    place.replaceChildren(shown(view, bytes, contentType));
  }

  choose(names.includes(chosen.get(key)) ? chosen.get(key) : names[0], false);
  const tools = make(
    "div.body-tools",
    {},
    make("div.views", { role: "group", "aria-label": "view" }, buttons),
    names[0] === "hex" || names[0] === "image"
      ? null
      : make("button.quiet", { type: "button", onclick: () => copy(decoded(bytes, contentType), "The body is copied.") }, "Copy"),
    make("button.quiet", { type: "button", onclick: () => save(bytes, name) }, "Save"),
  );
  return make("div.body", {}, tools, place);
}

function shown(view, bytes, contentType) {
  if (view === "hex") return portioned(bytes, SHOWN_HEX_BYTES, (portion) => make("pre.code.hex", {}, lines(portion).join("\n")));
  if (view === "image") return image(bytes);
  if (view === "parts") return make("div.parts", {}, parts(bytes, contentType).map(partView));
  if (view === "form") return pairTable(pairs(decoded(bytes, contentType)));
  return portioned(bytes, SHOWN_BYTES, (portion) => {
    const text = decoded(portion, contentType);
    if (view === "json") return coloured(json.pieces(text));
    if (view === "xml") return coloured(xml.laidOut(text));
    if (view === "html") return coloured(xml.pieces(text));
    return make("pre.code", {}, text);
  });
}

/** The first of the bytes, and a button for more: what is laid out must be laid out from its begin. */
function portioned(bytes, most, show) {
  let shownBytes = Math.min(most, bytes.length);
  let seen = show(bytes.subarray(0, shownBytes));
  const more = make("button.more", { type: "button" });
  const tell = () => {
    more.hidden = shownBytes === bytes.length;
    more.textContent = `Show more: ${size(bytes.length - shownBytes)} are left`;
  };
  more.addEventListener("click", () => {
    shownBytes = Math.min(shownBytes + most, bytes.length);
    const wider = show(bytes.subarray(0, shownBytes));
    seen.replaceWith(wider);
    seen = wider;
    tell();
  });
  tell();
  return make("div", {}, seen, more);
}

function image(bytes) {
  const address = URL.createObjectURL(new Blob([bytes], { type: imageType(bytes) }));
  const told = make("figcaption", {}, `${imageType(bytes)} · ${size(bytes.length)}`);
  const shownImage = make("img", { alt: "the image in the body", src: address });
  shownImage.addEventListener("load", () => {
    told.append(` · ${shownImage.naturalWidth} × ${shownImage.naturalHeight}`);
    URL.revokeObjectURL(address);
  });
  shownImage.addEventListener("error", () => {
    URL.revokeObjectURL(address);
    shownImage.replaceWith(make("p.hint", {}, "The browser cannot show it: it may have been cut off. Its bytes are under Hex."));
  });
  return make("figure", {}, shownImage, told);
}

function partView(part) {
  const title = make("span.part-name", {}, visible(part.name || "part"));
  const file = part.filename === null ? null : make("span.part-file", {}, visible(part.filename));
  const about = make("span.part-about", {}, `${visible(part.type)} · ${size(part.bytes.length)}${part.isComplete ? "" : " · cut off"}`);
  const box = make("details.part", { open: true }, make("summary", {}, title, file, about));
  box.append(part.bytes.length ? bodyView(part.bytes, part.type, part.filename || part.name) : make("p.hint", {}, "empty"));
  return box;
}

/** Pairs of a form or of a query; a value that is JSON is laid out. */
export function pairTable(found) {
  const rows = found.slice(0, SHOWN_PAIRS).map(([name, value]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, visible(name)),
      make("td", {}, json.looksLikeJson(value) ? coloured(json.pieces(value)) : make("bdi.value", {}, value)),
    ),
  );
  const table = make("table.pairs", {}, make("tbody", {}, rows));
  if (found.length <= SHOWN_PAIRS) return table;
  return make("div", {}, table, make("p.hint", {}, `${found.length - SHOWN_PAIRS} more are left out here: Text has all of them.`));
}

function save(bytes, name) {
  // Never as a type that a browser would open.
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  make("a", { href: address, download: name.replace(/[^\w.-]+/g, "_").replace(/^\.+/, "") || "body" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
