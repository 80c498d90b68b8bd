/* Forms (application/x-www-form-urlencoded) and query strings: pairs in their order. Pure. */

/** The pairs of a form: [[name, value]]; a name without “=” has the value "". */
export function pairs(text) {
  return text
    .split("&")
    .filter(Boolean)
    .map((pair) => {
      const mark = pair.indexOf("=");
      return mark < 0 ? [plain(pair), ""] : [plain(pair.slice(0, mark)), plain(pair.slice(mark + 1))];
    });
}

/** The pairs of a target's query. */
export function query(target) {
  const mark = target.indexOf("?");
  return mark < 0 ? [] : pairs(target.slice(mark + 1));
}

/** Percent signs and plus signs undone; what is no escape stays as it is. */
function plain(text) {
  return text.replaceAll("+", " ").replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => {
    const bytes = escapes.match(/[0-9A-Fa-f]{2}/g).map((digits) => Number.parseInt(digits, 16));
    return new TextDecoder().decode(Uint8Array.from(bytes));
  });
}
