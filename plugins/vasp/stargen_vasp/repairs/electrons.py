"""Faults of diagonalisation, mixing and bands."""

from __future__ import annotations

from stargen_vasp.editing import Inputs
from stargen_vasp.outputs import head
from stargen_vasp.repairs.base import Printed

_FEW_ATOMS = 5


class Brmix(Printed):
    """Charge mixing failed."""

    fault = "brmix"
    texts = ("BRMIX: very serious problems",)
    most = 4

    def correct(self, inputs: Inputs, tries: int) -> bool:
        if inputs.tag("NELECT") is not None:
            return False  # a charged cell: the count of electrons is meant as it is
        if tries == 0 and inputs.set(ISTART=1):
            return True
        if tries <= 1 and inputs.set(IMIX=1):
            return True
        if tries <= 2 and inputs.gamma_mesh():
            return True
        changed = inputs.set(ISYM=0)
        return inputs.remove("CHGCAR", "WAVECAR") or changed


class Edddav(Printed):
    """Davidson's diagonalisation failed."""

    fault = "edddav"
    texts = ("Error EDDDAV: Call to ZHEGV failed",)

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        inputs.remove("CHGCAR")
        if tries == 0:
            return inputs.set(ALGO="All", ISEARCH=1)
        return inputs.set(NCORE=1, ALGO="Normal") or inputs.remove("WAVECAR")


class Eddrmm(Printed):
    """RMM-DIIS failed."""

    fault = "eddrmm"
    texts = ("WARNING in EDDRMM: call to ZHEGV failed",)
    advice = True
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        inputs.remove("CHGCAR", "WAVECAR")
        if inputs.text("ALGO", "NORMAL")[:1] in "FV":
            return inputs.set(ALGO="Normal")
        return inputs.set(POTIM=float(inputs.tag("POTIM", 0.5)) / 2)


class Zheev(Printed):
    """LAPACK's eigensolver failed."""

    fault = "zheev"
    texts = ("Call to routine ZHEEV failed", "ERROR in EDDIAG", "ERROR EDDIAG")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.go_on()
        fast = inputs.text("ALGO", "NORMAL")[:1] in "FV"
        return inputs.set(ALGO="Normal" if fast else "Exact")


class Psyevx(Printed):
    """ScaLAPACK's subspace rotation failed."""

    fault = "psyevx"
    texts = ("ERROR in subspace rotation PSSYEVX", "ERROR in subspace rotation PDSYEVX")

    def correct(self, inputs: Inputs, tries: int) -> bool:
        if inputs.text("ALGO", "NORMAL") != "NORMAL":
            return inputs.set(ALGO="Normal")
        return inputs.set(LSCALAPACK=False)


class Zpotrf(Printed):
    """Orthonormalisation failed: basis too crowded, symmetry broken, or a bad step."""

    fault = "zpotrf"
    texts = ("Routine ZPOTRF failed", "Routine ZPOTRF ZTRTRI failed")
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        moved = inputs.go_on()
        if tries == 0 and inputs.n_atoms < _FEW_ATOMS and inputs.set(NCORE=1):
            return True
        if tries <= 1 and inputs.set(ISYM=0):
            return True
        if not moved and int(inputs.tag("ISIF", 2)) >= 3:
            inputs.strain(1.06)  # about 20 % in volume: no step was finished, the cell is too dense
            inputs.remove("CHGCAR", "WAVECAR")
            return True
        return inputs.set(POTIM=float(inputs.tag("POTIM", 0.5)) / 2)


class SubSpaceMatrix(Printed):
    """The subspace matrix lost its hermiticity."""

    fault = "subspacematrix"
    texts = ("Sub-Space-Matrix is not hermitian in DAV",)
    advice = True

    def correct(self, inputs: Inputs, tries: int) -> bool:
        if inputs.text("LREAL", "FALSE") not in ("FALSE", ".FALSE.", "F"):
            return inputs.set(LREAL=False)
        return inputs.set(PREC="Accurate") or inputs.set(ALGO="All")


