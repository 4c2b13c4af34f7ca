"""Writes docs/first-five-minutes.md anew: a newcomer's commands, and what the screen then shows.

Runs every command on a terminal of 80 columns, in a folder of its own, so that the page is what
people see. Needs photographs in one folder for each class, and a new one of one of them:

    PYTHONPATH=tests python scripts/first_five_minutes.py PHOTOS NEW_PHOTO
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
from pathlib import Path

from terminal import on_terminal, seen

PAGE = Path(__file__).parents[1] / "docs" / "first-five-minutes.md"
HOME = "/home/you"
COLUMNS = 80
PROGRAM = "import sys; sys.argv = {words!r}; from tl_cli.cli.app import main; main()"

TEXT = """\
# The first five minutes

From nothing to an answer about a photo of your own. Nothing has to be known beforehand; the few
words that have a meaning of their own are in the [glossary](glossary.md). The screens are as they
were on a terminal of 80 columns, on two processor cores; `scripts/first_five_minutes.py` makes this
page anew.

## Without any images

After the [installation](../README.md) there are 156 photographs to try it with, of animals, fish,
monuments, tools and windmills:

{sample}

The line with the tick is the answer to "how good is it?". These images were not shown to it while
it learned. Below it: where the result lies, a page about it to open in a browser, and what to type
next.

## Your own photos

Put the photos into one folder for each thing that is to be told apart. The names of the folders are
the names of the answers:

```text
{tree}
```

Twenty photos of each are enough to begin with. Then:

{train}

"Recognises" is about photos that it never saw: `--test 0.2` puts a fifth of them aside, by chance.
The more of them there are, the surer the figure; that is what the range behind it says.

## A new photo

`IMG_2041.jpg` is a photo of a flower that is in none of the folders:

{predict}

The number is how sure it is: 1.000 is certain, and with five kinds of flowers 0.200 would be a
guess. A whole folder can be asked about in the same way; then the last lines count the answers.

## Why does it say so?

{explain}

`sheet.html` shows the photo, where in it the reason for the answer lies, and the photos it learned
from that look most alike.

To try photos by dropping them on a page in the browser, `pip install 'tl-cli[demo]'` and then
`tl demo runs/photos`. The page is on your machine alone, and so are the photos.

## What was made

{runs}

*Head alone* means that the network was left as it came, and only the last step was learned. What
else can be done: `tl --help`, and the [tour](../README.md#a-tour-on-your-own-images).
"""


def main() -> None:
    """Run the commands and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("new", type=Path)
    given = parser.parse_args()
    photos, new = given.photos.resolve(), given.new.resolve()
    with tempfile.TemporaryDirectory() as place:
        os.environ["TL_CACHE"] = f"{place}/cache"
        home = Path(place) / "home"
        shutil.copytree(photos, home / "photos")
        shutil.copy(new, home / "IMG_2041.jpg")
        os.chdir(home)
        screens = {
            "sample": screen("tl train sample:things"),
            "train": screen("tl train photos --test 0.2"),
            "predict": screen("tl predict runs/photos IMG_2041.jpg"),
            "explain": screen("tl explain runs/photos IMG_2041.jpg --neighbours 3"),
            "runs": screen("tl runs"),
        }
        page = TEXT.format(tree=tree(home / "photos"), **screens)
        PAGE.write_text(page.replace(str(home.resolve()), HOME), encoding="utf-8")


def screen(command: str) -> str:
    """Run a command, and return it with what then stands on the terminal, as a block of text."""
    words = shlex.split(command)
    lines = seen(on_terminal(PROGRAM.format(words=words), columns=COLUMNS))
    return "\n".join(["```text", f"$ {command}", *lines]).rstrip() + "\n```"


def tree(folder: Path) -> str:
    """Return the folders of a folder, with the first of the files in each."""
    lines = [f"{folder.name}/"]
    for inner in sorted(folder.iterdir()):
        names = sorted(path.name for path in inner.iterdir())
        lines.append(f"  {inner.name}/")
        lines.append(f"    {names[0]}  and {len(names) - 1} more")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
