/* Which ways there are to look at a body. Pure. */

import { parameters } from "./fields.js";
import { looksLikeJson } from "./json.js";
import { decoded, isText } from "./text.js";

/** The views and what they are called. */
export const NAMES = { json: "JSON", xml: "XML", html: "HTML", form: "Form", parts: "Parts", image: "Image", text: "Text", hex: "Hex" };

// What browsers show and the server says so of, by the first bytes; SVG is a program, and is shown as XML.
const MAGIC = [
  ["image/png", (b) => starts(b, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])],
  ["image/jpeg", (b) => starts(b, [0xff, 0xd8, 0xff])],
  ["image/gif", (b) => starts(b, [0x47, 0x49, 0x46, 0x38])],
  ["image/webp", (b) => starts(b, [0x52, 0x49, 0x46, 0x46]) && starts(b.subarray(8), [0x57, 0x45, 0x42, 0x50])],
  ["image/avif", (b) => starts(b.subarray(4), [0x66, 0x74, 0x79, 0x70, 0x61, 0x76, 0x69, 0x66])],
];

function starts(bytes, wanted) {
  return wanted.every((byte, index) => bytes[index] === byte);
}

/** The type of an image by its first bytes; null if it is none that is shown. */
export function imageType(bytes) {
  return MAGIC.find(([, fits]) => fits(bytes))?.[0] ?? null;
}

/** The views of a body, the best first. Every body has `hex`. */
export function views(bytes, contentType) {
  const { type, parameters: told } = parameters(contentType);
  const found = [];
  if (imageType(bytes)) found.push("image");
  if (type.startsWith("multipart/") && told.boundary) found.push("parts");
  if (!isText(bytes, contentType)) return [...found, "hex", "text"];
  if (type === "application/x-www-form-urlencoded") found.push("form");
  if (/[/+](?:x-)?(?:nd)?json(?:-seq|l)?$/.test(type) || type === "application/jsonl") found.push("json");
  else if (/[/+]xml$/.test(type)) found.push("xml");
  else if (type === "text/html") found.push("html");
  else if (!found.length && looksLikeJson(decoded(bytes, contentType))) found.push("json");
  return [...found, "text", "hex"];
}
