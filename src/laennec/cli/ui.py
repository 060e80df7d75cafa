"""A command for those who would rather see: ui."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_GRADIO_PORT, _SERVICE_PORT = 7860, 8080


def add_to(app: typer.Typer) -> None:
    """Register this module's command."""
    app.command()(ui)


def ui(
    bundles: Annotated[list[Path], typer.Argument(help="Folders of bundles; the first is shown first.")],
    gradio: Annotated[bool, typer.Option("--gradio", help="A simple page by Gradio instead of the service's.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where it listens; 8080, or 7860 with --gradio.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of each model; 0 takes all cores.")] = 0,
) -> int:
    """Try bundles by hand: drop a radiograph on a page in the browser, on this machine alone.

    Without --gradio it is `laennec serve --ui`. Research use only, not a medical device.
    """
    if not gradio:
        from laennec.serve import Settings, serve

        return serve(Settings(bundles=tuple(bundles), ui=True, port=port or _SERVICE_PORT, threads=threads))
    from laennec.bundle import open_bundle
    from laennec.demonstrator.page import show

    def ready(address: str) -> None:
        typer.echo(f"open {address} in a browser; Ctrl+C ends it. Research use only. Not a medical device.")

    show([open_bundle(path) for path in bundles], port=port or _GRADIO_PORT, threads=threads, ready=ready)
    return 0
