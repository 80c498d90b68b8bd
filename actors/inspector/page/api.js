/* The inspector's API: docs/inspector.md. Every failure is an Error whose message is meant for the user. */

let token = document.querySelector('meta[name="token"]').content;

/** Ask for something; `order` is sent as JSON. */
async function ask(path, { method = "GET", order, signal } = {}) {
  let answer = await send(path, method, order, signal);
  // An inspector that was started again has another token.
  if ((answer.status === 401 || answer.status === 403) && (await renewToken())) {
    answer = await send(path, method, order, signal);
  }
  if (!answer.ok) throw new Error(await wordsOf(answer));
  return answer;
}

async function send(path, method, order, signal) {
  const headers = { "X-Inspector-Token": token };
  if (order !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers, body: order && JSON.stringify(order), signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The inspector does not answer: is the tunnel still running?");
  }
}

async function renewToken() {
  const page = await (await fetch("/", { cache: "no-store" })).text();
  const found = /<meta name="token" content="([^"]+)">/.exec(page);
  if (!found || found[1] === token) return false;
  token = found[1];
  return true;
}

async function wordsOf(answer) {
  const said = await answer.text();
  try {
    return JSON.parse(said).error || `The inspector answered with ${answer.status}.`;
  } catch {
    return said.trim() || `The inspector answered with ${answer.status}.`;
  }
}

const json = async (path, options) => (await ask(path, options)).json();
const exchange = (id) => `/api/exchanges/${encodeURIComponent(id)}`;

export const status = () => json("/api/status");

/** {exchanges, dropped, sequence}; `wanted`: limit, text, … */
export const list = (wanted, signal) => json(`/api/exchanges?${new URLSearchParams(wanted)}`, { signal });

export const detail = (id, unmasked) => json(exchange(id) + (unmasked ? "?unmasked=1" : ""));

export const replay = (id, order) => json(`${exchange(id)}/replay`, { method: "POST", order });

export const clear = () => ask("/api/exchanges", { method: "DELETE" });

/**
 * The bytes of a body that were kept, without their Content-Encoding where it can be taken off.
 *
 * @param side `request` or `response`
 */
export async function body(id, side, decoded = true) {
  const path = `${exchange(id)}/${side}/body`;
  if (decoded) {
    const answer = await send(`${path}?decoded=1`, "GET");
    if (answer.ok) return { bytes: new Uint8Array(await answer.arrayBuffer()), isDecoded: true };
  }
  return { bytes: new Uint8Array(await (await ask(path)).arrayBuffer()), isDecoded: false };
}
