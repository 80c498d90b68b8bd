/* What the keys do. The help that `?` opens is made of this table, so that it says all of it. Pure. */

export const KEYS = [
  { keys: ["j", "ArrowDown"], does: "next", words: "next request" },
  { keys: ["k", "ArrowUp"], does: "previous", words: "previous request" },
  { keys: ["g", "Home"], does: "first", words: "newest request" },
  { keys: ["G", "End"], does: "last", words: "oldest request" },
  { keys: ["Enter"], does: "open", words: "go into the details" },
  { keys: ["Escape"], does: "back", words: "back to the list; leave a field" },
  { keys: ["/"], does: "search", words: "search in headers and bodies" },
  { keys: ["f"], does: "path", words: "filter by path" },
  { keys: ["0"], does: "all", words: "show all again" },
  { keys: ["1", "2", "3"], does: "tab", words: "details · messages · compare" },
  { keys: ["r"], does: "replay", words: "replay" },
  { keys: ["e"], does: "edit", words: "edit and replay" },
  { keys: ["c"], does: "curl", words: "copy as curl" },
  { keys: ["u"], does: "unmask", words: "show or hide secrets" },
  { keys: ["p"], does: "pause", words: "pause the list; go on" },
  { keys: ["t"], does: "theme", words: "light, dark, as the system" },
  { keys: ["?"], does: "help", words: "this help" },
];

const SHOWN = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };

/** A key as it is written on it. */
export function shown(key) {
  return SHOWN[key] ?? key;
}

// In these, keys are text, or the browser's own.
const FIELDS = new Set(["INPUT", "TEXTAREA", "SELECT"]);
const OWN_ENTER = new Set(["BUTTON", "A", "SUMMARY"]);

/**
 * What an event of the keyboard asks for: an entry of `KEYS`, or null.
 *
 * @param event {key, ctrlKey, metaKey, altKey}
 * @param tag the name of the focused element
 * @param isInList whether the focus is in the list, or nowhere: only there arrows, Home and End move it
 */
export function meaning(event, tag, isInList) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (FIELDS.has(tag) && event.key !== "Escape") return null;
  if (event.key === "Enter" && OWN_ENTER.has(tag)) return null;
  if (["ArrowDown", "ArrowUp", "Home", "End", "Enter"].includes(event.key) && !isInList) return null;
  return KEYS.find((entry) => entry.keys.includes(event.key)) ?? null;
}
