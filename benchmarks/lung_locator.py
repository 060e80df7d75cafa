"""Train the lung locator that `laennec.images.lungs` ships, and measure it.

    python benchmarks/lung_locator.py DATA [--threads 1] [--epochs 36] [--seed 0] [--out FOLDER] [--measure-only]

DATA holds ``kermany/``, ``kermany-lungmasks/`` and ``covid-ccby/``. Learns on the official train part alone, keeps the
epoch that frames a tenth of its patients best, then writes `lungs.onnx` and `lungs.json` into the package and says
the line that `preprocess.py` must hold. The test part and the adults of covid-ccby are measured at the end, by
the package's own code on the files as they are; ``--measure-only`` measures the shipped network again and trains none.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lung_changes import Changes, planes_of
from PIL import Image
from torch import nn
from torch.nn import functional as F

from laennec.images import lungs, read

PACKAGE = Path(lungs.__file__).parent
BATCH, RATE, DECAY, AVERAGE, HELD_BACK, MARGIN = 64, 4e-3, 0.02, 0.995, 0.1, 0.08
SIDE, LUNG = lungs.SIDE, lungs.LUNG
PATIENT = re.compile(r"^(?:(?:person(\d+)_(bacteria|virus))|(?:(NORMAL2-)?IM-(\d+)))[_-]")


@dataclass(frozen=True)
class Pair:
    """A radiograph, its lung mask, and whose they are."""

    image: Path
    mask: Path
    patient: str


def kermany_pairs(data: Path, part: str) -> list[Pair]:
    """The images of one official part that have a mask."""
    pairs = []
    for image in sorted((data / "kermany" / part).glob("*/*.jp*g")):
        mask = (data / "kermany-lungmasks" / part / image.parent.name / image.name).with_suffix(".png")
        if mask.is_file():
            who = PATIENT.match(image.name)
            if who is None:
                raise SystemExit(f"error: {image.name} does not say its patient")
            number = who[1] or who[4]
            pairs.append(Pair(image, mask, f"{who[2] or who[3] or 'normal'}-{int(number)}"))
    return pairs


def adult_pairs(data: Path) -> list[Pair]:
    """The images of covid-ccby."""
    folder = data / "covid-ccby"
    return [Pair(p, folder / "lung_masks" / p.name, p.stem) for p in sorted((folder / "images").glob("*.png"))]


def mask_of(pair: Pair) -> np.ndarray:
    """``float32 [rows, columns]``, 1 where lung."""
    return (np.asarray(Image.open(pair.mask).convert("L")) > 127).astype(np.float32)


def small(pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and soft masks, ``uint8 [n, 64, 64]`` both."""
    images = [lungs.squeezed(read(pair.image).pixels) for pair in pairs]
    masks = [lungs.squeezed(mask_of(pair)) for pair in pairs]
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))