class RealSpace(Printed):
    """The projection in real space failed."""

    fault = "real-space projection"
    texts = ("REAL_OPTLAY: internal error", "REAL_OPT: internal ERROR", "ERROR RSPHER")
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(LREAL=False)


class NichtKonvergent(Printed):
    """Bessel functions of the real-space projection did not converge."""

    fault = "nicht_konv"
    texts = ("SBESSELITER : nicht konvergent",)
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(LREAL=False)


class TooFewBands(Printed):
    """The highest band is occupied."""

    fault = "too_few_bands"
    texts = ("TOO FEW BANDS",)
    most = 4

    def correct(self, inputs: Inputs, tries: int) -> bool:
        bands = inputs.tag("NBANDS") or bands_printed(inputs)
        if not bands:
            return False
        inputs.remove("WAVECAR")
        return inputs.set(NBANDS=max(int(bands) + 1, round(int(bands) * 1.1)))


class NotEnoughBands(Printed):
    """Fewer bands than electrons need: the number that was asked for makes no sense."""

    fault = "nbands_not_sufficient"
    texts = ("number of bands is not sufficient",)
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.unset("NBANDS")


class GradientNotOrthogonal(Printed):
    """Conjugate gradients lost orthogonality."""

    fault = "grad_not_orth"
    texts = ("EDWAV: internal error, the gradient is not orthogonal",)

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return (not inputs.is_meta and inputs.set(ALGO="Fast")) or inputs.set(ALGO="Normal")


class AlgoTet(Printed):
    """All-band minimisation with tetrahedra."""

    fault = "algo_tet"
    texts = ("ALGO=A and IALGO=5X tend to fail",)
    advice = True

    def correct(self, inputs: Inputs, tries: int) -> bool:
        if tries == 0 and inputs.set(ALGO="Normal" if inputs.is_meta else "Fast"):
            return True
        return inputs.set(ISMEAR=0, SIGMA=0.05)


class Amin(Printed):
    """Charge sloshing along a very long axis."""

    fault = "amin"
    texts = ("One of the lattice vectors is very long (>50 A), but AMIN",)
    advice = True
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(AMIN=0.01)


class Wavecar(Printed):
    """A WAVECAR that cannot be read: cut off, or of another cell."""

    fault = "coef"
    texts = ("while reading WAVECAR", "while reading plane")
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.remove("WAVECAR")


class ElfKpar(Printed):
    """ELF is not parallel over k-points."""

    fault = "elf_kpar"
    texts = ("ELF: KPAR>1 not implemented",)
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(KPAR=1)


class PeadNcore(Printed):
    """Linear response wants each rank to hold whole bands."""

    fault = "dfpt_ncore"
    texts = ("PEAD routines do not work for NCORE", "remove the tag NPAR from the INCAR file")
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.unset("NCORE", "NPAR")


class Commutator(Printed):
    """Linear response lost the orthogonality of orbitals and their derivatives."""

    fault = "lrf_comm"
    texts = ("LRF_COMMUTATOR internal error",)
    advice = True
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(LPEAD=True)


class Grids(Printed):
    """FFT grids that the INCAR asks for are too small for the cut-off."""

    fault = "aliasing"
    texts = ("Your FFT grids (NGX,NGY,NGZ) are not sufficient",)
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        own = inputs.unset("NGX", "NGY", "NGZ", "NGXF", "NGYF", "NGZF")
        return own or inputs.set(PREC="Accurate")


class Fexcf(Printed):
    """The density left the table of the exchange-correlation energy."""

    fault = "fexcf"
    texts = ("ERROR FEXCF: supplied exchange-correlation table",)

    def correct(self, inputs: Inputs, tries: int) -> bool:
        moved = inputs.go_on()
        return inputs.set(IBRION=2, POTIM=0.1) if tries else moved or inputs.set(POTIM=0.1)


def bands_printed(inputs: Inputs) -> int | None:
    """NBANDS as the last run took it."""
    text = head(inputs.folder / "OUTCAR", 400_000)
    at = text.find("NBANDS=")
    words = text[at + 7 : at + 30].split() if at >= 0 else []
    return int(words[0]) if words and words[0].isdigit() else None
