"""The page itself, by Gradio: on loopback, without telemetry, shared with nobody, and asking nothing of other hosts.

Gradio keeps what is sent to it in files. They lie in a folder of this process, each is deleted once it is read, and the
pictures shown travel inside the page, not as files.
"""

from __future__ import annotations

import html
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from laennec.bundle import Bundle
from laennec.demonstrator import LAYERS, NOTICE, Answer, Demonstrator, Seen, refused
from laennec.demonstrator.words import WORDS, rule
from laennec.errors import ImageError, UsageError, extra

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST = "64mb"  # of one file
_WAITING = 16  # requests that may wait; more are turned away
_SESSIONS = 32  # people whose radiograph is held at a time
_FORGET = 600  # seconds after which it is forgotten
_LANGUAGES = (("English", "en"), ("Français", "fr"))
_STYLE = Path(__file__).with_name("page.css")
_OFF = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_RUN_HISTORY": "False",
}


def show(
    bundles: Sequence[Bundle],
    host: str = "127.0.0.1",
    port: int = 7860,
    threads: int = 0,
    ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Show the page until it is interrupted, or until `stop` is set.

    Args:
        bundles: what can be tried.
        host: an address of loopback.
        port: where it listens.
        threads: CPU threads for each model; 0 takes all cores.
        ready: called with the page's address once it answers.
        stop: ends the page.

    Raises:
        UsageError: `host` is not loopback, or `port` is taken; the page has no keys, so it is shown to nobody else.
        MissingExtra: Gradio is not installed.
    """
    if host not in LOOPBACK:
        raise UsageError(
            "this page asks for no key, so it is shown on loopback alone",
            "leave out --host, or use laennec serve with --ui and a key",
        )
    with tempfile.TemporaryDirectory(prefix="laennec-uploads-") as folder:
        os.environ.update(_OFF | {"GRADIO_TEMP_DIR": folder})
        with Demonstrator(bundles, threads) as models:
            page, look = build(models, Path(folder))
            try:
                _, address, _ = page.launch(
                    server_name=host,
                    server_port=port,
                    share=False,
                    inbrowser=False,
                    prevent_thread_lock=True,
                    quiet=True,
                    show_error=False,
                    ssr_mode=False,
                    pwa=False,
                    mcp_server=False,
                    enable_monitoring=False,
                    run_history=False,
                    footer_links=[],
                    max_file_size=_MOST,
                    max_threads=4,
                    state_session_capacity=_SESSIONS,
                    strict_cors=True,
                    **look,
                )
            except OSError as error:
                raise UsageError(f"port {port} cannot be listened on", "name a free one with --port") from error
            try:
                with _until(stop or threading.Event()) as over:
                    if ready is not None:
                        ready(address)
                    over.wait()
            finally:
                page.close(verbose=False)


@contextmanager
def _until(over: threading.Event) -> Iterator[threading.Event]:
    """SIGTERM sets the event, so that what was sent is cleared away; where no handler can be set, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield over
        return
    before = signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        yield over
    finally:
        signal.signal(signal.SIGTERM, before)


def build(models: Demonstrator, uploads: Path) -> tuple[Any, dict[str, Any]]:
    """The page, not yet started, and how it looks: what its ``launch`` takes besides.

    Args:
        models: what it asks.
        uploads: the folder where Gradio puts what is sent (its ``GRADIO_TEMP_DIR``).

    Raises:
        MissingExtra: Gradio is not installed.
    """
    os.environ.update(_OFF)
    with extra("gradio"):
        import gradio

    theme = gradio.themes.Base(
        primary_hue="sky",
        neutral_hue="slate",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )
    first = models.models[0]
    first_rules = [(rule(name).en, name) for name in models.rules(first)]
    with gradio.Blocks(title="laennec", analytics_enabled=False, delete_cache=(60, 60), fill_width=True) as page:
        seen = gradio.State(None, time_to_live=_FORGET)
        with gradio.Row(elem_classes="top"):
            with gradio.Column(scale=4, min_width=280):
                head = gradio.HTML(_head("en"), elem_id="head")
            with gradio.Column(scale=1, min_width=230):
                language = gradio.Radio(_LANGUAGES, value="en", show_label=False, container=False, elem_id="language")
        with gradio.Row(elem_classes="bench"):
            with gradio.Column(scale=2, min_width=320):
                file = gradio.File(type="filepath", label=WORDS["file"].en, height=132, elem_id="file")
                privacy = gradio.HTML(_privacy("en"), elem_id="privacy")
                said = gradio.HTML(_said(None, "en"), elem_id="said")
                chances = gradio.Label(show_heading=False, visible=False, elem_id="chances")
                model = gradio.Dropdown(
                    list(models.models),
                    value=first,
                    label=WORDS["model"].en,
                    visible=len(models.models) > 1,
                    elem_id="model",
                )
                point = gradio.Radio(
                    first_rules,
                    value=first_rules[0][1] if first_rules else None,
                    label=WORDS["rule"].en,
                    visible=bool(first_rules),
                    elem_id="point",
                )
                layers = gradio.CheckboxGroup(
                    [(WORDS[name].en, name) for name in LAYERS], label=WORDS["layers"].en, elem_id="layers"
                )
            with gradio.Column(scale=3, min_width=320):
                picture = gradio.HTML(_picture(None, "en"), elem_id="picture")
        wording = [head, language, file, privacy, model, point, layers]
        answers = [said, chances, picture]
        asked = [seen, model, point, layers, language]

        def answered(held: Seen | None, name: str, chosen: str | None, over: list[str], lang: str) -> list[Any]:
            return shown(gradio, lang, None if held is None else answer(models, held, name, chosen, over))

        def uploaded(path: str | None, name: str, chosen: str | None, over: list[str], lang: str) -> list[Any]:
            held, failed = taken(models, path, uploads)
            said_of_it = failed if held is None else answer(models, held, name, chosen, over)
            return [held, gradio.update(value=None), *shown(gradio, lang, said_of_it)]

        def worded(name: str, chosen: str | None, lang: str) -> list[Any]:
            return labels(gradio, models, name, chosen, lang)

        def opened(request: gradio.Request) -> list[Any]:
            wanted = str(request.headers.get("accept-language", "")).lower()
            lang = "fr" if wanted.startswith("fr") else "en"
            return [*labels(gradio, models, first, None, lang), *shown(gradio, lang, None)]

        # Gradio fills in a request by the type of the argument, which it reads as an object
        opened.__annotations__["request"] = gradio.Request
        quietly: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "concurrency_limit": 1}
        last = quietly | {"show_progress": "hidden", "trigger_mode": "always_last"}
        page.load(opened, None, [*wording, *answers], **quietly, show_progress="hidden")
        file.upload(
            uploaded, [file, model, point, layers, language], [seen, file, *answers], **quietly, show_progress_on=said
        )
        for control in (point, layers):
            control.input(answered, asked, answers, **last)
        for choice in (model, language):
            choice.input(worded, [model, point, language], wording, **last).then(answered, asked, answers, **last)
    page.queue(max_size=_WAITING, default_concurrency_limit=1, api_open=False)
    return page, {"theme": theme, "css": _STYLE.read_text(encoding="utf-8")}


