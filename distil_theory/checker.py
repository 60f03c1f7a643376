r"""Is this certificate true? Read this file and judge: it needs the standard library and python-flint, no more.

    python checker.py FILE...        exit 0 if every file is verified, else 1, with one line and the reason for each

A certificate is a student `pi` and an expert `pi*` (h, s, a) in a finite-horizon decision problem, all in rationals, a
divergence `D_f = sum_a pi(a) f(u_a)`, `u = pi*/pi`, `f` an expression in `u`, and the signs of one to three numbers:

    gap     J(pi*) - J(pi): is the expert better?
    rate    dJ/d eta at eta = 0 of a step on the local loss (the occupancy d held fixed) that moves the logits by
              natural, proximal   x[h,o,a] = E[h(u) | o], h(u) = u f'(u) - f(u), given the observation, centred under pi
              with features       the projection of x on their span in <x, y> = sum_h sum_o d(o) E_pi[x y]
              euclidean           d(o) pi x
            which is sum x dJ/d theta, where dJ/d theta[h,o,a] = sum_{s in o} d(s) pi(a) (Q(s,a) - V(s))
    change  J(new) - J(pi), new = pi exp(eta x)/Z, or (pi + eta E[pi*|o])/(1 + eta): the proximal step of f = u * log(u)

Arithmetic is exact while numbers stay rational; else in rigorous balls of ever more bits until every sign is decided.
"0" is accepted only for an exact zero. At an exact zero of `abs` its derivative counts as 0 (total variation at u = 1).
Not checked: that `f` is convex (a certificate may show why it must be), and the prose. What is verified are the signs.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable
from itertools import product
from types import SimpleNamespace
from typing import Any

from flint import arb, ctx, fmpq

FILE, DIGITS, TEXT, DEPTH = 256 * 1024, 1000, 200, 20  # at most: bytes, characters of a number, of f; nesting of f
FEATURES = 6000  # at most: characters of all features, as flint writes them
BITS = (64, 128, 256, 512, 1024, 2048, 4096)
ZERO, ONE = fmpq(0), fmpq(1)
ANY = ""
TOP = {"format": "distil_theory certificate", "claim": "[a-z0-9_]{1,60}", "statement": "[^\n]{1,1000}", "version": ANY}
TOP |= {"geometry": "natural|euclidean|proximal", "divergence": f"[^\n]{{1,{TEXT}}}", "eta": ANY, "mdp": ANY}
TOP |= {"student": ANY, "expert": ANY, "asserts": ANY}
MDP = {"horizon": ANY, "transition": ANY, "reward": ANY, "initial": ANY, "observation": ANY}
ASSERT = {"quantity": "gap|rate|change", "sign": "[-+0]"}


class Refused(Exception):  # noqa: N818  # a verdict, not a mishap
    """The certificate is malformed or false; the message says why."""


class Undecided(Refused):
    """More bits may help."""


def demand(holds: object, otherwise: str) -> None:
    """Refuse unless it holds."""
    if not holds:
        raise Refused(otherwise)


def sign(x: Any) -> int:
    """-1, 0 or 1, for certain."""
    if x > 0 or x < 0 or x == 0:
        return int(x > 0) - int(x < 0)
    raise Undecided(f"{BITS[-1]} bits leave a sign undecided")


# --- h(u) from the expression f(u): exact numbers are fmpq, others arb -----------------------------------------------


def times(x: Any, y: Any) -> Any:
    """The product, where zero times a logarithm of zero is zero: `u^c log u -> 0` as `u -> 0`."""
    return ZERO if x == 0 or y == 0 else x * y


def inverse(x: Any) -> Any:
    """One over `x`, which is neither zero nor, at `u = 0`, infinite."""
    demand(isinstance(x, fmpq) or x.is_finite(), "the divergence divides by something infinite")
    demand(sign(x), "the divergence or its derivative divides by zero")
    return ONE / x


def power(x: Any, q: fmpq) -> Any:
    """`x ** q`, exact where it can be."""
    if q < 0:
        return inverse(power(x, -q))
    if q.q == 2 and isinstance(x, fmpq) and x >= 0 and not any(rest for _, rest in (x.p.sqrtrem(), x.q.sqrtrem())):
        return power(fmpq(x.p.isqrt(), x.q.isqrt()), 2 * q)
    if q > 0 and x == 0:
        return ZERO
    demand(q.q == 1 or sign(x) > 0, "the divergence takes a root of a negative number")
    small = q.q == 1 and isinstance(x, fmpq) and x.height_bits() * q <= 20_000
    return x ** int(q.p) if small else arb(x) ** arb(q)


def function(name: str, x: Any, u: fmpq) -> tuple[Any, Any]:
    """The value of `log`, `exp`, `sqrt`, `abs` at `x` and its derivative there."""
    demand(isinstance(x, fmpq) or x.is_finite(), f"the divergence takes {name} of something infinite")
    if name == "exp":
        y = ONE if x == 0 else arb(x).exp()
        return y, y
    side = sign(x)
    if name == "abs":
        return side * x, fmpq(side)
    demand(side > 0 or (side == 0 and u == 0), f"the divergence takes {name} where it has no derivative")
    if name == "sqrt":
        return (y := power(x, fmpq(1, 2))), (inverse(2 * y) if side else ZERO)
    return (ZERO if x == 1 else arb(x).log() if side else arb.neg_inf()), (ONE / x if side else ZERO)


def derivative(node: ast.AST, u: fmpq, depth: int = 1) -> tuple[Any, Any, Any]:
    """`(x, u x', u x' - x)` of an expression at the ratio `u`, node by node. The third is kept because it is exact
    more often than the second: for `u log u` it is `u`. At `u = 0` limits from above: `u x' -> 0` where x is finite.
    """
    demand(depth <= DEPTH, f"the divergence is nested deeper than {DEPTH}")
    match node:
        case ast.Constant(value=n) if type(n) is int:
            return fmpq(n), ZERO, fmpq(-n)
        case ast.Name(id="u"):
            return u, u, ZERO
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            x, dx, hx = derivative(inner, u, depth + 1)
            return -x, -dx, -hx
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow() as op, right=right):
            (x, dx, hx), (y, dy, hy) = derivative(left, u, depth + 1), derivative(right, u, depth + 1)
            if isinstance(op, ast.Add):
                return x + y, dx + dy, hx + hy
            if isinstance(op, ast.Sub):
                return x - y, dx - dy, hx - hy
            if isinstance(op, ast.Mult):
                return times(x, y), times(dx, y) + times(x, dy), times(hx, y) + times(x, dy)
            if isinstance(op, ast.Div):
                z = times(x, over := inverse(y))
                return z, (dx - times(z, dy)) * over, (hx - times(z, dy)) * over
            constant = isinstance(y, fmpq) and not any(isinstance(part, ast.Name) for part in ast.walk(right))
            demand(constant, "an exponent in the divergence is not a rational constant")
            z, dz = power(x, y), (ZERO if y == 0 or u == 0 else times(y * power(x, y - 1), dx))
            return z, dz, dz - z
        case ast.Call(func=ast.Name(id="log" | "exp" | "sqrt" | "abs" as name), args=[inner], keywords=[]):
            x, dx, _ = derivative(inner, u, depth + 1)
            z, slope = function(name, x, u)
            return z, times(slope, dx), times(slope, dx) - z
    raise Refused(f"the divergence contains {ast.unparse(node)[:60]!a}, which is not in the grammar")


def generator(text: str) -> ast.AST:
    """The expression `f`, in canonical form, with `f(1) = 0`."""
    try:
        f = ast.parse(text, mode="eval").body
        canonical = ast.unparse(f)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Refused("divergence is not an expression") from None
    demand(canonical == text, f"divergence is not canonical: write {canonical!a}")
    at_one = derivative(f, ONE)[0]
    demand(not (at_one > 0 or at_one < 0), f"f(1) is {arb(at_one).str(5, radius=False)}, not 0")
    return f


# --- reading ---------------------------------------------------------------------------------------------------------


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, without repeated keys."""
    demand(len(dict(pairs)) == len(pairs), "a key occurs twice")
    return dict(pairs)


