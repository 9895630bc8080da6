"""What a CPU does with edges when nothing is learnt: three loops, compiled.

Each does at one pass over the edges what would be ten operations on large tensors; matrix products
stay with torch. Inner loops have one output each: with more, the compiler gives up on taking many
numbers at a time. Features are scalars (n, c0) and vectors (n, 3, c1), as in `layers`.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from stargen_crysformer.layers import CROSS, ROOT3

_fast = numba.njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})


@_fast
def _interpolate(table, per_ang, distance, out):  # noqa: ANN001, ANN202 (numba infers)
    """Cubic interpolation between the four rows about a distance; row 1 is that of distance 0."""
    place = distance * per_ang
    row = int(place)
    t = np.float32(place - row)
    a = -t * (t - 1) * (t - 2) / np.float32(6)
    b = (t + 1) * (t - 1) * (t - 2) / np.float32(2)
    c = -(t + 1) * t * (t - 2) / np.float32(2)
    d = (t + 1) * t * (t - 1) / np.float32(6)
    r0, r1, r2, r3 = table[row], table[row + 1], table[row + 2], table[row + 3]
    for i in range(len(out)):
        out[i] = a * r0[i] + b * r1[i] + c * r2[i] + d * r3[i]


@_fast
def surroundings(table, per_ang, starts, distances, units, c0, scalars, vectors):  # noqa: ANN001, ANN201
    """The mean over each atom's edges of radial scalars, and of radial vectors along the edge.

    Parameters
    ----------
    table, per_ang : radial weights (n_rows, c0 + c1) float32, and rows per Å
    starts : (n_atoms + 1,) int64, where the edges of each atom begin
    distances, units : (n_edges,) and (n_edges, 3) float32
    scalars, vectors : (n_atoms, c0) and (n_atoms, 3, c1), filled in
    """
    root3 = np.float32(ROOT3)
    weights = np.empty(table.shape[1], np.float32)
    for i in range(len(starts) - 1):
        s, v = scalars[i], vectors[i]
        s[:] = 0
        v[:] = 0
        part = np.float32(1) / np.float32(starts[i + 1] - starts[i])
        for e in range(starts[i], starts[i + 1]):
            _interpolate(table, per_ang, distances[e], weights)
            for c in range(c0):
                s[c] += part * weights[c]
            for x in range(3):
                along, row = root3 * part * units[e, x], v[x]
                for c in range(len(row)):
                    row[c] += along * weights[c0 + c]


@_fast
def products(table, per_ang, starts, sources, distances, units, ours, theirs, told):  # noqa: ANN001, ANN201
    """The first tensor product of every edge, before its linear maps.

    Parameters
    ----------
    table ... units : as of `surroundings`; n_weights = 2 c0 + 3 c1
    ours, theirs : pairs of scalars and vectors, from the hearing atom and from its neighbour
    told : filled in: (n_edges, c0 + c1) for the scalars' map, (n_edges, c0) for the outer one,
        (n_edges, 3, 2 c1) for the vectors' one
    """
    s_own, v_own = ours
    s_other, v_other = theirs
    for_scalars, for_outer, for_vectors = told
    c0, c1 = s_own.shape[1], v_own.shape[2]
    w, v = np.empty(table.shape[1], np.float32), np.empty((3, c1), np.float32)
    for i in range(len(starts) - 1):
        s_i = s_own[i]
        for e in range(starts[i], starts[i + 1]):
            _interpolate(table, per_ang, distances[e], w)
            s_j, scalars, outer = s_other[sources[e]], for_scalars[e], for_outer[e]
            for c in range(c0):
                scalars[c] = (s_i[c] + s_j[c]) * w[c]
            for c in range(c0):
                outer[c] = (s_i[c] + s_j[c]) * w[c0 + c]
            for x in range(3):
                v_i, v_j, pair, kept = v_own[i, x], v_other[sources[e], x], v[x], for_vectors[e, x]
                for c in range(c1):
                    pair[c] = v_i[c] + v_j[c]
                for c in range(c1):
                    kept[c] = pair[c] * w[2 * c0 + c1 + c]
            a, b, d, unit = v[0], v[1], v[2], units[e]
            for c in range(c1):
                scalars[c0 + c] = (a[c] * unit[0] + b[c] * unit[1] + d[c] * unit[2]) * w[2 * c0 + c]
            for x in range(3):
                a, b, p, q = _turning(v, unit, x)
                crossed = for_vectors[e, x]
                for c in range(c1):
                    crossed[c1 + c] = (a[c] * p - b[c] * q) * w[2 * c0 + 2 * c1 + c]


@_fast
def _turning(v, unit, x):  # noqa: ANN001, ANN202
    """Component x of the cross product with a direction, times its coefficient, is a p - b q."""
    y, z = (x + 1) % 3, (x + 2) % 3
    return v[y], v[z], np.float32(CROSS) * unit[z], np.float32(CROSS) * unit[y]


@_fast
def hear(starts, units, mixed, sigmoid, outer, vectors, query, told):  # noqa: ANN001, ANN201
    """Attention: softmax over each atom's edges, gates, and the second product summed per head.

    The linear map of the second product acts on its sum over edges, which is the same and cheaper.

    Parameters
    ----------
    mixed, sigmoid : (n_edges, logits + c0 + c1) what the first product's map gave, and its sigmoid
    outer, vectors : (n_edges, c1), (n_edges, 3, c1) from the other maps
    query : (heads, attention)
    told : filled in: (heads, n_atoms, c0 + c1) for the scalars' map, and (heads, n_atoms, 3,
        c0 + 2 c1) for the vectors', or with no columns where no vectors are wanted
    """
    for_scalars, for_vectors = told
    heads, attention = query.shape
    c1 = outer.shape[1]
    logits = heads * attention
    c0 = mixed.shape[1] - logits - c1
    wide = for_vectors.shape[3] > 0
    room, v = 0, np.empty((3, c1), np.float32)
    for i in range(len(starts) - 1):
        first, degree = starts[i], starts[i + 1] - starts[i]
        if degree > room:
            room = 4 * (degree // 4 + 1)
            share = np.zeros((heads, room), np.float32)
            s = np.zeros((room, c0 + c1), np.float32)
            rows = np.zeros((3, room, c0 + 2 * c1), np.float32)
        _attend(mixed[first : first + degree], sigmoid[first : first + degree], query, share)
        for n in range(degree):
            e = first + n
            m, g = mixed[e, logits:], sigmoid[e, logits:]
            _value(m, g, g[c0:], outer[e], vectors[e], units[e], v, s[n], s[n, c0:])
            for x in range(3):
                _along(s[n], v, units[e], x, rows[x, n])
        padded = 4 * ((degree + 3) // 4)
        for h in range(heads):
            share[h, degree:padded] = 0
            _sum(share[h, :padded], s, for_scalars[h, i])
            if wide:
                for x in range(3):
                    _sum(share[h, :padded], rows[x], for_vectors[h, i, x])


@_fast
def _attend(mixed, sigmoid, query, share):  # noqa: ANN001, ANN202
    """Softmax over the edges of one atom, in each head, of a leaky ReLU without a corner."""
    heads, attention = query.shape
    low, high = np.float32(0.2), np.float32(0.8)
    for h in range(heads):
        largest = np.float32(-np.inf)
        for n in range(len(mixed)):
            logit = np.float32(0)
            for a in range(h * attention, (h + 1) * attention):
                logit += query[h, a - h * attention] * mixed[n, a] * (low + high * sigmoid[n, a])
            share[h, n] = logit
            largest = max(largest, logit)
        total = np.float32(0)
        for n in range(len(mixed)):
            share[h, n] = math.exp(share[h, n] - largest)
            total += share[h, n]
        for n in range(len(mixed)):
            share[h, n] /= total


@_fast
def _value(mixed, sigmoid, gates, outer, vectors, unit, v, s, dotted):  # noqa: ANN001, ANN202
    """Gate what one edge tells: vectors; scalars, and behind them vectors by direction."""
    c1 = len(outer)
    for c in range(len(s) - c1):
        s[c] = mixed[c] * sigmoid[c]
    for x in range(3):
        along, gated, more = np.float32(ROOT3) * unit[x], v[x], vectors[x]
        for c in range(c1):
            gated[c] = (along * outer[c] + more[c]) * gates[c]
    a, b, d = v[0], v[1], v[2]
    for c in range(c1):
        dotted[c] = a[c] * unit[0] + b[c] * unit[1] + d[c] * unit[2]


@_fast
def _along(s, v, unit, x, out):  # noqa: ANN001, ANN202
    """One component of the vectors of the second product: outer, kept, crossed."""
    c1 = v.shape[1]
    c0 = len(s) - c1
    along, kept = np.float32(ROOT3) * unit[x], v[x]
    for c in range(c0):
        out[c] = along * s[c]
    for c in range(c1):
        out[c0 + c] = kept[c]
    a, b, p, q = _turning(v, unit, x)
    for c in range(c1):
        out[c0 + c1 + c] = a[c] * p - b[c] * q


@_fast
def _sum(share, rows, out):  # noqa: ANN001, ANN202
    """The weighted sum of rows, four at a time: the sum is then read and written less often."""
    for n in range(0, len(share), 4):
        a, b, c, d = share[n], share[n + 1], share[n + 2], share[n + 3]
        r0, r1, r2, r3 = rows[n], rows[n + 1], rows[n + 2], rows[n + 3]
        if n == 0:
            for i in range(len(out)):
                out[i] = a * r0[i] + b * r1[i] + c * r2[i] + d * r3[i]
        else:
            for i in range(len(out)):
                out[i] += a * r0[i] + b * r1[i] + c * r2[i] + d * r3[i]
