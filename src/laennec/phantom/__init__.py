"""Synthetic chest radiographs with exact ground truth, for demonstrations and tests.

A phantom is a patient (anatomy, disease), a pose and an exposure; each is drawn from its own stream of random
numbers, so image `i` of patient `p` depends on ``(seed, p, i)`` and on nothing else. No real person is imitated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from laennec.errors import UsageError
from laennec.phantom.anatomy import Body, Pose, lay_out
from laennec.phantom.boxes import mark
from laennec.phantom.disease import FINDINGS, Disease, cuffs, draw_opacity
from laennec.phantom.field import Plane, Tubes
from laennec.phantom.render import HOSPITALS, Exposure, devices, display, expose, frame
from laennec.phantom.skeleton import bones, sternum
from laennec.phantom.vessels import Tree, grow, moved, windpipe
from laennec.samples import Box

__all__ = ["FINDINGS", "MAX_SIZE", "MIN_SIZE", "SOURCES", "Phantom", "draw", "finding_of", "images_of", "source_of"]

SOURCES = tuple(HOSPITALS)
MIN_SIZE, MAX_SIZE = 48, 2048


@dataclass(frozen=True)
class Phantom:
    """One synthetic radiograph and all that is true of it.

    Attributes:
        pixels: [size, size] float32, 0 to 1; bright is dense.
        lungs: [size, size] uint8: 0 outside, 1 right lung (left of the picture), 2 left lung.
        opacity: [size, size] bool: the disease, always inside the lung fields.
        boxes: one tight box, in pixels, around each connected part of `opacity`.
        finding: one of `FINDINGS`.
        adult: False for a child.
        view: ``PA`` or ``AP``.
        source: the hospital, one of `SOURCES`.
        patient: identifier such as ``p0007``.
        bits: depth of grey at which `pixels` were quantised.
        severity: 0 in a healthy image; else 0.1 (hardly visible) to 1 (obvious).
    """

    pixels: NDArray[np.float32]
    lungs: NDArray[np.uint8]
    opacity: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    finding: str
    adult: bool
    view: str
    source: str
    patient: str
    bits: int
    severity: float


@dataclass(frozen=True)
class _Patient:
    body: Body
    disease: Disease
    source: str
    bedside: bool
    images: int

    @cached_property
    def vessels(self) -> Tree:
        return grow(self.body)

    @cached_property
    def airways(self) -> Tree | None:
        diffuse = self.disease.finding in ("CONSOLIDATION", "INTERSTITIAL")
        return grow(self.body, airways=True) if diffuse else None


def _stream(seed: int, patient: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, patient], spawn_key=key)))


@lru_cache(maxsize=16)
def _patient(seed: int, number: int) -> _Patient:
    rng = _stream(seed, number, 0)
    adult = bool(rng.random() < 0.5)
    body = Body.draw(rng, adult)
    return _Patient(
        body=body,
        disease=Disease.draw(_stream(seed, number, 1)),
        source=SOURCES[int(rng.integers(len(SOURCES)))],
        bedside=bool(rng.random() < (0.4 if adult else 0.85)),
        images=int(rng.choice((1, 2, 3, 4), p=(0.5, 0.25, 0.15, 0.1))),
    )


def images_of(seed: int, patient: int) -> int:
    """How many images the data set holds of this patient, 1 to 4."""
    return _patient(seed, patient).images


def source_of(seed: int, patient: int) -> str:
    """The hospital of this patient."""
    return _patient(seed, patient).source


def finding_of(seed: int, patient: int) -> str:
    """What this patient has; a later image may be taken once it has gone."""
    return _patient(seed, patient).disease.finding


def _course(disease: Disease, image: int, rng: np.random.Generator) -> Disease:
    """The disease at the time of this image: it waxes and wanes, and now and then has gone."""
    change, gone = rng.uniform(0.75, 1.2), rng.random() < 0.08
    if disease.finding == "NORMAL" or (image and gone):
        return replace(disease, finding="NORMAL", severity=0.0)
    return replace(disease, severity=float(np.clip(disease.severity * change, 0.1, 1.0)))


def _plane(body: Body, size: int, rng: np.random.Generator) -> Plane:
    width = rng.uniform(2.3, 2.65) if body.adult else rng.uniform(2.35, 2.85)
    low, high = (-0.42, -0.22) if body.adult else (-0.74, -0.4)
    top = rng.uniform(low, high)
    return Plane(
        size=size,
        pitch=float(width * body.w / size),
        angle=float(rng.normal(0, 0.022 if body.adult else 0.032)),
        centre=(float(rng.normal(0, 0.05) * body.w), float((top + width / 2) * body.w)),
    )


def draw(seed: int, patient: int, image: int = 0, size: int = 256) -> Phantom:
    """Render one radiograph.

    Args:
        seed: of the whole population, 0 or more.
        patient: number of the patient, 0 or more; anatomy and disease depend on ``(seed, patient)`` alone.
        image: number of the image of this patient, 0 or more.
        size: side of the picture in pixels, 48 to 2048.

    Raises:
        UsageError: an argument is out of range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"a phantom of {size} pixels cannot be drawn", f"take a size from {MIN_SIZE} to {MAX_SIZE}")
    if min(seed, patient, image) < 0:
        raise UsageError("seed, patient and image of a phantom must be 0 or more")
    who = _patient(seed, patient)
    body, hospital = who.body, HOSPITALS[who.source]
    rng = _stream(seed, patient, 2, image)
    disease = _course(who.disease, image, rng)
    pose = Pose.draw(rng, body.adult, who.bedside)
    exposure = Exposure.draw(rng, body.adult, who.bedside)
    plane = _plane(body, size, rng)
    spacing = max(plane.pitch * 0.6, 0.02)

    chest = lay_out(body, pose, plane, rng)
    airways = moved(who.airways, body, pose) if who.airways else None
    opacity = draw_opacity(disease, body, pose, chest, plane)

    u, v = plane.uv
    relief = body.relief
    patchy = relief.at(u * 2.6, v * 2.6)
    uneven = 1 + np.float32(0.035) * relief.at(u, v) + np.float32(0.02) * (patchy + relief.at(u * 11, v * 11))
    air = np.minimum(chest.air * np.float32(0.76) * uneven, chest.body)
    aerated = np.clip(air * np.float32(1 / (0.22 * body.w)), 0, 1)
    branches = plane.sweep(moved(who.vessels, body, pose).tubes(body.w, spacing), step=1.3)
    pipes = plane.sweep(windpipe(body, pose, spacing), step=1.3)
    lost = air * opacity.fill
    if airways and opacity.bronchogram:
        open_ways = plane.sweep(airways.tubes(body.w, spacing, widen=0.9), step=1.3)
        lost = np.maximum(lost - open_ways * np.float32(opacity.bronchogram) * np.minimum(opacity.fill * 2, 1), 0)
    extra = opacity.extra
    if airways and opacity.cuffs:
        extra = extra + plane.sweep(cuffs(airways, body, opacity.cuffs, spacing), marrow=1.0, core=0.6, step=1.3)
    tissue = chest.body - air - chest.gas - pipes * np.float32(1.3) + lost
    tissue += (branches * np.float32(1.8) + np.where(chest.lungs > 0, extra, 0)) * aerated
    tissue = tissue * (1 + np.float32(0.012) * patchy)
    tissue = np.maximum(tissue, 0)

    bone = bones(body, pose, plane) + sternum(body, pose, plane)
    hardware = devices(body, pose, who.bedside, rng, spacing)
    if hardware:
        bone = bone + plane.sweep(Tubes.join(hardware))
    grain = _stream(seed, patient, 3, image)  # its own: the count of its draws goes with the size
    density = expose(tissue, bone, exposure, hospital, plane, body.w, grain)
    picture = display(density, chest.body > 0.25 * body.w, exposure, hospital, plane, body.w)
    picture = frame(picture, who.source, pose.view, rng)
    levels = np.float32(2**hospital.bits - 1)
    mask, boxes = mark(np.ascontiguousarray(opacity.mask[plane.window]), max(4, size * size // 4000), disease.finding)
    return Phantom(
        pixels=(np.round(picture * levels) / levels).astype(np.float32),
        lungs=np.ascontiguousarray(chest.lungs[plane.window]),
        opacity=mask,
        boxes=boxes,
        finding=disease.finding,
        adult=body.adult,
        view=pose.view,
        source=who.source,
        patient=f"p{patient:04d}",
        bits=hospital.bits,
        severity=disease.severity,
    )
