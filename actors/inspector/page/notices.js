/* Short words to the user, which those who do not see the page hear; and the clipboard. */

import { byId, make } from "./dom.js";

const SHOWN_MS = 4000; // long enough to read a sentence
const MOST = 3; // at once

/** Say something. `kind`: `good` or `bad`. */
export function say(words, kind = "good") {
  const box = byId("notices");
  const notice = make(`p.notice.${kind}`, {}, words);
  box.append(notice);
  while (box.children.length > MOST) box.firstChild.remove();
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** Copy a text; where the browser does not let the page do that (plain http from elsewhere), show it to be copied. */
export async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
    say(words);
  } catch {
    const field = byId("copy-text");
    field.value = text;
    byId("copy-dialog").showModal();
    field.select();
  }
}

/** Do what may fail; say so if it does. */
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, "bad");
    return undefined;
  }
}
