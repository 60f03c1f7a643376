"""Small wrong versions of a source file, one change each: the operators of mutmut, and a few that it lacks.

What is not changed, because nothing but a reader would see it (README.md): docstrings and other bare texts,
annotations, imports, the message of an error, and f-strings. A change that leaves the syntax tree as it was, or that
another operator made already, is dropped as well.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import libcst as cst
import libcst.matchers as m
from mutmut.mutation import mutators

UNSEEN = (cst.Annotation, cst.Import, cst.ImportFrom, cst.FormattedString, cst.ConcatenatedString, cst.Comment)
OPAQUE = {"len", "isinstance"}  # as in mutmut: changed arguments make a TypeError, no wrong answer
OPPOSITE = {"min": "max", "any": "all", "argmin": "argmax", "minimum": "maximum", "amin": "amax", "floor": "ceil"}
OPPOSITE |= {b: a for a, b in OPPOSITE.items()}


class Mutant(NamedTuple):
    """One change. `module`, `function`, `before` and `after` name it even when lines are added above."""

    module: str
    line: int
    function: str
    before: str
    after: str
    code: str


def one_less(node: cst.Integer | cst.Float) -> Iterable[cst.CSTNode]:
    yield cst.parse_expression(f"({node.evaluated_value - 1!r})")


def one_text(node: cst.SimpleString) -> Iterable[cst.CSTNode]:
    """The first of mutmut's changes of a text; upper and lower case say no more about the tests."""
    yield from list(mutators.operator_string(node))[:1]


def opposite(node: cst.Call) -> Iterable[cst.CSTNode]:
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(name, cst.Name) and name.value in OPPOSITE:
        yield node.with_deep_changes(name, value=OPPOSITE[name.value])


def swapped_arguments(node: cst.Call) -> Iterable[cst.CSTNode]:
    if isinstance(node.func, cst.Name) and node.func.value in {"min", "max"}:
        return  # the order does not matter
    for i, (x, y) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if not (x.keyword or y.keyword or x.star or y.star):
            pair = [x.with_changes(value=y.value), y.with_changes(value=x.value)]
            yield node.with_changes(args=[*node.args[:i], *pair, *node.args[i + 2 :]])


def no_keyword_argument(node: cst.Call) -> Iterable[cst.CSTNode]:
    for i, argument in enumerate(node.args):
        if argument.keyword:
            yield node.with_changes(args=[*node.args[:i], *node.args[i + 1 :]])


def nothing_done(node: cst.BaseSmallStatement) -> Iterable[cst.CSTNode]:
    yield cst.Pass()


def nothing_returned(node: cst.Return) -> Iterable[cst.CSTNode]:
    if node.value is not None:
        yield node.with_changes(value=cst.Name("None"))


def one_branch(node: cst.If) -> Iterable[cst.CSTNode]:
    for always in ("True", "False"):
        yield node.with_changes(test=cst.Name(always))


def no_round(node: cst.For | cst.CompFor) -> Iterable[cst.CSTNode]:
    yield node.with_changes(iter=cst.Tuple([]))


def no_decorator(node: cst.FunctionDef | cst.ClassDef) -> Iterable[cst.CSTNode]:
    for i in range(len(node.decorators)):
        yield node.with_changes(decorators=[*node.decorators[:i], *node.decorators[i + 1 :]])


REPLACED = {mutators.operator_string, mutators.operator_arg_removal, mutators.operator_assignment}
"""Of the last two nearly all mutants end in a TypeError at once: they would flatter the score."""
OPERATORS: list[tuple[Any, Any]] = [
    *(pair for pair in mutators.mutation_operators if pair[1] not in REPLACED),
    *((cst.SimpleString, one_text), (cst.Integer | cst.Float, one_less), (cst.Call, opposite)),
    *((cst.Call, swapped_arguments), (cst.Call, no_keyword_argument)),
    *((cst.Expr | cst.Raise | cst.AugAssign, nothing_done), (cst.Return, nothing_returned)),
    *((cst.If, one_branch), (cst.For | cst.CompFor, no_round)),
    (cst.FunctionDef | cst.ClassDef, no_decorator),
]


def _children(node: cst.CSTNode, messages: frozenset[str]) -> Iterable[cst.CSTNode]:
    """Where to go on; not into what only a reader sees."""
    if isinstance(node, cst.Raise):
        return ()
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name):
        if node.func.value in OPAQUE:
            return ()
        if node.func.value in messages:
            return node.args[:1]
    return node.children


def _changes(node: cst.CSTNode, messages: frozenset[str], inside: str = "") -> Iterator[tuple[str, Any, Any]]:
    """`(function, node, its replacement)` for every change, from top to bottom."""
    if isinstance(node, UNSEEN) or m.matches(node, m.Expr(m.SimpleString() | m.ConcatenatedString())):
        return
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        inside = f"{inside}.{node.name.value}".strip(".")
    if not (m.matches(node, m.Call(m.Name())) and node.func.value in OPAQUE | messages):
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                yield from ((inside, node, new) for new in operator(node))
    for child in _children(node, messages):
        yield from _changes(child, messages, inside)


def mutants(module: str, source: str, messages: Iterable[str] = ("demand",)) -> list[Mutant]:
    """All mutants of a source. Calls of the functions `messages` say why in all arguments but the first."""
    tree = cst.parse_module(source)
    pieces = [tree.code_for_node(node) for node in tree.body]
    head, _, tail = source.partition("".join(pieces))
    first, found = head.count("\n") + 1, []
    for i, (node, piece) in enumerate(zip(tree.body, pieces, strict=True)):
        seen = {ast.dump(ast.parse(piece))}
        for function, old, new in _changes(node, frozenset(messages)):
            changed = tree.code_for_node(new if old is node else node.deep_replace(old, new))
            meaning = _meaning(changed)
            if meaning is None or meaning in seen:
                continue
            seen.add(meaning)
            at, before, after = _difference(piece, changed)
            code = "".join([head, *pieces[:i], changed, *pieces[i + 1 :], tail])
            found.append(Mutant(module, first + at, function or "module", before, after, code))
        first += piece.count("\n")
    return found


def _meaning(code: str) -> str | None:
    try:
        return ast.dump(ast.parse(code))
    except SyntaxError:
        return None


def _difference(old: str, new: str) -> tuple[int, str, str]:
    """Where two texts begin to differ, and the differing lines of each, as one line."""
    a, b = old.splitlines(), new.splitlines()
    spans = [s for s in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes() if s[0] != "equal"]
    (_, top, _, low, _), (_, _, end, _, high) = spans[0], spans[-1]
    before, after = (" ".join(line.strip() for line in lines) for lines in (a[top:end], b[low:high]))
    return top, before, after
