/* Bytes as text, where they are text. Pure. */

import { parameters } from "./fields.js";

const SAMPLE_BYTES = 4096; // enough to tell text from anything else
const MOST_ODD = 0.02; // the share of characters that text has no use for, above which it is none

/** The bytes as text, by the charset that the Content-Type names; UTF-8 if it names none, or one unknown here. */
export function decoded(bytes, contentType) {
  const label = parameters(contentType).parameters.charset || "utf-8";
  try {
    return new TextDecoder(label).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

/** Whether the bytes can be read as text by that charset. */
export function isText(bytes, contentType) {
  const sample = decoded(bytes.subarray(0, SAMPLE_BYTES), contentType);
  if (!sample) return true;
  // The sample may end within a character.
  const odd = [...sample.replace(/\ufffd$/, "")].filter((char) => /[\u0000-\u0008\u000e-\u001a\u001c-\u001f\ufffd]/.test(char));
  return odd.length <= sample.length * MOST_ODD && !odd.includes("\u0000");
}

/** Bytes of a base64 text. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
