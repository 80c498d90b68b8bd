/* Elements of the page. Text is only ever text here: nothing in this page makes HTML of a string. */

/**
 * Make an element.
 *
 * @param tag `div`, or `div.class.other`
 * @param attributes functions are listeners (`onclick`), booleans are set or left out, null is left out
 * @param children elements, text, or null for nothing
 */
export function make(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the icons that stand in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Set a text if it is another one: what has not changed costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Call `work` once before the next painting, however often it is asked for. */
export function beforePainting(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

const LONGEST_COLOURED = 20_000; // pieces: more elements than that make a page slow, and nobody reads them

/** Pieces of text, [[kind, text]], in their colours; what lies beyond the bound is plain. */
export function coloured(pieces) {
  const box = make("pre.code");
  let plain = "";
  const flush = () => {
    if (plain) box.append(plain);
    plain = "";
  };
  pieces.forEach(([kind, text], index) => {
    if (kind === "mark" || index > LONGEST_COLOURED) {
      plain += text;
      return;
    }
    flush();
    box.append(make(`span.c-${kind}`, {}, text));
  });
  flush();
  return box;
}
