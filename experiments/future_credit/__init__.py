r"""When does it pay to look ahead? (THEORY claims 10, 15, 17, 18, 19)

    python -m experiments.future_credit [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Local distillation holds the student's states fixed; the exact gradient charges an action for the disagreement after it,
as KL-to-go or as cross-entropy-to-go. Ten panels, each drawn from its own tables `future_credit_<panel>.csv`:

(a) `fork`: the aliased fork: where training ends, with and without looking ahead, beside the closed form; its return.
(b) `learning`: the return on it after each step.
(c) `steps`: where looking ahead hurts: the return along one step.
(d) `signs`: the same at a glance, with certified signs: who raises the return of which instance.
(e) `bound`, `bound_counts`: truthful feedback without chance: claim 18's bound on random problems.
(f) `trap`: cross-entropy-to-go leaves even the expert.
(g) `length`, `length_limits`: and makes answers short, if going on costs the expert's indecision at every token.
(h) `leak`, `leak_rates`: students who cannot express or see the advantage: what claim 2 loses.
(i) `hints`: truthful and narrow hints, hidden from the student.
(j) `frontier`, `errors`, `crossings`: path weights: bias against variance, and who wins with N rollouts.
"""
