"""Draw the pictures of the dashboard for the documentation: `python tools/dashboard_pictures.py`.

They show the campaign of the tests, which is made from a seed, at a fixed moment: a page that looks
the same gives the same file. With `--png` and Chromium at hand they are written as PNG as well.

    python tools/dashboard_pictures.py                        # docs/pictures/dashboard/*.svg
    python tools/dashboard_pictures.py --every --folder /tmp/p --png  # all, to look at
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.shown import ToldMaster, lay_shown  # noqa: E402 - found by the line above
from support.viewer import dashboard, press, seen, settled, told  # noqa: E402

from stargen.store import CampaignFolder  # noqa: E402

SIZES = {"80x24": (80, 24), "160x50": (160, 50)}
PAGES = {
    "overview": "1",
    "nodes": "2 c",
    "node": "2 tab down enter",
    "tasks": "3",
    "running": "3 enter",
    "task": "3 slash j o b : r e l a x space f i n i s h e d enter enter",
    "failures": "4",
    "failure": "4 enter",
    "candidates": "5",
    "candidate": "5 enter",
    "journal": "6",
    "allocations": "7",
    "help": "3 question_mark",
    "confirm": "4 tab L",
    "past": "1 left_square_bracket left_square_bracket",
}
SHOWN = frozenset(
    ("overview-160x50", "overview-80x24", "nodes-160x50", "running-80x24", "task-160x50",
     "failures-160x50", "candidate-160x50", "allocations-80x24")
)  # fmt: skip
"""Those that the documentation shows."""

_OTHERS = ("stargen-light", "stargen-safe", "stargen-16")
THEMES = dict.fromkeys(("overview", "nodes", "tasks", "failures", "help"), _OTHERS)
_CLEAR = ("escape", "escape", "escape", "end", "1")


async def draw(campaign: CampaignFolder, folder: Path, *, every: bool) -> list[Path]:
    """The pictures of the documentation, or every page at every size and some in every theme."""
    written: list[Path] = []
    for name, size in SIZES.items():
        app = dashboard(campaign, master=ToldMaster(), control=True)
        async with seen(app, size) as pilot:
            for page, keys in PAGES.items():
                if not every and f"{page}-{name}" not in SHOWN:
                    continue
                await press(pilot, *_CLEAR, *keys.split())
                if page in ("node", "tasks", "running"):
                    await told(pilot, app)
                written.append(_write(folder / f"{page}-{name}.svg", app.export_screenshot()))
                for theme in THEMES.get(page, ()) if every else ():
                    app.theme = theme
                    await settled(pilot)
                    file = folder / f"{page}-{name}-{theme.removeprefix('stargen-')}.svg"
                    written.append(_write(file, app.export_screenshot()))
                    app.theme = "stargen"
    return written


def _write(file: Path, svg: str) -> Path:
    """Without the name that Rich draws for it from its content and the hour."""
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    file.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    return file


def rasterise(svg: Path) -> None:
    """An SVG as PNG beside it, by Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("there is no chromium here")
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text()).groups()
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                chromium,
                *[
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                ],
                *["--disable-background-networking", "--disable-component-update"],
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--screenshot={svg.with_suffix('.png')}",
                f"--window-size={int(float(width)) + 1},{int(float(height)) + 1}",
                svg.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures" / "dashboard")
    parser.add_argument("--every", action="store_true", help="every page, size and theme")
    parser.add_argument("--png", action="store_true")
    options = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        campaign = lay_shown(Path(place) / "campaign")
        written = asyncio.run(draw(campaign, options.folder.resolve(), every=options.every))
    for file in written:
        if options.png:
            rasterise(file)
        print(file)


if __name__ == "__main__":
    main()
