"""Answers -> the page of `tl demo`, which is served on this machine alone. Knows no networks.

gradio takes the uploads and shows them; what is said of them is a template like any other page's.
Nothing on the page comes from elsewhere: no fonts, no scripts, and nothing is reported to anybody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.data.manifest import Record
from tl_cli.humanize import count, printable
from tl_cli.report import images
from tl_cli.report.page import rendered
from tl_cli.results.demo import DemoAnswer

if TYPE_CHECKING:
    from fastapi import FastAPI

MOST = 20  # images that are answered at a time
MOST_BYTES = "100mb"  # of an upload
FONTS = ("system-ui", "sans-serif")
HOST = "127.0.0.1"
# before gradio is imported: it would tell its makers, and ask them for the newest version
SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_SSR_MODE": "False",
}

Answer = Callable[[str], DemoAnswer]


def application(answer: Answer, title: str, about: str, uploads: Path, port: int) -> FastAPI:
    """Return the page as an application for a server. `uploads`: a folder for what is dropped."""
    os.environ.update(SILENT, GRADIO_TEMP_DIR=str(uploads))
    import fastapi
    import gradio

    css = (files("tl_cli.report") / "templates" / "demo.css").read_text(encoding="utf-8")
    theme = gradio.themes.Default(font=FONTS, font_mono=("ui-monospace", "monospace"))
    application: FastAPI = gradio.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None), _page(answer, title, about), path="/",
        server_name=HOST, server_port=port, footer_links=[], max_file_size=MOST_BYTES,
        ssr_mode=False, mcp_server=False, pwa=False, enable_monitoring=False,
        theme=theme, css=css, show_error=False,
    )  # fmt: skip
    return application


def _page(answer: Answer, title: str, about: str) -> Any:
    import gradio

    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.HTML(rendered("demo_head.html.jinja", title=title, about=about))
        dropped = gradio.File(
            file_count="multiple", label="Images to look at", elem_id="tl-dropped", height=140
        )
        said = gradio.HTML(elem_id="tl-said")
        dropped.change(
            lambda paths: answers_html(answer, paths or ()), dropped, said,
            api_visibility="private", concurrency_limit=1,
        )  # fmt: skip
    return page


def answers_html(answer: Answer, paths: Sequence[str]) -> str:
    """Return what is said of some image files, as a piece of the page."""
    more = len(paths) - MOST
    return rendered(
        "demo.html.jinja",
        shown=[_shown(answer(path)) for path in paths[:MOST]],
        more=f"{count(more, 'more file')} not looked at: {MOST} at a time." if more > 0 else "",
    )


def _shown(answer: DemoAnswer) -> dict[str, Any]:
    record = Record(answer.path, "")
    good = not answer.error
    return {
        "answer": answer,
        "file": printable(Path(answer.path).name),
        "best": answer.guesses[0][0] if answer.guesses else "",
        "picture": images.picture(record, images.LARGE) if good else "",
        "heat": "" if answer.heat is None else images.with_heat(record, answer.heat),
        "neighbours": [(n, images.picture(Record(n.path, n.label))) for n in answer.neighbours],
    }
