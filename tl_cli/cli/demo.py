"""`tl demo`."""

from __future__ import annotations

import contextlib
import json as jsonlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.session import Terminated, opened_screen
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tl_cli.console.screen import Screen

HOST, PORT = "127.0.0.1", 7860
PORTS = 20  # that are tried from PORT on, where none was asked for
GRACE = 1  # seconds that pages which are still open get when the server ends


def demo(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help=f"Of the page.  [default: {PORT}, or the next free]"),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses an image.")] = 5,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Call what is less probable `unsure`.")
    ] = 0.5,
    neighbours: Annotated[
        int, typer.Option(min=0, help="Most similar training images shown beside each.")
    ] = 5,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Open a page on this machine to drop images on: what they show, and why."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.store.run_dir import checkpoint_of

        run = checkpoint_of(checkpoint)
        _need_gradio()
        with _listening(port) as listener:
            from tl_cli.engine import demo as engine
            from tl_cli.report import demo as pages

            loaded = engine.load(
                run, screen.on_progress, top=top_k, least=min_confidence, neighbours=neighbours
            )
            screen.settle()
            port_used = int(listener.getsockname()[1])
            classes = loaded.classifier.classes
            what, says = _about(classes, loaded.classifier.task)
            title = f"{run.path.resolve().name}: {what}"
            about = (
                f"Drop images on the field below: the page says {says}. They stay on this machine."
            )
            with tempfile.TemporaryDirectory(prefix="tl-demo-") as uploads:
                application = pages.application(
                    loaded.answer, title, about, Path(uploads), port_used
                )
                _serve(application, listener, screen, json)


def _need_gradio() -> None:
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise TLError(
            "the page is made with gradio, which is not installed", "pip install 'tl-cli[demo]'"
        )


@contextlib.contextmanager
def _listening(port: int | None) -> Iterator[socket.socket]:
    """Give a socket of this machine alone: nobody else can reach it. Raises TLError."""
    for number in [port] if port else [*range(PORT, PORT + PORTS), 0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with listener:
            try:
                listener.bind((HOST, number))
                listener.listen()  # whoever comes from now on waits until there is an answer
            except OSError as error:
                reason = error
                continue
            yield listener
            return
    raise TLError(f"port {port} cannot be used: {reason.strerror}", "choose another --port")


def _about(classes: tuple[str, ...], task: str) -> tuple[str, str]:
    """Return what a run is of, and what its page says of images."""
    from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION
    from tl_cli.humanize import naming

    n, named = len(classes), naming(classes, 12)
    return {
        CLASSIFICATION: (f"{n} classes", f"which of these they show: {named}"),
        MULTILABEL: (f"{n} labels", f"which of these they show, one, several or none: {named}"),
        REGRESSION: (f"the number {classes[0]}", f"their {classes[0]}, as a number"),
    }[task]


def _serve(application: FastAPI, listener: socket.socket, screen: Screen, json: bool) -> None:
    """Say where the page is, and serve it until Ctrl-C, which is how it is closed."""
    import uvicorn

    settings = uvicorn.Config(
        application,
        log_config=None,  # its own would close every handler that there is, and absl's its stream
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    try:
        _tell(f"http://{HOST}:{listener.getsockname()[1]}", screen, json)
        uvicorn.Server(settings).run(sockets=[listener])
    except KeyboardInterrupt as stop:
        if isinstance(stop, Terminated):
            raise
    screen.note("the page is closed")


def _tell(url: str, screen: Screen, json: bool) -> None:
    if json:
        print(jsonlib.dumps({"url": url}), flush=True)
    else:
        screen.out.print(f"The page is at {url} (Ctrl-C ends it)", highlight=False, soft_wrap=True)
