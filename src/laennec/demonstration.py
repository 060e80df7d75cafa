"""The whole line on the embedded data set: train, evaluate, export, compare, predict."""

from __future__ import annotations

from pathlib import Path

from laennec import shelf
from laennec.card import Limits
from laennec.comparison import compare
from laennec.conversion import export
from laennec.evaluation import evaluate
from laennec.page import Language
from laennec.recipe import Recipe
from laennec.results import Comparison
from laennec.training import train

# the demo's validation part is small: one image is half a percent of its decisions
_LIMITS = Limits(auroc_lost=0.01, flipped=0.03, ece_gained=0.03)


def demo(out: str | Path, language: Language = "en") -> Comparison:
    """Run the line on synthetic radiographs into `out` (``fp32``, ``onnx``, ``int8``) and compare the three bundles.

    Finished steps of an interrupted demo are not run again.

    Raises:
        UsageError: `out` holds something else.
    """
    out = Path(out)
    recipe = Recipe.read(shelf.find("demo"))
    trained = train(recipe, out / "fp32")
    evaluate(trained, "test", language=language)
    graph = export(trained, "onnxruntime", "fp32", out=out / "onnx")
    small = export(trained, "onnxruntime", "int8", out=out / "int8", limits=_LIMITS)
    return compare([trained, graph, small], "test", out=out, language=language)
