// From a score to a decision on the page, and the order in which radiographs want to be looked at. Nothing here draws.

// Labels exclude each other where their probabilities add up to 1.
function exclusive(model, probabilities) {
  if (typeof model.exclusive === "boolean") return model.exclusive;
  const sum = model.labels.reduce((total, label) => total + (probabilities[label] ?? 0), 0);
  return model.labels.length > 1 && Math.abs(sum - 1) < 1e-3;
}

// The likeliest among labels on the decided side, as the service decides.
function labelled(model, probabilities, positive) {
  if (!exclusive(model, probabilities)) return positive ? model.positive[0] : "";
  const allowed = model.labels.filter((label) => model.positive.includes(label) === positive);
  return allowed.reduce((best, label) => (probabilities[label] > probabilities[best] ? label : best), allowed[0]);
}

// What an answer says at a threshold: the service's own words at the threshold it used, the same rule at any other.
export function decided(model, result, threshold) {
  const because = result.refer_because ?? [];
  if (result.score === null || result.score === undefined) {
    return { positive: null, label: "", refer: Boolean(result.refer), because };
  }
  if (threshold === result.threshold) {
    return { positive: result.positive, label: result.label ?? "", refer: Boolean(result.refer), because };
  }
  const positive = result.score >= threshold;
  const label = labelled(model, result.probabilities, positive);
  const kept = because.filter((why) => why !== "uncertain");
  const possible = result.possible ?? [];
  // a set that holds every label or none doubts any decision; a set of one doubts every other
  const told = possible.length > 0 || because.includes("uncertain");
  const uncertain = told && !(possible.length === 1 && possible[0] === label);
  const reasons = uncertain ? ["uncertain", ...kept] : kept;
  return { positive, label, refer: reasons.length > 0, because: reasons };
}

export const TIERS = ["review", "positive", "rest", "outlined", "waiting", "refused"];

// Where a radiograph stands in the worklist: its group, and its place there by score.
export function tier(answer, decision) {
  if (!answer || answer.state === "waiting" || answer.state === "reading" || answer.state === "stopped") return "waiting";
  if (answer.state === "refused") return "refused";
  if (decision.refer) return "review";
  if (decision.positive) return "positive";
  return decision.positive === null ? "outlined" : "rest";
}

// A cell that no spreadsheet takes for a formula, quoted where CSV asks for it. `decimal` is the mark in numbers.
export function cell(value, decimal = ".") {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value).replace(".", decimal);
  let text = String(value);
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",;\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

// With a decimal comma the columns are parted by semicolons, as spreadsheets of such countries read them.
export function table(rows, decimal = ".") {
  const line = (row) => row.map((value) => cell(value, decimal)).join(decimal === "," ? ";" : ",");
  return rows.map(line).join("\r\n") + "\r\n";
}
