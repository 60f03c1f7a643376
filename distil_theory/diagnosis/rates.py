r"""What a log identifies, and the estimators: a number per group, unbiased for that group's rate.

A *group* is one prompt with one teacher context; its rollouts `1..n` are drawn independently from the student `pi`.
Along a rollout `u_h = pi*/pi` is the ratio at the token that was written, `Lambda_h = u_1 .. u_h`, `R` the reward, and
`s_h` the prefix: a token MDP is a tree. Claim 1 says that a natural step has, per group, the rate

    sum_h E_{s ~ d_h} Cov_{a ~ pi}( Q_h(s,a), x_h(s,a) )  =  E_pi[ R sum_h (x_h - E_pi[x_h | s_h]) ],

since `E[R | s_h, a_h]` is `Q_h` plus what has been paid before, which a score of mean zero given `s_h` does not see.
So every rate is `E[(R - b) X]`, `X = sum_h x_h` a sum over the tokens of one rollout, with

| name | x_h | identified by |
| --- | --- | --- |
| `local/forward_kl` | `u_h - 1`, for `E[u_h | s_h] = 1` (claim 16) | sampled tokens |
| `clipped/forward_kl` | `min(Lambda_{h-1}, c) (u_h - 1)` (claim 15) | sampled tokens |
| `sequence/f` | `h_f(Lambda_h) - h_f(Lambda_{h-1})`, together `h_f(Lambda) - h_f(1)` | sampled tokens |
| `local/f` | `h_f(u_h) - E_pi[h_f(u) | s_h]` | whole distributions; by top-k an interval (`tails`) |
| `full/f` | `h_f(u_h) - E_pi[h_f(u) | s_h] - D_f(s_h)` | whole distributions |
| `euclidean/f` | `d(s_h) (y_h - E_pi[y | s_h])`, `y = pi (h_f(u) - E_pi h_f(u))` | whole distributions |

where `d(s_h)` is the student's probability of the prefix, given the prompt: plain gradients on one logit per prefix.

*The within-group covariance.* `1/(n-1) sum_i (R_i - mean R) X_i` is the unbiased U-statistic of `Cov(R, X)`: unbiased
for `sequence/f` and `full/f`, and for the others, as there `E X = 0`. It is also the mean over `i` of `(R_i - mean of
the others) X_i`, a leave-one-out baseline. Where a group is one rollout, `Cov` within it is not identified; scores of
mean zero take the rewards of the *other groups* for a baseline, which is unbiased, too.

`sequence/forward_kl` telescopes to `sum_h Lambda_{h-1} (u_h - 1)`: prefix-weighted forward KL, the gap `J* - J`
(claim 2).

*Full gradients*, of `E_pi sum_h D_f(s_h)` (claim 10). A natural step of an unrestricted student does not depend on how
answers are parametrised, and the derivative in the probability of one answer is, along it, minus the sum of
`h_f(u_h) - E_pi[h_f(u) | s_h] - D_f(s_h)`: a step against what one disagrees with, and away from where one will. So the
rate is the covariance of reward and that sum. (Claim 10 has `Cov(Q, Q^c)` at each prefix instead: the increments of two
martingales, whose covariances add up to that of their ends.) For reverse KL the sum is `log Lambda`, for
`E_pi h = -D`: `full/reverse_kl` *is* `sequence/reverse_kl`. From written tokens `D_f(s_h)` is known as the mean of
`f(u_h)` only, and `R` depends on that token: a product of two means at a prefix that one rollout visits once.

*Hidden feedback.* A student that cannot see the context must move alike under all contexts: its rate has `Cov_pi(
E[Q|o], E[x|o] )`, means over contexts (claim 1, aliased). If reward depends on what the student sees and writes only,
`Q` is the same under all, and as the covariance is linear in `x` it is the mean of the per-group rates: what we report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distil_theory.diagnosis import tails
from distil_theory.diagnosis.log import Array, Block
from distil_theory.diagnosis.tails import score
from distil_theory.divergences import CATALOGUE, FORWARD_KL, FDivergence

CLIP = 2.0
"""Prefix weights of `clipped/forward_kl` are clipped here."""


@dataclass(frozen=True)
class Column:
    """One rate that a log identifies.

    Args:
        level: `"local"`, `"clipped"`, `"sequence"`, `"full"` or `"euclidean"`.
        divergence: whose.
        end: `"low"` or `"high"` where only an interval is identified; such columns come in pairs, the low one first.
    """

    level: str
    divergence: FDivergence
    end: str = ""

    @property
    def name(self) -> str:
        """`level/divergence`."""
        return f"{self.level}/{self.divergence.name}"

    @property
    def centred(self) -> bool:
        """Whether the score has mean zero whatever the teacher: then a group of one rollout is enough."""
        return self.level not in ("sequence", "full") or self.name == "sequence/forward_kl"


def columns(block: Block, divergences: Sequence[FDivergence] = CATALOGUE) -> tuple[Column, ...]:
    """The rates that a log of this form identifies."""
    others = [d for d in divergences if d.name != "forward_kl"]
    found = [Column("local", FORWARD_KL), Column("clipped", FORWARD_KL)]
    found += [Column("sequence", d) for d in divergences]
    if block.form == "full":
        found += [Column("local", d) for d in others]
        found += [Column("full", d) for d in divergences if d.name != "reverse_kl"]  # that is of the sequence
        found += [Column("euclidean", d) for d in divergences]
    if block.form == "top":
        found += [Column("local", d, end) for d in others for end in ("low", "high")]
    return tuple(found)


def running(x: Array, starts: Array) -> tuple[Array, Array]:
    """Sums of `x` along each rollout before each token and after it, `(T,)` each."""

    def sums(y: Array) -> Array:
        total = np.cumsum(y)
        return np.asarray(total - np.repeat(np.concatenate([[0], total])[starts[:-1]], np.diff(starts)))

    abandoned = np.isneginf(x)  # of which a difference of sums would make NaN, in later rollouts too
    after = sums(np.where(abandoned, 0, x))
    if abandoned.any():
        after[sums(abandoned.astype(np.int64)) > 0] = -np.inf
    before = np.concatenate([[0.0], after[:-1]])
    before[starts[:-1]] = 0  # not the sum minus x: total variation sees the sign of the last digit
    return before, after


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def token_terms(
    block: Block, plan: Sequence[Column], clip: float = CLIP, ratios: tuple[float, float] | None = None
) -> Array:
    """`x_h` of every token, `(T, K)`; of an interval the least and the greatest that it can be. Infinite, or NaN,
    where there is no number: who adds them up says so."""
    log_u = block.teacher - block.student
    before, after = running(log_u, block.starts)
    terms = np.empty((len(log_u), len(plan)))
    whole, listed = _Whole(block), _Listed(block, ratios)
    for k, column in enumerate(plan):
        if column.level == "sequence":
            terms[:, k] = score(column.divergence, after) - score(column.divergence, before)
        elif column.level == "euclidean":
            terms[:, k] = whole.euclidean(column.divergence)
        elif column.level == "full":
            own = score(column.divergence, log_u)
            terms[:, k] = own - whole.mean(column.divergence) - whole.value(column.divergence)
        elif column.divergence.name == "forward_kl":
            weight = np.exp(np.minimum(before, np.log(clip))) if column.level == "clipped" else 1.0
            terms[:, k] = weight * (np.exp(log_u) - 1)
        else:
            middle = listed.mean(column.divergence, column.end) if column.end else whole.mean(column.divergence)
            terms[:, k] = score(column.divergence, log_u) - middle
    return terms


class _Whole:
    """Means under the student's whole distribution."""

    def __init__(self, block: Block) -> None:
        self.block = block
        if block.student_full is not None and block.teacher_full is not None:
            self.q = np.exp(block.student_full)
            self.log_u = np.where(self.q > 0, block.teacher_full - np.where(self.q > 0, block.student_full, 0), 0)

    def mean(self, divergence: FDivergence) -> Array:
        """`E_pi s(u)` at each token, `(T,)`."""
        return np.where(self.q > 0, self.q * score(divergence, self.log_u), 0).sum(axis=1)

    def value(self, divergence: FDivergence) -> Array:
        """`D_f(s_h)` at each token, `(T,)`."""
        assert self.block.teacher_full is not None
        p, q = (x / x.sum(axis=1, keepdims=True) for x in (np.exp(self.block.teacher_full), self.q))
        return np.asarray(divergence.value(p, q))

    def euclidean(self, divergence: FDivergence) -> Array:
        """`d(s_h) (y_h - E_pi y)`, `(T,)`."""
        y = self.q * (score(divergence, self.log_u) - self.mean(divergence)[:, None])
        assert self.block.tokens is not None
        own = np.take_along_axis(y, self.block.tokens[:, None], axis=1)[:, 0]
        prefix = np.exp(running(self.block.student, self.block.starts)[0])
        return prefix * (own - (self.q * y).sum(axis=1))


