/* Bytes as a hex dump. Pure. */

const WIDTH = 16; // bytes a line, as every such tool has it

/** The lines of a dump: offset, bytes in two groups, what is printable of them. `start`: the offset of the first byte. */
export function lines(bytes, start = 0) {
  const found = [];
  for (let at = 0; at < bytes.length; at += WIDTH) {
    const row = bytes.subarray(at, at + WIDTH);
    const digits = Array.from(row, (byte) => byte.toString(16).padStart(2, "0"));
    const left = digits.slice(0, WIDTH / 2).join(" ").padEnd(WIDTH * 1.5 - 1);
    const right = digits.slice(WIDTH / 2).join(" ").padEnd(WIDTH * 1.5 - 1);
    const seen = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    found.push(`${(start + at).toString(16).padStart(8, "0")}  ${left}  ${right}  ${seen}`);
  }
  return found;
}
