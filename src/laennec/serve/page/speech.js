// The page's voice: sentences and numbers in one language at a time.
import { WORDS } from "./words.js";
import { DOUBTS, REFUSALS } from "./refusals.js";

export const LANGUAGES = ["en", "fr"];
let spoken = "en";

export const language = () => spoken;

export function speak(lang) {
  spoken = LANGUAGES.includes(lang) ? lang : "en";
}

// French sets a space that does not break before its marks, a narrow one before most.
function set(text) {
  if (spoken !== "fr") return text;
  return text.replace(/ ([:%»])/g, "\u00a0$1").replace(/ ([;?!])/g, "\u202f$1").replace(/« /g, "«\u00a0");
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? ""));
const turn = () => (spoken === "fr" ? 1 : 0);

export function t(key, values = {}) {
  const said = WORDS[key];
  if (!said) throw new Error(`no words for ${key}`);
  return filled(set(said[turn()]), values);
}

export function counted(key, n) {
  return t(`${key}.${new Intl.PluralRules(spoken).select(n) === "one" ? "one" : "other"}`, { n: number(n) });
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(spoken, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

// One decimal; what would round to 0 or 100 without being so is told as a bound.
export function percent(value, digits = 1) {
  const said = (x) =>
    new Intl.NumberFormat(spoken, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(x);
  const least = 10 ** -(digits + 2);
  if (value > 0 && value < least / 2) return `<\u202f${said(least)}`;
  if (value < 1 && value > 1 - least / 2) return `>\u202f${said(1 - least)}`;
  return said(value);
}

// A calibrated score is a probability and told in percent; any other is a number from 0 to 1.
export function scored(model, value, digits = 1) {
  return model.calibrated ? percent(value, digits) : number(value, digits + 2);
}

export function lasting(seconds) {
  const said = (value, unit) => new Intl.NumberFormat(spoken, { style: "unit", unit, unitDisplay: "short" }).format(value);
  return seconds < 90 ? said(Math.max(1, Math.round(seconds)), "second") : said(Math.round(seconds / 60), "minute");
}

export function listed(items) {
  return new Intl.ListFormat(spoken, { type: "conjunction" }).format(items);
}

export const ruleName = (rule) => (WORDS[`point.${rule}`] ? t(`point.${rule}`) : rule);

// The reason and the remedy of a refusal; the service's own words where the code is not known here.
export function refusal(error) {
  const known = REFUSALS[error.code];
  if (!known) return { why: error.message || error.code, mend: error.hint || "" };
  return { why: set(known[0][turn()]), mend: filled(set(known[1][turn()]), { hint: error.hint ?? "" }) };
}

export const doubt = (said) => (spoken === "fr" ? (DOUBTS[said] ?? said) : said);
