/* A request as a command for curl, which any POSIX shell reads as it was meant. Pure. */

const LONGEST_ARGUMENT = 100_000; // Linux takes 128 KiB for one argument; `printf` is the shell's own and takes more

// What curl makes by itself, and what an edge adds on the way: sent again they would be wrong or doubled.
const LEFT_OUT = /^(?:host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|accept-encoding|expect|proxy-.*|cdn-loop|cf-.*|x-forwarded-.*|x-real-ip|sec-websocket-(?:key|version|extensions|accept))$/i;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/; // any other name, such as “@file”, would mean something to curl

/** A word that a POSIX shell takes literally, whatever it holds but NUL, which no argument can hold. */
export function quoted(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Bytes as the format of a printf(1): octal escapes of three digits, which every shell's printf knows. */
function octal(bytes) {
  let text = "";
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x25 && byte !== 0x27 && byte !== 0x5c;
    text += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return text;
}

/** Whether the bytes are UTF-8 without a NUL: then they can stand in an argument. */
function asText(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

/**
 * The command.
 *
 * @param request {method, base, target, fields: [[name, value]], body: Uint8Array}; `base` is `https://host`
 */
export function command({ method, base, target, fields, body }) {
  const isOptions = target === "*"; // OPTIONS * has no path
  const words = [`curl ${quoted(isOptions ? `${base}/` : base + target)}`];
  if (isOptions) words.push(`--request-target ${quoted(target)}`);
  // Else curl would take brackets for patterns, and resolve dots.
  if (/[[\]{}]/.test(target)) words.push("--globoff");
  if (/\/\.{1,2}(?:[/?]|$)/.test(target)) words.push("--path-as-is");
  let before = "";
  let data = "";
  if (body.length) {
    const text = asText(body);
    if (text === null) {
      before = `printf '${octal(body)}' |\n  `;
      data = "--data-binary @-";
    } else if (body.length > LONGEST_ARGUMENT) {
      before = `printf %s ${quoted(text)} |\n  `;
      data = "--data-binary @-";
    } else {
      data = `--data-raw ${quoted(text)}`;
    }
  }
  if (method === "HEAD" && !data) words.push("--head");
  else if (method !== (data ? "POST" : "GET")) words.push(`-X ${quoted(method)}`);
  for (const [name, value] of fields) {
    if (TOKEN.test(name) && !LEFT_OUT.test(name)) words.push(`-H ${quoted(value === "" ? `${name};` : `${name}: ${value}`)}`);
  }
  // What curl would add of its own accord, and the original did not have.
  const names = new Set(fields.map(([name]) => name.toLowerCase()));
  for (const own of ["User-Agent", "Accept", ...(data ? ["Content-Type"] : [])]) {
    if (!names.has(own.toLowerCase())) words.push(`-H ${quoted(`${own}:`)}`);
  }
  if (names.has("accept-encoding")) words.push("--compressed");
  if (data) words.push(data);
  return before + words.join(" \\\n  ");
}