class _Listed:
    """Bounds of `E_pi s(u)` from listed tokens, the written one and the masses of the rest."""

    def __init__(self, block: Block, ratios: tuple[float, float] | None) -> None:
        self.block, self.ratios = block, ratios

    def mean(self, divergence: FDivergence, end: str) -> Array:
        """The least mean for the high end, the greatest for the low end, `(T,)`."""
        b = self.block
        assert b.top is not None
        assert b.tokens is not None
        assert b.student_top is not None
        assert b.teacher_top is not None
        unlisted = ~(b.top == b.tokens[:, None]).any(axis=1)
        q, p = np.exp(b.student_top), np.exp(b.teacher_top)
        log_u = np.where(q > 0, b.teacher_top - np.where(q > 0, b.student_top, 0), 0)  # what is masked is never drawn
        known = np.where(q > 0, q * score(divergence, log_u), 0).sum(axis=1)
        own_q, own_p = np.exp(b.student), np.exp(b.teacher)
        known += np.where(unlisted, own_q * score(divergence, b.teacher - b.student), 0)
        rest_q, rest_p = (1 - x.sum(axis=1) - unlisted * own for x, own in ((q, own_q), (p, own_p)))
        least, most = tails.bounds(divergence, rest_q, rest_p, self.ratios, b.place)
        return known + (least if end == "high" else most)


