"""The explanation stage: where a bundle looks on a radiograph, as a layer to lay over it and figures to read it by."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec import decisions, explaining, images, overlays, saliency, storage
from laennec.backends import Session
from laennec.bundle import Bundle, open_bundle
from laennec.errors import ImageError, UnknownName, UsageError
from laennec.images.resize import load_lungs
from laennec.noun import Noun
from laennec.outputs import MAPS
from laennec.preprocess import Preprocess
from laennec.results import Refused
from laennec.runtime import start

if TYPE_CHECKING:
    from laennec.network import Network

Method = Literal["cam", "gradcam", "occlusion"]
METHODS: tuple[Method, ...] = get_args(Method)
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Overlay:
    """Where a model looks on one picture.

    Attributes:
        label: the positive finding.
        method: ``cam``, ``gradcam`` or ``occlusion``; see `laennec.explaining`.
        map: ``float32 [h, w]`` on the method's own coarse grid: what speaks for the finding, above 0, and against it.
        heat: ``float32 [size, size]`` on the model's grid: what speaks for it, the largest 1; 0 where nothing does.
    """

    label: str
    method: Method
    map: NDArray[np.float32]
    heat: NDArray[np.float32]


class Explained(Noun):
    """Where a model looks on one picture, as it is written down.

    Attributes:
        id: the file.
        label: the positive finding that the heat speaks for.
        score: its probability; at or above `threshold` the picture is `positive`.
        grid: rows and columns of the method's own map: finer detail in the layer is interpolated.
        inside_lungs: share of the heat inside the lungs; None where nothing speaks for the finding, or no lungs are
            found by the network that frames pictures.
        expected: share of what the model saw that the lungs cover: what heat spread evenly would have inside.
        hottest: the hottest point, fractions of the picture's width and height; None without heat.
        picture, layer: PNG files: the picture in grey, and the heat to lay over it, of the same pixels.
        note: what the picture must not be taken for.
    """

    id: str
    label: str
    score: float
    positive: bool
    threshold: float
    method: Method
    grid: tuple[int, int]
    inside_lungs: float | None
    expected: float | None
    hottest: tuple[float, float] | None
    picture: str
    layer: str
    bundle_digest: str
    note: str = "Shows where the model looks, not why, and no disease. Research use only. Not a medical device."


class Explainer:
    """A bundle ready to be explained.

    Args:
        bundle: one that classifies.
        method: of `METHODS`; by default the class activation map where the network has one, else Grad-CAM where it is
            run by torch and has a map, else occlusion.
        threads: CPU threads; 0 takes all cores.

    Raises:
        UnknownName: there is no such method.
        UsageError: the bundle classifies nothing, or cannot be explained by that method.
    """

    def __init__(self, bundle: Bundle, method: str | None = None, threads: int = 0) -> None:
        if method is not None and method not in METHODS:
            raise UnknownName("method", method, METHODS)
        if not bundle.card.classifies:
            raise UsageError(f"'{bundle.name}' names no label to be explained", "take one that classifies")
        self.bundle, self.session = bundle, start(bundle, threads)
        size = bundle.card.preprocess.size
        nothing = np.random.default_rng(0).integers(0, 256, (1, 1, size, size), np.uint8)
        wanted = [known for known in METHODS if method in {None, known}]
        for self.method in wanted:
            try:
                if self.method != "occlusion":  # which every network can be asked by
                    self.maps(nothing)
                return
            except UsageError:
                if method is not None:
                    raise

    def maps(self, pixels: _Pixels) -> NDArray[np.float32]:
        """Maps ``float32 [n, h, w]`` of ``uint8 [n, 1, size, size]``, signed, on the method's own grid.

        Raises:
            UsageError: the network has no such map.
        """
        labels = self.bundle.card.labels
        if self.method == "cam":
            maps = self.session.run(pixels, (MAPS,)).maps
            if maps is None:
                raise UsageError(
                    f"'{self.bundle.name}' has no class activation map",
                    "export it again with this version, or explain it by --method occlusion",
                )
            return maps
        if self.method == "gradcam":
            return explaining.gradcam(self._network, pixels, tuple(labels.positive_indices), labels.exclusive)
        return explaining.occlusion(self.session.run, labels, pixels)

    @cached_property
    def _network(self) -> Network:
        return _of_torch(self.bundle)

    def explain(self, pixels: _Pixels) -> list[Overlay]:
        """Where the model looks on each of ``uint8 [n, 1, size, size]``."""
        maps, label = self.maps(pixels), ", ".join(self.bundle.card.labels.positive)
        heat = explaining.heated(maps, pixels.shape[-1])
        return [Overlay(label, self.method, one, warm) for one, warm in zip(maps, heat, strict=True)]


def explain(
    bundle: Bundle | str | Path,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    method: str | None = None,
    rule: str | None = None,
    threads: int = 0,
) -> list[Explained | Refused]:
    """Write into `out`, for each radiograph, ``<name>.picture.png``, ``<name>.<method>.png`` to lay over it, and
    ``<name>.<method>.json``; a name taken gets a number.

    Args:
        bundle: an opened bundle or its folder.
        sources: JPEG, PNG or DICOM files.
        out: made where it is not there.
        method, threads: as of `Explainer`.
        rule: the operating point that decides; the card's own choice by default.

    Returns:
        One for each source, in their order; files that cannot be read are refused and the others done.

    Raises:
        UnknownName, UsageError: as `Explainer`; there is no such operating point.
        StorageFull: no room.
    """
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    explainer = Explainer(bundle, method, threads)
    threshold = bundle.card.point(rule or bundle.card.decision).threshold
    found: list[Explained | Refused] = []
    for source in map(Path, sources):
        try:
            found.append(_one(explainer, source, Path(out), threshold))
        except ImageError as error:
            found.append(Refused(id=storage.text_of(source), code=error.code, reason=error.message))
    return found


def pictured(bundle: Bundle, files: Mapping[str, Path], side: int) -> dict[str, bytes]:
    """Pictures with where the model looks laid over them, as square PNG of `side` pixels, by the ids of `files`.

    By the first method the bundle has; those that cannot be read are left out.
    """
    if not files:
        return {}
    explainer, found = Explainer(bundle), {}
    for key, path in files.items():
        try:
            pixels, done = images.load(path, bundle.card.preprocess)
            picture = images.read(path).pixels
        except ImageError:
            continue
        (overlay,) = explainer.explain(pixels[None, None])
        heat = saliency.onto(overlay.heat, done, bundle.card.preprocess, (picture.shape[0], picture.shape[1]))
        found[key] = overlays.warmed(picture, heat, side)
    return found


def _one(explainer: Explainer, source: Path, out: Path, threshold: float) -> Explained:
    card = explainer.bundle.card
    pixels, done = images.load(source, card.preprocess)
    (overlay,) = explainer.explain(pixels[None, None])
    score, positive = _decided(explainer.session, pixels, explainer.bundle, threshold)
    picture = images.read(source).pixels
    heat = saliency.onto(overlay.heat, done, card.preprocess, (picture.shape[0], picture.shape[1]))
    stem = _free(out, source.stem, overlay.method)
    paths = out / f"{stem}.picture.png", out / f"{stem}.{overlay.method}.png", out / f"{stem}.{overlay.method}.json"
    inside, expected = _in_lungs(overlay.heat, source, card.preprocess)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    at = (float((column + 0.5) / heat.shape[1]), float((row + 0.5) / heat.shape[0]))
    told = Explained(
        id=storage.text_of(source),
        label=overlay.label,
        score=score,
        positive=positive,
        threshold=threshold,
        method=overlay.method,
        grid=(overlay.map.shape[0], overlay.map.shape[1]),
        inside_lungs=inside,
        expected=expected,
        hottest=at if heat.any() else None,
        picture=paths[0].name,
        layer=paths[1].name,
        bundle_digest=explainer.bundle.digest,
    )
    storage.write_bytes(paths[0], _grey(picture))
    storage.write_bytes(paths[1], overlays.heat_layer(heat))
    storage.write_json(paths[2], told.model_dump(mode="json"))
    return told


def _decided(session: Session, pixels: _Pixels, bundle: Bundle, threshold: float) -> tuple[float, bool]:
    score, positive, _ = decisions.decide(bundle.card.labels, session.run(pixels[None, None]).probabilities, threshold)
    return float(score[0]), bool(positive[0])


def _in_lungs(heat: NDArray[np.float32], source: Path, preprocess: Preprocess) -> tuple[float | None, float | None]:
    """Share of the heat inside the lungs, and of what the model saw that they cover; None where none are found."""
    lungs = load_lungs(source, preprocess)[0] >= 128
    if not lungs.any():
        return None, None
    share = float(saliency.shares(heat[None], lungs[None])[0])
    return None if np.isnan(share) else share, float(lungs.mean())


def _of_torch(bundle: Bundle) -> Network:
    """The torch network of a bundle. Raises `UsageError` for one that is none, or several."""
    if bundle.card.backend != "torch" or bundle.card.ensemble is not None or bundle.card.precision != "fp32":
        raise UsageError(
            f"'{bundle.name}' has no gradient: Grad-CAM needs a single network of torch in fp32",
            "explain it by --method cam or occlusion, or name the bundle it was exported from",
        )
    from laennec.network import Deployed, load_deployed

    deployed = load_deployed(bundle.card, bundle.model_files())
    assert isinstance(deployed, Deployed)  # noqa: S101  ensembles were refused
    return deployed.network


def _grey(picture: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    levels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _free(out: Path, stem: str, method: str) -> str:
    """`stem`, or `stem` with a number where a file of that name is there already: pictures of other patients stay."""
    taken, number = stem, 2
    while any((out / f"{taken}.{kind}").exists() for kind in ("picture.png", f"{method}.png", f"{method}.json")):
        taken, number = f"{stem}-{number}", number + 1
    return taken
