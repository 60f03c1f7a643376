r"""A transformer asked at every prefix of a tree, each prefix computed once; and the first education of many at once.

`exact.Player` reads every prefix as a text of its own: an answer of six tokens behind a prompt of twelve costs the
network eighteen tokens, and what two prefixes share is computed twice. But a causal network sees a token and what
comes before it: on a tree a token attends to the prompt and to its *ancestors*, and one pass over `L + N` tokens says
everything. The ancestors of a level are levels before it, so attention, too, is a reshape: level `h` cut into `A^j`
groups of `A^(h-j)` rows meets the rows of level `j`, one group each. (Language models call this tree attention:
Miao et al. 2024, SpecInfer.) The weights and the answers are those of `network.Network`, tested to be.

Many networks of one shape are one batch: `theta (B, P)`, vectorised by `torch.func.vmap`; none feels the others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from distil_theory import validate
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.llm import losses, tree
from distil_theory.llm.network import Attention, Network
from distil_theory.llm.tree_game import TreeGame


def prompts(texts: list[tuple[int, ...]], device: Any = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Texts as token ids `(rows, L)`, padded *in front* so that all end at once, and how much, `(rows,)`."""
    longest = max(map(len, texts))
    pads = [longest - len(text) for text in texts]
    ids = [[0] * pad + list(text) for pad, text in zip(pads, texts, strict=True)]
    return torch.tensor(ids, device=device), torch.tensor(pads, device=device)


