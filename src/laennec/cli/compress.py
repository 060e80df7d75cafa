"""Commands that make a bundle smaller or quicker: prune, shrink."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from laennec.bundle import Bundle


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(prune)
    app.command()(shrink)


def shrink(
    bundle: Annotated[Path, typer.Argument(help="Folder of the fp32 torch bundle to make cheaper.")],
    out: Annotated[Path, typer.Option(help="Folder for the candidates, the table and the best bundle.")],
    within: Annotated[float, typer.Option(min=0, help="Largest validation AUROC that may be lost.")] = 0.002,
    flipped: Annotated[float, typer.Option(min=0, max=1, help="Largest share of flipped validation decisions.")] = 0.01,
    dice_lost: Annotated[float, typer.Option(min=0, help="Largest validation Dice that may be lost.")] = 0.003,
    flops: Annotated[
        str, typer.Option(help="Shares of the operations to prune to, each tried; none prunes nothing.")
    ] = "0.5,0.3,0.15",
    steps: Annotated[int, typer.Option(min=1, help="How often each is pruned and retrained.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each retraining.")] = 2,
    distil: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the parent's answers in what is learned; none of masks.")
    ] = 0.7,
    root: Annotated[Path | None, typer.Option(help="Where the data lies now, if it moved since the training.")] = None,
    lang: Annotated[str, typer.Option("--lang", help="Language the page opens in: en or fr.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")] = False,
) -> None:
    """Search for the fastest bundle that still decides the same: pruned, quantised, in every runtime there is."""
    import json

    from laennec import page, shrinking
    from laennec.cli.line import language_of, show
    from laennec.errors import UsageError

    try:
        shares = [float(share) for share in flops.split(",") if share.strip() not in {"", "none"}]
    except ValueError as error:
        raise UsageError(f"'{flops}' is no list of shares", "for example --flops 0.5,0.3") from error
    found = shrinking.shrink(
        bundle, out=out, within=within, flipped=flipped, dice_lost=dice_lost, shares=shares, steps=steps,
        epochs=epochs, distil=distil,
        root=root, language=language_of(lang),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(json.loads((out / shrinking.TABLE).read_text(encoding="utf-8")), indent=2))
        return
    show(page.comparison_text(found.comparison))
    for one in found.candidates:
        typer.echo(f"{one.name:<10} {one.made or 'refused':<20} {one.told}")
    typer.echo(f"best:       {found.bundle.path}  ({found.bundle.card.backend} {found.bundle.card.precision})")
    typer.echo(f"next:       laennec evaluate {found.bundle.path} --split test")


def prune(
    bundle: Annotated[Path, typer.Argument(help="Folder of a torch bundle of one network.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle; an unfinished pruning there is resumed.")],
    kind: Annotated[
        str, typer.Option(help="structured takes out channels; magnitude sets single weights to zero.")
    ] = "structured",
    flops: Annotated[float | None, typer.Option(help="Share of floating point operations to be left.")] = None,
    latency: Annotated[
        float | None, typer.Option(help="Milliseconds one image may take in onnxruntime fp32, here.")
    ] = None,
    share: Annotated[float | None, typer.Option(help="Share of channels, or of weights, to be gone.")] = None,
    steps: Annotated[int, typer.Option(help="How often to prune and retrain.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of each retraining.")] = 2,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak of each retraining; a tenth of the parent's by default.")
    ] = None,
    distil: Annotated[float, typer.Option(help="Share of the parent's answers in what is learned, 0 to 1.")] = 0.0,
    root: Annotated[Path | None, typer.Option(help="Where the data lies now, if it moved since the training.")] = None,
    auroc_lost: Annotated[float, typer.Option(help="Largest validation AUROC the gate lets go.")] = 0.002,
    flipped: Annotated[float, typer.Option(help="Largest share of flipped validation decisions.")] = 0.01,
    ece_gained: Annotated[float, typer.Option(help="Largest calibration error the gate lets come in.")] = 0.01,
    dice_lost: Annotated[float, typer.Option(help="Largest validation Dice the gate lets go.")] = 0.003,
    gate: Annotated[bool, typer.Option(help="Refuse a network outside those limits, or seal it all the same.")] = True,
) -> None:
    """Prune a bundle's network, retrain it, and hold it against its parent."""
    from laennec.card import Limits
    from laennec.pruning import prune as run

    made = run(
        bundle,
        out=out,
        kind=kind,
        flops=flops,
        latency=latency,
        share=share,
        steps=steps,
        epochs=epochs,
        learning_rate=learning_rate,
        distil=distil,
        root=root,
        limits=Limits(auroc_lost=auroc_lost, flipped=flipped, ece_gained=ece_gained, dice_lost=dice_lost),
        gate=gate,
    )
    _tell(made)


def _tell(made: Bundle) -> None:
    from laennec import gating

    seen = made.card.pruning
    if seen is None:
        return
    typer.echo(f"bundle:     {made.path}  ({made.digest[:12]}, {made.megabytes:.2f} MB)")
    typer.echo(
        f"operations: {seen.flops:,} for one image, {seen.flops / seen.flops_parent:.1%} of the parent's "
        f"{seen.flops_parent:,}"
    )
    typer.echo(f"parameters: {seen.parameters:,}, of which {seen.parameters - seen.nonzero:,} are zero")
    beside = seen.beside_parent
    if beside is not None:
        word = (
            "passed" if made.card.gate is not None else "not asked for, it " + ("holds" if beside.passed else "fails")
        )
        typer.echo(f"gate:       {word}: {gating.told(beside)}")
    if seen.kind == "magnitude":
        typer.echo(
            "Zeros are computed like any other number: this bundle is no smaller and no quicker than its parent. Only "
            "a packed file (zip) would be smaller. To be quicker, take --kind structured."
        )
    typer.echo(f"next:       laennec export {made.path} --out {made.path}-onnx")
