// What can be taken away: the answer, the worklist, the picture with its overlays. All made in the browser.
import { decisionOf, pointOf, reasons, verdictWords, what } from "./answer.js";
import { table } from "./decide.js";
import { readBy } from "./paper.js";
import { dated, language, refusal, scored, t } from "./speech.js";

const STRIP = 13; // letters' height, in parts of a thousand of the picture's longer side, at least 13 pixels
const LEAST = 1024; // pixels of the longer side of a saved picture

export const stem = (name) => name.replace(/^.*[/\\]/, "").replace(/\.[^.]+$/, "") || "radiograph";

export function save(name, content, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// What the page decided, where that is not what the service said.
function onPage(model, choice, result) {
  if (!model.classifies) return null;
  const { threshold, rule, byHand } = pointOf(model, choice);
  const { positive, label, refer, because } = decisionOf(model, choice, result);
  return { operating_point: byHand ? null : rule, threshold, by_hand: byHand, positive, label, refer, refer_because: because };
}

export function answerJson(item, readings) {
  const answers = readings.map(({ model, choice, answer }) => {
    const { layers, ...result } = answer.result;
    return { ...result, on_the_page: onPage(model, choice, result) };
  });
  return `${JSON.stringify({ file: item.name, saved: new Date().toISOString(), answers }, null, 2)}\n`;
}

export function worklistCsv(entries, model, choice) {
  const columns = [
    "rank", "file", "time", "status", "decision", "label", "score", "calibrated", "threshold", "operating_point", "threshold_by_hand",
    "refer", "refer_because", "doubt", "lungs_share", "code", "reason", "model", "bundle_digest", "request_id", "notice",
  ];
  const rows = entries.map(({ item, answer, decision, tier }, at) => {
    const result = answer?.result ?? {};
    const point = model.classifies && decision ? pointOf(model, choice) : {};
    const word = !decision ? "" : decision.positive === null ? "outlined" : decision.positive ? "positive" : "negative";
    return [
      at + 1, item.name, answer?.at?.toISOString(), tier === "waiting" ? answer?.state ?? "waiting" : tier === "refused" ? "refused" : "read",
      word, decision?.label ?? "", result.score, decision && decision.positive !== null ? (model.calibrated ? "yes" : "no") : "", point.threshold,
      point.byHand ? "" : point.rule, model.classifies && decision ? (point.byHand ? "yes" : "no") : "",
      decision ? (decision.refer ? "yes" : "no") : "", (decision?.because ?? []).join(" "), result.doubt ?? "",
      result.lungs?.share, answer?.error?.code ?? "", answer?.error ? refusal(answer.error).why : "",
      model.name, result.bundle_digest ?? model.digest, result.request_id ?? answer?.error?.request, t("notice"),
    ];
  });
  return `\ufeff${table([columns, ...rows], language() === "fr" ? "," : ".")}`;
}

// The lines under a saved picture; nothing of the file's name.
function caption({ model, choice, answer }) {
  const { result } = answer;
  const decision = decisionOf(model, choice, result);
  const lines = [verdictWords(model, decision, result)];
  if (decision.positive !== null) lines[0] += `  ·  ${what(model)} ${scored(model, result.score)}`;
  if (decision.refer) lines.unshift(`${t("refer.title")}. ${reasons(model, decision, result).join(" ")}`);
  lines.push(`${dated(new Date())} · ${readBy(model, choice, result.bundle_digest)}`);
  return lines;
}

function wrapped(context, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (lines.at(-1) && context.measureText(longer).width > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

// The whole picture through the window, its layers as they are shown, and the caption under it.
export async function pictureBlob(pane, reading) {
  pane.window();
  const scale = Math.max(1, LEAST / Math.max(pane.shown.width, pane.shown.height));
  const [width, height] = [Math.round(pane.shown.width * scale), Math.round(pane.shown.height * scale)];
  const letters = Math.max(13, Math.round((STRIP / 1000) * Math.max(width, height)));
  const font = `${letters}px system-ui, sans-serif`;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  context.font = font;
  const room = width - 2 * letters;
  const lines = [...caption(reading), ...pane.layersTold].flatMap((line) => wrapped(context, line, room)).map((line) => [line, font]);
  context.font = `bold ${font}`;
  lines.push(...wrapped(context, t("notice"), room).map((line) => [line, `bold ${font}`]));
  const strip = Math.round((lines.length * 1.5 + 1.2) * letters);
  Object.assign(canvas, { width, height: height + strip });
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height + strip);
  pane.paint(context, 0, 0, width, height);
  context.fillStyle = "#fff";
  context.textBaseline = "top";
  lines.forEach(([line, face], at) => {
    context.font = face;
    context.fillText(line, letters, height + (at * 1.5 + 0.8) * letters);
  });
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
