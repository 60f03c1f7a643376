r"""Certificates: exact instances that say, in a small file which anybody can check, what happens and what goes wrong.

`certificate` turns rational objects of the library into the format that `checker` reads, `text` writes it. The signs it
asserts come from the library's own solver, `signs`: rationals where that is possible, balls otherwise. So each file of
the gallery `distil_theory/certificates` is verified twice, by two programs that share no code.

    python -m distil_theory.certify            # write the gallery anew
    python -m distil_theory.certify --check    # write nothing; exit 1 if a file differs from what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil_theory import instances, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.counterexamples import smallest_counterexample
from distil_theory.divergences import BY_NAME, FORWARD_KL, FDivergence
from distil_theory.grammar import TEXT
from distil_theory.number_systems import Array
from distil_theory.point import check_geometry
from distil_theory.spec import Bandit, TabularMDP

GALLERY = Path(__file__).with_name("certificates")
GENERATORS = TEXT | {"concave": "-(u * log(u))"}
"""The catalogue in the grammar of certificates, and what is no divergence: forward KL upside down."""
DIVERGENCES = BY_NAME | {"concave": FDivergence("concave", lambda u: -FORWARD_KL.f(u), lambda u: -u)}
BITS = (64, 256, 1024, 4096)
Instance = tuple[TabularMDP, Array, Array]


class Case(NamedTuple):
    """One step of one student in one problem, in one number system: what a certificate speaks about."""

    mdp: TabularMDP
    student: Array
    expert: Array
    divergence: FDivergence
    geometry: str = "natural"
    eta: Any = None
    features: Sequence[Array] = ()

    def in_balls(self) -> Case:
        """The same in ball arithmetic; features that add nothing to those before them, which balls cannot tell, go."""
        kept: list[Array] = []
        for feature in self.features:
            centred = updates.project(self.mdp, self.student, feature, [feature])
            if np.any(centred - updates.project(self.mdp, self.student, centred, kept) if kept else centred):
                kept.append(feature)
        kept = kept or [feature * 0 for feature in self.features[:1]]  # a class that cannot move at all
        pi, star, *features = (ns.convert(x, "ball") for x in (self.student, self.expert, *kept))
        eta = None if self.eta is None else ns.convert(self.eta, "ball")[()]
        return Case(self.mdp.convert("ball"), pi, star, self.divergence, self.geometry, eta, features)

    def direction(self) -> Array:
        """Of the logits, in the class that the features span if there are any."""
        move = updates.direction(*self[:5])
        return updates.project(self.mdp, self.student, move, self.features) if len(self.features) else move

    def gap(self) -> Any:
        """`J(pi*) - J(pi)`."""
        return solve.expected_return(self.mdp, self.expert) - solve.expected_return(self.mdp, self.student)

    def rate(self) -> Any:
        """`dJ/d eta` at `eta = 0`: claim 1's covariance, or along the direction that a class admits."""
        if len(self.features):
            return updates.first_order_change(self.mdp, self.student, self.direction())
        return objectives.improvement_rate(*self[:5])

    def change(self) -> Any:
        """`J(pi_eta) - J(pi)`."""
        if self.geometry == "proximal":
            new = updates.proximal_step(*self[:4], self.eta)
        else:
            new = updates.exponential_step(self.mdp, self.student, self.direction(), self.eta)
        return solve.expected_return(self.mdp, new) - solve.expected_return(self.mdp, self.student)


def signs(case: Case) -> dict[str, str]:
    """The signs `"+"`, `"-"`, `"0"` of `gap`, `rate` and, with a step size, `change`, by the library's solver.

    `"0"` is a rational zero; `"?"` says that 4096 bits decide no sign.

    Raises:
        ValueError: what the library refuses, and features of another than the natural geometry.
    """
    check_geometry(case.geometry)
    objectives.check_pair(*case[:4])
    if len(case.features) and case.geometry != "natural":
        raise ValueError(f"a restricted class takes natural steps, not {case.geometry}")
    out = {}
    for name in ("gap", "rate", "change")[: 2 if case.eta is None else 3]:
        try:
            out[name] = _sign(getattr(case, name)())
        except TypeError:  # not rational
            out[name] = next((sign for bits in BITS if (sign := _in_balls(case, name, bits)) != "?"), "?")
    return out


def _sign(x: Any) -> str:
    return "+" if x > 0 else "-" if x < 0 else "0" if x == 0 else "?"


def _in_balls(case: Case, name: str, bits: int) -> str:
    with ns.precision(bits):
        return _sign(getattr(case.in_balls(), name)())


