"""The house's rules, held against the code so that nobody has to remember them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from laennec import family

SOURCE = Path(__file__).parents[1] / "src" / "laennec"

# From the roof to the ground; a module imports from rows below its own, never from its own row or above.
# docs/architecture.md shows the same rows.
ROWS: list[tuple[str, set[str]]] = [
    ("faces", {"__main__"}),
    ("faces", {"cli"}),
    ("faces", {"serve"}),
    ("stages", {"transport"}),
    ("stages", {"demonstration", "studying", "shrinking"}),
    ("stages", {"comparison", "admission"}),
    ("stages", {"tuning", "costing", "receiving"}),
    ("stages", {"training", "probing", "filing"}),
    (
        "stages",
        {
            "ensembling",
            "evaluation",
            "auditing",
            "scoring",
            "exploration",
            "fetching",
            "answering",
            "outlining",
            "demonstrator",
        },
    ),
    ("stages", {"conversion", "pruning", "calibration", "explanation"}),
    ("feed", {"fit", "predictor", "mixing", "measuring"}),
    ("feed", {"embeddings", "stretches"}),
    ("feed", {"sources", "familiarity", "caution"}),
    ("feed", {"runtime", "checkpoints", "augment", "schedules"}),
    ("feed", {"gating"}),
    ("feed", {"loader", "tracking", "metering"}),
    ("families", {"datasets", "models", "tasks", "backends", "trackers", "meters", "audits", "probes", "objects"}),
    ("matter", {"quantising", "counting", "explaining", "saliency", "deidentifying"}),
    ("matter", {"graphs"}),
    ("matter", {"network", "thinning", "page", "summing", "likeness", "traits", "folds", "lettering"}),
    (
        "matter",
        {
            "bundle",
            "pairing",
            "prevalence",
            "conformal",
            "plots",
            "metrics",
            "images",
            "phantom",
            "split",
            "operating",
            "shelf",
            "overlaps",
            "overlays",
            "occluding",
            "segments",
        },
    ),
    (
        "matter",
        {
            "decisions",
            "joining",
            "nodes",
            "contours",
            "aligning",
            "intervals",
            "onnxfile",
            "archives",
            "transfer",
            "tables",
            "novelty",
            "calibrators",
            "masks",
            "backbones",
            "freezing",
            "narrowing",
            "pooling",
        },
    ),
    ("nouns", {"census", "studies", "findings", "card", "policies"}),
    ("nouns", {"checks", "provenance"}),
    ("nouns", {"recipe", "results", "samples"}),
    ("nouns", {"sections", "grids", "segmentation", "work", "trust"}),
    ("nouns", {"labels", "preprocess", "origins", "costs", "estimates", "outputs", "wording"}),
    ("ground", {"storage", "family", "progress", "arrayfile"}),
    ("ground", {"errors", "hardware", "noun", "version"}),
]
FLOOR = {room: number for number, (_, rooms) in enumerate(ROWS) for room in rooms}
HEAVY = {"torch", "torchvision", "timm", "safetensors", "onnx", "onnxscript", "onnxruntime", "pydicom", "gdcm"}
HEAVY |= {"openvino", "sklearn", "scipy", "matplotlib", "jinja2", "pyarrow", "openjpeg", "rle", "pylibjpeg"}
HEAVY |= {"torch_pruning", "segmentation_models_pytorch", "highdicom"}
HEAVY |= {"optuna", "imblearn", "mlflow", "sqlalchemy", "alembic", "pandas", "tensorboard"}
HEAVY |= {"codecarbon", "pynvml", "threadpoolctl"}
HEAVY |= {
    "uvicorn",
    "prometheus_client",
    "python_multipart",
    "gradio",
    "pynetdicom",
    "dicomweb_client",
    "opentelemetry",
}
# Rooms whose whole purpose is torch; only code that trains or runs torch opens them.
TORCH_ROOMS = {"network", "thinning", "pruning", "fit", "sources", "embeddings", "checkpoints", "augment", "training"}
MOST_LINES = 400

FILES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.name != "__init__.py")


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "laennec"


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module and whether the import stands at the top of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner.startswith("laennec.") and (SOURCE.parent / inner.replace(".", "/")).exists()
                is_module |= (SOURCE.parent / (inner.replace(".", "/") + ".py")).exists()
                found.append((inner if is_module else str(node.module), id(node) in top))
    return found


def test_every_module_stands_on_a_floor() -> None:
    assert {room_of(module_of(path)) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(module_of(path))
    for target, _ in imports(path):
        other = room_of(target)
        if not target.startswith("laennec") or other == room:
            continue
        assert other != "laennec", f"{module_of(path)} imports from the front door"
        assert FLOOR[other] > FLOOR[room], f"{module_of(path)} imports {target}, which is not below it"


@pytest.mark.parametrize("path", [f for f in FILES if f.parent.name in family.FAMILIES], ids=module_of)
def test_members_of_a_family_do_not_know_each_other(path: Path) -> None:
    module = module_of(path)
    for target, _ in imports(path):
        same = target.split(".")[:2] == ["laennec", room_of(module)] and target.count(".") >= 2
        assert not same or target == module, f"{module} imports its sibling {target}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_heavy_libraries_load_inside_functions(path: Path) -> None:
    room = room_of(module_of(path))
    for target, at_top in imports(path):
        name = target.partition(".")[0]
        if at_top and name in HEAVY:
            assert room in TORCH_ROOMS and name in {"torch", "safetensors"}, f"{module_of(path)} imports {name} at top"


def test_rooms_have_names() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not [path for path in FILES if vague & set(path.relative_to(SOURCE).with_suffix("").parts)]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_can_be_read_at_a_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("kind", family.FAMILIES)
def test_every_member_says_what_it_is_in_one_line(kind: str) -> None:
    assert family.names(kind)
    for name in family.names(kind):
        line = family.summary(kind, name)
        assert 20 <= len(line) <= 120 and line.endswith("."), f"{kind}.{name}: {line!r}"


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `code`."""
    probe = f"{code}\nimport sys; print(','.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.strip().splitlines()[-1].split(","))


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after("from laennec.cli import run\nassert run(['--help']) == 0")
    assert not loaded & (HEAVY | {"numpy", "PIL"})


def test_import_loads_nothing_heavy() -> None:
    assert not loaded_after("import laennec") & (HEAVY | {"numpy", "pydantic"})


def test_the_documented_floors_are_these() -> None:
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    for _, rooms in ROWS:
        for room in rooms - {"__main__"}:
            assert f"`{room}`" in page, f"docs/architecture.md does not show `{room}`"
