from __future__ import annotations

import re
import subprocess
import sys

from support.markdown import ROOT


def test_the_page_of_calculators_is_what_they_say_of_themselves():
    script = ROOT / "tools" / "calculator_reference.py"
    done = subprocess.run(
        [sys.executable, str(script), "--print"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    untold = re.findall(r"^\| (`\w+`) .*\|  \|$", done.stdout, re.MULTILINE)
    assert untold == [], "say in the docstring what these parameters mean"
    page = (ROOT / "docs" / "reference" / "calculators.md").read_text()
    assert page == done.stdout, f"run {script.relative_to(ROOT)}"
