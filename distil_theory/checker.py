r"""Is this certificate true? Read this file and judge: it needs the standard library and python-flint, no more.

    python checker.py FILE...        exit 0 if every file is verified, else 1, with one line and the reason for each

A certificate is a student `pi` and an expert `pi*` (h, s, a) in a finite-horizon decision problem, all in rationals, a
divergence `D_f = sum_a pi(a) f(u_a)`, `u = pi*/pi`, `f` an expression in `u`, and the signs of one to four numbers:

    gap     J(pi*) - J(pi): is the expert better?
    rate    dJ/d eta at eta = 0 of a step on the local loss (the occupancy d held fixed) that moves the logits by
              natural, proximal   x[h,o,a] = E[h(u) | o], h(u) = u f'(u) - f(u), given the observation, centred under pi
              with features       the projection of x on their span in <x, y> = sum_h sum_o d(o) E_pi[x y]
              euclidean           d(o) pi x
            which is sum x dJ/d theta, where dJ/d theta[h,o,a] = sum_{s in o} d(s) pi(a) (Q(s,a) - V(s))
            with an objective, in natural or euclidean geometry, h(u) is replaced by
              weighted            w h(u), where w = d*/d weighs a state by the occupancy of the expert (0 where d = 0)
              full                h(u) - C, with C(h,s,a) the sum of D_f expected later: the gradient through d, too
              full cross-entropy  the same with C of -sum_a pi* log pi; for f = u * log(u)
    change  J(new) - J(pi), new = pi exp(eta x)/Z, or (pi + eta E[pi*|o])/(1 + eta): the proximal step of f = u * log(u)
    efficiency  e |e| minus the number `efficiency` of the file, where e = rate/(|x| |A|), what x takes of the best
              direction A = E[Q - V | o, a], with features projected as x is, and |y|^2 = <y, y> of the centred y

Arithmetic is exact (`fmpq`) for rationals of at most TALL bits; else in rigorous balls (`arb`) of ever more bits until
every sign is decided. "0" is accepted only for an exact zero. At an exact zero of `abs` its derivative counts as 0
(total variation at u = 1). What is verified are the signs; not that `f` is convex (a certificate may show why it must
be), nor that f(1) is 0 beyond 4096 bits, nor the prose. Within the limits below a file is judged in seconds.
"""

from __future__ import annotations

import ast
import json
import re
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import prod
from operator import add
from types import SimpleNamespace
from typing import Any

from flint import arb, ctx, fmpq

FILE, DIGITS, TEXT, DEPTH = 256 * 1024, 1000, 200, 20  # at most: bytes, characters of a number, of f; nesting of f
FEATURES, WORK = 1000, 100_000  # at most: numbers in all features; characters of f times the different ratios
BITS, TALL = (64, 512, 4096), 8192
ZERO, ONE, NAN = fmpq(0), fmpq(1), arb.nan()
TOP = dict.fromkeys(("version", "eta", "mdp", "student", "expert", "asserts"), "")  # keys, and patterns of texts
TOP |= {"format": "distil_theory certificate", "claim": "[a-z0-9_]{1,60}", "statement": "[^\n]{1,1000}"}
TOP |= {"geometry": "natural|euclidean|proximal", "divergence": f"[^\n]{{1,{TEXT}}}"}
OPTIONAL = {"features": "", "objective": "weighted|full|full cross-entropy", "efficiency": ""}
MDP = dict.fromkeys(("horizon", "transition", "reward", "initial", "observation"), "")
ASSERT = {"quantity": "gap|rate|change|efficiency", "sign": "[-+0]"}


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


def lean(x: Any) -> Any:
    """A rational that has grown too tall becomes a ball: exact algebra has no end."""
    return arb(x) if isinstance(x, fmpq) and x.height_bits() > TALL else x


def finite(x: Any) -> bool:
    """Whether it is a finite number, for certain."""
    return isinstance(x, fmpq) or x.is_finite()


def times(x: Any, y: Any) -> Any:
    """The product, where zero times a logarithm of zero is zero: `u^c log u -> 0` as `u -> 0`."""
    return ZERO if x == 0 or y == 0 else x * y


def inverse(x: Any) -> Any:
    """One over `x`, which is neither zero nor, at `u = 0`, infinite."""
    demand(finite(x), "the divergence divides by something infinite")
    demand(sign(x), "the divergence or its derivative divides by zero")
    return ONE / x


