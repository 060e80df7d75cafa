// What the keyboard does, in a dialogue.
import { byId, el } from "./dom.js";
import { t } from "./speech.js";

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
    ...GROUPS.flatMap(([name, rows]) => [
      el("h3", {}, t(name)),
      el("dl", { class: "keys" }, ...rows.flatMap(([does, keys]) => [
        el("dt", {}, ...keys().map((key) => el("kbd", {}, key))), el("dd", {}, t(does)),
      ])),
    ]),
    el("p", { class: "small-print" }, t("keys.mouse")),
  );
  byId("keys").showModal();
}
