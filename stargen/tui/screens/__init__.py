"""The pages, in the order of their numbers."""

from __future__ import annotations

from stargen.tui.page import Page
from stargen.tui.screens.allocations import Allocations
from stargen.tui.screens.candidates import Candidates
from stargen.tui.screens.failures import Failures
from stargen.tui.screens.journal import Journal
from stargen.tui.screens.nodes import Nodes
from stargen.tui.screens.overview import Overview
from stargen.tui.screens.tasks import Tasks

PAGES: dict[str, type[Page]] = {
    page.tab: page for page in (Overview, Nodes, Tasks, Failures, Candidates, Journal, Allocations)
}
