"""Wrong formulas, planted one at a time in a copy of the library: a named check of the ledger catches each.

For twenty-four chapters they include, for each step, the very change that its `breaks` names.
"""

import shutil
from pathlib import Path

import pytest

import distil_theory
from distil_theory.claims import CLAIMS
from tests.claims import planted_efficiency, planted_regret, planted_success
from tests.claims.planted import MARGIN, Checks

pytestmark = pytest.mark.long

PACKAGE = Path(distil_theory.__file__).parent
ERRORS = [
    # what is wrong, file, right, wrong, claim, the check that catches it (the beginning of a step, or the margin)
    ("A = r + old + V", "claims/performance_difference.py", "advantage = R + old - v", "advantage = R + old + v", "performance_difference", "D_h = E_pi'"),
    ("A = Q + V in solve.advantage", "solve.py", "return q - v[:, :, None]", "return q + v[:, :, None]", "performance_difference", "one step, by the code"),
    ("the last policy in the flow", "solve.py", "flow = d[h][:, None] * pi[h]", "flow = d[h][:, None] * pi[-1]", "performance_difference", "occupancies"),
    ("d of the student", "claims/performance_difference.py", "flow = solve.occupancy(mdp, expert)", "flow = solve.occupancy(mdp, student)", "performance_difference", "the code, on"),
    ("off by one in h", "solve.py", "ns.contract(p[h], v[h + 1]))\n        v[h] = (pi", "ns.contract(p[h], v[steps - 1]))\n        v[h] = (pi", "performance_difference", "one step, by the code"),
    ("a lost factor in V", "solve.py", "v[h] = (pi[h] * q[h]).sum(axis=1)\n    return ns.stack(v), ns.stack(q)", "v[h] = (pi[h] * q[h]).sum(axis=1) / 2\n    return ns.stack(v), ns.stack(q)", "performance_difference", "the code, on"),
    ("transition of the first step everywhere", "solve.py", "align(p[h], flow.ndim - 2, 3)", "align(p[0], flow.ndim - 2, 3)", "performance_difference", "occupancies"),
    ("return of the last step", "solve.py", "(align(rho, v.ndim - 2, 1) * v[0])", "(align(rho, v.ndim - 2, 1) * v[-1])", "performance_difference", "the code, on"),
    ("transitions turned round, in batches", "solve.py", "align(p[h], flow.ndim - 2, 3)", "align(p[h] if flow.ndim == 2 else p[h][::-1], flow.ndim - 2, 3)", "performance_difference", MARGIN),
    ("h = u f' + f, in the step", "claims/covariance_rate.py", "score = u * sympy.diff(f(u), u) - f(u)", "score = u * sympy.diff(f(u), u) + f(u)", "covariance_rate", "the score"),
    ("twice the h of Hellinger", "divergences.py", "lambda u: ns.sqrt(u) - 1,", "lambda u: 2 * (ns.sqrt(u) - 1),", "covariance_rate", "h, f''(1)"),
    ("half the f of Hellinger", "divergences.py", "lambda u: ns.power(ns.sqrt(u) - 1, 2),", "lambda u: ns.power(ns.sqrt(u) - 1, 2) / 2,", "covariance_rate", "h, f''(1)"),
    ("Hellinger as if normalised", "divergences.py", "unit=1 / 2", "unit=1", "covariance_rate", "h, f''(1)"),
    ("Pearson to the fourth", "divergences.py", "lambda u: ns.power(u - 1, 2), lambda", "lambda u: ns.power(u - 1, 4), lambda", "covariance_rate", "h, f''(1)"),
    ("the h of Pearson cubed", "divergences.py", "lambda u: u**2 - 1", "lambda u: u**3 - 1", "covariance_rate", "h, f''(1)"),
    ("half the h of Neyman", "divergences.py", "lambda u: 2 - 2 * ns.power(u, -1)", "lambda u: 1 - ns.power(u, -1)", "covariance_rate", "h, f''(1)"),
    ("total variation without its half", "divergences.py", "lambda u: abs(u - 1) / 2", "lambda u: abs(u - 1)", "covariance_rate", "h, f''(1)"),
    ("the slope of Jensen-Shannon", "divergences.py", "lambda one: ns.log(2 * one) / 2", "lambda one: ns.log(2 * one)", "covariance_rate", "h, f''(1)"),
    ("alpha without 1/a", "divergences.py", "lambda u: ns.scale(ns.power(u, a) - 1, 1 / a), slope", "lambda u: ns.power(u, a) - 1, slope", "covariance_rate", "h, f''(1)"),
    ("dpi_a = -pi_a", "claims/covariance_rate.py", "other.diff(theta) + other * p", "other.diff(theta) + other", "covariance_rate", "softmax"),
    ("drop the occupancy", "point.py", "self.flow * (mean[:, :, None] - self.score)", "self.pi * (mean[:, :, None] - self.score)", "covariance_rate", "the local gradient"),
    ("local gradient with a flipped sign", "point.py", "self.flow * (mean[:, :, None] - self.score)", "self.flow * (self.score - mean[:, :, None])", "covariance_rate", "the local gradient"),
    ("the score squared", "point.py", "return self.given_observation(self.score)", "return self.given_observation(self.score) ** 2", "covariance_rate", "Fisher"),
    ("twice the score", "point.py", "return self.given_observation(self.score)", "return self.given_observation(self.score) * 2", "covariance_rate", "Fisher"),
    ("the score times pi", "point.py", "return self.given_observation(self.score)", "return self.given_observation(self.score * self.pi)", "covariance_rate", "Fisher"),
    ("Euclidean without occupancy", "point.py", "return -self.loss_gradient", "return -self.loss_gradient / pool(self.mdp, self.occupancy)[:, :, None]", "covariance_rate", "Fisher"),
    ("A = Q in Point", "point.py", "self.flow * (q - v[:, :, None])", "self.flow * q", "covariance_rate", "the policy gradient"),
    ("a policy gradient of the first state only", "point.py", "return pool(self.mdp, self.flow * (q - v[:, :, None]))", "return visible(self.mdp, self.flow * (q - v[:, :, None]))", "covariance_rate", "the policy gradient"),
    ("uniform beliefs", "aliasing.py", "return ns.where(never, 1 / size, occupancy / ns.where(never, seen * 0 + 1, seen))", "return 1 / size", "covariance_rate", "natural step"),
    ("states not weighted by occupancy", "point.py", "return (seen * terms)", "return (terms + seen * 0)", "covariance_rate", "natural step"),
    ("drop the centring", "point.py", "centred = x - (p * x).sum(axis=axis, keepdims=True)", "centred = x", "covariance_rate", "Euclidean step"),
    ("states not weighted by occupancy, in batches", "point.py", "return (seen * terms)", "return (seen * terms if seen.ndim == 2 else terms + seen * 0)", "covariance_rate", MARGIN),
    ("h = u^2 for forward KL", "divergences.py", "lambda u: u, None, \"forward KL\"", "lambda u: u**2, None, \"forward KL\"", "forward_gap", "Cov(r, h)"),
    ("w = d / d*", "claims/forward_gap.py", "d_star / d * h_of", "d / d_star * h_of", "forward_gap", "the term of a state"),
    ("KL direction swapped: u = pi / pi*", "point.py", "divergence.h(self.star / self.pi)", "divergence.h(self.pi / self.star)", "forward_gap", "the code, on generic bandits"),
    ("state weight ignored", "point.py", "if self.weight is None", "if True", "forward_gap", "the code, on the generic MDP"),
    ("state weight upside down", "objectives.py", "theirs / ns.where(never, ours * 0 + 1, ours)", "ours / ns.where(never, ours * 0 + 1, theirs)", "forward_gap", "the code, on the generic MDP"),
    ("Euclidean for natural", "point.py", "if geometry == \"euclidean\":", "if geometry != \"euclidean\":", "forward_gap", "the code, on generic bandits"),
    ("hidden state ignored", "point.py", "if not self.mdp.aliased:\n            return visible", "if True:\n            return visible", "forward_limits", "(c)"),
    ("Cov(r, a u) = a^2 Cov(r, u)", "three_points.py", "SHIFT) - SLOPE * gap,", "SHIFT) - SLOPE**2 * gap,", "only_forward_kl", "Cov(r, a u + b)"),
    ("weights that do not sum to one", "three_points.py", "return 1 - middle - right, middle, right", "return 1 - middle, middle, right", "only_forward_kl", "a, b, c give"),
    ("q without the factor (z - 1)", "three_points.py", "return side * right * (z - 1),", "return side * right,", "only_forward_kl", "Gap and rate"),
    ("a tilt twice as large", "three_points.py", "(Z - X) / (2 * T)", "(Z - X) / T", "only_forward_kl", "With |delta|"),
    ("weights of the chord exchanged", "three_points.py", "((z - y) * gx + (y - x) * gz)", "((y - x) * gx + (z - y) * gz)", "only_forward_kl", "On the chord"),
    ("copies of an action with its whole mass each", "three_points.py", "p / k * x", "p * x", "only_forward_kl", "k copies"),
    ("r -> -r", "three_points.py", "cov((R - SHIFT) * SLOPE, g)", "cov((SHIFT - R) * SLOPE, g)", "only_forward_kl", "r -> (r - shift)"),
    ("(f/u)' = h/u", "three_points.py", "- F(U)) / U**2)", "- F(U)) / U)", "only_forward_kl", "(f/u)'"),
    ("f = a u^2", "three_points.py", "found - SLOPE * U * sympy.log(U)", "found - SLOPE * U**2", "only_forward_kl", "The ODE"),
    ("every sign -1 in prevalence.exact_sign", "prevalence.py", "return int(value > 0) - int(value < 0)", "return -1", "only_forward_kl", "the program"),
    ("probabilities forgotten in the gradient", "prevalence.py", "        advantage *= self.student\n", "", "only_forward_kl", MARGIN),
    ("a covariance without pi", "point.py", "return (p * centred * y).sum(axis=axis)", "return (centred * y).sum(axis=axis)", "two_actions", "the natural rate"),
    ("a covariance that is not centred", "point.py", "centred = x - (p * x).sum(axis=axis, keepdims=True)", "centred = x", "two_actions", "the Euclidean rate"),
    ("a lost factor in V", "solve.py", "v[h] = (pi[h] * q[h]).sum(axis=1)\n    return ns.stack(v), ns.stack(q)", "v[h] = (pi[h] * q[h]).sum(axis=1) / 2\n    return ns.stack(v), ns.stack(q)", "two_actions", "the gap"),
    ("u = pi / pi*", "point.py", "divergence.h(self.star / self.pi)", "divergence.h(self.pi / self.star)", "two_actions", "rate times gap"),
    ("h = f - u s", "claims/two_actions.py", "((y * s_y - f_y) - (x * s_x - f_x))", "((f_y - y * s_y) - (f_x - x * s_x))", "two_actions", "h never"),
    ("a decreasing score", "divergences.py", "lambda u: ns.sqrt(u) - 1", "lambda u: 1 - ns.sqrt(u)", "two_actions", MARGIN),
    ("total variation upside down", "divergences.py", "lambda u: ns.sign(u - 1) / 2", "lambda u: -ns.sign(u - 1) / 2", "two_actions", MARGIN),
    ("a step in the wrong direction", "updates.py", "ns.exp(move)\n", "ns.exp(-move)\n", "natural_step", "J' and J'' along"),
    ("E u for E u^2", "claims/natural_step.py", "(z2 - z1**2)", "(z1 - z1**2)", "natural_step", "J' and J'', the term"),
    ("k l for k l^2", "claims/natural_step.py", "k * ell**2 * third", "k * ell * third", "natural_step", "how J''"),
    ("eta^2 for eta^2/2", "claims/natural_step.py", "- eta**2 / 2", "- eta**2", "natural_step", "Taylor"),
    ("the whole mass for reward 0", "claims/worst_loss.py", "0: p * (1 - r)}", "0: p}", "natural_step", "splitting"),
    ("m for m^2", "claims/natural_step.py", "+ m**2 - (B - m) ** 2)", "+ m - (B - m) ** 2)", "natural_step", "J'' <= F"),
    ("b moves to 1", "claims/natural_step.py", "f.subs(B, 0) - f - down", "f.subs(B, 1) - f - down", "natural_step", "F does not fall"),
    ("1/(5 sqrt 3)", "claims/natural_step.py", "BOUND = 1 / (6", "BOUND = 1 / (5", "natural_step", "F <= 1"),
    ("twice that size", "claims/natural_step.py", "(gap / c - eta)", "(2 * gap / c - eta)", "natural_step", "bound minus J"),
    ("A = Q", "claims/mixture_policy.py", "advantage = R - total(PI * R)", "advantage = R", "mixture_policy", "E_{pi_a} A = a g, any"),
    ("action values for advantages, in the solver", "solve.py", "return q - v[:, :, None]", "return q", "mixture_policy", "E_{pi_a} A = a g, by"),
    ("the last policy in the flow", "solve.py", "flow = d[h][:, None] * pi[h]", "flow = d[h][:, None] * pi[-1]", "mixture_policy", "d_1^a"),
    ("(1-a)^h d_{h+1}", "claims/mixture_policy.py", "vanish(whole - kept * (1 - alpha) * d_next", "vanish(whole - kept * d_next", "mixture_policy", "one more step"),
    ("span(g) for x span(g)", "claims/mixture_policy.py", "+ x * (high - low)", "+ (high - low)", "mixture_policy", "E_{d^a}"),
    ("no span for the first two steps", "claims/mixture_policy.py", "* (1 - (1 - alpha) ** h) for", "* (1 - (1 - alpha) ** max(h - 1, 0)) for", "mixture_policy", MARGIN),
    ("Cov(r, h) for Cov(r, K)", "finite_steps.py", "k = np.array([sympy.exp(ETA * SCORE(u)) for u", "k = np.array([SCORE(u) for u", "safe_steps", "J(new) - J"),
    ("weights a and b exchanged", "finite_steps.py", "(A * STAR + B * PI) / (A + B)", "(A * PI + B * STAR) / (A + B)", "safe_steps", "pi K / E K"),
    ("the root at a/b", "finite_steps.py", "root = B / A", "root = A / B", "safe_steps", "A line positive"),
    ("log(1 + beta u) without 1/eta", "finite_steps.py", "((skewed, log(line) / ETA),", "((skewed, log(line)),", "safe_steps", "K = a u + b iff"),
    ("w = eta", "finite_steps.py", "w = ETA * (sympy.log(line) / ETA).diff(U).subs(U, 1)", "w = ETA", "safe_steps", "K/K(1)"),
    ("eta and 2 eta both safe", "finite_steps.py", "h.diff(U) ** 2 - ETA)", "h.diff(U) ** 2 - 2 * ETA)", "safe_steps", "(a u + b)^s"),
    ("Jensen-Shannon at eta = 1", "finite_steps.py", "residue(divergences.JENSEN_SHANNON, 2)", "residue(divergences.JENSEN_SHANNON, 1)", "safe_steps", "The library's"),
    ("another eta of the third pair", "claims/safe_steps.py", "eta=Fraction(1, 3)", "eta=0.3334", "safe_steps", "the four pairs"),
    ("eta = 1 for Jensen-Shannon", "claims/safe_steps.py", "\"jensen_shannon\": sympy.FiniteSet(2)}", "\"jensen_shannon\": sympy.FiniteSet(1)}", "safe_steps", "the programs"),
    ("a step in the wrong direction", "updates.py", "ns.exp(move)\n", "ns.exp(-move)\n", "safe_steps", "a Euclidean or"),
    ("a lost half of Jensen-Shannon", "divergences.py", "lambda u: ns.log((u + 1) / 2) / 2", "lambda u: ns.log((u + 1) / 2)", "safe_steps", "The library's"),
    ("the skew of skewed JS", "divergences.py", "_mixture(b / (1 + b), f\"skewed", "_mixture(1 / (1 + b), f\"skewed", "safe_steps", "The library's"),
    ("a step size forgotten", "prevalence.py", "exponent = ns.scale(score, self.eta)", "exponent = score", "safe_steps", MARGIN),
    ("p for p (1-p)", "claims/worst_loss.py", "- p * (1 - p) * (one - zero))", "- p * (one - zero))", "worst_loss", "Cov(r, h) = p"),
    ("delta for delta/p", "claims/worst_loss.py", "solution[a] - 1 - delta / p", "solution[a] - 1 - delta", "worst_loss", "mean ratios"),
    ("pushed away from the end", "claims/worst_loss.py", "pulled(x, e, 1 / (1 + D))", "pulled(x, e, 1 + D)", "worst_loss", "envelopes"),
    ("envelopes exchanged", "worst_case.py", "return self.below(a), -self.above(b)", "return -self.above(a), self.below(b)", "worst_loss", "the returned bandit"),
    ("p for p (1 - p), in the curve", "worst_case.py", "return p * (1 - p) * (unrewarded - rewarded) / size", "return p * (unrewarded - rewarded) / size", "worst_loss", "the returned bandit"),
    ("the denominator E K forgotten", "worst_case.py", "(unrewarded - rewarded) / size", "(unrewarded - rewarded)", "worst_loss", "finite steps"),
    ("the safe gap from the wrong side", "worst_case.py", "np.where(hurts, middle, low), np.where(hurts, high, middle)", "np.where(hurts, low, middle), np.where(hurts, middle, high)", "worst_loss", "the loss crosses"),
    ("a curve that is too low", "worst_case.py", "return p * (1 - p) * (unrewarded - rewarded) / size", "return 0.9 * p * (1 - p) * (unrewarded - rewarded) / size", "worst_loss", MARGIN),
    ("student and expert exchanged", "updates.py", "(old + eta * pool(mdp, given * star)) / (1 + eta)", "(eta * old + pool(mdp, given * star)) / (1 + eta)", "proximal_mixture", "the code"),
    ("1 + eta forgotten", "updates.py", "(old + eta * pool(mdp, given * star)) / (1 + eta)", "(old + eta * pool(mdp, given * star))", "proximal_mixture", "the code"),
    ("projection away from the class", "updates.py", "moved = moved + along(phi, size, step_direction)", "moved = moved - along(phi, size, step_direction)", "forward_limits", "(b)"),
    ("h with a flipped sign", "divergences.py", "lambda u: ns.log(u) - 1", "lambda u: 1 - ns.log(u)", "teaching", "the rate of reverse_kl"),
    ("another expert to teach with", "instances/bandits.py", "\"1/100\", \"66/100\", \"33/100\"", "\"1/100\", \"33/100\", \"66/100\"", "teaching", "J* - J"),
    ("Q / V without the student", "experts/teachers.py", "return _bayes(mdp, pi, pi * q, privileged)", "return _bayes(mdp, pi, q, privileged)", "success_conditioned", "the teacher"),
    ("news of failure for news of success", "experts/teachers.py", "pi * ((1 - e) * q + e * (1 - q))", "pi * (e * q + (1 - e) * (1 - q))", "success_conditioned", "flipped bits"),
    ("a step that flees from the expert", "updates.py", "ns.exp(move)\n", "ns.exp(-move)\n", "success_conditioned", "J(pi_eta)"),
    ("a falling score of Neyman", "divergences.py", "lambda u: 2 - 2 * ns.power(u, -1)", "lambda u: 2 * ns.power(u, -1) - 2", "success_conditioned", MARGIN),
    ("what comes later counted as a merit", "point.py", "local - self.future_cost", "local + self.future_cost", "truthful_lookahead", "the rate is"),
    ("the price of looking ahead forgotten", "point.py", "return local if self.part", "return local if True or self.part", "truthful_lookahead", "the rate is"),
    ("h <= k", "claims/truthful_lookahead.py", "right = cost * a", "right = cost * (a + more)", "truthful_lookahead", "sums over"),
    ("A = Q", "claims/truthful_lookahead.py", "so_far + (v(k + 1) - v(k))", "so_far + v(k + 1)", "truthful_lookahead", "advantages"),
    ("h = u f' + f", "claims/truthful_lookahead.py", "h, bracket = u * f.diff(u) - f,", "h, bracket = u * f.diff(u) + f,", "truthful_lookahead", "(u-1) h"),
    ("V for V - V_0", "claims/truthful_lookahead.py", "- c * (v - v_0) -", "- c * v -", "truthful_lookahead", "so each term"),
    ("the entropy of the expert with a flipped sign", "divergences.py", "super().value(expert, student, axis) - ns", "super().value(expert, student, axis) + ns", "future_aware", "cross-entropy is"),
    ("the future part with a flipped sign", "point.py", "return -self.future_cost", "return self.future_cost", "future_aware", "the future part"),
    ("half of what comes later", "point.py", "return solve.backward(self.pi, self.p, here)[1] - here", "return (solve.backward(self.pi, self.p, here)[1] - here) / 2", "future_aware", "the full gradient"),
    ("one token more", "instances/forks.py", '''return exact_instance(
        "aliased_fork",
        TabularMDP(moves(leads_to, k + 1''', '''return exact_instance(
        "aliased_fork",
        TabularMDP(moves(leads_to, k + 2''', "future_aware", "the aliased fork"),
    ("a multiplier with a flipped sign", "lookahead.py", "pi = star[h] / (multiplier[:, None] + later)", "pi = star[h] / (multiplier[:, None] - later)", "future_aware", MARGIN),
    ("another student on the risky fork", "instances/forks.py", '["19/20", "1/20"]', '["18/20", "2/20"]', "named_instances", "risky_fork"),
    ("the ratio of the last step only", "estimators.py", "now = now * factor", "now = factor", "prefix_weights", MARGIN),
    ("prefix ratios upside down", "estimators.py", "rollouts.along(star / pi, actions=True)", "rollouts.along(pi / star, actions=True)", "prefix_weights", "the student's path"),
    ("clipped from below", "estimators.py", '"a clipped ratio"), limit, now)', '"a clipped ratio"), now, limit)', "prefix_weights", "the clipped estimator"),
    ("not divided by the visits", "estimators.py", "total / ns.where(never, there * 0 + 1, there)", "total", "prefix_weights", "the clipped estimator"),
    ("own ratio in the prefix", "estimators.py", "weights, now = [], ratio[0] * 0 + 1", "weights, now = [], ratio[0]", "importance_ratio", "M_{h+1}"),
    ("start of another step", "trajectories.py", "likely = rho[rollouts.states[0]]", "likely = rho[rollouts.states[-1]]", "importance_ratio", "the rate is E[S R]"),
    ("no Gram-Schmidt", "updates.py", "phi = phi - along(other, size, phi)", "phi = phi + 0 * along(other, size, phi)", "compatible_class", "P solves"),
    ("a class not weighted by visits", "updates.py", "seen = pool(mdp, solve.occupancy(mdp, pi))[:, :, None] * visible(mdp, pi)", "seen = visible(mdp, pi)", "compatible_class", "both formulas"),
    ("leaving in time for too late", "instances/chains.py", "0 if too_late else 1 - delta", "1 - delta if too_late else 0",
     "local_improver", "the chains' rates"),
    ("states not weighted, many steps", "point.py", "return (seen * terms)", "return (terms + seen * 0)", "local_improver", MARGIN),
    ("a ratio lost", "horizon.py", "self.drift = k * (M - 1) - (steps - k) * (1 - m)",
     "self.drift = k * (M - 1) - steps * (1 - m)", "horizon_curve", "the code is the curve"),
    ("the wrong share paid", "horizon.py", "reward[last] = 1 - share if self._leaves[last] else share", "reward[last] = share",
     "horizon_curve", "the code is the curve"),
    ("labels exchanged, in floats", "horizon.py", "np.log(theta) + (steps - k) * np.log(1 - theta)",
     "np.log(1 - theta) + (steps - k) * np.log(theta)", "horizon_curve", MARGIN),
    ("half the deviation", "horizon.py", "difference = self.gain - self.mass * self.drift",
     "difference = (self.gain - self.mass * self.drift) / 2", "safe_horizon", MARGIN),
    ("chances of the roots exchanged", "horizon_tree.py", "student.append(np.stack([-move[:, 1], move[:, 0]], axis=1)",
     "student.append(np.stack([move[:, 0], -move[:, 1]], axis=1)", "safe_horizon", "pairs that meet"),
    ("the root pays too little", "horizon_tree.py", "success[0] = min(success[0] + gap / self.most, zero + 1)",
     "success[0] = min(success[0] + gap, zero + 1)", "every_state", "the code is this curve"),
    ("half the drift", "horizon_tree.py", "np.add.outer(self._ratio - 1, drift)", "np.add.outer((self._ratio - 1) / 2, drift)",
     "every_state", MARGIN),
    ("feedback turned round", "instances/stack_machine.py",
     "return tuple(word for test in told for word in test)[1:], passes[p][last]",
     "return tuple(word for test in told for word in test)[1:], ~passes[p][last]", "truthful_sets", "sums and programs"),
    ("a convex Hellinger", "divergences.py", "lambda u: ns.sqrt(u) - 1", "lambda u: ns.power(u, 3) / 6", "truthful_sets", MARGIN),
    ("success without the student", "experts/teachers.py", "return _bayes(mdp, pi, pi * q, privileged)",
     "return _bayes(mdp, pi, q, privileged)", "truthful_sets", "the ratios multiply"),
    ("add Q^c to the score", "point.py", "local - self.future_cost", "local + self.future_cost", "chance_lookahead", "the rate with one"),
    ("stakes that grow", "instances/doubt.py", "ns.power(ratio[1], n - k) for k", "ns.power(ratio[1], 1 - k) for k", "chance_lookahead", "the rate with two"),
    ("ratios whose mean is not 1", "claims/chance_lookahead.py", "y, score = (1 - p * x) / (1 - p)", "y, score = (1 + p * x) / (1 - p)", "chance_lookahead", "one more"),
    ("e = delta/V", "claims/chance_lookahead.py", "e = delta / (2 * v)", "e = delta / v", "chance_lookahead", "the fork's"),
    ("q K <= delta c", "claims/chance_lookahead.py", "(delta * c / 8 - t)", "(delta * c - t)", "chance_lookahead", "the three"),
    ("slopes from 0 instead of 1", "claims/chance_lookahead.py", "slopes = F(x) / (x - 1) - F(y) / (y - 1)", "slopes = F(x) / x - F(y) / y", "chance_lookahead", "c > 0"),
    ("one token", "claims/chance_lookahead.py", "for n in (1, 3)", "for n in (1, 1)", "chance_lookahead", "total variation"),
    ("a rate that rises", "claims/chance_lookahead.py", "return -rate / delta", "return rate / delta", "chance_lookahead", MARGIN),
    *planted_regret.ERRORS,
    *planted_success.ERRORS,
    *planted_efficiency.ERRORS,
]  # fmt: skip
COVERED = (
    "performance_difference", "covariance_rate", "forward_gap", "only_forward_kl", "two_actions", "natural_step",
    "mixture_policy", "safe_steps", "worst_loss", "chance_lookahead", *planted_regret.SLUGS, *planted_success.SLUGS,
    *planted_efficiency.SLUGS,
)  # fmt: skip


