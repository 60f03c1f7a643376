"""The same algorithms on networks: torch losses tested against the exact core, and the bridge between the two.

Two languages meet here. The core speaks of tables `(H,S,A,*B)` and knows every expectation; training code speaks of
logits `(batch, token, vocab)` and knows samples. `layout` translates.

* What a student pays: `losses` (whole distributions, top-k teachers), `sampled` (one token of each).
* What a loss is made of: `reductions` (masks, sums and means), `credit` (looking ahead, baselines, prefix weights).
* Rung 0, a network so small that nothing has to be sampled: `network` (a causal transformer), `pretrain` (its first
  education), `exact` (its policy on a token MDP as a table, return and gradients in parameter space by two routes),
  `steps` (what an optimiser's step is predicted to do to the return, and does), `moments` (bias and variance of the
  estimators, in parameter space).
* Language models: `models` (SmolLM2 without a hub, tiny ones), `tasks` (generated problems with exact rewards and
  feedback), `evaluate` (completions sampled, and what they are worth).

Torch is imported here and nowhere else in the library: `pip install "distil-theory[torch]"`.
"""

try:
    import torch  # noqa: F401  # say what is missing before a submodule stumbles over it
except ImportError as missing:
    raise ImportError('distil_theory.llm needs torch: pip install "distil-theory[torch]"') from missing