def number(text: str) -> int:
    """A JSON number: a small integer, no float, NaN or infinity."""
    demand(re.fullmatch("0|[1-9][0-9]{0,8}", text), f"{text[:40]} is no small integer: write rationals as texts")
    return int(text)


def fields(x: Any, what: str, patterns: dict[str, str], optional: frozenset[str] = frozenset()) -> None:
    """`x` is an object with exactly these keys; where there is a pattern, the value is a text of that form."""
    demand(type(x) is dict, f"{what} is not an object")
    odd = sorted(patterns.keys() ^ (x.keys() - optional))
    demand(not odd, f"{what}: missing or unknown key {''.join(odd[:1])[:40]!a}")
    for key, pattern in patterns.items():
        right = not pattern or (type(x[key]) is str and re.fullmatch(pattern, x[key]))
        demand(right, f"{key} of {what} is not of the form {pattern!a}")


def array(x: Any, shape: tuple[int, ...], what: str, simplex: bool = False) -> Any:
    """Nested lists of canonical rationals (lowest terms, no leading zero, no plus, no denominator 1); in the innermost
    perhaps distributions. A length 0 in the shape admits any but 0.
    """
    if not shape:
        match = re.fullmatch("(0|-?[1-9][0-9]*)(?:/([1-9][0-9]*))?", x) if type(x) is str and len(x) <= DIGITS else None
        q = fmpq(int(match[1]), int(match[2] or 1)) if match else None
        demand(q is not None and str(q) == x, f"{what} is not a canonical rational of at most {DIGITS} characters")
        return q
    right = type(x) is list and x and shape[0] in (0, len(x))
    demand(right, f"{what} is not a list of {shape[0] or 'some'} entries")
    row = [array(y, shape[1:], f"{what}[{i}]", simplex) for i, y in enumerate(x)]
    demand(not simplex or len(shape) > 1 or (min(row) >= 0 and sum(row) == 1), f"{what} is no distribution")
    return row


