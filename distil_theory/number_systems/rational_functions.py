r"""Identities of symbols, proved as identities of rational functions.

An expression is written as a fraction of two polynomials over the rationals (`flint.fmpq_mpoly`) in lowest terms. What
is not a sum, a product or a power is an *atom*: symbols, `f(u)`, `log(u)`, derivatives, sums over an index. Atoms are
taken for independent, which only makes zero harder to reach: a fraction that is zero whatever its atoms are is zero.
The converse is false (`sin^2 + cos^2 - 1`): the answer is "zero" or "not shown to be".

Two atoms are the same if they are the same function of arguments that are the same *as fractions*, as `f(q/p)` and `f(q
p/p^2)`. Powers are taken apart as far as that is always right, `b^(x+y) = b^x b^y` and `b^(k x/m) = (b^(x/m))^k` for
whole `k` and `m`; what is left is an atom. As everywhere with formulas, the identity holds where no denominator is
zero; a denominator that is zero as a fraction proves nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import reduce
from typing import Any

import flint

SIZES = (24, 96, 384)
"""Numbers of atoms that polynomials are made for, tried in turn."""
Quotient = tuple[Any, Any]
"""Numerator and denominator, coprime; the denominator's leading coefficient is 1."""


class _UnfitError(Exception):
    """No rational function over the rationals: floats, infinities, zero in a denominator, too many atoms."""


def identically_zero(e: Any) -> bool:
    """Whether `e` is shown to be zero as a rational function of its atoms."""
    import sympy

    e = sympy.sympify(e)
    for size in SIZES:
        field = _Field(size)
        try:
            return bool(field.quotient(e)[0] == 0)
        except _UnfitError:
            if len(field.atoms) < size:
                return False
    return False


def is_zero(e: Any) -> bool:
    """Whether an expression is identically zero: as a rational function, or by sympy's simplification."""
    import sympy

    e = sympy.sympify(e)
    if identically_zero(e):
        return True
    if not e.has(sympy.Indexed) and not any(x.is_integer or x.is_nonpositive for x in e.free_symbols):
        atoms = sorted(e.free_symbols | e.atoms(sympy.core.function.AppliedUndef), key=str)
        somewhere = {atom: sympy.Rational(3 + 2 * i, 31 + 4 * i) for i, atom in enumerate(atoms)}
        value = sympy.N(e.subs(somewhere, simultaneous=True), 30)
        if value.is_number and value.is_finite and abs(value) > 1e-15:
            return False  # not zero here: no need to simplify a wrong formula
    return bool(sympy.simplify(e) == 0)


def _lowest(top: Any, bottom: Any) -> Quotient:
    common = top.gcd(bottom)
    top, bottom = top // common, bottom // common
    lead = bottom.leading_coefficient()
    return top / lead, bottom / lead


def _times(a: Quotient, b: Quotient) -> Quotient:
    (a_top, b_bottom), (b_top, a_bottom) = _lowest(a[0], b[1]), _lowest(b[0], a[1])
    return a_top * b_top, a_bottom * b_bottom


def _plus(a: Quotient, b: Quotient) -> Quotient:
    if a[1] == b[1]:
        return _lowest(a[0] + b[0], a[1])
    common = a[1].gcd(b[1])
    left, right = a[1] // common, b[1] // common
    return _lowest(a[0] * right + b[0] * left, left * b[1])


def _key(x: Quotient) -> Hashable:
    return tuple(tuple(part.to_dict().items()) for part in x)


class _Field:
    """Rational functions of up to `size` atoms, which are numbered as they come."""

    def __init__(self, size: int) -> None:
        context = flint.fmpq_mpoly_ctx.get([f"x{i}" for i in range(size)], "lex")
        self.generators, self.number = context.gens(), context.constant
        self.atoms: dict[Hashable, Any] = {}
        self.known: dict[Any, Quotient] = {}

    def quotient(self, e: Any) -> Quotient:
        """`e` in lowest terms."""
        if e not in self.known:
            self.known[e] = self._quotient(e)
        return self.known[e]

    def _quotient(self, e: Any) -> Quotient:
        import sympy

        if isinstance(e, sympy.Rational):
            return self.number(flint.fmpq(int(e.p), int(e.q))), self.number(1)
        if not isinstance(e, sympy.Expr) or not e.is_commutative or e.is_Number or e is sympy.zoo:
            raise _UnfitError
        if isinstance(e, sympy.Add | sympy.Mul):
            return reduce(_plus if e.is_Add else _times, map(self.quotient, e.args))
        if isinstance(e, sympy.Pow | sympy.exp):
            return self._power(*e.as_base_exp())
        return self._atom(self._name(e))

    def _power(self, base: Any, exponent: Any) -> Quotient:
        """Term by term of the exponent; `k x/m` is the `k`-th power of the atom `base^(x/m)`."""
        import sympy

        out = self.number(1), self.number(1)
        for term in sympy.Add.make_args(sympy.expand_mul(exponent)):
            factor, rest = term.as_coeff_Mul()
            if not isinstance(factor, sympy.Rational):
                raise _UnfitError
            root = self.quotient(base) if rest == 1 and factor.q == 1 else self._root(base, rest, int(factor.q))
            if factor < 0 and root[0] == 0:
                raise _UnfitError
            top, bottom = root if factor > 0 else root[::-1]
            out = _times(out, _lowest(top ** abs(int(factor.p)), bottom ** abs(int(factor.p))))
        return out

    def _root(self, base: Any, rest: Any, m: int) -> Quotient:
        of, to = self.quotient(base), self.quotient(rest)
        if of[0] == 0:
            raise _UnfitError
        return self._atom(("power", _key(of), _key(to), m))

    def _name(self, e: Any) -> Hashable:
        """What makes an atom the same: the function and its arguments as fractions, else itself."""
        import sympy

        if isinstance(e, sympy.Function) and all(isinstance(x, sympy.Expr) for x in e.args):
            return e.func, tuple(_key(self.quotient(x)) for x in e.args)
        if isinstance(e, sympy.Subs) and len(e.variables) == 1:
            bound = e.expr.xreplace({e.variables[0]: sympy.Symbol("bound variable")})
            return "value", bound, _key(self.quotient(e.point[0]))
        return e

    def _atom(self, name: Hashable) -> Quotient:
        if name not in self.atoms:
            if len(self.atoms) == len(self.generators):
                raise _UnfitError
            self.atoms[name] = self.generators[len(self.atoms)]
        return self.atoms[name], self.number(1)
