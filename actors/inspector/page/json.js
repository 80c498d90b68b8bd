/* JSON laid out for reading, as it came: big numbers keep their digits, keys their order, doubles stay, and what is no
   JSON is shown as such instead of nothing at all. Several values one after the other (NDJSON) are laid out too. Pure. */

const TOKEN = /"(?:[^"\\]|\\[^])*"?|-?\d[\w.+-]*|[A-Za-z_]\w*|[{}[\],:]|\s+|[^]/g;
const WORDS = new Set(["true", "false", "null"]);
const DEEPEST = 32; // levels that are indented: a body of nothing but brackets must not grow with their square

/**
 * Pieces of the text as it should stand: [[kind, text]], kind one of `key`, `string`, `number`, `word`, `bad`, `mark`.
 * Marks are punctuation and white space.
 */
export function pieces(text) {
  const found = [];
  const closers = [];
  const tokens = (text.match(TOKEN) || []).filter((token) => token.trim());
  const line = () => found.push(["mark", `\n${"  ".repeat(Math.min(closers.length, DEEPEST))}`]);
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      found.push(["mark", token]);
      closers.push(token === "{" ? "}" : "]");
      if (next !== closers.at(-1)) line();
    } else if (token === "}" || token === "]") {
      const fits = closers.at(-1) === token;
      if (fits) {
        closers.pop();
        if (tokens[index - 1] !== (token === "}" ? "{" : "[")) line();
      }
      found.push([fits ? "mark" : "bad", token]);
      if (fits && !closers.length && next !== undefined) line();
    } else if (token === ",") {
      found.push(["mark", token]);
      line();
    } else if (token === ":") {
      found.push(["mark", ": "]);
    } else {
      found.push([kindOf(token, next), token]);
      if (!closers.length && next !== undefined) line();
    }
  });
  return found;
}

function kindOf(token, next) {
  if (token.startsWith('"')) {
    if (token.length < 2 || !token.endsWith('"')) return "bad"; // cut off
    return next === ":" ? "key" : "string";
  }
  if (/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(token)) return "number";
  return WORDS.has(token) ? "word" : "bad";
}

/** Whether a text without a fitting type looks like JSON: it begins as an object or a list, and can be read as one. */
export function looksLikeJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
