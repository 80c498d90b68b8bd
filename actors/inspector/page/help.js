/* What `?` opens: the keys, from the table that gives them their meaning. */

import { byId, make } from "./dom.js";
import { KEYS, shown } from "./keys.js";

const STORED = "inspector-keys";

/** Fill the help in. */
export function fill() {
  const rows = KEYS.map(({ keys, words }) =>
    make("div", {}, make("dt", {}, keys.map((key) => make("kbd", {}, shown(key)))), make("dd", {}, words)),
  );
  byId("help-keys").replaceChildren(...rows);
  const box = byId("keys-on");
  try {
    box.checked = localStorage.getItem(STORED) !== "off";
    box.addEventListener("change", () => localStorage.setItem(STORED, box.checked ? "on" : "off"));
  } catch {
    // A browser that keeps nothing: they are on at each start.
  }
}

/** Whether single keys do something: speech input and shaky hands may want them off. */
export function keysAreOn() {
  return byId("keys-on").checked;
}
