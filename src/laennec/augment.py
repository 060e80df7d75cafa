"""Random changes of a batch of training images, drawn per image from one generator.

Same generator state, same images: a resumed training sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from laennec.sections import Augmentation

_KNOTS = 8


def augment(images: torch.Tensor, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Change each image of ``float [n, 1, size, size]`` in [0, 1]; the result is in [0, 1] again.

    The numbers are drawn on the CPU whatever the images' device, so that devices share one stream.
    """
    return _changed(images, None, how, generator)[0]


def augment_pairs(
    images: torch.Tensor, masks: torch.Tensor, how: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with masks ``float [n, size, size]`` in [0, 1] that are turned, moved and scaled with their images.

    What comes in from beyond the picture's edge is no lung. A mask of NaN (unknown) stays one.
    """
    changed, moved = _changed(images, masks[:, None], how, generator)
    assert moved is not None  # noqa: S101
    return changed, moved[:, 0]


def _changed(
    images: torch.Tensor, masks: torch.Tensor | None, how: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None]:
    n, device = len(images), images.device

    def draw(low: float, high: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * (high - low) + low).to(device)

    def relative(most: float) -> torch.Tensor:
        limit = -math.log(1 - most)
        return draw(-limit, limit).exp()

    if how.rotation or how.zoom or how.aspect or how.shift or how.flip:
        turn = draw(-1, 1) * math.radians(how.rotation)
        zoom, aspect = relative(how.zoom), relative(how.aspect)
        mirror = torch.where(draw(0, 1) < how.flip, -1.0, 1.0)
        across, down = draw(-2, 2) * how.shift, draw(-2, 2) * how.shift
        first = torch.stack([turn.cos() * zoom * aspect * mirror, -turn.sin() * zoom, across], 1)
        second = torch.stack([turn.sin() * zoom * mirror, turn.cos() * zoom / aspect, down], 1)
        grid = functional.affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
        images = functional.grid_sample(images, grid, align_corners=False)
        if masks is not None:
            unknown = masks.isnan().flatten(1).any(1)
            masks = functional.grid_sample(masks.nan_to_num(0.0), grid, align_corners=False)
            masks = torch.where(_each(unknown), torch.nan, masks)
    if how.tone:
        images = _tone(images, how.tone, generator)
    if how.gamma:
        images = images.clamp(1e-4, 1) ** _each(relative(how.gamma))
    if how.contrast or how.brightness:
        centre = images.mean((2, 3), keepdim=True)
        images = (images - centre) * _each(relative(how.contrast)) + centre + _each(draw(-1, 1) * how.brightness)
    if how.blur:
        chosen = draw(0, 1) < how.blur
        softer = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
        images = torch.where(_each(chosen), softer, images)
    if how.noise:
        grain = torch.randn(images.shape, generator=generator).to(device)
        images = images + grain * _each(draw(0, how.noise))
    if how.erase:
        images = torch.where(_rectangles(images, draw, how.erase), _each(draw(0, 1)), images)
    return images.clamp(0, 1), masks


def mix(
    images: torch.Tensor, targets: torch.Tensor, parameter: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup (Zhang et al. 2018): each image and its label blended with those of another image of the batch.

    One share for the batch, drawn from Beta(`parameter`, `parameter`) and at least a half, so that each row stays
    mostly itself.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(parameter, parameter))
    share = max(share, 1 - share)
    other = torch.randperm(len(images), generator=generator).to(images.device)
    return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]


def _tone(images: torch.Tensor, spread: float, generator: torch.Generator) -> torch.Tensor:
    """A random rising, piecewise linear grey curve for each image, from (0, 0) to (1, 1)."""
    n = len(images)
    rises = torch.randn(n, _KNOTS, generator=generator).mul(spread).exp()
    curve = torch.cat([torch.zeros(n, 1), (rises / rises.sum(1, keepdim=True)).cumsum(1)], 1).to(images.device)
    place = images.flatten(1).clamp(0, 1) * _KNOTS
    below = place.floor().clamp(max=_KNOTS - 1)
    low, high = curve.gather(1, below.long()), curve.gather(1, below.long() + 1)
    return (low + (high - low) * (place - below)).view_as(images)


def _each(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


def _rectangles(images: torch.Tensor, draw, chance: float) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """``bool [n, 1, size, size]``: inside the rectangle of the images chosen for one."""
    chosen, side = draw(0, 1) < chance, images.shape[-1]
    at = torch.arange(side, device=images.device)

    def band() -> torch.Tensor:
        length = draw(0.1, 0.3) * side
        first = draw(0, 1) * (side - length)
        inside: torch.Tensor = (at >= first[:, None]) & (at < (first + length)[:, None])
        return inside

    rows, columns = band(), band()
    return (rows[:, None, :, None] & columns[:, None, None, :]) & _each(chosen)
