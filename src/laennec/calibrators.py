"""Maps that make a score mean a frequency: fitted on validation, computed alike in numpy, torch and ONNX.

Each maps the score s of the positive finding, strictly increasing, to f(s): no order of scores changes, so AUROC and
the decisions at the mapped threshold stay. Exclusive labels: the positive labels are scaled by f(s)/s and the others by
(1-f(s))/(1-s), so that they stay a distribution with the same order on each side. Labels that hold together: only the
positive label's probability is mapped.

Temperature: Guo et al. 2017, arXiv:1706.04599, on the log-odds of s. Beta: Kull, Silva Filho & Flach, AISTATS 2017.
Isotonic: Zadrozny & Elkan, KDD 2002; its steps, which would make ties and could undo a decision, are joined by straight
lines between their middles (Jiang et al., AMIA 2011).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laennec.errors import UsageError, extra
from laennec.labels import LabelSet
from laennec.outputs import PROBABILITIES
from laennec.trust import ScoreMap

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
METHODS = ("temperature", "isotonic", "beta")
IDENTITY = ScoreMap(method="temperature", a=1.0, b=1.0, c=0.0)

_LEAST = 1e-12  # a probability below this counts as this: its logarithm is finite
_HEATS = (0.05, 20.0)
_POWERS = (1e-2, 50.0)
_APART = 1e-6  # of two knots: float32 tells them apart anywhere in [0, 1]


def sides(labels: LabelSet, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    """Score of the positive finding and its complement, ``[n]`` each.

    Of exclusive labels the complement is summed, not subtracted: where the score is nearly 1 it keeps its digits.
    """
    table = np.asarray(probabilities, np.float64)
    inside = np.isin(np.arange(len(labels)), labels.positive_indices)
    score = table[:, inside].sum(axis=1)
    return score, table[:, ~inside].sum(axis=1) if labels.exclusive else 1 - score


def folds(patients: Sequence[str], truth: ArrayLike, count: int = 5) -> Iterator[NDArray[np.bool_]]:
    """Flags of the images of each fold; all images of a patient in one, patients with the finding spread evenly.

    Args:
        patients: [n].
        truth: [n] 1 or 0.
        count: of folds; as many as each class has patients, where that is fewer.

    Raises:
        UsageError: a class has fewer than two patients.
    """
    sick = np.asarray(truth) == 1
    with_finding = {patient for patient, one in zip(patients, sick, strict=True) if one}
    groups = sorted(with_finding), sorted(set(patients) - with_finding)
    if min(map(len, groups)) < 2:
        raise UsageError(
            "calibration needs validation patients with the finding and without, two of each at least",
            "use a larger validation part",
        )
    count = min(count, *map(len, groups))
    fold_of = {patient: number % count for number, patient in enumerate([*groups[0], *groups[1]])}
    own = np.array([fold_of[patient] for patient in patients])
    for number in range(count):
        yield own == number


def fit(method: str, truth: ArrayLike, score: ArrayLike, rest: ArrayLike) -> ScoreMap:
    """The map under which the scores fit the truth best.

    Temperature and beta by least log loss against Platt's targets (1999), which keep a separable sample from asking for
    certainty; isotonic by least squares, its values kept within [1/(n+2), (n+1)/(n+2)], which no n images can rule out.

    Args:
        method: one of `METHODS`.
        truth: [n] 1 or 0, both there.
        score, rest: as `sides` gives them.

    Raises:
        ValueError: no such method.
        MissingExtra: scikit-learn or scipy is not installed.
    """
    sick, s, r = np.asarray(truth) == 1, np.asarray(score, np.float64), np.asarray(rest, np.float64)
    if method == "isotonic":
        return _isotonic(sick, s)
    if method not in METHODS:
        raise ValueError(f"no method named '{method}'")
    with extra("eval"):
        from scipy.optimize import minimize
    found, absent = np.log(np.maximum(s, _LEAST)), -np.log(np.maximum(r, _LEAST))
    p, n = int(sick.sum()), int((~sick).sum())
    wanted = np.where(sick, (p + 1) / (p + 2), 1 / (n + 2))
    columns = [found + absent] if method == "temperature" else [found, absent, np.ones_like(found)]
    table = np.stack(columns, axis=1)

    def loss(weights: Floats) -> tuple[float, Floats]:
        z = table @ weights
        gap = 1 / (1 + np.exp(-np.clip(z, -700, 700))) - wanted
        return float(np.mean(np.logaddexp(0, z) - wanted * z)), table.T @ gap / len(z)

    power = (1 / _HEATS[1], 1 / _HEATS[0]) if method == "temperature" else _POWERS
    bounds = [power] if method == "temperature" else [power, power, (None, None)]
    start = np.array([1.0, 1.0, 0.0][: len(bounds)])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8}).x
    a, b, c = (best[0], best[0], 0.0) if method == "temperature" else best
    return ScoreMap.model_validate({"method": method, "a": _single(a), "b": _single(b), "c": _single(c)})


def _single(value: float) -> float:
    """The value as float32 has it, so that every runtime computes with the same."""
    return float(np.float32(value))


def _isotonic(sick: NDArray[np.bool_], score: Floats) -> ScoreMap:
    with extra("eval"):
        from sklearn.isotonic import IsotonicRegression
    n = len(score)
    values = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(score, sick.astype(np.float64))
    low, high = 1 / (n + 2), (n + 1) / (n + 2)
    steps = [(float(score[values == value].mean()), float(np.clip(value, low, high))) for value in np.unique(values)]
    # outermost a little slope is left, so that the order of scores beyond the outermost middles stays
    first, last = (0.0, steps[0][1] / 2), (1.0, (1 + steps[-1][1]) / 2)
    knots = [first]
    for s, f in steps:
        if knots[-1][0] + _APART < s < 1 - _APART and f > knots[-1][1] + _APART / 4:
            knots.append((s, f))
    return ScoreMap(method="isotonic", knots=tuple((_single(s), _single(f)) for s, f in (*knots, last)))


def mapped(how: ScoreMap, score: ArrayLike, rest: ArrayLike | None = None) -> Floats:
    """f of scores ``[n]`` in [0, 1]; `rest` is their complement, where it is known better than 1 less the score."""
    s = np.asarray(score, np.float64)
    if how.method == "isotonic":
        x, y = np.array(how.knots).T
        return np.asarray(np.interp(s, x, y), np.float64)
    a, b, c = _powers(how)
    r = 1 - s if rest is None else np.asarray(rest, np.float64)
    z = a * np.log(np.maximum(s, _LEAST)) - b * np.log(np.maximum(r, _LEAST)) + c
    f: Floats = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    return f


def calibrated(how: ScoreMap, labels: LabelSet, probabilities: ArrayLike) -> NDArray[np.float32]:
    """Probabilities ``float32 [n, labels]`` under the map."""
    table = np.asarray(probabilities, np.float64)
    inside = np.isin(np.arange(len(labels)), labels.positive_indices)
    score, rest = sides(labels, table)
    f = mapped(how, score, rest)[:, None]
    if not labels.exclusive:
        return np.where(inside, f, table).astype(np.float32)
    count = np.where(inside, inside.sum(), (~inside).sum())
    whole = np.where(inside, score[:, None], rest[:, None]) + _LEAST * count
    brought: NDArray[np.float32] = (np.where(inside, f, 1 - f) * (table + _LEAST) / whole).astype(np.float32)
    return brought


def in_torch(how: ScoreMap, labels: LabelSet, probabilities: torch.Tensor) -> torch.Tensor:
    """The same of a tensor ``float32 [n, labels]``, made of steps that `in_graph` has too."""
    flags = [float(i in labels.positive_indices) for i in range(len(labels))]
    inside = probabilities.new_tensor([flags])
    outside = 1 - inside
    s = (probabilities * inside).sum(1, keepdim=True)
    r = (probabilities * outside).sum(1, keepdim=True) if labels.exclusive else 1 - s
    if how.method == "isotonic":
        start, step, rise, first = (s.new_tensor([part]) for part in _segments(how))
        f = (((s - start) * step).clamp(0.0, 1.0) * rise).sum(1, keepdim=True) + first
        g = 1 - f
    else:
        a, b, c = _powers(how)
        z = s.clamp_min(_LEAST).log() * a - r.clamp_min(_LEAST).log() * b + c
        f, g = z.sigmoid(), (-z).sigmoid()
    if not labels.exclusive:
        return f * inside + probabilities * outside
    whole = (s + _LEAST * sum(flags)) * inside + (r + _LEAST * (len(flags) - sum(flags))) * outside
    return (f * inside + g * outside) * (probabilities + _LEAST) / whole


def in_graph(how: ScoreMap, labels: LabelSet, graph: bytes) -> bytes:
    """An ONNX graph with its probabilities under the map, by nodes at its end."""
    with extra("train"):
        import onnx
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = ["calibrate_raw" if name == PROBABILITIES else name for name in node.output]
        node.input[:] = ["calibrate_raw" if name == PROBABILITIES else name for name in node.input]
    end = _End(model, onnx)
    flags = np.array([[float(i in labels.positive_indices) for i in range(len(labels))]])
    p, least, one = "calibrate_raw", end.constant(_LEAST), end.constant(1.0)
    inside, outside = end.constant(flags), end.constant(1 - flags)
    s = end.total(end.add("Mul", p, inside))
    r = end.total(end.add("Mul", p, outside)) if labels.exclusive else end.add("Sub", one, s)
    if how.method == "isotonic":
        start, step, rise, first = (end.constant([part]) for part in _segments(how))
        way = end.add("Min", end.add("Max", end.add("Mul", end.add("Sub", s, start), step), end.constant(0.0)), one)
        f = end.add("Add", end.total(end.add("Mul", way, rise)), first)
        g = end.add("Sub", one, f)
    else:
        a, b, c = (end.constant(value) for value in _powers(how))
        here, there = (end.add("Log", end.add("Max", side, least)) for side in (s, r))
        z = end.add("Add", end.add("Sub", end.add("Mul", here, a), end.add("Mul", there, b)), c)
        f, g = end.add("Sigmoid", z), end.add("Sigmoid", end.add("Neg", z))
    if labels.exclusive:
        count = float(flags.sum())
        parts = ((s, count, inside), (r, flags.size - count, outside))
        wholes = [end.add("Mul", end.add("Add", x, end.constant(_LEAST * k)), side) for x, k, side in parts]
        share = end.add("Div", end.add("Add", p, least), end.add("Add", *wholes))
        scale = end.add("Add", end.add("Mul", f, inside), end.add("Mul", g, outside))
        end.add("Mul", scale, share, to=PROBABILITIES)
    else:
        end.add("Add", end.add("Mul", f, inside), end.add("Mul", p, outside), to=PROBABILITIES)
    data: bytes = model.SerializeToString()
    return data


class _End:
    """Nodes added to the end of a graph, one after the other."""

    def __init__(self, model: Any, onnx: Any) -> None:
        self._graph, self._onnx, self._made = model.graph, onnx, 0
        self._axis = self._keep(np.array([1], np.int64))

    def _name(self) -> str:
        self._made += 1
        return f"calibrate_{self._made}"

    def _keep(self, values: Any) -> str:
        name = self._name()
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def constant(self, values: ArrayLike) -> str:
        return self._keep(np.asarray(values, np.float32))

    def add(self, kind: str, *inputs: str, to: str = "") -> str:
        name = to or self._name()
        self._graph.node.append(self._onnx.helper.make_node(kind, list(inputs), [name], f"{name}_node"))
        return name

    def total(self, of: str) -> str:
        return self.add("ReduceSum", of, self._axis)


def _powers(how: ScoreMap) -> tuple[float, float, float]:
    assert how.a is not None and how.b is not None and how.c is not None  # noqa: S101  the noun checks it
    return how.a, how.b, how.c


def _segments(how: ScoreMap) -> tuple[list[float], list[float], list[float], list[float]]:
    """Of each line of an isotonic map: where it begins, one over its width, its rise; and f(0).

    f is the sum of the lines, each filled from 0 to 1: it rises with s in any precision.
    """
    x, y = np.array(how.knots, np.float64).T
    return x[:-1].tolist(), (1 / np.diff(x)).tolist(), np.diff(y).tolist(), [float(y[0])]
