"""Scores of images by a learner that never saw their patients: what audits judge features and labels by.

scikit-learn learns; here patients are kept apart, so that no image is scored by a learner that saw another image of
its patient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from laennec import intervals
from laennec.errors import UsageError, extra
from laennec.estimates import Estimate

Floats = NDArray[np.float64]
Patients = Sequence[str] | NDArray[np.str_]
Learner = Literal["trees", "linear", "kernel"]

FOLDS = 5
_AXES, _KERNEL_AXES = 48, 100  # principal components a learner reads at most


def dealt(classes: NDArray[np.intp], patients: Patients, seed: int, folds: int = FOLDS) -> NDArray[np.intp]:
    """Fold of each image ``[n]`` in [0, folds): all images of a patient in one, classes alike in each.

    Patients are dealt out class by class (a patient's class is the commonest of the images), the ones with the most
    images first, in an order drawn from `seed`.

    Args:
        classes: ``[n]`` class of each image, from 0.
        patients: ``[n]`` keys.

    Raises:
        UsageError: a class has fewer patients than there are folds.
    """
    _, owner = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    count, kinds = int(owner.max(initial=-1)) + 1, int(classes.max(initial=0)) + 1
    table = np.zeros((count, kinds), np.intp)
    np.add.at(table, (owner, classes), 1)
    holders = (table > 0).sum(0)
    if (holders < folds).any():
        raise UsageError(
            f"{int(holders.min())} patients have images of one class, too few for {folds} folds by patient",
            "give the patients of the images, or more patients of each class",
        )
    order = np.random.default_rng([seed, 41]).permutation(count)
    order = order[np.lexsort((-table[order].sum(1), table[order].argmax(1)))]
    fold_of = np.empty(count, np.intp)
    fold_of[order] = np.arange(count) % folds
    found: NDArray[np.intp] = fold_of[owner]
    return found


def learner(kind: Learner, columns: int, seed: int, images: int = 10_000) -> Any:
    """A scikit-learn classifier, not yet fitted.

    Args:
        kind: ``trees``: histogram gradient boosting, for a few figures of any scale, NaN among them; ``linear``:
            standardised, principal components, logistic regression, for many alike (pixels); ``kernel``: the same with
            400 random features of a Gaussian kernel between (Nyström's method, Williams and Seeger 2000), for shapes.
        columns: features it will read.
        images: it will learn from.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    with extra("eval"):
        from sklearn.decomposition import PCA
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.kernel_approximation import Nystroem
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    if kind == "trees":
        return HistGradientBoostingClassifier(
            max_iter=80, learning_rate=0.15, max_leaf_nodes=12, min_samples_leaf=10, l2_regularization=1.0,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
    if kind == "kernel":
        few = max(2, min(_KERNEL_AXES, columns - 1, images // 3))
        return make_pipeline(
            StandardScaler(),
            PCA(few, svd_solver="randomized", random_state=seed),
            Nystroem(gamma=0.3 / columns, n_components=max(2, min(400, images // 2)), random_state=seed),
            LogisticRegression(C=30, max_iter=300),
        )
    regression = LogisticRegression(C=0.3, max_iter=300)
    few = min(_AXES, images // 3)
    if columns <= few:
        return make_pipeline(StandardScaler(), regression)
    axes = PCA(max(few, 1), svd_solver="randomized", random_state=seed, whiten=True)
    return make_pipeline(StandardScaler(), axes, regression)


def fitted(
    kind: Learner, features: NDArray[Any], classes: NDArray[np.intp], seed: int, kinds: int
) -> Callable[[NDArray[Any]], Floats]:
    """A learner fitted to `features` ``[n, p]`` and `classes` ``[n]`` in [0, kinds): from features ``[m, p]`` to the
    probability of each class ``[m, kinds]``. Features that are the same in all images, or unknown, are left out.

    Raises:
        MissingExtra: as `learner`.
    """
    known = np.isfinite(features)
    low = np.min(features, axis=0, initial=np.inf, where=known)
    high = np.max(features, axis=0, initial=-np.inf, where=known)
    columns = np.flatnonzero(low < high)
    there = np.unique(classes)
    if not len(columns) or len(there) < 2:
        shares = np.bincount(classes, minlength=kinds) / max(len(classes), 1)
        return lambda others: np.tile(shares, (len(others), 1))
    model = learner(kind, len(columns), seed, len(classes))
    with _alone():
        model.fit(features[:, columns], classes)

    def probabilities(others: NDArray[Any]) -> Floats:
        answer = np.zeros((len(others), kinds))
        with _alone():
            answer[:, there] = model.predict_proba(others[:, columns])
        return answer

    return probabilities


def _alone() -> Any:
    """One thread: on few features threads wait for each other longer than they work, much longer on a busy machine."""
    with extra("eval"):
        from threadpoolctl import threadpool_limits
    return threadpool_limits(1)


def out_of_fold(
    features: NDArray[Any],
    classes: NDArray[np.intp],
    patients: Patients,
    seed: int,
    kind: Learner = "trees",
    trusted: NDArray[np.bool_] | None = None,
) -> Floats:
    """Probability of each class ``[n, k]`` by learners that saw no image of the patient.

    Args:
        features: ``[n, p]``; NaN only for ``trees``.
        classes: ``[n]`` in [0, k), each held by five patients or more.
        patients: ``[n]`` keys.
        trusted: ``[n]`` images that may be learnt from; all by default.

    Raises:
        UsageError: as `dealt`.
        MissingExtra: as `learner`.
    """
    folds = dealt(classes, patients, seed)
    answers = np.zeros((len(classes), int(classes.max()) + 1))
    for fold in range(FOLDS):
        held = folds == fold
        seen = ~held if trusted is None else ~held & trusted
        answers[held] = fitted(kind, features[seen], classes[seen], seed, answers.shape[1])(features[held])
    return answers


def told(
    features: NDArray[Any], truth: NDArray[np.bool_], patients: Patients, seed: int, kind: Learner = "trees"
) -> Estimate:
    """How well `features` tell `truth` ``[n]``: out-of-fold AUROC with DeLong's interval, pooled over the folds.

    Without a value where a class has too few patients for folds.

    Raises:
        MissingExtra: as `learner`.
    """
    classes = truth.astype(np.intp)
    try:
        scores = out_of_fold(features, classes, patients, seed, kind)[:, 1]
    except (UsageError, IndexError):
        return Estimate(value=None, n=len(truth), method="delong")
    return intervals.delong(truth, scores)


def single(feature: NDArray[Any], truth: NDArray[np.bool_]) -> Estimate:
    """AUROC of one figure as it is, in the direction that tells `truth` better, with DeLong's interval; images whose
    figure is unknown (NaN) are left out."""
    values = np.asarray(feature, np.float64)
    known = np.isfinite(values)
    found = intervals.delong(truth[known], values[known])
    if found.value is not None and found.value < 0.5:
        found = intervals.delong(truth[known], -values[known])
    return found


def areas(features: NDArray[Any], truth: NDArray[np.bool_]) -> Floats:
    """AUROC of each column of `features` ``[n, p]`` as it is, in the direction that tells `truth` better, ``[p]`` in
    [0.5, 1]; ties count one half. All .5 where a class has no image.

    Raises:
        MissingExtra: scipy is not installed.
    """
    with extra("eval"):
        from scipy.stats import rankdata
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return np.full(features.shape[1], 0.5)
    ranks = rankdata(features, axis=0)
    above = ranks[truth].sum(0) - positives * (positives + 1) / 2
    found: Floats = np.abs(above / (positives * negatives) - 0.5) + 0.5
    return found