def power(x: Any, q: fmpq) -> Any:
    """`x ** q`, exact where it can be."""
    if q == 0 or q == 1:
        return x if q else ONE
    if q < 0:
        return inverse(power(x, -q))
    if q.q == 2 and isinstance(x, fmpq) and x >= 0 and not any(rest for _, rest in (x.p.sqrtrem(), x.q.sqrtrem())):
        return power(fmpq(x.p.isqrt(), x.q.isqrt()), 2 * q)
    if x == 0:
        return ZERO
    if q.q > 1:
        demand(sign(x) > 0, "the divergence takes a root of a negative number")
        return arb(x) ** arb(q)
    if isinstance(x, fmpq) and x.height_bits() * q <= TALL:
        return x ** int(q.p)
    half = power(arb(x), fmpq(q.p // 2))  # by squaring: flint has no power of a ball around zero
    return half * half * power(arb(x), fmpq(q.p % 2))


def function(name: str, x: Any) -> tuple[Any, Any]:
    """The value of `log`, `exp`, `sqrt`, `abs` at `x`, and its derivative there: NAN if there is none."""
    demand(finite(x), f"the divergence takes {name} of something infinite")
    if name == "exp":
        return (y := ONE if x == 0 else arb(x).exp()), y
    if name == "abs":
        return abs(x), fmpq((x > 0) - (x < 0)) if x > 0 or x < 0 or x == 0 else arb(0, 1)
    side = sign(x)
    demand(side >= 0, f"the divergence takes {name} of a negative number")
    if name == "sqrt":
        return (y := power(x, fmpq(1, 2))), (inverse(2 * y) if side else NAN)
    return (ZERO if x == 1 else arb(x).log() if side else arb.neg_inf()), (ONE / x if side else NAN)


def chain(z: Any, slope: Any, dx: Any, u: fmpq) -> tuple[Any, Any, Any]:
    """The chain rule: NAN where there is no derivative, except at `u = 0`, where `u x' -> 0`."""
    dz = times(slope, dx) if finite(slope) and (u == 0 or finite(dx)) else ZERO if u == 0 else NAN
    return z, dz, dz - z


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
            (x, dx, hx), (y, dy, hy) = (map(lean, derivative(side, u, depth + 1)) for side in (left, right))
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
            slope = ZERO if y == 0 or u == 0 else NAN if x == 0 and y < 1 else y * power(x, y - 1)
            return chain(power(x, y), slope, dx, u)
        case ast.Call(func=ast.Name(id="log" | "exp" | "sqrt" | "abs" as name), args=[inner], keywords=[]):
            x, dx, _ = derivative(inner, u, depth + 1)
            return chain(*function(name, x), dx, u)
    raise Refused(f"the divergence contains {ast.unparse(node)[:60]!a}, which is not in the grammar")


def generator(text: str) -> ast.AST:
    """The expression `f`, in canonical form, with `f(1) = 0`."""
    try:
        f = ast.parse(text, mode="eval").body
        canonical = ast.unparse(f)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Refused("divergence is not an expression") from None
    demand(canonical == text, f"divergence is not canonical: write {canonical!a}")
    with ctx.workprec(BITS[-1]):  # derivatives at 1 do not matter: no ratio need be 1
        x = derivative(f, ONE)[0]
        demand(finite(x) and not (x > 0 or x < 0), f"f(1) is {arb(x).str(5, radius=False)}, not 0")
    return f


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, without repeated keys."""
    demand(len(dict(pairs)) == len(pairs), "a key occurs twice")
    return dict(pairs)


def number(text: str) -> int:
    """A JSON number: a small integer, no float, NaN or infinity."""
    demand(re.fullmatch("0|[1-9][0-9]{0,8}", text), f"{text[:40]} is no small integer: write rationals as texts")
    return int(text)


def fields(x: Any, what: str, patterns: dict[str, str]) -> None:
    """`x` is an object with exactly these keys; where there is a pattern, the value is a text of that form."""
    demand(type(x) is dict, f"{what} is not an object")
    odd = sorted(patterns.keys() ^ x.keys())
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
    more = {key: pattern for key, pattern in OPTIONAL.items() if type(c) is dict and key in c}
    fields(c, "the certificate", TOP | more)
    demand(type(c["version"]) is int and c["version"] == 1, "the version is not 1")
    fields(c["mdp"], "mdp", MDP)
    p = SimpleNamespace(f=generator(c["divergence"]), **{key: c[key] for key in ("claim", "geometry")}, **c["mdp"])
    demand(type(p.horizon) is int and p.horizon > 0, "horizon is not a positive integer")
    seen = p.observation
    whole = type(seen) is list and seen and all(type(o) is int for o in seen)
    demand(whole and set(seen) == set(range(len(set(seen)))), "observation is no list of integers that cover 0, 1, ..")
    H, S = p.horizon, len(seen)
    A = len(array(c["student"], (H, S, 0), "student")[0][0])
    p.shape = H, S, A
    p.student, p.expert = (array(c[who], (H, S, A), who, simplex=True) for who in ("student", "expert"))
    p.reward, p.initial = array(p.reward, (H, S, A), "reward"), array(p.initial, (S,), "initial", simplex=True)
    p.transition = array(p.transition, (H, S, A, S), "transition", simplex=True)
    pairs = [both for h in range(H) for s in range(S) for both in zip(p.expert[h][s], p.student[h][s], strict=True)]
    demand(all(y > 0 for _, y in pairs), "student has a zero: a softmax has none")
    p.ratios = {x / y for x, y in pairs}
    text = c["divergence"]
    demand(len(p.ratios) * len(text) <= WORK, f"more than {WORK} characters of f, counted at each different ratio")
    p.behind = [[s for s, there in enumerate(seen) if there == o] for o in sorted(set(seen))]  # the states of each o
    alike = all(rows[s] == rows[states[0]] for rows in p.student for states in p.behind for s in states)
    demand(alike, "student differs in states that look alike")
    p.features = array(c["features"], (0, H, len(p.behind), A), "features") if "features" in c else []
    demand(not p.features or p.geometry == "natural", "features need the natural geometry")
    p.objective = c.get("objective", "local")
    demand(p.objective == "local" or p.geometry != "proximal", "an objective other than the local one is not proximal")
    likelihood = p.objective != "full cross-entropy" or text == "u * log(u)"
    demand(likelihood, "cross-entropy goes with the divergence u * log(u)")
    demand(len(p.features) * H * len(p.behind) * A <= FEATURES, f"features have more than {FEATURES} numbers")
    demand(type(c["asserts"]) is list and c["asserts"], "asserts is not a list of at least one sign")
    for item in c["asserts"]:
        fields(item, "an assertion", ASSERT)
    p.asserts = {item["quantity"]: item["sign"] for item in c["asserts"]}
    demand(len(p.asserts) == len(c["asserts"]), "asserts repeats a quantity")
    p.eta = None if c["eta"] is None else array(c["eta"], (), "eta")
    p.efficiency = array(c["efficiency"], (), "efficiency") if "efficiency" in c else None
    there = (p.efficiency is not None) == ("efficiency" in p.asserts)
    demand(there, "efficiency is a number where an efficiency is asserted, else there is none")
    demand((p.eta is not None) == ("change" in p.asserts), "eta is a number where a change is asserted, else null")
    demand(p.eta is None or p.eta > 0, "eta is not positive")
    closed = p.eta is None or p.geometry != "proximal" or text == "u * log(u)"
    demand(closed, "the proximal change has a closed form for u * log(u) only")
    return p


def dot(*rows: Iterable[Any]) -> Any:
    """`sum_i x_i y_i ..` of one row or more, kept lean."""
    out = ZERO
    for row in zip(*rows, strict=True):
        out = lean(out + prod(row))
    return out


def values(p: SimpleNamespace, pi: Any, reward: Any) -> tuple[Any, Any]:
    """`V[h][s]`, and what is expected after an action, `Q - r` `[h][s][a]`, by backward induction."""
    (H, S, A), v, later = p.shape, [[ZERO] * p.shape[1]], list[Any]()
    for h in reversed(range(H)):
        later.insert(0, [[dot(p.transition[h][s][a], v[0]) for a in range(A)] for s in range(S)])
        v.insert(0, [dot(pi[h][s], map(add, reward[h][s], later[0][s])) for s in range(S)])
    return v, later


def occupancy(p: SimpleNamespace, pi: Any) -> Any:
    """`d[h][s]`, where a policy is, by forward induction."""
    (H, S, A), d = p.shape, [p.initial]
    for h in range(H - 1):
        flow = [d[h][s] * pi[h][s][a] for s in range(S) for a in range(A)]
        d.append([dot(flow, (row[z] for rows in p.transition[h] for row in rows)) for z in range(S)])
    return d


def quantities(p: SimpleNamespace) -> dict[str, Any]:
    """The gap, the rate and the change, in the words of the first lines of this file."""
    (H, S, A), pi, star = p.shape, p.student, p.expert
    f = {u: derivative(p.f, u) for u in p.ratios}
    demand(all(finite(x[2]) for x in f.values()), "h is not known to be finite: at u = 0 the expert needs full support")
    (v, after), d = values(p, pi, p.reward), occupancy(p, pi)
    w, future = [[ONE] * S] * H, [[[ZERO] * A] * S] * H
    if p.objective == "weighted":
        theirs = occupancy(p, star)
        w = [[theirs[h][s] / d[h][s] if sign(d[h][s]) else ZERO for s in range(S)] for h in range(H)]
    elif p.objective != "local":
        full = p.objective == "full"
        cost = (lambda x, y: times(y, f[x / y][0])) if full else (lambda x, y: times(-x, arb(y).log()))
        costs = [[dot(map(cost, star[h][s], pi[h][s])) for s in range(S)] for h in range(H)]
        demand(all(finite(c) for row in costs for c in row), "the divergence is not known to be finite")
        future = values(p, pi, [[[c] * A for c in row] for row in costs])[1]

    # tables with a row for each (h, o)
    seen = {(h, o): pi[h][states[0]] for h in range(H) for o, states in enumerate(p.behind)}
    mass = {(h, o): dot(d[h][s] for s in p.behind[o]) for h, o in seen}
    per = {k: ONE / m if sign(m) else ZERO for k, m in mass.items()}  # where nobody goes, nothing matters
    weight = {k: [mass[k] * y for y in row] for k, row in seen.items()}

    def pooled(y: Callable[[int, int, int], Any]) -> Any:
        return {k: [per[k] * dot(d[k[0]][s] * y(k[0], s, a) for s in p.behind[k[1]]) for a in range(A)] for k in seen}

    def centred(y: Any) -> Any:
        return {k: [t - mean for t in row] for k, row in y.items() for mean in [dot(seen[k], row)]}

    def inner(y: Any, z: Any) -> Any:
        return dot(dot(weight[k], y[k], z[k]) for k in seen)

    best = advantage = pooled(lambda h, s, a: p.reward[h][s][a] + after[h][s][a] - v[h][s])
    x = centred(pooled(lambda h, s, a: w[h][s] * f[star[h][s][a] / pi[h][s][a]][2] - future[h][s][a]))
    if p.geometry == "euclidean":
        x = {k: [w * t for w, t in zip(weight[k], x[k], strict=True)] for k in seen}
    if p.features:
        basis = list[Any]()
        for feature in p.features:  # Gram-Schmidt
            z = centred({(h, o): feature[h][o] for h, o in seen})
            for other, size in basis:
                share = inner(z, other) / size
                z = {k: [lean(s - share * t) for s, t in zip(z[k], other[k], strict=True)] for k in seen}
            if sign(size := inner(z, z)):  # else it adds nothing to those before it
                basis.append((z, size))
        shares = [[inner(y, z) / size for z, size in basis] for y in (x, advantage)]
        x, best = ({k: [dot(c, (z[k][a] for z, _ in basis)) for a in range(A)] for k in seen} for c in shares)

    teacher = pooled(lambda h, s, a: star[h][s][a])
    now, theirs = (dot(p.initial, values(p, policy, p.reward)[0][0]) for policy in (pi, star))
    found = {"gap": theirs - now, "rate": inner(x, advantage)}
    if p.efficiency is not None:
        lengths = inner(y := centred(x), y) * inner(best, best)
        demand(sign(lengths), "there is no efficiency: nothing moves, or nothing can be gained")
        found["efficiency"] = found["rate"] * abs(found["rate"]) - p.efficiency * lengths
    if p.eta is not None:
        new = dict[Any, Any]()
        for k, old in seen.items():
            top = max(x[k], key=lambda t: arb(t).mid())  # subtracted, so that nothing overflows
            new[k] = [y * (ONE if t == top else arb(p.eta * (t - top)).exp()) for y, t in zip(old, x[k], strict=True)]
            if p.geometry == "proximal":
                new[k] = [y + p.eta * t for y, t in zip(old, teacher[k], strict=True)]
            whole = dot(new[k])
            new[k] = [y / whole for y in new[k]]
        policy = [[new[h, o] for o in p.observation] for h in range(H)]
        found["change"] = dot(p.initial, values(p, policy, p.reward)[0][0]) - now
    return found


def check(data: bytes) -> str:
    """What is verified; raises `Refused` with the reason."""
    p = read(data)
    for bits in BITS:
        with ctx.workprec(bits), suppress(Undecided):
            found = quantities(p)
            for quantity, asserted in p.asserts.items():
                actual, about = "0+-"[sign(found[quantity])], arb(found[quantity]).str(5, radius=False)
                demand(actual == asserted, f"false: {quantity} is {about}, not of sign {asserted!a}")
            return f"{p.claim}: " + ", ".join(f"{name} {asserted}" for name, asserted in p.asserts.items())
    raise Refused(f"{BITS[-1]} bits leave a sign undecided")


def main(paths: list[str]) -> int:
    """One line per file; 0 if every one is verified."""
    refused = not paths
    for path in paths:
        try:
            with open(path, "rb") as file:
                line = f"verified: {check(file.read(FILE + 1))}"
        except (Refused, OSError, ValueError) as reason:
            line, refused = f"refused: {reason}", True
        print(" ".join(ascii(f"{path}: {line}")[1:-1].split()))
    return int(refused)


if __name__ == "__main__":
    signal.signal(getattr(signal, "SIGPIPE", signal.SIGTERM), signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main(sys.argv[1:]))
