/* The parts of a multipart body (RFC 2046, RFC 7578), on bytes. Pure. */

import { parameters, value } from "./fields.js";

const LONGEST_BOUNDARY = 70; // characters, by RFC 2046
const MOST_PARTS = 100; // what is more is left: a body of nothing but boundaries must not fill the page

/**
 * The parts of a body: [{fields, name, filename, type, bytes, isComplete}].
 *
 * A body that was cut off ends with a part that is not complete. A body that has no such boundary has no parts.
 */
export function parts(body, contentType) {
  const { boundary } = parameters(contentType).parameters;
  if (!boundary || boundary.length > LONGEST_BOUNDARY) return [];
  const delimiter = new TextEncoder().encode(`--${boundary}`);
  const found = [];
  let at = nextDelimiter(body, delimiter, 0);
  while (at >= 0 && found.length < MOST_PARTS) {
    let start = at + delimiter.length;
    if (body[start] === 0x2d && body[start + 1] === 0x2d) break; // “--”: the end
    start = afterLine(body, start);
    const next = nextDelimiter(body, delimiter, start);
    const end = next < 0 ? body.length : beforeLine(body, next);
    if (start <= end && start < body.length) found.push(part(body.subarray(start, end), next >= 0));
    at = next;
  }
  return found;
}

/** A delimiter counts only at the begin of a line. */
function nextDelimiter(body, delimiter, from) {
  for (let at = indexOf(body, delimiter, from); at >= 0; at = indexOf(body, delimiter, at + 1)) {
    if (at === 0 || body[at - 1] === 0x0a) return at;
  }
  return -1;
}

function indexOf(bytes, wanted, from) {
  for (let at = bytes.indexOf(wanted[0], from); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  return -1;
}

function afterLine(body, from) {
  const newline = body.indexOf(0x0a, from);
  return newline < 0 ? body.length : newline + 1;
}

/** The line break before a delimiter belongs to it. */
function beforeLine(body, at) {
  if (body[at - 1] !== 0x0a) return at;
  return body[at - 2] === 0x0d ? at - 2 : at - 1;
}

function part(bytes, isComplete) {
  const [head, start] = headOf(bytes);
  const fields = new TextDecoder()
    .decode(head)
    .split(/\r?\n/)
    .filter((line) => line.includes(":"))
    .map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
  const disposition = parameters(value(fields, "content-disposition")).parameters;
  return {
    fields,
    name: disposition.name ?? "",
    filename: filename(disposition),
    type: value(fields, "content-type") || "text/plain",
    bytes: bytes.subarray(start),
    isComplete,
  };
}

/** The head of a part, and where its body begins: after the first empty line. */
function headOf(bytes) {
  let line = 0;
  while (line < bytes.length) {
    const next = afterLine(bytes, line);
    const isEmpty = bytes[line] === 0x0a || (bytes[line] === 0x0d && bytes[line + 1] === 0x0a);
    if (isEmpty) return [bytes.subarray(0, line), next];
    line = next;
  }
  return [bytes, bytes.length];
}

/** The name of a file, by RFC 5987 (`filename*`) if it is told so; null if the part is no file. */
function filename(disposition) {
  const extended = /^([\w-]+)'[^']*'(.*)$/.exec(disposition["filename*"] ?? "");
  if (extended) {
    try {
      return decodeURIComponent(extended[2]);
    } catch {
      return extended[2];
    }
  }
  return disposition.filename ?? null;
}
