"""Makes the README's two pictures anew: the top of a run's page, and a terminal.

    PYTHONPATH=tests python scripts/screenshots.py RUN

docs/report.png is RUN/report.html in a headless Chromium, 1280 px wide; docs/terminal.svg is the
first screen of docs/first-five-minutes.md, taken from a terminal by scripts/first_five_minutes.py.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from browser import Browser

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, HEIGHT = 1280, 1000  # pixels of the page that are shown
COLUMNS = 80
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich asks for one from elsewhere


def page(run: Path) -> None:
    """Write the top of the run's page."""
    with tempfile.TemporaryDirectory() as work:
        whole = Path(work) / "page.png"
        with Browser(Path(work) / "profile") as browser:
            browser.open(run.resolve() / "report.html", WIDTH)
            browser.screenshot(whole)
        with Image.open(whole) as image:
            top = image.convert("RGB").crop((0, 0, image.width, min(HEIGHT, image.height)))
            top.quantize(128).save(DOCS / "report.png", optimize=True)


def terminal() -> None:
    """Write the first screen of the first five minutes."""
    text = (DOCS / "first-five-minutes.md").read_text()
    screen = re.findall(r"```text\n(.*?)```", text, re.DOTALL)[0]
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for line in screen.splitlines():
            style = "bold" if line.startswith("$") else "green" if line.startswith("✔") else ""
            console.print(Text(line, style), highlight=False)
        drawn = console.export_svg(title="tl train sample:things", unique_id="tl")
    (DOCS / "terminal.svg").write_text(FONTS.sub("", drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    page(parser.parse_args().run)
    terminal()


if __name__ == "__main__":
    main()
