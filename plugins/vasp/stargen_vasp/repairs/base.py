"""What a repair is: one fault, how it is seen, what is changed for the next try."""

from __future__ import annotations

from typing import ClassVar

from stargen.calculators.contract import Finding
from stargen_vasp.editing import Inputs
from stargen_vasp.outputs import Outputs
from stargen_vasp.run import Run


class Repair:
    """One fault.

    fault : its name
    most : how often it may be corrected in one step of a task
    watched : seen while VASP runs, which is then ended; otherwise judged after the end
    """

    fault: ClassVar[str]
    most: ClassVar[int] = 2
    watched: ClassVar[bool] = False

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        """Whether the fault is there."""
        raise NotImplementedError

    def correct(self, inputs: Inputs, tries: int) -> bool:
        """Change the inputs; `tries` corrections went before. False if there is nothing to change.

        Raises
        ------
        stargen.errors.TaskError : what other class of failure this is
        """
        raise NotImplementedError


class Printed(Repair):
    """A fault that VASP prints itself, in one of several wordings.

    advice : the text alone is no fault, many runs print it and end well
    """

    texts: ClassVar[tuple[str, ...]]
    watched = True
    advice: ClassVar[bool] = False

    def check(self, outputs: Outputs, run: Run) -> Finding | None:
        for text in self.texts:
            at = outputs.printed.find(text)
            if at >= 0:
                return Finding(self.fault, _line(outputs.printed, at))
        return None


def _line(text: str, at: int) -> str:
    """The line around a position, without VASP's box."""
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return text[begin : end if end >= 0 else None].strip(" |\r")[:160]