@pytest.fixture(scope="module")
def run():
    checks = Checks()
    yield checks
    checks.close()


@pytest.fixture
def copy(tmp_path):
    """With its bytecode, which is valid as long as the time and the size of a source are those that it was made from."""
    shutil.copytree(PACKAGE, tmp_path / "distil_theory")
    return tmp_path


def plant(copy, file, right, wrong):
    target = copy / "distil_theory" / file
    source = target.read_text(encoding="utf-8")
    assert source.count(right) == 1, f"{file} has {right!r} {source.count(right)} times"
    target.write_text(source.replace(right, wrong), encoding="utf-8")
    for bytecode in target.parent.glob(f"__pycache__/{target.stem}.*"):
        bytecode.unlink()


@pytest.mark.parametrize(
    ("file", "right", "wrong", "slug", "check"), [e[1:] for e in ERRORS], ids=[f"{e[4]}-{e[0]}" for e in ERRORS]
)
def test_a_planted_error_is_caught_by_its_check(run, copy, file, right, wrong, slug, check):
    plant(copy, file, right, wrong)
    found = run(copy, slug, check)
    assert found["verdict"] == "FAILED"
    assert check != MARGIN or found["margin"] < -1e-6


@pytest.mark.parametrize("slug", sorted({error[4] for error in ERRORS}))
def test_without_an_error_the_checks_hold(run, copy, slug):
    for check in ("", MARGIN):  # all the steps; the margin
        assert run(copy, slug, check)["verdict"] != "FAILED"


def test_what_goes_wrong_with_a_check_is_told(run, copy, tmp_path_factory):
    with pytest.raises(AssertionError, match="teaching has no step 'of this name'"):
        run(copy, "teaching", "of this name")
    with pytest.raises(AssertionError, match=r"No module named 'distil_theory'|is not in"):
        run(tmp_path_factory.mktemp("empty"), "teaching", MARGIN)  # never the library of another folder
    plant(copy, "claims/teaching.py", "from __future__ import annotations", "from __past__ import annotations")
    with pytest.raises(AssertionError, match="No module named '__past__'"):
        run(copy, "teaching", MARGIN)


def test_what_is_said_to_break_a_step_does():
    planted = [(error[0], error[5]) for error in ERRORS]
    for claim in (claim for claim in CLAIMS if claim.slug in COVERED):
        for step in claim.steps:
            says = step.says.replace("`", "")
            assert any(what == step.breaks and says.startswith(check) for what, check in planted), step