def read(data: bytes) -> SimpleNamespace:
    """Everything a certificate says, checked for sense; not yet for truth."""
    demand(len(data) <= FILE, f"the file has more than {FILE} bytes")
    try:
        reader = json.JSONDecoder(object_pairs_hook=unique, parse_int=number, parse_float=number, parse_constant=number)
        c = reader.decode(data.decode())
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as bad:
        raise Refused(f"the file is not JSON in UTF-8, or nested too deeply: {bad}") from None
    fields(c, "the certificate", TOP, frozenset({"features"}))
    demand(type(c["version"]) is int and c["version"] == 1, "the version is not 1")
    fields(c["mdp"], "mdp", MDP)
    p = SimpleNamespace(f=generator(c["divergence"]), **{key: c[key] for key in ("claim", "geometry")}, **c["mdp"])
    demand(type(p.horizon) is int and p.horizon > 0, "horizon is not a positive integer")
    seen = p.observation
    whole = type(seen) is list and seen and all(type(o) is int for o in seen)
    demand(whole and set(seen) == set(range(len(set(seen)))), "observation is no list of integers that cover 0, 1, ..")
    p.behind = [[s for s, there in enumerate(seen) if there == o] for o in sorted(set(seen))]  # the states of each o
    H, S = p.horizon, len(seen)
    A = len(array(c["student"], (H, S, 0), "student")[0][0])
    p.shape = H, S, A
    p.student, p.expert = (array(c[who], (H, S, A), who, simplex=True) for who in ("student", "expert"))
    p.reward, p.initial = array(p.reward, (H, S, A), "reward"), array(p.initial, (S,), "initial", simplex=True)
    p.transition = array(p.transition, (H, S, A, S), "transition", simplex=True)
    demand(min(x for rows in p.student for row in rows for x in row) > 0, "student has a zero: a softmax has none")
    alike = all(rows[s] == rows[states[0]] for rows in p.student for states in p.behind for s in states)
    demand(alike, "student differs in states that look alike")
    p.features = array(c["features"], (0, H, len(p.behind), A), "features") if "features" in c else []
    demand(not p.features or p.geometry == "natural", "features need the natural geometry")
    demand(len(str(p.features)) <= FEATURES, f"features take more than {FEATURES} characters: no end to exact algebra")
    demand(type(c["asserts"]) is list and c["asserts"], "asserts is not a list of at least one sign")
    for item in c["asserts"]:
        fields(item, "an assertion", ASSERT)
    p.asserts = {item["quantity"]: item["sign"] for item in c["asserts"]}
    demand(len(p.asserts) == len(c["asserts"]), "asserts repeats a quantity")
    p.eta = None if c["eta"] is None else array(c["eta"], (), "eta")
    demand((p.eta is not None) == ("change" in p.asserts), "eta is a number where a change is asserted, else null")
    demand(p.eta is None or p.eta > 0, "eta is not positive")
    closed = p.eta is None or p.geometry != "proximal" or c["divergence"] == "u * log(u)"
    demand(closed, "the proximal change has a closed form for u * log(u) only")
    return p


# --- the mathematics -------------------------------------------------------------------------------------------------


def dot(x: Iterable[Any], y: Iterable[Any]) -> Any:
    """`sum_i x_i y_i`."""
    return sum((a * b for a, b in zip(x, y, strict=True)), ZERO)


def values(p: SimpleNamespace, pi: Any) -> tuple[Any, Any]:
    """`V[h][s]` and `Q[h][s][a]` by backward induction."""
    (H, S, A), v, q = p.shape, [[ZERO] * p.shape[1]], list[Any]()
    for h in reversed(range(H)):
        q.insert(0, [[p.reward[h][s][a] + dot(p.transition[h][s][a], v[0]) for a in range(A)] for s in range(S)])
        v.insert(0, [dot(pi[h][s], q[0][s]) for s in range(S)])
    return v, q


