/* One side of an exchange, request or response: its line, its fields, its body. */

import * as api from "./api.js";
import { bodyView, pairTable } from "./body_view.js";
import { make } from "./dom.js";
import { value } from "./fields.js";
import { bytes as size, visible } from "./format.js";
import { query } from "./forms.js";

const isFolded = { request: false, response: false }; // whether the headers were last folded away

/** The section of a side. `onUnmask` is called when a masked value is clicked. */
export function sideView(detail, side, onUnmask) {
  const told = detail[side];
  const box = make("section.side", { "aria-label": side }, make("h3", {}, side === "request" ? "Request" : "Response"));
  if (!told) {
    box.append(make("p.hint", {}, detail.state === "ended" ? "There was no response." : "There is no response yet."));
    return box;
  }
  if (side === "request") {
    const asked = query(detail.target);
    if (asked.length) box.append(make("details.fold", { open: true }, make("summary", {}, `Query (${asked.length})`), pairTable(asked)));
  }
  const fold = make(
    "details.fold",
    { open: !isFolded[side] },
    make("summary", {}, `Headers (${told.fields.length})`),
    fieldTable(told.fields, onUnmask),
  );
  fold.addEventListener("toggle", () => {
    isFolded[side] = !fold.open;
  });
  box.append(bodySection(detail, side, told));
  if (told.fields.length) box.append(fold);
  return box;
}

export function fieldTable(fields, onUnmask) {
  const rows = fields.map(([name, text, isMasked]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, visible(name)),
      make(
        "td",
        {},
        isMasked
          ? make("button.masked", { type: "button", title: "Show the secrets (u)", onclick: onUnmask }, visible(text))
          : make("bdi.value", {}, visible(text)),
      ),
    ),
  );
  return make("table.pairs.fields", {}, make("tbody", {}, rows));
}

function bodySection(detail, side, { body, fields }) {
  const box = make("div.body-section");
  const about = [];
  if (body.size) about.push(size(body.size));
  const coding = value(fields, "content-encoding");
  if (coding && coding !== "identity") about.push(visible(coding));
  box.append(make("h4", {}, "Body", about.length ? make("span.about", {}, about.join(" · ")) : null));
  if (!body.size) {
    box.append(make("p.hint", {}, detail.state === "ended" ? "empty" : "nothing yet"));
    return box;
  }
  if (!body.kept) {
    box.append(make("p.hint", {}, "None of it was kept: the inspector was told so, or had no room."));
    return box;
  }
  if (body.kept < body.size) {
    const words = `Only the first ${size(body.kept)} of ${size(body.size)} were kept; --inspect-body keeps more.`;
    box.append(make("p.hint.warn", {}, words));
  }
  const place = make("div.body-place", { "aria-busy": "true" }, make("p.hint", {}, "…"));
  box.append(place);
  fill(place, detail.id, side, body.type ?? value(fields, "content-type"), coding);
  return box;
}

/** What the server takes off; asking for another in vain would be an error in the browser's console. */
function isDecodable(coding) {
  return /^(?:|identity|gzip|x-gzip|deflate)$/i.test(coding);
}

async function fill(place, id, side, type, coding) {
  try {
    const { bytes, isDecoded } = await api.body(id, side, isDecodable(coding));
    const hint = isDecoded ? null : make("p.hint.warn", {}, `It could not be decoded (${visible(coding)}): these are the bytes as they came.`);
    place.replaceChildren(...[hint, bodyView(bytes, type || "", `${id}-${side}`)].filter(Boolean));
  } catch (error) {
    place.replaceChildren(make("p.hint.warn", {}, error.message));
  }
  place.removeAttribute("aria-busy");
}

