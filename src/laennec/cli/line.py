"""Commands that make and judge bundles: demo, train, audit, evaluate, ensemble, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from laennec.bundle import Bundle
    from laennec.page import Language

_Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]
_Root = Annotated[Path | None, typer.Option(help="Where the data lies now, if it moved since the training.")]
_Split = Annotated[str, typer.Option(help="train, val or test.")]
_Lang = Annotated[str, typer.Option("--lang", help="Language the page opens in: en or fr.")]


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (demo, train, audit, evaluate, ensemble, export):
        app.command()(command)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the three bundles and the comparison.")] = Path("runs/demo"),
    lang: _Lang = "en",
) -> None:
    """The whole line on embedded synthetic radiographs, then the table of what compression cost."""
    from laennec import page
    from laennec.demonstration import demo as run

    comparison = run(out, language=language_of(lang))
    show(page.comparison_text(comparison))
    typer.echo(f"report:     {out / 'fp32' / 'reports' / 'test' / 'report.html'}")
    typer.echo(f"comparison: {out / 'comparison.html'}")
    typer.echo(f"next:       laennec predict {out / 'int8'} YOUR_IMAGE")


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, by path or by name; see `laennec list recipes`.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle; an unfinished training there is resumed.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of the recipe: key=value, dotted keys.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="A tracker beside jsonl; see `laennec list trackers`.")
    ] = None,
) -> None:
    """Train a recipe into a bundle."""
    from laennec import shelf
    from laennec.recipe import Recipe
    from laennec.training import train as run

    bundle = run(Recipe.read(shelf.find(recipe), changes or []), out, trackers=track or [])
    seen = bundle.card.training
    typer.echo(f"bundle:     {bundle.path}  ({bundle.digest[:12]}, {bundle.card.parameters:,} parameters)")
    joined = bundle.card.ensemble
    kept = f"epoch {seen.kept_epoch} kept" if joined is None else f"{len(joined.members)} members by {joined.rule}"
    typer.echo(f"training:   {seen.epochs} epochs in {seen.seconds:.0f} s, {kept}")
    typer.echo(f"validation: {_validation(bundle)}")
    if seen.energy is not None:
        used = seen.energy
        typer.echo(
            f"energy:     {used.watt_hours:.3g} Wh, {used.grams:.3g} g CO2e ({used.kind} ±{used.error:.0%}, "
            f"grid: {used.grid.place} {used.grid.year})"
        )
    typer.echo(f"next:       laennec evaluate {out} --split test")


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    split: _Split = "test",
    root: _Root = None,
    on: Annotated[
        str, typer.Option(help="Judge on all of another data set: its name, see `laennec list datasets`.")
    ] = "",
    options: Annotated[
        list[str] | None, typer.Option("--set", help="An option of that data set: key=value, as in [data] of a recipe.")
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Take that set though it shares images with the training's; it is told.")
    ] = False,
    audited: Annotated[
        Path | None, typer.Option(help="Folder of `laennec data audit`, to be told in the report.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="The trackers of the training, to tell them of the report.")
    ] = None,
    lang: _Lang = "en",
    as_json: _Json = False,
) -> None:
    """Judge a bundle on one part of its split, or on another data set; writes report.json and report.html."""
    from laennec import page
    from laennec.errors import UsageError
    from laennec.evaluation import evaluate as run
    from laennec.recipe import data_of

    if options and not on:
        raise UsageError("--set is for the data set of --on", "name it: --on pairs --set masks=lung_masks")
    other = data_of(on, [*([f"root={root}"] if root else []), *(options or [])]) if on else None
    own_root = None if on else root
    report = run(
        bundle,
        split,
        root=own_root,
        on=other,
        shared=shared,
        audited=audited,
        language=language_of(lang),
        trackers=track or [],
    )
    show(report.model_dump(mode="json") if as_json else page.report_text(report))


def audit(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle that classifies.")],
    split: Annotated[str, typer.Option(help="val, test or train; ask on test once the model is frozen.")] = "val",
    root: _Root = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A probe of `laennec list probes`; all of them by default.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if a check fails or cannot look.")] = False,
    lang: _Lang = "en",
    as_json: _Json = False,
) -> int:
    """What a metric does not tell of a model: does it need the lungs, what disturbs it, for whom does it fail?"""
    from laennec import page
    from laennec.probing import audit as run

    made = run(bundle, split, root=root, only=only or [], language=language_of(lang))
    show(made.model_dump(mode="json") if as_json else page.audit_text(made))
    if not as_json:
        typer.echo(f"page: {bundle / 'reports' / f'audit-{split}' / 'audit.html'}")
        typer.echo(f"next: laennec evaluate {bundle} --split test")
    return 1 if strict and (made.verdict == "fail" or made.unlooked) else 0


def ensemble(
    bundles: Annotated[list[Path], typer.Argument(help="Torch bundles of one data set, split and input.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    rule: Annotated[str, typer.Option(help="mean of probabilities, or vote at each member's threshold.")] = "mean",
    weights: Annotated[str, typer.Option(help="fitted on validation, or equal.")] = "fitted",
    views: Annotated[str, typer.Option(help="What each member answers for: plain, or plain,flip.")] = "plain",
    threshold_views: Annotated[
        int | None, typer.Option(min=0, help="Fit thresholds on so many changed views of each validation image.")
    ] = None,
    root: _Root = None,
) -> None:
    """Join bundles, or views by one bundle, into one bundle that answers, exports and compares like any other."""
    from laennec.ensembling import ensemble as run
    from laennec.recipe import of_section
    from laennec.sections import Ensemble

    how = of_section(Ensemble, {"rule": rule, "weights": weights, "views": views.split(",")}, "ensemble")
    made = run(bundles, out, how, root=root, threshold_views=threshold_views)
    joined = made.card.ensemble
    typer.echo(f"bundle:     {made.path}  ({made.digest[:12]}, {made.card.parameters:,} parameters)")
    for member in joined.members if joined else ():
        typer.echo(f"member:     {member.name}, weight {member.weight:.3f}")
    typer.echo(f"next:       laennec evaluate {out} --split test")


def export(
    bundle: Annotated[Path, typer.Argument(help="Folder of an fp32 bundle.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    backend: Annotated[
        str, typer.Option(help="The runtime, see `laennec list backends`; auto takes the fastest here that passes.")
    ] = "onnxruntime",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16 or int8, as the backend offers; fp32 by default, any of them with auto.")
    ] = "",
    root: _Root = None,
    auroc_lost: Annotated[float, typer.Option(min=0, help="Largest validation AUROC the gate lets go.")] = 0.002,
    flipped: Annotated[float, typer.Option(min=0, max=1, help="Largest share of flipped validation decisions.")] = 0.01,
    ece_gained: Annotated[float, typer.Option(min=0, help="Largest calibration error the gate lets come in.")] = 0.01,
    dice_lost: Annotated[float, typer.Option(min=0, help="Largest validation Dice the gate lets go.")] = 0.003,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="int8: try all settings, not only until one passes.")
    ] = False,
) -> None:
    """Export a bundle to a runtime, quantise it, and hold it against its parent."""
    from laennec import gating
    from laennec.card import Limits
    from laennec.conversion import export as run

    limits = Limits(auroc_lost=auroc_lost, flipped=flipped, ece_gained=ece_gained, dice_lost=dice_lost)
    made = run(bundle, backend, precision, out=out, root=root, limits=limits, thorough=thorough)
    card = made.card
    typer.echo(f"bundle: {made.path}  ({made.digest[:12]}, {card.backend} {card.precision}, {made.megabytes:.2f} MB)")
    if card.gate is not None:
        typer.echo(f"passed: {gating.told(card.gate)}")


def _validation(bundle: Bundle) -> str:
    """What was reached on validation: AUROC, Dice, or both, each with what it rests on."""
    card, figures = bundle.card, bundle.card.training.validation
    auroc, told = figures["auroc"], []
    if card.classifies:
        told.append(f"AUROC {'n/a' if auroc is None else f'{auroc:.4f}'}, n = {card.operating_point.n}")
    if card.outline is not None and card.outline.dice is not None:
        told.append(f"Dice {card.outline.dice:.4f}, n = {card.outline.n}")
    return "; ".join(told)


def language_of(lang: str) -> Language:
    """The language a person named. Raises `UnknownName` for any but en and fr."""
    from laennec.errors import UnknownName

    languages: dict[str, Language] = {"en": "en", "fr": "fr"}
    if lang not in languages:
        raise UnknownName("language", lang, languages)
    return languages[lang]


def show(what: Any) -> None:
    """JSON of a dict or list, anything else as rich writes it."""
    if isinstance(what, dict | list):
        typer.echo(json.dumps(what, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(what)