class OnTree(nn.Module):
    """A `Network` that answers behind prompts `(R, L)`, padded in front by `(R,)`, at every prefix: `(R, N, A)`."""

    def __init__(self, network: Network, prefixes: PrefixTree) -> None:
        super().__init__()
        self.network, self.prefixes = network, prefixes
        depth = [h for h in range(prefixes.length) for _ in range(prefixes.tokens**h)]
        device = network.head.weight.device
        node = torch.arange(1, prefixes.size, device=device)
        self.register_buffer("last", (node - 1) % prefixes.tokens)  # the token with which a prefix ends
        self.register_buffer("depth", torch.tensor(depth[1:], dtype=torch.long, device=device))

    def forward(self, ids: torch.Tensor, pads: torch.Tensor) -> torch.Tensor:
        """Logits of the next token, `(R, N, A)`."""
        net, length = self.network, ids.shape[1]
        there = torch.arange(length, device=ids.device) - pads[:, None]
        places = torch.cat([there.clamp(min=0), length - 1 - pads[:, None] + self.depth], dim=1)
        x = net.place(places)
        x = x + torch.cat([net.token(ids), net.token(self.last).expand(len(ids), -1, -1)], dim=1)
        hidden = there < 0
        for block in net.blocks[:-1]:
            norm, attention = block.attend
            x = x + self._attend(attention, norm(x), hidden)
            x = x + block.think(x)
        return net.head(net.blocks[-1](x[:, length - 1 :]))

    def _attend(self, attention: Attention, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Self-attention of the prompt, and of each prefix to prompt and ancestors, `(R, L + N - 1, width)`."""
        tokens, length, count = self.prefixes.tokens, self.prefixes.length, hidden.shape[1]
        qkv = attention.read(x).unflatten(-1, (3, attention.heads, -1)).movedim((-3, -2), (0, -3))
        sizes = [count, *(tokens**h for h in range(1, length))]
        query, key, value = ([*part.split(sizes, dim=-2)] for part in qkv / qkv.shape[-1] ** 0.25)
        value = [part * qkv.shape[-1] ** 0.25 for part in value]
        later = torch.ones(count, count, dtype=torch.bool, device=x.device).triu(1)
        unseen = (later | hidden[:, None, :]) & ~torch.eye(count, dtype=torch.bool, device=x.device)
        score = (query[0] @ key[0].mT).masked_fill(unseen[:, None], -float("inf"))
        found = [torch.softmax(score, dim=-1) @ value[0]]
        behind = hidden[:, None, None, :]
        for h in range(1, length):
            scores = [(query[h] @ key[0].mT).masked_fill(behind, -float("inf"))]
            for j in range(1, h + 1):  # the ancestors of length j, each with its group of this level
                group = query[h].unflatten(-2, (tokens**j, -1))
                scores.append((group * key[j][..., None, :]).sum(dim=-1).flatten(-2)[..., None])
            weight = torch.softmax(torch.cat(scores, dim=-1), dim=-1)
            mixed = weight[..., :count] @ value[0]
            for j in range(1, h + 1):
                group = weight[..., count + j - 1].unflatten(-1, (tokens**j, -1))[..., None]
                mixed = mixed + (group * value[j][..., None, :]).flatten(-3, -2)
            found.append(mixed)
        return attention.write(torch.cat(found, dim=-2).movedim(-3, -2).flatten(-2))


def network_for(game: TreeGame, **options: Any) -> Network:
    """A `Network` that reads and writes the tokens of a game; options as `Network`."""
    longest = max(len(hint) + len(game.prompts[v]) for hint, v in zip(game.hints, game.view.tolist(), strict=True))
    return Network(len(game.vocabulary), game.tree.tokens, longest + game.tree.length - 1, **options)


class TreePlayer:
    """Networks of one shape that play a game, as functions of their weights `thetas (B, P)`.

    Args:
        game: any; it is taken to the network's precision and device.
        network: the shape.
    """

    def __init__(self, game: TreeGame, network: Network) -> None:
        like = network.head.weight
        self.game, self.network = game.to(like), OnTree(network, game.tree)
        self._parameters = {name: p for name, p in self.network.named_parameters()}
        self._sizes = [p.numel() for p in self._parameters.values()]
        views = game.view.tolist()
        self.asked = prompts(list(game.prompts), like.device)
        self.told = prompts([hint + game.prompts[v] for hint, v in zip(game.hints, views, strict=True)], like.device)

    def answers(self, theta: torch.Tensor, ids: torch.Tensor, pads: torch.Tensor) -> torch.Tensor:
        """Logits `(R, N, A)` of one network."""
        parts = zip(self._parameters.items(), theta.split(self._sizes), strict=True)
        weights = {name: part.view(p.shape) for (name, p), part in parts}
        return torch.func.functional_call(self.network, weights, (ids, pads))

    def logits(self, thetas: torch.Tensor, *, feedback: bool = False) -> torch.Tensor:
        """Of many networks, `(B, V, N, A)`; with feedback in the context `(B, C, N, A)`."""
        return torch.func.vmap(self.answers, in_dims=(0, None, None))(thetas, *(self.told if feedback else self.asked))

    def students(self, thetas: torch.Tensor) -> torch.Tensor:
        """Log-probabilities `(B, V, N, A)`."""
        return self.logits(thetas).log_softmax(dim=-1)

    def expected_returns(self, thetas: torch.Tensor) -> torch.Tensor:
        """`J` of each, `(B,)`, without gradients."""
        with torch.no_grad():
            return tree.expected_return(self.game, self.students(thetas))

    def teachers(self, thetas: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the networks that read the feedback, `(B, C, N, A)`, without gradients."""
        with torch.no_grad():
            return self.logits(thetas, feedback=True).log_softmax(dim=-1)


def educated(
    player: TreePlayer, thetas: torch.Tensor, asked: torch.Tensor, told: torch.Tensor, steps: int, rate: float
) -> torch.Tensor:
    """Supervised lessons: weights `(B, P)` of networks that imitated a student, and with feedback its teacher.

    Each role is half of the loss, a cross-entropy where the lessons lead: the student is heard along its own answers,
    the teacher half along its own and half along the student's, for that is where it will be asked.

    Args:
        player: the game and the shape.
        thetas: where they begin, `(B, P)`.
        asked: probabilities of the students to be imitated, `(B, V, N, A)`.
        told: of the teachers, with feedback in the context, `(B, C, N, A)`.
        steps, rate: of Adam.
    """
    validate.whole("steps", steps, 1)
    learnt = thetas.detach().clone().requires_grad_()
    adam = torch.optim.Adam([learnt], lr=rate)
    form, game = losses.FORMS["cross_entropy"], player.game
    ours, theirs = (tree.reach(game.tree, rows) for rows in (asked, told))
    lessons = (
        (False, asked.log(), game.view_weight[:, None] * ours),
        (True, told.log(), game.weight[:, None] * (ours[:, game.view] + theirs) / 2),
    )
    for _ in range(steps):
        adam.zero_grad()
        for feedback, rows, there in lessons:
            said = player.logits(learnt, feedback=feedback).log_softmax(dim=-1)
            (there * form(rows, said)).sum().backward()
        adam.step()
    return learnt.detach()


def reference(game: TreeGame, seed: int, skills: tuple[float, float], spread: float = 1.0) -> torch.Tensor:
    """A random, partly skilled student, probabilities `(V, N, A)`.

    Its habits are random logits; a share of its probability is that of its habits conditioned on being right. The share
    is drawn anew for each first token: a student is better at some ways of going about it than at others.

    Args:
        game: the game, float64.
        seed: of habits and skills.
        skills: the least and the largest share.
        spread: standard deviation of the logits.
    """
    dice = torch.Generator().manual_seed(validate.whole("seed", seed, 0))
    shape = (game.views, game.tree.size, game.tree.tokens)
    habits = (spread * torch.randn(shape, generator=dice, dtype=torch.float64)).softmax(dim=-1)
    low, high = skills
    drawn = low + (high - low) * torch.rand((game.views, game.tree.tokens), generator=dice, dtype=torch.float64)
    branches = [drawn.repeat_interleave(game.tree.tokens**h, dim=1) for h in range(game.tree.length - 1)]
    skill = torch.cat([drawn.mean(dim=1, keepdim=True), *branches], dim=1)[..., None]
    return (1 - skill) * habits + skill * tree.conditioned(game.tree, habits, game.view_reward)
