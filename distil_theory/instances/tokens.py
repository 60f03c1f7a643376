"""Named token MDPs: what a self-teacher's feedback does to its student, in rationals.

`hidden_trace` and `tested_program` have truthful feedback, which excludes no right answer: all is well, although the
student never sees it. `shown_program` and `unfamiliar_program` show the teacher one of several right answers. Each
teacher trusts its feedback to 99 percent, the rest is the student: so it has full support, which reverse KL needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from distil_theory.instances.base import Instance, exact_instance
from distil_theory.instances.stack_machine import DOUBLE, stack_machine
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.instances.token_sum import token_sum
from distil_theory.number_systems import Array


def _instance(name: str, game: TokenMDP, student: Array, exposes: str) -> Instance:
    teacher = (99 * game.teacher(student) + student) / 100
    return exact_instance(name, game.mdp, student, teacher, exposes, game.names, game)


def hidden_trace() -> Instance:
    """One binary digit plus another, by a student that forgets to carry; it does not see what the teacher reads."""
    game = token_sum(2, 1, [(0, 0), (0, 1), (1, 0), (1, 1)], "trace", numbers="rational")

    def forgets_to_carry(problem: int, prefix: tuple[int, ...]) -> list[str]:
        x, y = divmod(problem, 2)
        return ["3/4", "1/4"] if prefix or (x + y) % 2 == 0 else ["1/4", "3/4"]

    return _instance(
        "hidden_trace",
        game,
        game.policy(forgets_to_carry),
        "feedback hidden from the student, but truthful: every one of the usual divergences improves",
    )


KNOWS_ONE_WAY = {
    (): "2/5 1/20 1/20 1/2",
    ("DUP",): "1/20 4/5 1/10 1/20",
    ("DUP", "ADD"): "1/20 1/20 1/20 17/20",
    ("NOP",): "1/20 1/20 1/20 17/20",
    ("NOP", "DUP"): "1/20 4/5 1/10 1/20",
}
"""A student of `double` (DUP, ADD, MUL, NOP): fluent if it starts with DUP; after NOP it dawdles. Elsewhere uniform."""


def _double(name: str, feedback: str, student: Mapping[tuple[str, ...], str], exposes: str) -> Instance:
    """`DOUBLE` with the solution NOP DUP ADD, for a student given by instructions written so far."""
    instructions = ("DUP", "ADD", "MUL", "NOP")
    task = DOUBLE._replace(solution=("NOP", "DUP", "ADD"))
    game = stack_machine((task,), instructions, 3, feedback, numbers="rational")

    def rule(_: int, prefix: tuple[int, ...]) -> list[str]:
        return student.get(tuple(instructions[a] for a in prefix), "1/4 1/4 1/4 1/4").split()

    return _instance(name, game, game.policy(rule), exposes)


def shown_program() -> Instance:
    """Narrow feedback: several programs are right, the teacher is shown one, the student is fluent in another."""
    return _double(
        "shown_program",
        "solution",
        KNOWS_ONE_WAY,
        "a teacher that knows one of several right programs: small natural steps of reverse KL, Jensen-Shannon and "
        "Hellinger lower the return; forward KL raises it",
    )


def unfamiliar_program() -> Instance:
    """The same, but the program that is shown starts with an instruction that the student hardly ever writes."""
    return _double(
        "unfamiliar_program",
        "solution",
        {**KNOWS_ONE_WAY, (): "17/20 1/20 1/20 1/20"},
        "a teacher that is right wherever it leads, but starts in an unfamiliar way: forward KL lowers the return too",
    )


def tested_program() -> Instance:
    """Truthful feedback for the student of `shown_program`: the tests up to the first that a first attempt fails."""
    return _double(
        "tested_program",
        "trace",
        KNOWS_ONE_WAY,
        "feedback that is hidden but truthful, it excludes no right program: every one of these divergences improves",
    )
