"""The command that makes probabilities mean frequencies and tells when a person should decide: calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Register this module's command."""
    app.command()(calibrate)


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle that classifies, of any runtime.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    method: Annotated[
        str, typer.Option(help="temperature, isotonic or beta; auto takes the best on patients left out.")
    ] = "auto",
    coverage: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of each class's images whose possible labels shall hold the truth."),
    ] = 0.9,
    root: Annotated[Path | None, typer.Option(help="Where the data lies now, if it moved since the training.")] = None,
) -> None:
    """Calibrate a bundle inside its model, and let it refer what it is not sure of. No decision changes."""
    from laennec.calibration import calibrate as run

    made = run(bundle, out, method, coverage, root=root)
    card = made.card
    how, abstention, novelty = card.calibration, card.abstention, card.novelty
    typer.echo(f"bundle:     {made.path}  ({made.digest[:12]}, {card.backend} {card.precision})")
    if how is not None:
        typer.echo(
            f"calibrated: {how.method}, on {how.n} validation images of {how.patients} patients, "
            f"{how.prevalence:.1%} with the finding"
        )
        for one in how.tried:
            told = (f"ECE {one.ece.text()}", f"Brier {one.brier.text()}", f"log loss {one.log_loss.text()}")
            typer.echo(f"  {one.method:<12}{', '.join(told)}")
    if abstention is not None:
        for name, least in abstention.least.items():
            never = "" if least else ", too few to leave it out of any set"
            typer.echo(
                f"possible:   '{name or 'none'}' from a probability of {least:.4f} "
                f"(coverage {abstention.coverage:.0%}, n = {abstention.n[name]}{never})"
            )
    if novelty is not None:
        typer.echo(
            f"unlike:     beyond {novelty.threshold:.2f} standard deviations in {novelty.kept} dimensions of the "
            f"features (n = {novelty.n} training images, {novelty.n_val} of validation)"
        )
    typer.echo(f"next:       laennec audit {out}")
