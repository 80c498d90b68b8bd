/* What a person changed of a request before it is sent again. Pure. */

import { asLines, fromLines } from "./fields.js";

// Made anew for a new body, which goes as it stands in the form: without the coding that the original had.
const ABOUT_THE_BODY = new Set(["content-length", "transfer-encoding", "content-encoding"]);
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A text as a browser's text field gives it back: its line breaks are LF. */
export function inField(text) {
  return text.replaceAll("\r\n", "\n").replaceAll("\r", "\n");
}

/** The edited text with the line breaks of the original: multipart bodies are nothing without their CRLF. */
export function withItsBreaks(edited, original) {
  const isCrlf = /\r\n/.test(original) && !/(?:^|[^\r])\n/.test(original);
  return isCrlf ? edited.replaceAll("\n", "\r\n") : edited;
}

/** The fields to send; null if they are the original's. A mask that was left stands for what is behind it: the server knows. */
function fieldsToSend(edited, original) {
  const fields = fromLines(edited.lines);
  const kept = hasNewBody(edited, original) ? fields.filter(([name]) => !ABOUT_THE_BODY.has(name.toLowerCase())) : fields;
  return edited.lines === asLines(original.fields) && kept.length === fields.length ? null : kept;
}

function hasNewBody(edited, original) {
  if (edited.body === null) return false;
  return !original.isComplete || original.body === null || edited.body !== inField(original.body);
}

/**
 * What to ask of the server: only what differs from the original, which it has as a whole.
 *
 * @param edited {method, target, lines, body}: as the form has it; body null if it is to be as it was
 * @param original {method, target, fields, body, isComplete}: fields as shown; body null if it is no text
 * @throws {Error} something in the form cannot be sent, in words
 */
export function order(edited, original) {
  const asked = {};
  const method = edited.method.trim();
  const target = edited.target.trim();
  if (!METHOD.test(method)) throw new Error("The method must be one word, such as POST.");
  if (!/^(?:\/|\*$)/.test(target) || /\s/.test(target)) throw new Error("The path must begin with “/” and have no spaces.");
  if (method !== original.method) asked.method = method;
  if (target !== original.target) asked.target = target;
  if (hasNewBody(edited, original)) asked.body = withItsBreaks(edited.body, original.body ?? "");
  const fields = fieldsToSend(edited, original);
  if (fields) asked.fields = fields;
  return asked;
}