def certificate(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    f: str,
    geometry: str,
    eta: Any,
    asserts: Mapping[str, str],
    claim: str,
    statement: str,
    features: Sequence[Array] | None = None,
) -> dict[str, Any]:
    """A certificate as a dictionary, ready for `text`; `checker` judges whether it is true.

    Args:
        mdp, student, expert: rational, not a batch.
        f: the divergence in the grammar of the checker, such as `GENERATORS["reverse_kl"]`.
        geometry, eta: the step; `eta` is `None` unless `asserts` has a `change`.
        asserts: the sign of `gap`, `rate`, `change`: one to three of them, from `signs`.
        claim, statement: a slug, and one line for a reader.
        features: `(H,O,A)` each, of a restricted class (`updates.project`).
    """
    out = {
        "format": "distil_theory certificate",
        "version": 1,
        "claim": claim,
        "statement": statement,
        "divergence": f,
        "geometry": geometry,
        "eta": None if eta is None else _texts(eta),
        "mdp": {
            "horizon": mdp.shape[0],
            "observation": mdp.observation.tolist(),
            **{name: _texts(getattr(mdp, name)) for name in ("initial", "transition", "reward")},
        },
        "student": _texts(student),
        "expert": _texts(expert),
        "asserts": [{"quantity": name, "sign": sign} for name, sign in asserts.items()],
    }
    return out | ({} if features is None else {"features": [_texts(x) for x in features]})


def _texts(x: Any) -> Any:
    """Canonical rationals, in nested lists for an array."""
    return np.asarray(np.frompyfunc(str, 1, 1)(ns.convert(x, "rational")), dtype=object).tolist()


def text(contents: Mapping[str, Any], indent: str = "\n  ") -> str:
    """A certificate as JSON: one line per entry, one more per entry of `mdp`."""
    lines = []
    for key, value in contents.items():
        inner = text(value, indent + "  ").rstrip() if isinstance(value, Mapping) else json.dumps(value)
        lines.append(f"{indent}{json.dumps(key)}: {inner}")
    return f"{{{','.join(lines)}{indent[:-2]}}}\n"


# --- the gallery ------------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A file of the gallery, with the signs of gap, rate and change that we expect of it."""

    file: str
    claim: str
    instance: Instance
    divergence: str
    signs: str
    why: str
    geometry: str = "natural"
    eta: str | None = None
    features: Any = ()

    def contents(self) -> dict[str, Any]:
        """The certificate; `ValueError` if the solver finds other signs than expected."""
        eta = None if self.eta is None else ns.convert(self.eta, "rational")[()]
        features = [ns.convert(x, "rational") for x in self.features]
        found = signs(Case(*self.instance, DIVERGENCES[self.divergence], self.geometry, eta, features))
        if "".join(found.values()) != self.signs:
            raise ValueError(f"{self.file}: expected the signs {self.signs}, found {found}")
        does = [{"+": "raises", "-": "lowers"}[sign] + " the return" for sign in self.signs[1:]]
        step = f"the expert is better, a small {self.geometry} step of {self.divergence} {does[0]}"
        says = f"{self.why}: {step}" + (f", one of size {self.eta} {does[1]}" if self.eta else "")
        f, some = GENERATORS[self.divergence], features or None
        return certificate(*self.instance, f, self.geometry, eta, found, self.claim, says, some)


def _bandit(reward: Any, student: Any, expert: Any, *initial: Any) -> Instance:
    pi, star = (np.atleast_3d(ns.convert(x, "rational").T).T for x in (student, expert))
    pi, star = (x / x.sum(axis=-1, keepdims=True) for x in (pi, star))
    return Bandit(reward, *initial).convert("rational"), pi, star


def _named(make: Any) -> Instance:
    found = make()
    return found.mdp, found.student, found.expert


def _smallest(divergence: str, levels: int = 1, **options: Any) -> Instance:
    """The failing bandit of smallest denominator, found anew."""
    found = smallest_counterexample(divergence, levels=levels, **options)
    if found is None:
        raise ValueError(f"no counterexample for {divergence} with {options}")
    return _bandit([f"{r}/{levels}" for r in found.reward], [[found.student]], [[found.expert]])


