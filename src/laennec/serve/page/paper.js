// What paper has and a screen has not: when and by what it was read, and the worklist as a table.
import { finding, pointOf, verdictOf } from "./answer.js";
import { byId, el } from "./dom.js";
import { dated, refusal, ruleName, scored, t } from "./speech.js";

// A model, its digest and the threshold in force, in one line.
export function readBy(model, choice, digest = model.digest) {
  const parts = [model.name, t("paper.digest", { digest: (digest ?? "").slice(0, 12) })];
  if (model.classifies) {
    const point = pointOf(model, choice);
    const threshold = scored(model, point.threshold);
    parts.push(point.byHand ? t("caption.by_hand", { threshold }) : t("caption.point", { point: ruleName(point.rule), threshold }));
  }
  return parts.join(" · ");
}

function worklistTable(entries, model) {
  const rows = entries.map(({ item, answer, decision, tier }, at) => {
    const said = decision ? t(`row.${verdictOf(decision)}`) : tier === "refused" ? t("row.refused") : t(`row.${answer?.state ?? "waiting"}`);
    const score = decision && decision.positive !== null ? scored(model, answer.result.score) : "";
    const why = decision?.refer ? t("row.refer") : answer?.error && tier === "refused" ? refusal(answer.error).short : "";
    return el("tr", {}, ...[String(at + 1), item.name, said, score, why].map((cell) => el("td", {}, cell)));
  });
  const heads = ["paper.rank", "facts.file", "paper.decision", model.calibrated ? "score.calibrated" : "score.raw", "paper.note"];
  return el(
    "table", {},
    el("caption", {}, t("list.title"), model.classifies ? ` · ${finding(model)}` : "", ` · ${byId("tally").textContent}`),
    el("thead", {}, el("tr", {}, ...heads.map((key) => el("th", { scope: "col" }, t(key))))),
    el("tbody", {}, ...rows),
  );
}

// `told()` gives the models shown, their choices and the worklist at the time of printing; null before there are any.
export function onPaper(told) {
  const details = () => byId("answer").querySelectorAll("details");
  let ready = false;
  const before = () => {
    const now = told();
    if (!now) return;
    byId("paper-line").replaceChildren(...[dated(new Date()), ...now.models.map((model) => readBy(model, now.choiceOf(model)))].map((line) => el("p", {}, line)));
    byId("paper-list").replaceChildren(...(now.entries.length > 1 ? [worklistTable(now.entries, now.models[0])] : []));
    if (!ready) details().forEach((one) => Object.assign(one, { closed: !one.open, open: true }));
    ready = true;
  };
  const after = () => {
    if (ready) details().forEach((one) => (one.open = !one.closed));
    ready = false;
  };
  addEventListener("beforeprint", before);
  addEventListener("afterprint", after);
  matchMedia("print").addEventListener("change", ({ matches }) => (matches ? before() : after()));
}
