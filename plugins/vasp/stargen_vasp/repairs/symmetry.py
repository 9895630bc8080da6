"""Faults of symmetry, k-points and tetrahedra."""

from __future__ import annotations

from typing import Any, ClassVar

from stargen_vasp.editing import Inputs
from stargen_vasp.repairs.base import Printed

_USUAL_SYMPREC = 1e-5
_FEW_ATOMS = 50


class Ladder(Printed):
    """Tries one set of INCAR tags after another."""

    rungs: ClassVar[tuple[dict[str, Any], ...]]

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return any(inputs.set(**rung) for rung in self.rungs[tries:])


class InverseRotation(Ladder):
    """A rotation has no inverse within the tolerance."""

    fault = "inv_rot_mat"
    texts = ("rotation matrix was not found (increase SYMPREC)",)
    rungs = ({"SYMPREC": 1e-8}, {"ISYM": 0})


class Pricel(Ladder):
    """The search for the primitive cell failed."""

    fault = "pricel"
    texts = ("internal error in subroutine PRICEL",)
    rungs = ({"SYMPREC": 1e-8, "ISYM": 0},)
    most = 1


class SymprecNoise(Ladder):
    """The symmetry found depends on the tolerance."""

    fault = "symprec_noise"
    texts = ("determination of the symmetry of your systems shows a strong",)
    rungs = ({"SYMPREC": 1e-6}, {"ISYM": 0})
    advice = True


class Bravais(Ladder):
    """Direct and reciprocal lattice are of different classes."""

    fault = "bravais"
    texts = ("Inconsistent Bravais lattice",)
    rungs = ({"SYMPREC": 1e-6}, {"ISYM": 0})


class Ksymm(Ladder):
    """K-points do not map onto each other."""

    fault = "ksymm"
    texts = ("Fatal error: unable to match k-point", "Fatal error detecting k-mesh")
    rungs = ({"SYMPREC": 1e-6}, {"ISYM": 0})


class KpointsTrans(Ladder):
    """Plane waves of symmetric k-points differ in number."""

    fault = "kpoints_trans"
    texts = ("internal error in GENERATE_KPOINTS_TRANS",)
    rungs = ({"ISYM": 0},)
    most = 1


class PointGroup(Ladder):
    """The group is not closed."""

    fault = "point_group"
    texts = ("point group operation missing",)
    rungs = ({"ISYM": 0},)
    most = 1


class Hnform(Ladder):
    """The k-mesh has no Hermite normal form."""

    fault = "hnform"
    texts = ("HNFORM: k-point generating",)
    rungs = ({"ISYM": 0},)
    most = 1


class Ibzkpt(Ladder):
    """The irreducible wedge could not be found; its closer relatives come first in the table."""

    fault = "ibzkpt"
    texts = ("internal error in subroutine IBZKPT",)
    rungs = ({"ISYM": 0}, {"SYMPREC": 1e-6})


class Rhosyg(Ladder):
    """Stars of G-vectors are not distinct."""

    fault = "rhosyg"
    texts = ("RHOSYG internal error", "RHOSYG:")
    rungs = ({"SYMPREC": 1e-4}, {"ISYM": 0})


class Posmap(Printed):
    """A symmetric atom was not found."""

    fault = "posmap"
    texts = ("POSMAP internal error", "PRICELV: current lattice and primitive lattice are")
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        """A tenth of the tolerance, then ten times the first one, then no symmetry."""
        now = float(inputs.tag("SYMPREC", _USUAL_SYMPREC))
        if tries == 0:
            return inputs.set(SYMPREC=float(f"{now / 10:.3g}"))
        if tries == 1:
            return inputs.set(SYMPREC=float(f"{now * 100:.3g}"))
        return inputs.set(ISYM=0)


class RotationMatrix(Printed):
    """A rotation is no integer matrix: the mesh breaks the lattice's symmetry."""

    fault = "rot_matrix"
    texts = (
        "Found some non-integer element in rotation matrix",
        "internal error in subroutine SGRCON",
    )

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return (tries == 0 and inputs.gamma_mesh()) or inputs.set(ISYM=0)


class Shift(Printed):
    """A mesh beside Gamma does not fit a hexagonal or face-centred lattice."""

    fault = "incorrect_shift"
    texts = ("Could not get correct shifts", "Routine TETIRR needs special values")
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.gamma_mesh() or inputs.set(ISMEAR=0, SIGMA=0.05)


class MeshClass(Printed):
    """The divisions of the mesh break the lattice's symmetry."""

    fault = "mesh_symmetry"
    texts = ("Reciprocal lattice and k-lattice belong to different class of lattices",)
    advice = True

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return (tries == 0 and inputs.even_mesh()) or inputs.set(ISYM=0)


class Tetrahedra(Printed):
    """The tetrahedron method failed."""

    fault = "tet"
    texts = (
        "Tetrahedron method fails",
        "tetrahedron method fails",
        "Fatal error detecting k-mesh",
        "Routine BZINTS",
        "BZINTS: Fermi energy",
    )
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        return inputs.set(ISMEAR=0, SIGMA=0.05)


class Dentet(Printed):
    """The Fermi energy of the tetrahedra was not found sharply enough."""

    fault = "dentet"
    texts = ("DENTET",)
    advice = True
    most = 3

    def correct(self, inputs: Inputs, tries: int) -> bool:
        if tries == 0 and inputs.gamma_mesh():
            return True
        if tries <= 1 and inputs.n_atoms < _FEW_ATOMS and inputs.denser_mesh():
            inputs.remove("WAVECAR")
            return True
        return inputs.set(ISMEAR=0, SIGMA=0.05)


class TripleProduct(Printed):
    """The axes are left-handed."""

    fault = "triple_product"
    texts = ("ERROR: the triple product of the basis vectors",)
    most = 1

    def correct(self, inputs: Inputs, tries: int) -> bool:
        inputs.swap_axes()
        inputs.remove("WAVECAR", "CHGCAR")
        return True