def quantities(p: SimpleNamespace) -> dict[str, Any]:
    """The gap, the rate and the change, in the words of the first lines of this file."""
    (H, S, A), pi = p.shape, p.student
    ratio = {(h, s, a): p.expert[h][s][a] / pi[h][s][a] for h, s, a in product(range(H), range(S), range(A))}
    score = {u: derivative(p.f, u)[2] for u in set(ratio.values())}
    finite = all(u > 0 or isinstance(x, fmpq) or x.is_finite() for u, x in score.items())
    demand(finite, "h(0+) is not known to be finite: the expert needs full support")
    (v, q), d = values(p, pi), [p.initial]
    for h in range(H - 1):
        flow = [d[h][s] * pi[h][s][a] for s in range(S) for a in range(A)]
        d.append([dot(flow, (row[z] for rows in p.transition[h] for row in rows)) for z in range(S)])

    # tables with an entry for each (h, o, a)
    seen = {(h, o): pi[h][states[0]] for h in range(H) for o, states in enumerate(p.behind)}
    places = [(h, o, a) for h, o in seen for a in range(A)]
    weight, gradient, teacher, x = ({place: ZERO for place in places} for _ in range(4))
    for h, o in seen:
        mass = sum((d[h][s] for s in p.behind[o]), ZERO)
        for s, a in product(p.behind[o] if mass > 0 else (), range(A)):  # where nobody goes, nothing matters
            weight[h, o, a] += d[h][s] * pi[h][s][a]
            gradient[h, o, a] += d[h][s] * pi[h][s][a] * (q[h][s][a] - v[h][s])
            teacher[h, o, a] += d[h][s] / mass * p.expert[h][s][a]
            x[h, o, a] += d[h][s] / mass * score[ratio[h, s, a]]

    def centred(y: Any) -> Any:
        mean = {(h, o): dot(seen[h, o], (y[h, o, a] for a in range(A))) for h, o in seen}
        return {(h, o, a): y[h, o, a] - mean[h, o] for h, o, a in places}

    def along(y: Any, z: Any) -> Any:
        """The projection of `y` on `z`; exact where it decides about zero, for features are rational."""
        size, part = (sum((weight[k] * z[k] * other[k] for k in places), ZERO) for other in (z, y))
        return {k: part / size * z[k] if size != 0 else ZERO for k in places}

    x = centred(x)
    if p.geometry == "euclidean":
        x = {k: weight[k] * x[k] for k in places}
    if p.features:
        free, x, basis = x, dict.fromkeys(places, ZERO), list[Any]()
        for feature in p.features:  # Gram-Schmidt
            z = centred({(h, o, a): feature[h][o][a] for h, o, a in places})
            for other in basis:
                z = {k: z[k] - back for k, back in along(z, other).items()}
            x = {k: x[k] + more for k, more in along(free, z).items()}
            basis += [z] if any(weight[k] * z[k] != 0 for k in places) else []

    def value(policy: Any) -> Any:
        return dot(p.initial, values(p, policy)[0][0])

    found = {"gap": value(p.expert) - value(pi), "rate": dot(x.values(), gradient.values())}
    if p.eta is not None:
        new = {}
        for (h, o), old in seen.items():
            if p.geometry == "proximal":
                new[h, o] = [(y + p.eta * teacher[h, o, a]) / (1 + p.eta) for a, y in enumerate(old)]
                continue
            move = [x[h, o, a] * p.eta for a in range(A)]
            top = max(move, key=lambda y: arb(y).mid())  # subtracted, so that nothing overflows
            grown = [y * (ONE if z == top else arb(z - top).exp()) for y, z in zip(old, move, strict=True)]
            total = sum(grown, ZERO)
            new[h, o] = [y / total for y in grown]
        found["change"] = value([[new[h, o] for o in p.observation] for h in range(H)]) - value(pi)
    return found


def check(data: bytes) -> str:
    """What is verified; raises `Refused` with the reason."""
    for bits in BITS:
        with ctx.workprec(bits):
            try:
                p = read(data)
                found = quantities(p)
                for quantity, asserted in p.asserts.items():
                    actual = "0+-"[sign(found[quantity])]
                    about = arb(found[quantity]).str(5, radius=False)
                    demand(actual == asserted, f"false: {quantity} is {about}, not of sign {asserted!a}")
                return f"{p.claim}: " + ", ".join(f"{name} {asserted}" for name, asserted in p.asserts.items())
            except Undecided as still:
                undecided = still
    raise undecided


def main(paths: list[str]) -> int:
    """One line per file; 0 if every one is verified."""
    verified = 0
    for path in paths:
        try:
            with open(path, "rb") as file:
                line = f"verified: {check(file.read(FILE + 1))}"
                verified += 1
        except (Refused, OSError, ValueError) as reason:
            line = f"refused: {reason}"
        print(" ".join(ascii(f"{path}: {line}")[1:-1].split()))
    return 0 if paths and verified == len(paths) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
