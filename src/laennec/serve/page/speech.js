// The page's voice: sentences and numbers in one language at a time.
import { WORDS } from "./words.js";
import { DOUBTS, PLAIN, REFUSALS } from "./refusals.js";

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

// A calibrated score is a probability and told in percent, finer near its ends; any other is a number from 0 to 1.
export function scored(model, value) {
  return model.calibrated ? percent(value, value > 0.99 || value < 0.01 ? 2 : 1) : number(value, 3);
}

export const dated = (date) => new Intl.DateTimeFormat(spoken === "en" ? "en-GB" : spoken, { dateStyle: "long", timeStyle: "short" }).format(date);

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
  if (!known) return { why: error.message || error.code, mend: error.hint || "", short: error.message || error.code };
  const said = (error.message ?? "").split(": ").slice(1).join(": ");
  const values = { hint: error.hint ?? "", why: doubt(said && said !== error.code ? said : (PLAIN[error.code] ?? "")) };
  const [why, mend, short] = [known[0], known[1], known[2] ?? known[0]].map((both) => filled(set(both[turn()]), values));
  return { why, mend, short };
}

// The service's own words of a doubtful picture, in French where they are known.
export function doubt(said) {
  if (spoken !== "fr") return said;
  const lateral = /^a lateral view, by its (?:its )?(.+)$/.exec(said);
  if (lateral) return lateral[1] === "header" ? "un profil, d’après l’en-tête" : `un profil, d’après ${lateral[1]}`;
  return DOUBTS[said] ?? said;
}
