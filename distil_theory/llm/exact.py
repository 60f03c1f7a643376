r"""A network on a token MDP, known exactly: its policy as a table, its return and its gradients in parameter space.

A token MDP has few prefixes, so the network is asked at every one of them. What it answers to (problem, prefix) is the
*student*, to (feedback, problem, prefix) the *teacher*: the same network with the feedback in its context. Both become
policies `(H,S,A)` and everything else is the core's business.

*Two routes to every gradient*, which share no code beyond the network:

1. *Autograd.* The table is a torch tensor that remembers the network, the core computes `J(theta)` and `L(theta)` in
   its torch number system, and torch differentiates through all of it.
2. *Chain rule.* The core's analytic gradients in the logits `g[h,o,a]` are pulled back through the network,
   `sum_{h,o,a} g[h,o,a] d logit[o,a] / d theta`: `objectives.return_gradient`, `objectives.loss_gradient(part=...)`.

Shared parameters make this a *restricted* class (THEORY claim 17): a step can move the logits only within the span of
the Jacobian's columns, and every prefix moves with all others.

Parameters are one flat vector `theta (P,)`, so that steps are additions and nothing is changed in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from distil_theory import number_systems as ns
from distil_theory import objectives, solve
from distil_theory.divergences import FDivergence
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.llm.network import Network
from distil_theory.number_systems import Array
from distil_theory.point import check_part
from distil_theory.spec import TabularMDP


class Texts(NamedTuple):
    """Token ids `(rows, longest)`, padded behind, and where each text ends, `(rows,)`."""

    ids: torch.Tensor
    ends: torch.Tensor


def texts(game: TokenMDP, *, feedback: bool, device: Any = "cpu") -> Texts:
    """What the network reads in every state (with feedback), or in every observation (without), the end left out."""
    contexts = [
        (problem, hint if feedback else None)
        for problem, hints in enumerate(game.hints)
        for hint in (range(len(hints)) if feedback else [0])
    ]
    prefixes = [game.tree.prefix(i) for i in range(game.tree.size)]
    rows = [game.prompt(*context, prefix) for context in contexts for prefix in prefixes]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):  # behind the text: a causal network does not look there
        ids[i, : len(row)] = torch.tensor(row)
    return Texts(ids.to(device), torch.tensor([len(row) - 1 for row in rows], device=device))


def network_for(game: TokenMDP, **options: Any) -> Network:
    """A `Network` that reads and writes the tokens of a game; options as `Network`."""
    longest = max(len(hint) for hints in game.hints for hint in hints) + max(map(len, game.prompts))
    return Network(len(game.vocabulary), game.tree.tokens, longest + game.tree.length - 1, **options)


def in_torch(mdp: TabularMDP, like: torch.Tensor) -> TabularMDP:
    """A stationary MDP in the precision and on the device of a tensor."""
    p, r, rho = (ns.convert(x, "torch").to(like) for x in (mdp.transition[0], mdp.reward[0], mdp.initial))
    return TabularMDP(p, r, rho, mdp.shape[0], mdp.observation)


def flat(network: Network) -> torch.Tensor:
    """The weights of a network as one vector `(P,)`."""
    return torch.cat([p.detach().flatten() for p in network.parameters()])


class Player:
    """A network that plays a token MDP, as functions of its parameters `theta (P,)`.

    Args:
        game: float64.
        network: reads and writes its tokens (`network_for`); it is the shape, `theta` are the weights.
    """

    def __init__(self, game: TokenMDP, network: Network) -> None:
        self.game, self.network = game, network
        shapes = {name: p.shape for name, p in network.named_parameters()}
        self._names, self._shapes = list(shapes), list(shapes.values())
        self._sizes = [shape.numel() for shape in self._shapes]
        self.theta = flat(network)
        self.mdp = in_torch(game.mdp, self.theta)
        device = self.theta.device
        self.asked, self.told = (texts(game, feedback=f, device=device) for f in (False, True))

    def answers(self, theta: torch.Tensor, read: Texts) -> torch.Tensor:
        """Logits after each text, `(rows, A)`."""
        weights = {
            name: part.view(shape)
            for name, part, shape in zip(self._names, theta.split(self._sizes), self._shapes, strict=True)
        }
        said = torch.func.functional_call(self.network, weights, (read.ids,))
        return said[torch.arange(len(read.ends), device=said.device), read.ends]

    def logits(self, theta: torch.Tensor) -> torch.Tensor:
        """The student's, `(O, A)`; zeros at the end, where nothing is at stake."""
        return _with_end(self.answers(theta, self.asked))

    def policy(self, logits: torch.Tensor) -> torch.Tensor:
        """`(O, A)` or `(S, A)` logits as a policy `(H,S,A)`, a view of one step."""
        table = torch.softmax(logits, dim=-1)
        if len(table) != self.mdp.shape[1]:
            table = table[torch.as_tensor(np.array(self.mdp.observation), device=table.device)]
        return ns.broadcast_to(table[None], self.mdp.shape)

    def student(self, theta: torch.Tensor) -> torch.Tensor:
        """The policy `(H,S,A)` of the network that reads (problem, prefix)."""
        return self.policy(self.logits(theta))

    def teacher(self, theta: torch.Tensor) -> torch.Tensor:
        """The policy `(H,S,A)` of the network that also reads the feedback."""
        return self.policy(_with_end(self.answers(theta, self.told)))

    def table(self, policy: torch.Tensor) -> np.ndarray:
        """A policy as a float64 table for the core's other number systems, rows normalised in that precision."""
        x = policy.detach().double().cpu().numpy()
        return np.asarray(x / x.sum(axis=2, keepdims=True))

    # --- route 1: the core in torch, differentiated by torch
    # ---------------------------------------------------------------------------------------------------------

    def expected_return(self, theta: torch.Tensor) -> torch.Tensor:
        """`J(theta)`."""
        return solve.expected_return(self.mdp, self.student(theta))

    def policies(self, thetas: torch.Tensor, *, feedback: bool = False) -> torch.Tensor:
        """Students, or with feedback their teachers, of many parameter vectors `(B, P)`: `(H,S,A,B)`, no gradients."""
        with torch.no_grad():
            rows = torch.func.vmap(self.answers, in_dims=(0, None))(thetas, self.told if feedback else self.asked)
            rows = torch.cat([rows, torch.zeros_like(rows[:, :1])], dim=1).softmax(dim=-1).movedim(0, -1)
            if not feedback:
                rows = rows[torch.tensor(np.array(self.mdp.observation), device=rows.device)]
            return ns.broadcast_to(rows[None], (*self.mdp.shape, len(thetas)))

    def expected_returns(self, thetas: torch.Tensor) -> torch.Tensor:
        """`J` of many parameter vectors `(B, P)` at once, `(B,)`, without gradients."""
        return solve.expected_return(self.mdp, self.policies(thetas))

    def loss(
        self,
        theta: torch.Tensor,
        expert: Array,
        objective: FDivergence,
        part: str = "local",
        weight: Array | None = None,
    ) -> torch.Tensor:
        """A scalar whose gradient is that of `objectives.loss_gradient` in parameter space.

        Args:
            theta: `(P,)`.
            expert: `(H,S,A)`, a constant.
            objective: the disagreement.
            part: `"local"`: the occupancy is a constant; `"full"`: it is not; `"future"`: only the occupancy moves.
            weight: `(H,S)`, constants.

        Raises:
            ValueError: an unknown part.
        """
        check_part(part)
        pi = self.student(theta)
        star = torch.as_tensor(expert).detach().to(pi)
        cost = objective.value(star, pi, axis=2)
        if weight is not None:
            cost = torch.as_tensor(weight).detach().to(pi) * cost
        there = solve.occupancy(self.mdp, pi)
        return ((there.detach() if part == "local" else there) * (cost.detach() if part == "future" else cost)).sum()

    # --- route 2: the core's analytic gradients, pulled back through the network
    # ---------------------------------------------------------------------------------------------------------

    def pull_back(self, theta: torch.Tensor, g: Array) -> torch.Tensor:
        """`sum g[h,o,a] d logit[o,a]/d theta`, `(P,)`, of a gradient `(H,O,A)` in the logits."""
        theta = theta.detach().requires_grad_()
        direction = torch.as_tensor(np.asarray(g)).sum(dim=0).to(theta)
        return torch.autograd.grad((self.logits(theta) * direction).sum(), theta)[0]

    def pull_back_many(self, thetas: torch.Tensor, g: Array) -> torch.Tensor:
        """The same for many parameter vectors `(B, P)` and as many gradients `(H,O,A,B)`."""
        thetas = thetas.detach().requires_grad_()
        direction = torch.as_tensor(np.asarray(g)).sum(dim=0).movedim(-1, 0).to(thetas)
        return torch.autograd.grad((torch.func.vmap(self.logits)(thetas) * direction).sum(), thetas)[0]

    def return_gradient(self, theta: torch.Tensor) -> torch.Tensor:
        """`dJ/d theta (P,)`."""
        return self.pull_back(theta, objectives.return_gradient(self.game.mdp, self.table(self.student(theta))))

    def loss_gradient(
        self,
        theta: torch.Tensor,
        expert: np.ndarray,
        objective: FDivergence,
        part: str = "local",
        weight: np.ndarray | None = None,
    ) -> torch.Tensor:
        """`dL/d theta (P,)`; arguments as `objectives.loss_gradient`, the expert a float64 table."""
        pi = self.table(self.student(theta))
        return self.pull_back(theta, objectives.loss_gradient(self.game.mdp, pi, expert, objective, weight, part))

    def jacobian(self, theta: torch.Tensor) -> torch.Tensor:
        """`d logit[o,a] / d theta`, `(O, A, P)`; zeros at the end."""
        ids, ends = self.asked

        def row(theta: torch.Tensor, text: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
            return self.answers(theta, Texts(text[None], end[None]))[0]

        found = torch.func.vmap(torch.func.jacrev(row), in_dims=(None, 0, 0))(theta.detach(), ids, ends)
        return torch.cat([found, torch.zeros_like(found[:1])])

    def conditioned(self, pi: np.ndarray, trust: float = 0.99) -> np.ndarray:
        """The exactly conditioned student `(H,S,A)`, trusted to a share: `trust pi* + (1 - trust) pi`."""
        return np.asarray(trust * self.game.teacher(pi) + (1 - trust) * pi)


def _with_end(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows, torch.zeros_like(rows[:1])])
