// Files that a person drops, pastes or chooses, folders walked through.
import { byId } from "./dom.js";

const HIDDEN = /(^\.|^thumbs\.db$|^desktop\.ini$|^dicomdir$)/i;
const NO_PICTURE = /\.(txt|csv|tsv|json|xml|html?|md|pdf|docx?|xlsx?|pptx?|zip|gz|tar|7z|py|log|ini|db|toml|ya?ml|npy|npz|mp4|mov|avi)$/i;

const PACKED = /\.(zip|7z|rar|tar|tgz|gz|bz2|xz)$/i;

// What a folder holds beside pictures is left out; what a person named is not, and the service judges it.
function sift(found) {
  const files = found.filter(({ file }) => !HIDDEN.test(file.name) && !NO_PICTURE.test(file.name));
  return { files, leftOut: found.filter(({ file }) => !HIDDEN.test(file.name) && !PACKED.test(file.name)).length - files.length };
}

// Archives are told apart: nothing in them is read here.
function unpacked({ files, leftOut = 0 }, all = files) {
  return {
    files: files.filter(({ file }) => !PACKED.test(file.name)), leftOut,
    packed: all.filter(({ file }) => PACKED.test(file.name)).length,
  };
}

const byPath = (a, b) => a.path.localeCompare(b.path, undefined, { numeric: true });

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // a folder tells its files by the hundred
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return;
    for (const inner of some) await walk(inner, found);
  }
}

async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const named = [];
  const found = [];
  for (const [entry, file] of entries) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file) named.push({ file, path: file.name });
  }
  const sifted = sift(found);
  return unpacked({ files: [...named, ...sifted.files.sort(byPath)], leftOut: sifted.leftOut }, [...named, ...found]);
}

// `come({files, leftOut, packed})` is called with `files` as `{file, path}`; `pick(kind)` opens the browser's dialogue.
export function taking(come) {
  const inputs = { files: byId("files"), folder: byId("folder") };
  for (const [kind, input] of Object.entries(inputs)) {
    input.addEventListener("change", () => {
      const found = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      if (found.length) come(unpacked(kind === "folder" ? sift(found.sort(byPath)) : { files: found }, found));
      input.value = "";
    });
  }
  for (const button of document.querySelectorAll("[data-pick]")) {
    button.addEventListener("click", () => inputs[button.dataset.pick].click());
  }

  const veil = byId("veil");
  let inside = 0;
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    inside += 1;
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!carries(event)) return;
    inside = Math.max(0, inside - 1);
    veil.hidden = inside === 0;
  });
  document.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    inside = 0;
    veil.hidden = true;
    come(await dropped(event.dataTransfer));
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].map((file) => ({ file, path: file.name }));
    if (files.length) come(unpacked({ files }));
  });
}
