"""The gallery of certificates, `distil_theory/certificates`: what goes wrong without each assumption, and what right.

python -m distil_theory.gallery            # write it anew
python -m distil_theory.gallery --check    # write nothing; exit 1 if a file differs from what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil_theory import experts, instances
from distil_theory import number_systems as ns
from distil_theory.certify import DIVERGENCES, GENERATORS, Case, Instance, certificate, signs, text
from distil_theory.counterexamples import smallest_counterexample
from distil_theory.grammar import TEXT
from distil_theory.instances.base import moves
from distil_theory.spec import Bandit, TabularMDP

GALLERY = Path(__file__).with_name("certificates")


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
    objective: str = "local"
    level: str | None = None

    def contents(self) -> dict[str, Any]:
        """The certificate; `ValueError` if the solver finds other signs than expected."""
        eta = None if self.eta is None else ns.convert(self.eta, "rational")[()]
        features = [ns.convert(x, "rational") for x in self.features]
        level = None if self.level is None else ns.convert(self.level, "rational")[()]
        case = Case(*self.instance, DIVERGENCES[self.divergence], self.geometry, eta, features, self.objective, level)
        found = signs(case)
        if "".join(found.values()) != self.signs:
            raise ValueError(f"{self.file}: expected the signs {self.signs}, found {found}")
        does = [{"+": "raises", "-": "lowers"}[sign] + " the return" for sign in self.signs[1 : 2 + bool(self.eta)]]
        what = "full cross-entropy" if "cross" in self.objective else f"{self.objective} {self.divergence}"
        step = f"the expert is better, a small {self.geometry} step of {what.removeprefix('local ')} {does[0]}"
        says = f"{self.why}: {step}" + (f", one of size {self.eta} {does[1]}" if self.eta else "")
        if self.level is not None:
            than = {"+": "more than", "-": "less than", "0": "exactly"}[self.signs[-1]]
            says += f"; the square of its efficiency is {than} {self.level}"
        f, some = GENERATORS[self.divergence], features or None
        return certificate(*self.instance, f, self.geometry, eta, found, self.claim, says, some, self.objective, level)


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

    yield Entry("state_weights", "forward_gap", fork, "forward_kl", "+-", "many steps, states not weighted by d*/d")
    for name in ("reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2", "neyman_chi2", "total_variation"):
        case = _smallest(name, levels=2 if name == "total_variation" else 1)
        yield Entry(f"smallest_{name}", "only_forward_kl", case, name, "+-", "h is not affine, denominator smallest")
    yield Entry("concave", "only_forward_kl", teaching, "concave", "+-", "f is not convex")
    yield Entry("two_contexts", "two_actions", two, "reverse_kl", "+-", "two actions, two contexts")
    why = "two actions, two contexts, plain gradient"
    yield Entry("two_contexts_euclidean", "two_actions", uneven, "forward_kl", "+-", why, "euclidean")
    yield Entry("two_actions_aliased", "two_actions", aliased, "pearson_chi2", "+-", "two actions, hidden state")
    why = "three actions, plain gradient"
    yield Entry("three_actions_euclidean", "two_actions", plain, "reverse_kl", "+-", why, "euclidean")
    for name in ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger"):
        rate = "+" if name == "forward_kl" else "-"
        yield Entry(f"teaching_{name}", "teaching", teaching, name, f"+{rate}", "two right answers of three")
    yield Entry(
        "natural", "forward_limits", euclidean, "forward_kl", "++", "natural gradient of all logits, full sight"
    )
    yield Entry("euclidean", "forward_limits", euclidean, "forward_kl", "+-", "plain gradient", "euclidean")
    why = "one parameter, the logit of the first action"
    yield Entry("restricted", "forward_limits", teaching, "forward_kl", "+-", why, features=first_logit)
    yield Entry("aliased", "forward_limits", aliased, "forward_kl", "+-", "two contexts that look alike")
    yield Entry("mixture", "proximal_mixture", teaching, "forward_kl", "+++", "mixture in a bandit", "proximal", "1000")
    why = "mixture of actions, not of whole sequences"
    yield Entry("mixture_many_steps", "proximal_mixture", fork, "forward_kl", "+--", why, "proximal", "1/10")
    yield Entry(
        "mixture_aliased", "proximal_mixture", aliased, "forward_kl", "+--", "mixture, hidden state", "proximal", "1"
    )
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
                claim = "natural_step" if name == "forward_kl" else "safe_steps"
                yield Entry(f"{what}_step_{name}", claim, case, name, expected, why, eta=eta)
        if short:
            yield Entry(f"safe_step_{name}", "safe_steps", teaching, name, "+-+", "the one safe step size", eta=safe)
    yield from _many_steps()
    yield from _efficiencies()


def _two_steps(reward: Any, expert: Sequence[str]) -> Instance:
    """Action `a` leads to state `1 + a`; these look alike and pay. The student is indifferent, the expert gives its
    first action these probabilities at the start and in either state; elsewhere it is indifferent, too."""
    p = moves(lambda h, s, a: s or 1 + a, 2, 3, 2)
    paid = ns.convert([[["0", "0"]] * 3, [["0", "0"], *reward]], "rational")
    pi = ns.convert([[["1/2", "1/2"]] * 3] * 2, "rational")
    star = pi.copy()
    for (h, s), q in zip(((0, 0), (1, 1), (1, 2)), ns.convert(list(expert), "rational"), strict=True):
        star[h, s] = [q, 1 - q]
    return TabularMDP(p, paid, ns.convert(["1", "0", "0"], "rational"), None, [0, 1, 1]), pi, star


def _many_steps() -> Iterator[Entry]:
    """Claims 8 to 10, 15 and 18: the named instances of more than one step, and of truthful feedback."""
    case = {make.__name__: _named(make) for make in instances.INSTANCES}
    fork, chain, somewhere = case["risky_fork"], case["horizon_chain"], case["better_somewhere"]
    weights, weighted = "states weighted by d*/d", "weighted"
    yield Entry("weighted", "prefix_weights", fork, "forward_kl", "++", weights, objective=weighted)
    tied = [np.zeros((2, 3, 2), dtype=int)]
    tied[0][[0, 1], [0, 1], 0] = 1
    why = "states weighted by d*/d, one parameter for two states"
    yield Entry(
        "weighted_restricted", "compatible_class", fork, "forward_kl", "+-", why, features=tied, objective=weighted
    )
    why = "states weighted by d*/d, plain gradient"
    yield Entry("weighted_euclidean", "prefix_weights", fork, "forward_kl", "+-", why, "euclidean", objective=weighted)
    hidden = _two_steps([["1", "0"], ["0", "9/10"]], ["1/10", "8/10", "1/10"])
    why = "states weighted by d*/d, hidden state"
    yield Entry("weighted_aliased", "prefix_weights", hidden, "forward_kl", "+-", why, objective=weighted)
    seen = _two_steps([["1", "0"], ["2", "1"]], ["2/10", "0", "3/10"])
    why = "states weighted by d*/d, hidden state, but the advantage is seen"
    yield Entry("weighted_compatible", "compatible_class", seen, "forward_kl", "++", why, objective=weighted)
    yield Entry("horizon_chain", "local_improver", chain, "forward_kl", "+-", "expert better at every state")
    yield Entry("better_somewhere", "local_improver", somewhere, "forward_kl", "+-", "expert better, not everywhere")

    name, why = "success_conditioned", "truthful feedback, plain gradient"
    yield Entry("lagged_teacher", name, case["lagged_teacher"], "reverse_kl", "+-", "an average of past teachers")
    yield Entry("success_euclidean", name, case["success_euclidean"], "reverse_kl", "+-", why, "euclidean")
    yield Entry("success_euclidean_js", name, case["success_euclidean_js"], "jensen_shannon", "+-", why, "euclidean")
    yield Entry("success_aliased", name, case["success_aliased"], "forward_kl", "+-", "truthful feedback, hidden state")

    name, full, cross = "truthful_lookahead", "full", "full cross-entropy"
    for what, why in (("chance_ahead", "chance"), ("reward_before_the_end", "reward before the end")):
        yield Entry(what, name, case[what], "forward_kl", "+-", f"truthful feedback, {why}", objective=full)
    for objective, file, rate in ((cross, "entropy_ahead", "-"), (full, "divergence_ahead", "+")):
        why = "truthful feedback, no chance"
        yield Entry(file, name, case["entropy_ahead"], "forward_kl", f"+{rate}", why, objective=objective)

    for divergence in TEXT:
        n = 3 if divergence == "total_variation" else 1
        doubt, why = _named(partial(instances.doubtful_branch, n)), "truthful feedback, chance, a doubtful branch"
        yield Entry(f"doubt_{divergence}", "chance_lookahead", doubt, divergence, "+-", why, objective=full)

    rare, hint = case["rare_way"], "a truthful hint"
    for divergence, rate in (("forward_kl", "+"), ("pearson_chi2", "-"), ("total_variation", "-")):
        yield Entry(f"set_{divergence}", "truthful_sets", rare, divergence, f"+{rate}", hint)
    yield Entry("set_neyman_chi2", "truthful_sets", case["lost_way"], "neyman_chi2", "+-", hint)
    yield Entry("set_euclidean", "truthful_sets", rare, "forward_kl", "+-", f"{hint}, plain gradient", "euclidean")
    yield Entry("set_ahead", "truthful_sets", rare, "forward_kl", "+-", f"{hint}, looking ahead", objective=full)
    yield Entry("set_chance", "truthful_sets", case["lucky_way"], "forward_kl", "+-", f"{hint}, chance")

    name, ambiguous = "future_aware", case["aliased_fork"]
    yield Entry("aliased_fork_local", name, ambiguous, "forward_kl", "+-", "the student can only guess what follows")
    yield Entry("aliased_fork_full", name, ambiguous, "forward_kl", "++", "looking ahead helps", objective=full)
    why = "a harmless disagreement ahead"
    for objective, file in ((full, "spurious_disagreement"), (cross, "spurious_disagreement_cross_entropy")):
        yield Entry(file, name, case["spurious_disagreement"], "forward_kl", "+-", why, objective=objective)
    for objective, file, rate in ((cross, "entropy_trap", "-"), (full, "entropy_trap_avoided", "+")):
        why = "student and expert differ at the fork only"
        yield Entry(file, name, case["entropy_trap"], "forward_kl", f"+{rate}", why, objective=objective)

    grid, why = case["privileged_grid"], "the expert never needs the sign that the student should read"
    yield Entry("privileged_grid", "forward_limits", grid, "forward_kl", "+-", why)
    weighted_why = f"{why}, states weighted by d*/d"
    yield Entry(
        "privileged_grid_weighted", "prefix_weights", grid, "forward_kl", "+-", weighted_why, objective=weighted
    )

    why = "a token MDP, one of several right programs is shown"
    for divergence, rate in (("forward_kl", "+"), ("reverse_kl", "-"), ("jensen_shannon", "-")):
        what = f"shown_program_{divergence}"
        yield Entry(what, "only_forward_kl", case["shown_program"], divergence, f"+{rate}", why)
    why = "a token MDP, the program shown begins with a rare token"
    yield Entry("unfamiliar_program", "local_improver", case["unfamiliar_program"], "forward_kl", "+-", why)


def _taught(reward: Any, student: Any, *initial: Any, trust: str = "1") -> Instance:
    """A bandit, or one of several contexts, whose expert is the student conditioned on success, trusted to a share."""
    mdp, pi, _ = _bandit(reward, student, student, *initial)
    t = ns.convert(trust, "rational")[()]
    return mdp, pi, t * experts.success_conditioned(mdp, pi) + (1 - t) * pi


def _efficiencies() -> Iterator[Entry]:
    """Claim 21: what truthfully taught students take of the best direction."""
    rewards, start = [["1", "0"], ["1", "0"]], ["1/10", "9/10"]
    students = [["1/10", "9/10"], ["9/10", "1/10"]]
    sharp, trusted = _taught(rewards, students, start), _taught(rewards, students, start, trust="9/10")
    few, chances = [1, 499, 500], ["1", "1/100", "0"]
    prompts = "truthful feedback, two prompts of success 1/10 and 9/10"

    name, why = "best_direction", "truthful feedback, a bandit"
    once = _taught(chances, [[few]])
    yield Entry("efficiency_bandit", name, once, "forward_kl", "++0", why, level="1")
    why = "truthful feedback, a bandit: the plain policy gradient"
    yield Entry("plain_policy_gradient", name, once, "forward_kl", "++-", why, "euclidean", level="1/25")

    name = "rare_success"
    yield Entry("efficiency_sharp", name, sharp, "forward_kl", "++0", prompts, level="9/25")
    rare = _taught(rewards, [["1/500", "499/500"], ["499/500", "1/500"]], ["1/500", "499/500"])
    why = "truthful feedback, two prompts of success 1/500 and 499/500"
    yield Entry("efficiency_rare", name, rare, "forward_kl", "++-", why, level="1/100")

    name = "decided_at_once"
    for divergence, sign, level in (
        ("jensen_shannon", "+", "9/25"),
        ("hellinger", "+", "9/25"),
        ("total_variation", "0", "1"),
        ("pearson_chi2", "-", "9/25"),
    ):
        yield Entry(f"efficiency_sharp_{divergence}", name, sharp, divergence, f"++{sign}", prompts, level=level)
    why = f"{prompts}, trusted to nine tenths"
    yield Entry("efficiency_sharp_reverse_kl", name, trusted, "reverse_kl", "+++", why, level="9/25")
    equal = _taught(rewards, [["1/100", "99/100"], ["1/400", "399/400"]], ["1/2", "1/2"])
    why = "truthful feedback, two prompts of success 1/100 and 1/400, plain gradient"
    for divergence, sign in (("forward_kl", "+"), ("jensen_shannon", "-")):
        what = f"efficiency_plain_{divergence}"
        yield Entry(what, name, equal, divergence, f"++{sign}", why, "euclidean", level="19/20")
    why = "truthful feedback, a bandit of three chances of success"
    for divergence, student, reward, level in (
        ("reverse_kl", [1, 10000, 989999], ["1", "1/1000000", "1/10000"], "1/100"),
        ("jensen_shannon", [1, 100000, 899999], ["1", "1/10000", "1/1000000"], "1/100"),
        ("pearson_chi2", [1, 500000, 499999], ["1", "1/100", "1/1000000"], "1/10"),
    ):
        case = _taught(reward, [[student]])
        yield Entry(f"efficiency_chances_{divergence}", name, case, divergence, "++-", why, level=level)

    name, weighted = "critic_in_disguise", "weighted"
    yield Entry("efficiency_prompts", name, sharp, "forward_kl", "++0", prompts, objective=weighted, level="9/25")
    p = np.array([[[[0, *start]] * 2] * 3] * 2, dtype=object)
    pi = ns.convert([[["1/2", "1/2"]] * 3, [["1/2", "1/2"], *students]], "rational")
    paid = [[["0", "0"]] * 3, [["0", "0"], *rewards]]
    luck = TabularMDP(*(ns.convert(x, "rational") for x in (p, paid, ["1", "0", "0"])))
    case = luck, pi, experts.success_conditioned(luck, pi)
    why = "truthful feedback, luck decides between a success of 1/10 and one of 9/10"
    yield Entry("efficiency_luck", name, case, "forward_kl", "++0", why, objective=weighted, level="9/25")
    fork, why = _named(instances.risky_fork), "another teacher"
    yield Entry("efficiency_fork", name, fork, "forward_kl", "++-", why, objective=weighted, level="1/8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the gallery, or compare it with what would be written."""
    parser = argparse.ArgumentParser(prog="python -m distil_theory.gallery", description="Write the gallery.")
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
