"""laennec: chest radiographs, from the files of a hospital to a model in use.

    import laennec as ln
    bundle = ln.train(ln.Recipe.read("recipes/demo.toml"), out="runs/a")
    print(ln.evaluate(bundle, split="test"))

Research use only, not a medical device.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from laennec.version import VERSION as __version__

# onnxruntime keeps a device id and sends events to its maker unless this stands before it is first imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from laennec.admission import gate
    from laennec.auditing import audit_data
    from laennec.bundle import Bundle, open_bundle
    from laennec.calibration import calibrate
    from laennec.card import Limits
    from laennec.comparison import compare
    from laennec.conversion import export
    from laennec.costing import cost
    from laennec.demonstration import demo
    from laennec.ensembling import ensemble
    from laennec.errors import LaennecError
    from laennec.evaluation import evaluate
    from laennec.explanation import explain
    from laennec.labels import LabelSet
    from laennec.policies import Policy
    from laennec.predictor import Predictor, open
    from laennec.preprocess import Preprocess
    from laennec.probing import audit
    from laennec.pruning import prune
    from laennec.recipe import Recipe
    from laennec.results import Prediction, Report
    from laennec.samples import Collection, Sample, Split
    from laennec.scoring import score
    from laennec.shrinking import shrink
    from laennec.studies import Study
    from laennec.studying import study
    from laennec.training import train
    from laennec.tuning import tune

# Loaded on first use: `import laennec` alone stays light, and predicting never loads torch. A stage's module is named
# after what it is (training), its function after what it does (train), so that neither hides the other.
_HOME = {
    "Bundle": "bundle",
    "Collection": "samples",
    "LabelSet": "labels",
    "LaennecError": "errors",
    "Limits": "card",
    "Prediction": "results",
    "Policy": "policies",
    "Predictor": "predictor",
    "Preprocess": "preprocess",
    "Recipe": "recipe",
    "Report": "results",
    "Sample": "samples",
    "Split": "samples",
    "Study": "studies",
    "audit": "probing",
    "audit_data": "auditing",
    "calibrate": "calibration",
    "compare": "comparison",
    "cost": "costing",
    "demo": "demonstration",
    "evaluate": "evaluation",
    "explain": "explanation",
    "ensemble": "ensembling",
    "export": "conversion",
    "gate": "admission",
    "open": "predictor",
    "open_bundle": "bundle",
    "prune": "pruning",
    "score": "scoring",
    "shrink": "shrinking",
    "study": "studying",
    "train": "training",
    "tune": "tuning",
}
__all__ = [
    "Bundle",
    "Collection",
    "LabelSet",
    "LaennecError",
    "Limits",
    "Policy",
    "Prediction",
    "Predictor",
    "Preprocess",
    "Recipe",
    "Report",
    "Sample",
    "Split",
    "Study",
    "__version__",
    "audit",
    "audit_data",
    "calibrate",
    "compare",
    "cost",
    "demo",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "gate",
    "open",
    "open_bundle",
    "prune",
    "score",
    "shrink",
    "study",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"laennec.{_HOME[name]}"), name)
    raise AttributeError(f"module 'laennec' has no attribute '{name}'")