def layer(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


class Net(nn.Module):
    """A U-Net in small: four resolutions down, the skips added on the way up. Answers logits at 64 x 64."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 16, 32, 48)
        self.down = nn.ModuleList([layer(2, widths[0])])
        for before, after in pairwise(widths):
            last = after == widths[-1]
            self.down.append(nn.Sequential(layer(before, after, 2), layer(after, after, dilation=2 if last else 1)))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(layer(width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``float32 [n, 2, 64, 64]`` to logits ``[n, 1, 64, 64]``."""
        kept = []
        for stage in self.down:
            x = stage(x)
            kept.append(x)
        for level in (2, 1, 0):
            x = F.interpolate(self.narrow[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.up[level](x + kept[level])
        return self.head(x)


class Answer(nn.Module):
    """The network with its sigmoid and its batch norms folded away, as it is shipped."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        for module in list(self.net.modules()):
            if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
                module[0] = nn.utils.fusion.fuse_conv_bn_eval(module[0], module[1])
                module[1] = nn.Identity()

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Probabilities ``[n, 1, 64, 64]``."""
        return self.net(planes).sigmoid()


def loss_of(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross entropy and, where there are lungs, one minus the soft Dice."""
    area = mask.sum((1, 2, 3))
    found = logits.sigmoid()
    dice = 1 - (2 * (found * mask).sum((1, 2, 3)) + 1) / (found.sum((1, 2, 3)) + area + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + 0.3 * (dice * (area > 0)).mean()


Box = tuple[float, float, float, float]


def box_of(mask: np.ndarray) -> Box:
    """Left, top, right, bottom of a mask, fractions."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return across * down / (both - across * down)


def missed(box: Box, mask: np.ndarray, margin: float) -> float:
    """Share of the lung that lies outside the box with its margin."""
    wide, high = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    rows, columns = mask.shape
    left, right = round(max(0, box[0] - wide) * columns), round(min(1, box[2] + wide) * columns)
    top, bottom = round(max(0, box[1] - high) * rows), round(min(1, box[3] + high) * rows)
    return float(1 - mask[top:bottom, left:right].sum() / mask.sum())


def measured(locator: lungs.Locator, pairs: Sequence[Pair]) -> dict[str, float | int]:
    """Figures of the shipped code on the files themselves."""
    masks, boxes, bare, framed, lost = [], [], [], [], 0
    for pair in pairs:
        mask = mask_of(pair)
        probabilities = locator.probabilities(read(pair.image).pixels)
        found, truth = lungs.lungs_of(probabilities), lungs.squeezed(mask) > 127
        lost += bool(found.doubt)
        masks.append((truth & (probabilities > LUNG)).sum() / (truth | (probabilities > LUNG)).sum())
        boxes.append(overlap(found.box, box_of(mask)))
        bare.append(missed(found.box, mask, 0))
        framed.append(missed(found.box, mask, MARGIN))
    figures = {
        "mask_iou_mean": float(np.mean(masks)),
        "mask_iou_p5": float(np.percentile(masks, 5)),
        "box_iou_mean": float(np.mean(boxes)),
        "box_iou_median": float(np.median(boxes)),
        "box_iou_p5": float(np.percentile(boxes, 5)),
        "box_iou_least": float(np.min(boxes)),
        "misses_5_percent_bare": float(np.mean(np.array(bare) > 0.05)),
        "misses_5_percent_framed": float(np.mean(np.array(framed) > 0.05)),
        "not_found": lost / len(pairs),
    }
    return {"images": len(pairs)} | {name: round(value, 4) for name, value in figures.items()}


def validate(net: Net, planes: torch.Tensor, masks: torch.Tensor) -> tuple[float, float]:
    """Mean IoU of mask and of box at 64 x 64."""
    with torch.inference_mode():
        answers = torch.cat([net(part).sigmoid() for part in planes.split(256)])[:, 0].numpy()
    truths = masks.numpy() > 127
    areas = [((a > LUNG) & t).sum() / ((a > LUNG) | t).sum() for a, t in zip(answers, truths, strict=True)]
    boxes = [overlap(lungs.lungs_of(a).box, box_of(t)) for a, t in zip(answers, truths, strict=True)]
    return float(np.mean(areas)), float(np.mean(boxes))


def train(learn: Sequence[Pair], hold: Sequence[Pair], epochs: int, seed: int) -> tuple[Net, dict[str, Any]]:
    """The averaged network of the epoch that framed the patients held back best."""
    started = time.monotonic()
    torch.manual_seed(seed)
    (images, masks), (held, held_masks) = small(learn), small(hold)
    held_planes = planes_of(held)
    print(
        f"{len(learn)} images to learn, {len(hold)} held back, read in {time.monotonic() - started:.0f} s", flush=True
    )
    net, change = Net().to(memory_format=torch.channels_last), Changes(seed)
    average = copy.deepcopy(net).eval()
    best, kept = (0.0, 0.0, 0), average
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    steps = len(learn) // BATCH * epochs
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.15)
    for epoch in range(epochs):
        total = 0.0
        for which in torch.randperm(len(images), generator=change.random)[: len(images) // BATCH * BATCH].split(BATCH):
            planes, mask = change(images[which], masks[which])
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(planes.contiguous(memory_format=torch.channels_last))
            loss = loss_of(logits.float(), mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            plan.step()
            total += float(loss.detach())
            with torch.no_grad():
                for mean, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                    mean.lerp_(now, 1 - AVERAGE) if mean.is_floating_point() else mean.copy_(now)
        areas, boxes = validate(average, held_planes, held_masks)
        if boxes > best[1]:
            best, kept = (areas, boxes, epoch + 1), copy.deepcopy(average)
        print(
            f"epoch {epoch + 1}: loss {total * BATCH / len(images):.4f}, held back: mask IoU {areas:.4f}, "
            f"box IoU {boxes:.4f}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return kept, {
        "epochs": epochs,
        "kept_epoch": best[2],
        "seed": seed,
        "seconds": round(time.monotonic() - started),
        "threads": torch.get_num_threads(),
        "learnt_images": len(learn),
        "learnt_patients": len({pair.patient for pair in learn}),
        "held_back_patients": len({pair.patient for pair in hold}),
        "parameters": sum(p.numel() for p in kept.parameters()),
    }


def exported(net: Net) -> bytes:
    """The ONNX file."""
    program = torch.onnx.export(
        Answer(net).to(memory_format=torch.contiguous_format).eval(),
        (torch.zeros(1, 2, SIDE, SIDE),),
        dynamo=True,
        opset_version=20,
        input_names=["planes"],
        output_names=["probabilities"],
        verbose=False,
    )
    if program is None:
        raise SystemExit("error: torch's exporter gave no graph")
    model = program.model_proto
    for node in model.graph.node:
        # the exporter writes down the path of each line of code it came from
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    return model.SerializeToString()


def main() -> None:
    """Train, export, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with kermany/, kermany-lungmasks/ and covid-ccby/")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=PACKAGE, help="folder of the two files; the package itself if left out"
    )
    parser.add_argument("--measure-only", action="store_true", help="train nothing, measure the shipped network")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    graph_file, facts_file = chosen.out / "lungs.onnx", chosen.out / "lungs.json"
    pairs = kermany_pairs(chosen.data, "train")
    patients = sorted({pair.patient for pair in pairs})
    order = np.random.default_rng(chosen.seed).permutation(len(patients))
    back = {patients[i] for i in order[: round(len(patients) * HELD_BACK)]}
    hold = [pair for pair in pairs if pair.patient in back]
    if chosen.measure_only:
        graph, facts = graph_file.read_bytes(), json.loads(facts_file.read_text(encoding="utf-8"))["training"]
    else:
        net, facts = train([pair for pair in pairs if pair.patient not in back], hold, chosen.epochs, chosen.seed)
        graph = exported(net)
    locator = lungs.Locator(graph)
    parts = {"validation": hold, "test": kermany_pairs(chosen.data, "test"), "adults": adult_pairs(chosen.data)}
    page = {
        "sha256": hashlib.sha256(graph).hexdigest(),
        "bytes": len(graph),
        "purpose": "frames chest radiographs by their lungs; measures no organ and finds no disease",
        "made_by": "benchmarks/lung_locator.py",
        "data": [
            {
                "what": f"{len(pairs)} radiographs of children, official train part of Chest X-Ray Images (Pneumonia)",
                "source": "Kermany, Zhang, Goldbaum, Mendeley Data, doi:10.17632/rscbjbr9sj",
                "licence": "CC BY 4.0",
            },
            {
                "what": "their lung masks; heart shadow mostly taken in",
                "source": "V7 Labs, covid-19-xray-dataset",
                "licence": "CC BY 4.0",
            },
        ],
        "training": facts,
        "figures": {name: measured(locator, part) for name, part in parts.items()},
    }
    print(json.dumps(page, indent=2))
    graph_file.write_bytes(graph)
    facts_file.write_text(json.dumps(page, indent=2) + "\n", encoding="utf-8")
    print(f'\npreprocess.py must say: LOCATOR = "{page["sha256"]}"')


if __name__ == "__main__":
    sys.exit(main())
