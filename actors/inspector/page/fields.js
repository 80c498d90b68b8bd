/* Header fields: lists of [name, value, …], as they came. Pure. */

/** The values of a field, whatever its name's case. */
export function values(fields, name) {
  const wanted = name.toLowerCase();
  return fields.filter((field) => field[0].toLowerCase() === wanted).map((field) => field[1]);
}

/** The first value of a field, or "". */
export function value(fields, name) {
  return values(fields, name)[0] ?? "";
}

/** A Content-Type or Content-Disposition, taken apart: {type, parameters}. Names are in lower case. */
export function parameters(text) {
  const parts = splitOutsideQuotes(text || "", ";");
  const found = {};
  for (const part of parts.slice(1)) {
    const mark = part.indexOf("=");
    if (mark < 0) continue;
    const name = part.slice(0, mark).trim().toLowerCase();
    if (name && !Object.hasOwn(found, name)) found[name] = unquoted(part.slice(mark + 1).trim());
  }
  return { type: (parts[0] || "").trim().toLowerCase(), parameters: found };
}

function splitOutsideQuotes(text, separator) {
  const parts = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (quoted && char === "\\") at += 1;
    else if (char === '"') quoted = !quoted;
    else if (char === separator && !quoted) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function unquoted(text) {
  if (!text.startsWith('"')) return text;
  const end = text.endsWith('"') && text.length > 1 ? -1 : undefined;
  return text.slice(1, end).replace(/\\(.)/g, "$1");
}

/** Fields as a person edits them: a line each. */
export function asLines(fields) {
  return fields.map(([name, text]) => `${name}: ${text}`).join("\n");
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * The fields that a person has written, a line each; empty lines are nothing.
 *
 * @throws {Error} a line is no field, in words that name the line.
 */
export function fromLines(text) {
  const fields = [];
  text.split(/\r?\n/).forEach((line, index) => {
    if (!line.trim()) return;
    const mark = line.indexOf(":");
    const name = line.slice(0, Math.max(mark, 0)).trim();
    if (!TOKEN.test(name)) {
      throw new Error(`Line ${index + 1} of the headers is no header: write “Name: value”.`);
    }
    fields.push([name, line.slice(mark + 1).trim()]);
  });
  return fields;
}
