"""Commands that make a bundle smaller or quicker: prune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from laennec.bundle import Bundle


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(prune)


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
        limits=Limits(auroc_lost=auroc_lost, flipped=flipped, ece_gained=ece_gained),
        gate=gate,
    )
    _tell(made)


def _tell(made: Bundle) -> None:
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
        typer.echo(
            f"gate:       {word}: on {beside.images} validation images AUROC {beside.auroc_parent:.4f} -> "
            f"{beside.auroc:.4f}, {beside.flipped:.2%} flipped"
        )
    if seen.kind == "magnitude":
        typer.echo(
            "Zeros are computed like any other number: this bundle is no smaller and no quicker than its parent. Only "
            "a packed file (zip) would be smaller. To be quicker, take --kind structured."
        )
    typer.echo(f"next:       laennec export {made.path} --out {made.path}-onnx")
