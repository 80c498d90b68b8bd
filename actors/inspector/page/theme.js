/* Light, dark, or as the system has it. */

const KEY = "inspector-theme";
const THEMES = ["system", "light", "dark"];

function stored() {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system"; // a browser that keeps nothing
  }
}

/** Put the chosen theme on; returns its name. */
export function apply(theme = stored()) {
  document.documentElement.dataset.theme = theme;
  return theme;
}

/** The next theme; returns its name. */
export function next() {
  const theme = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It lasts as long as the page.
  }
  return apply(theme);
}
