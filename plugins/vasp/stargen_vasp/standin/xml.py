"""vasprun.xml as far as pymatgen reads it, written step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from stargen_vasp.standin.electrons import Levels
from stargen_vasp.standin.job import Job
from stargen_vasp.standin.writing import VERSION, stress_kbar

if TYPE_CHECKING:
    from ase import Atoms


class VasprunXml:
    """The file of one run."""

    def __init__(self, path: Path, job: Job, calculator: str) -> None:
        self._path = path
        self._job = job
        self._file: TextIO = path.open("w")
        self._put('<?xml version="1.0" encoding="ISO-8859-1"?>', "<modeling>")
        self._put(
            " <generator>",
            _i("program", "stand-in for vasp", "string"),
            _i("version", f"{VERSION} ({calculator})", "string"),
            _i("subversion", "no DFT", "string"),
            _i("platform", "ASE", "string"),
            " </generator>",
            " <incar>",
            *(_tag(name, text) for name, text in job.tags.items()),
            " </incar>",
        )
        self._kpoints()
        self._parameters()
        self._atoms()
        self._structure(job.atoms, "initialpos")

    def step(self, atoms: Atoms, energies: list[float], last: str = "") -> None:
        """One ionic step; `last` is what only the last one has."""
        self._put(" <calculation>")
        for energy in energies:
            self._put("  <scstep>", *_energy(energy), "  </scstep>")
        self._structure(atoms)
        self._put(*_varray("forces", atoms.get_forces()), *_varray("stress", stress_kbar(atoms)))
        self._put(*_energy(energies[-1]))
        if last:
            self._put(last)
        self._put(" </calculation>")
        self._file.flush()

    def close(self, atoms: Atoms) -> None:
        self._structure(atoms, "finalpos")
        self._put("</modeling>")
        self._file.close()

    def truncate(self) -> None:
        """Break off in the middle of the last ionic step."""
        self._file.close()
        text = self._path.read_text()
        at = text.rfind('<varray name="forces"')
        self._path.write_text(text[: at + 60])

    # --- the parts --------------------------------------------------------------------------------

    def _put(self, *lines: str) -> None:
        self._file.write("\n".join(lines) + "\n")

    def _kpoints(self) -> None:
        job = self._job
        kind = "listgenerated" if job.listed else "Gamma"
        weights = job.weights / job.weights.sum()
        self._put(
            " <kpoints>",
            f'  <generation param="{kind}">',
            '   <v type="int" name="divisions">       1        1        1 </v>',
            "  </generation>",
            *_varray("kpointlist", job.kpoints),
            *_varray("weights", weights[:, None]),
            " </kpoints>",
        )

    def _parameters(self) -> None:
        job = self._job
        numbers = (
            ("NELM", 60),
            ("NSW", 0),
            ("IBRION", -1),
            ("ISIF", 2),
            ("ISPIN", 1),
            ("ISMEAR", 1),
        )
        self._put(
            " <parameters>",
            *(_i(name, str(job.whole(name, usual)), "int") for name, usual in numbers),
            _i("NBANDS", str(job.n_bands), "int"),
            _i("NELECT", f"{job.n_electrons:.8f}"),
            _i("EDIFF", f"{job.number('EDIFF', 1e-4):.8f}"),
            _i("EDIFFG", f"{job.number('EDIFFG', 1e-3):.8f}"),
            _i("ENMAX", f"{job.number('ENCUT', 300):.8f}"),
            _i("SIGMA", f"{job.number('SIGMA', 0.2):.8f}"),
            _i("LSORBIT", "F", "logical"),
            " </parameters>",
        )

    def _atoms(self) -> None:
        job = self._job
        rows = [
            f"    <rc><c>{symbol:2s}</c><c>{kind + 1:4d}</c></rc>"
            for symbol, kind in zip(
                job.atoms.get_chemical_symbols(),
                (k for k, n in enumerate(job.counts) for _ in range(n)),
                strict=True,
            )
        ]
        types = [
            f"    <rc><c>{n:4d}</c><c>{title.split()[1].split('_')[0]:2s}</c><c>10.0</c>"
            f"<c>{valence:.4f}</c><c> {title} </c></rc>"
            for n, title, valence in zip(job.counts, job.titles, job.valences, strict=True)
        ]
        self._put(
            " <atominfo>",
            f"  <atoms>{len(job.atoms)}</atoms>",
            f"  <types>{len(job.counts)}</types>",
            *_table("atoms", ["element", "atomtype"], rows),
            *_table("atomtypes", ["atomspertype", "element", "mass", "valence", "psp"], types),
            " </atominfo>",
        )

    def _structure(self, atoms: Atoms, name: str = "") -> None:
        self._put(
            f' <structure name="{name}">' if name else "  <structure>",
            "  <crystal>",
            *_varray("basis", atoms.cell.array),
            _i("volume", f"{atoms.get_volume():.8f}"),
            *_varray("rec_basis", atoms.cell.reciprocal().array),
            "  </crystal>",
            *_varray("positions", atoms.get_scaled_positions()),
            " </structure>",
        )


def last_part(
    levels: Levels,
    spins: int,
    energies: NDArray[np.float64],
    states: NDArray[np.float64],
    integral: NDArray[np.float64],
) -> str:
    """Eigenvalues and density of states, for the last ionic step."""
    lines = [
        "  <eigenvalues>",
        "   <array>",
        '    <dimension dim="1">band</dimension>',
        "    <field>eigene</field>",
        "    <field>occ</field>",
        "    <set>",
    ]
    for spin in range(1, spins + 1):
        lines.append(f'     <set comment="spin {spin}">')
        for k, (row, full) in enumerate(zip(levels.eigenvalues, levels.occupations, strict=True)):
            lines.append(f'      <set comment="kpoint {k + 1}">')
            lines += [f"       <r> {e:10.4f} {o:8.4f} </r>" for e, o in zip(row, full, strict=True)]
            lines.append("      </set>")
        lines.append("     </set>")
    lines += [
        "    </set>",
        "   </array>",
        "  </eigenvalues>",
        "  <dos>",
        _i("efermi", f"{levels.fermi_ev:.8f}"),
        "   <total>",
        "    <array>",
        "     <field>energy</field>",
        "     <field>total</field>",
        "     <field>integrated</field>",
        "     <set>",
    ]
    for spin in range(1, spins + 1):
        lines.append(f'      <set comment="spin {spin}">')
        lines += [
            f"       <r> {e:10.4f} {d:12.6f} {n:12.6f} </r>"
            for e, d, n in zip(energies, states, integral, strict=True)
        ]
        lines.append("      </set>")
    lines += ["     </set>", "    </array>", "   </total>", "  </dos>"]
    return "\n".join(lines)


def _i(name: str, text: str, kind: str = "") -> str:
    typed = f' type="{kind}"' if kind else ""
    return f'  <i{typed} name="{name}">{escape(text)}</i>'


def _tag(name: str, text: str) -> str:
    if text.upper() in ("TRUE", "FALSE", ".TRUE.", ".FALSE.", "T", "F"):
        return _i(name, text.strip(".")[:1].upper(), "logical")
    words = text.split()
    if len(words) > 1:
        return f'  <v name="{name}">{escape(text)}</v>'
    try:
        int(text)
    except ValueError:
        pass
    else:
        return _i(name, text, "int")
    try:
        float(text)
    except ValueError:
        return _i(name, text, "string")
    return _i(name, text)


def _energy(energy: float) -> list[str]:
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return ["  <energy>", *(_i(name, f"{energy:.8f}") for name in names), "  </energy>"]


def _varray(name: str, rows: NDArray[np.float64]) -> list[str]:
    return [
        f'   <varray name="{name}" >',
        *("    <v> " + " ".join(f"{x:16.10f}" for x in row) + " </v>" for row in rows),
        "   </varray>",
    ]


def _table(name: str, fields: list[str], rows: list[str]) -> list[str]:
    return [
        f'  <array name="{name}" >',
        '   <dimension dim="1">ion</dimension>',
        *(f"   <field>{field}</field>" for field in fields),
        "   <set>",
        *rows,
        "   </set>",
        "  </array>",
    ]