def advantage(block: Block) -> Array:
    """What each rollout's score is multiplied with, `(N,)`: `(R_i - mean R)/(n - 1)`, summed over the group then."""
    n, means = block.sizes, block.means
    apart = (block.reward - np.repeat(means, n)) / np.repeat(np.maximum(n - 1, 1), n)
    alone = np.repeat(n == 1, n)
    if alone.any():  # the other groups are the baseline: those of this block, and all before it
        total, count = block.past
        others = (total + means.sum() - means) / max(count + len(n) - 1, 1)
        apart[alone] = block.reward[alone] - np.repeat(others, n)[alone]
    return apart


def covariance(block: Block, scores: Array, plan: Sequence[Column]) -> Array:
    """Within-group covariance of reward and score, `(G, K)`, from scores of rollouts `(N, K)`.

    NaN for a group of one, unless the score is centred. Of an interval the ends that the rewards allow.
    """
    apart = advantage(block)
    with np.errstate(invalid="ignore"):
        product = apart[:, None] * scores
        for k, column in enumerate(plan):
            if column.end == "low":  # a rollout below the baseline takes the other end
                ends = np.where(apart[:, None] >= 0, scores[:, k : k + 2], scores[:, [k + 1, k]])
                product[:, k : k + 2] = np.where(apart[:, None] == 0, 0, apart[:, None] * ends)
        found = np.add.reduceat(product, block.groups[:-1], axis=0)  # inf - inf: nothing is identified
    alone = block.sizes == 1
    if alone.any():
        found[np.ix_(alone, [not column.centred for column in plan])] = np.nan
    return found


def contributions(
    block: Block, plan: Sequence[Column], clip: float = CLIP, ratios: tuple[float, float] | None = None
) -> Array:
    """A number per group and rate, `(G, K)`; its mean over groups estimates the rate without bias.

    Args:
        block: whole groups; several logs may lie behind one another.
        plan: which rates, from `columns`.
        clip: of `clipped/forward_kl`.
        ratios: smallest and largest ratio of unlisted tokens, if known.
    """
    scores = np.add.reduceat(token_terms(block, plan, clip, ratios), block.starts[:-1], axis=0)
    return covariance(block, scores, plan)
