"""The random changes `lung_locator.py` makes to pictures and their masks, so that its network knows other framings."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from laennec.images import lungs

SIDE = lungs.SIDE


class Changes:
    """Random pictures from pictures, their masks moved along."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)

    def uniform(self, n: int, low: float, high: float) -> torch.Tensor:
        """``[n]`` numbers in [low, high)."""
        return torch.rand(n, generator=self.random) * (high - low) + low

    def ratio(self, n: int, most: float) -> torch.Tensor:
        """``[n]`` factors between 1 - most and its inverse, as often above 1 as below."""
        return (self.uniform(n, -1, 1) * -math.log(1 - most)).exp()

    def chance(self, n: int, share: float) -> torch.Tensor:
        """``bool [n, 1, 1, 1]``, true for that share."""
        return (self.uniform(n, 0, 1) < share)[:, None, None, None]

    def moved(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turned to 15 degrees, zoomed to 30 %, shifted, stretched, mirrored; what comes into view is black, grey or
        drawn out from the edge.
        """
        n = len(x)
        still = self.chance(n, 0.15)[:, 0, 0, 0]
        turn = self.uniform(n, -1, 1) * math.radians(15)
        zoom, aspect = self.ratio(n, 0.3), self.ratio(n, 0.15)
        mirror = torch.where(self.uniform(n, 0, 1) < 0.5, -1.0, 1.0)
        across, down = self.uniform(n, -0.25, 0.25), self.uniform(n, -0.25, 0.25)
        zero, one = torch.zeros(n), torch.ones(n)
        turn, zoom, aspect = (
            torch.where(still, zero, turn),
            torch.where(still, one, zoom),
            torch.where(still, one, aspect),
        )
        across, down = torch.where(still, zero, across), torch.where(still, zero, down)
        rows = [
            torch.stack([turn.cos() * zoom * aspect * mirror, -turn.sin() * zoom, across], 1),
            torch.stack([turn.sin() * zoom * mirror, turn.cos() * zoom / aspect, down], 1),
        ]
        grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        inside = F.grid_sample(torch.ones_like(x), grid, align_corners=False)
        drawn = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        fill = torch.where(self.chance(n, 0.65), 0.0, self.uniform(n, 0, 1)[:, None, None, None])
        framed = torch.where(self.chance(n, 0.4), drawn, drawn * inside + fill * (1 - inside))
        return framed, F.grid_sample(mask, grid, align_corners=False)

    def exposed(self, x: torch.Tensor) -> torch.Tensor:
        """Another tone curve, gamma, contrast, brightness, shading, blur and noise."""
        n, knots = len(x), 6
        rise = torch.randn(n, knots, generator=self.random).mul(self.uniform(n, 0, 0.8)[:, None]).exp()
        curve = torch.cat([torch.zeros(n, 1), (rise / rise.sum(1, keepdim=True)).cumsum(1)], 1)
        place = x.clamp(0, 1) * knots
        knot = place.floor().clamp(0, knots - 1).long()
        below, above = (curve.gather(1, (knot + i).flatten(1)).view_as(x) for i in (0, 1))
        x = below + (above - below) * (place - knot)

        def each(value: torch.Tensor) -> torch.Tensor:
            return value[:, None, None, None]

        x = x.clamp(1e-4, 1) ** each(self.ratio(n, 0.4))
        middle = x.mean((1, 2, 3), keepdim=True)
        x = (x - middle) * each(self.ratio(n, 0.4)) + middle + each(self.uniform(n, -0.2, 0.2))
        slope = torch.linspace(-1, 1, SIDE)
        x = x + each(self.uniform(n, -0.15, 0.15)) * slope[:, None] + each(self.uniform(n, -0.15, 0.15)) * slope
        soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = torch.where(self.chance(n, 0.3), soft, x)
        x = x + torch.randn(x.shape, generator=self.random) * each(self.uniform(n, 0, 0.06))
        return x.clamp(0, 1)

    def bordered(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bars of one level laid over some edges, as collimators and viewers leave them."""
        n, at = len(x), torch.arange(SIDE)
        wide = self.uniform(4 * n, -0.12, 0.12).view(4, n, 1).clamp(min=0) * SIDE
        rows = (at < wide[0]) | (at >= SIDE - wide[1])
        columns = (at < wide[2]) | (at >= SIDE - wide[3])
        bar = (rows[:, None, :, None] | columns[:, None, None, :]) & self.chance(n, 0.3)
        level = torch.where(self.chance(n, 0.7), 0.0, self.uniform(n, 0, 1)[:, None, None, None])
        return torch.where(bar, level, x), torch.where(bar, 0.0, mask)

    def no_lungs(self, x: torch.Tensor, mask: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Some pictures replaced by what holds no lungs: grain, clouds, slopes, and radiographs in shuffled tiles."""
        n = max(1, round(len(x) * share))
        side = int(torch.randint(1, 17, (1,), generator=self.random))
        grain = torch.rand(n, 1, side, side, generator=self.random)
        clouds = F.interpolate(grain, (SIDE, SIDE), mode="bilinear", align_corners=False)
        clouds = clouds + torch.randn(n, 1, SIDE, SIDE, generator=self.random) * self.uniform(1, 0, 0.3)
        tiles = x[:n].view(n, 8, 8, 8, 8).permute(0, 1, 3, 2, 4).reshape(n, 64, 8, 8)
        order = torch.rand(n, 64, generator=self.random).argsort(1)[:, :, None, None].expand_as(tiles)
        tiles = tiles.gather(1, order).view(n, 8, 8, 8, 8).permute(0, 1, 3, 2, 4).reshape(n, 1, SIDE, SIDE)
        x[:n] = torch.where(self.chance(n, 0.4), tiles, clouds.clamp(0, 1))
        mask[:n] = 0
        return x, mask

    def __call__(self, images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``uint8 [n, 64, 64]`` twice to the network's planes ``[n, 2, 64, 64]`` and soft masks ``[n, 1, 64, 64]``."""
        x, mask = images[:, None].float() / 255, masks[:, None].float() / 255
        x, mask = self.moved(x, mask)
        x, mask = self.bordered(self.exposed(x), mask)
        x, mask = self.no_lungs(x, mask, 0.08)
        return planes_of((x[:, 0] * 255).round().byte()), mask


def planes_of(levels: torch.Tensor) -> torch.Tensor:
    """``uint8 [n, 64, 64]`` to ``float32 [n, 2, 64, 64]``."""
    return torch.from_numpy(np.stack([lungs.network_input(one) for one in levels.numpy()]))
