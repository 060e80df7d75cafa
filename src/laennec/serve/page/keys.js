// How to read an answer, and what the keyboard does, in a dialogue.
import { byId, el } from "./dom.js";
import { t } from "./speech.js";

const READ = ["percentage", "point", "refer", "layers", "refused", "research"];
const shift = () => t("key.shift");
const GROUPS = [
  ["keys.list", [["keys.next", () => ["↓", "↑"]], ["keys.ends", () => [t("key.home"), t("key.end")]], ["keys.remove", () => [t("key.delete")]]]],
  ["keys.view", [
    ["keys.zoom", () => ["+", "−"]], ["keys.fit", () => ["0"]], ["keys.move", () => ["←", "↑", "→", "↓"]],
    ["keys.window", () => [shift(), "←", "↑", "→", "↓"]], ["keys.invert", () => ["I"]], ["keys.layers", () => ["L", "H"]],
    ["keys.reset", () => ["R"]],
  ]],
  ["keys.point", [["keys.threshold", () => ["←", "→"]]]],
];

export function showKeys() {
  byId("keys-list").replaceChildren(
    el("h3", {}, t("read.title")),
    el("ul", { class: "how" }, ...READ.map((what) => el("li", {}, t(`read.${what}`)))),
    el("h3", {}, t("keys.title")),
    ...GROUPS.flatMap(([name, rows]) => [
      el("h4", {}, t(name)),
      el("dl", { class: "keys" }, ...rows.flatMap(([does, keys]) => [
        el("dt", {}, ...keys().map((key) => el("kbd", {}, key))), el("dd", {}, t(does)),
      ])),
    ]),
    el("p", { class: "small-print" }, t("keys.mouse")),
  );
  byId("keys").showModal();
  byId("keys").scrollTop = 0;
}