def taken(models: Demonstrator, path: str | None, uploads: Path) -> tuple[Seen | None, Answer]:
    """A file that was sent into `uploads`, read and deleted; what is said where it cannot be read. A file elsewhere is
    not touched.
    """
    if path is None or not Path(path).resolve().is_relative_to(uploads.resolve()):
        return None, refused("not_found")
    try:
        return models.read(Path(path)), refused("fault")
    except ImageError as error:
        return None, refused(error.code)
    except Exception:  # a page shows words, never a traceback
        return None, refused("fault")
    finally:
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)


def answer(models: Demonstrator, seen: Seen, model: str, chosen: str | None, layers: Collection[str]) -> Answer:
    """What is said of a radiograph; words where the model fails."""
    try:
        return models.answer(seen, model, chosen, layers)
    except Exception:
        return refused("fault")


def labels(gradio: Any, models: Demonstrator, model: str, chosen: str | None, lang: str) -> list[Any]:
    """The wording of everything that is not an answer, in one language."""
    rules = models.rules(model)
    return [
        gradio.update(value=_head(lang)),
        gradio.update(value=lang),
        gradio.update(label=WORDS["file"].in_(lang)),
        gradio.update(value=_privacy(lang)),
        gradio.update(label=WORDS["model"].in_(lang)),
        gradio.update(
            label=WORDS["rule"].in_(lang),
            choices=[(rule(name).in_(lang), name) for name in rules],
            value=chosen if chosen in rules else rules[0] if rules else None,
            visible=bool(rules),
        ),
        gradio.update(label=WORDS["layers"].in_(lang), choices=[(WORDS[name].in_(lang), name) for name in LAYERS]),
    ]


def shown(gradio: Any, lang: str, one: Answer | None) -> list[Any]:
    """An answer, or that there is none yet, as what the page's parts are given."""
    chances = dict(one.chances) if one is not None else {}
    name = WORDS["chances" if one is not None and one.calibrated else "scores"]
    return [
        _said(one, lang),
        gradio.update(value=chances or None, visible=bool(chances), label=name.in_(lang)),
        _picture(one, lang),
    ]


def _head(lang: str) -> str:
    return (
        f'<h1 lang="{lang}">{html.escape(WORDS["title"].in_(lang))}</h1>'
        f'<p class="notice" lang="{lang}">{html.escape(NOTICE.in_(lang))}</p>'
    )


def _privacy(lang: str) -> str:
    return f'<p lang="{lang}">{html.escape(WORDS["privacy"].in_(lang))}</p>'


def _said(one: Answer | None, lang: str) -> str:
    """A card that a screen reader speaks when it changes."""
    if one is None:
        return f'<p class="empty" lang="{lang}">{html.escape(WORDS["nothing"].in_(lang))}</p>'
    lines = "".join(f"<p>{html.escape(text.in_(lang))}</p>" for text in one.said)
    because = "".join(f"<p>{html.escape(text.in_(lang))}</p>" for text in one.refer)
    if because:
        because = f'<div class="refer"><h3>{html.escape(WORDS["refer"].in_(lang))}</h3>{because}</div>'
    return (
        f'<section class="card {one.kind}" role="status" aria-live="polite" lang="{lang}">'
        f"<h2>{html.escape(one.headline.in_(lang))}</h2>{because}{lines}</section>"
    )


def _picture(one: Answer | None, lang: str) -> str:
    if one is None or not one.picture:
        return f'<div class="film" lang="{lang}"><p>{html.escape(WORDS["no_picture"].in_(lang))}</p></div>'
    about = html.escape(WORDS["picture"].in_(lang), quote=True)
    return f'<div class="film"><img src="{one.url}" alt="{about}"></div>'
