// Colours and fonts of the charts, read from the style sheet, so that charts follow light and dark with the rest.

const style = () => getComputedStyle(document.documentElement);

export const colour = (name) => style().getPropertyValue(`--${name}`).trim();
/** Whole pixels only: uPlot scales the number by the screen's density. */
export const font = (size = 12) => `${size}px ${style().getPropertyValue("--font").trim()}`;

const listeners = new Set();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => listeners.forEach((listener) => listener()));

export function onThemeChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