def gallery() -> Iterator[Entry]:
    """Every shipped certificate: what goes wrong without an assumption, and beside it what goes right with it."""
    teaching, euclidean = _named(instances.teaching_bandit), _named(instances.euclidean_bandit)
    aliased, two, fork = map(_named, (instances.aliased_contexts, instances.two_contexts, instances.risky_fork))
    rewards, half = [["1", "0"], ["1", "0"]], ["1/2", "1/2"]
    uneven = _bandit(rewards, [[half, half]], [[["9/10", "1/10"], ["2/5", "3/5"]]], ["1/4", "3/4"])
    first_logit, plain = [[[["1", "0", "0"]]]], _smallest("reverse_kl", geometry="euclidean")

    yield Entry("state_weights", "claim_2", fork, "forward_kl", "+-", "many steps, states not weighted by d*/d")
    for name in ("reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2", "neyman_chi2", "total_variation"):
        case = _smallest(name, levels=2 if name == "total_variation" else 1)
        yield Entry(f"smallest_{name}", "claim_3", case, name, "+-", "h is not affine, denominator smallest")
    yield Entry("concave", "claim_3", teaching, "concave", "+-", "f is not convex")
    yield Entry("two_contexts", "claim_4", two, "reverse_kl", "+-", "two actions, two contexts")
    why = "two actions, two contexts, plain gradient"
    yield Entry("two_contexts_euclidean", "claim_4", uneven, "forward_kl", "+-", why, "euclidean")
    yield Entry("two_actions_aliased", "claim_4", aliased, "pearson_chi2", "+-", "two actions, hidden state")
    why = "three actions, plain gradient"
    yield Entry("three_actions_euclidean", "claim_4", plain, "reverse_kl", "+-", why, "euclidean")
    for name in ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger"):
        rate = "+" if name == "forward_kl" else "-"
        yield Entry(f"teaching_{name}", "claim_5", teaching, name, f"+{rate}", "two right answers of three")
    yield Entry("natural", "claim_6", euclidean, "forward_kl", "++", "natural gradient of all logits, full sight")
    yield Entry("euclidean", "claim_6", euclidean, "forward_kl", "+-", "plain gradient", "euclidean")
    why = "one parameter, the logit of the first action"
    yield Entry("restricted", "claim_6", teaching, "forward_kl", "+-", why, features=first_logit)
    yield Entry("aliased", "claim_6", aliased, "forward_kl", "+-", "two contexts that look alike")
    yield Entry("mixture", "claim_7", teaching, "forward_kl", "+++", "mixture in a bandit", "proximal", "1000")
    why = "mixture of actions, not of whole sequences"
    yield Entry("mixture_many_steps", "claim_7", fork, "forward_kl", "+--", why, "proximal", "1/10")
    yield Entry("mixture_aliased", "claim_7", aliased, "forward_kl", "+--", "mixture, hidden state", "proximal", "1")
    for name, safe, short, long in (
        ("forward_kl", "no finite step", None, "2"),
        ("hellinger", "no step", None, "2"),
        ("pearson_chi2", "no step", None, "1"),
        ("reverse_kl", "1", "1/2", "2"),
        ("jensen_shannon", "2", "1", "4"),
    ):
        why = f"a step size that is not safe ({safe} is)"
        for what, eta, expected in (("short", short, "+--"), ("long", long, "++-")):
            if eta is not None:
                case = _smallest(name, eta=float(Fraction(eta)))
                yield Entry(f"{what}_step_{name}", "claim_7", case, name, expected, why, eta=eta)
        if short:
            yield Entry(f"safe_step_{name}", "claim_7", teaching, name, "+-+", "the one safe step size", eta=safe)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the gallery, or compare it with what would be written."""
    parser = argparse.ArgumentParser(prog="python -m distil_theory.certify", description="Write the gallery.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    parser.add_argument("--out", type=Path, default=GALLERY, help="folder of the gallery")
    options = parser.parse_args(arguments)
    wanted = {f"{entry.file}.json": text(entry.contents()) for entry in gallery()}
    found = {path.name: path.read_text(encoding="utf-8") for path in options.out.glob("*.json")}
    for name in (changed := sorted(name for name in wanted if wanted[name] != found.get(name))):
        print(f"{'differs' if options.check else 'written'}: {options.out / name}")
        if not options.check:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / name).write_text(wanted[name], encoding="utf-8")
    for name in (strays := sorted(found.keys() - wanted.keys())):
        print(f"not of the gallery: {options.out / name}")
    print(f"{len(wanted)} certificates, {len(changed)} {'differ' if options.check else 'written'}, {len(strays)} stray")
    return int(bool(strays or (options.check and changed)))


if __name__ == "__main__":
    sys.exit(main())
