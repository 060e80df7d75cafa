"""Learning-rate schedules: the rate of a phase at a step, and nothing that remembers."""

from __future__ import annotations

import math

from laennec.sections import Phase

_START = 25.0  # one_cycle starts at a 25th of the peak and ends at a ten-thousandth of that (Smith 2018, as in torch)
_END = 1e4
_DROP = 0.1


def rate(phase: Phase, step: int, steps: int, drops: int = 0) -> float:
    """The learning rate of `step` out of the `steps` of the phase.

    ``cosine``: Loshchilov & Hutter 2017, arXiv:1608.03983; ``one_cycle``: Smith & Topin 2018, arXiv:1708.07120.

    Args:
        phase: peak, schedule and warm-up.
        step: counted from 0.
        steps: of the whole phase.
        drops: how often the ``plateau`` schedule has given up waiting.
    """
    peak, warm = phase.learning_rate, int(phase.warmup * steps)
    if phase.schedule == "one_cycle":
        low = peak / _START
        if step < warm:
            return peak + (low - peak) * _falling(step / warm)
        return low / _END + (peak - low / _END) * _falling((step - warm) / max(1, steps - warm))
    if step < warm:
        return peak * (step + 1) / warm
    if phase.schedule == "cosine":
        return peak * _falling((step - warm) / max(1, steps - warm))
    return peak * _DROP**drops


def _falling(share: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * share))
