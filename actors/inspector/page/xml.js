/* XML and HTML in pieces for colouring, and XML laid out for reading. Nothing is ever interpreted: no entity, no DTD. Pure. */

const TOKEN = /<!--[^]*?(?:-->|$)|<!\[CDATA\[[^]*?(?:\]\]>|$)|<\?[^]*?(?:\?>|$)|<![^>]*>?|<\/?[A-Za-z_:][^\s<>/]*(?:[^<>"']|"[^"]*"|'[^']*')*>?|[^<]+|</g;
const TAG = /^(<\/?[^\s<>/]+)([^]*?)(\/?>?)$/;
const ATTRIBUTE = /([^\s=]+)(?:(\s*=\s*)("[^"]*"|'[^']*'|[^\s"']+))?|\s+|[^]/g;
const DEEPEST = 32; // levels that are indented: see json.js

/** The markup as tokens: [{kind: open|close|empty|text|aside, text}]. Asides are comments, instructions and doctypes. */
export function tokens(text) {
  return (text.match(TOKEN) || []).map((token) => ({ kind: kindOf(token), text: token }));
}

function kindOf(token) {
  if (token.startsWith("<![CDATA[")) return "text";
  if (token.startsWith("<!") || token.startsWith("<?")) return "aside";
  if (!/^<\/?[A-Za-z_:]/.test(token)) return "text";
  if (token.startsWith("</")) return "close";
  return token.endsWith("/>") ? "empty" : "open";
}

/** The pieces of markup as it came: [[kind, text]], kind one of `tag`, `key`, `string`, `aside`, `mark`. */
export function pieces(text) {
  return tokens(text).flatMap(coloured);
}

/** The same, an element a line. One that has only text keeps it in its line; white space between elements is left out. */
export function laidOut(text) {
  const kept = tokens(text).filter((token) => token.kind !== "text" || token.text.trim());
  const found = [];
  let depth = 0;
  kept.forEach((token, index) => {
    const before = kept[index - 1];
    const hugsText = token.kind === "close" && before?.kind === "text" && kept[index - 2]?.kind === "open";
    const isOnlyText = token.kind === "text" && before?.kind === "open" && kept[index + 1]?.kind === "close";
    const closesEmpty = token.kind === "close" && before?.kind === "open";
    if (token.kind === "close") depth = Math.max(0, depth - 1);
    if (index && !hugsText && !isOnlyText && !closesEmpty) {
      found.push(["mark", `\n${"  ".repeat(Math.min(depth, DEEPEST))}`]);
    }
    found.push(...coloured(token.kind === "text" ? { ...token, text: token.text.trim() } : token));
    if (token.kind === "open") depth += 1;
  });
  return found;
}

function coloured({ kind, text }) {
  if (kind === "text") return [["mark", text]];
  if (kind === "aside") return [["aside", text]];
  const [, start, middle, end] = TAG.exec(text);
  const found = [["tag", start]];
  for (const [whole, name, equals, quoted] of middle.matchAll(ATTRIBUTE)) {
    if (name) found.push(["key", name]);
    if (quoted) found.push(["mark", equals], ["string", quoted]);
    if (!name) found.push(["mark", whole]);
  }
  if (end) found.push(["tag", end]);
  return found;
}
