"""The labels of the faulty losses, each with the public issue of the same kind where there is one."""

from tests.audit_bench import faulty, misweighted
from tests.audit_bench.cases import Case, truth
from tests.audit_bench.cores import JEFFREYS, swapped_js
from tests.audit_bench.correct import kl_batchmean, kl_masked_mean, reverse_log_target, symmetric
from tests.audit_bench.named_correct import NAN

DROPPED = {"support": "tail_dropped"}
# A reverse KL is infinite at a teacher's zero; what happens outside of the top k has no gradient.
INFINITE = "nan_at_zero dead_zone"
FAULTY = (
    Case(
        "forward_for_reverse",
        faulty.forward_for_reverse,
        truth("forward_kl", "token_mean", "not_expected", warnings=NAN),
        expect="reverse_kl",
        source="zhuchichi56/ASFT#3",
        twin=reverse_log_target,
    ),
    Case(
        "alpha_zero_is_forward",
        faulty.alpha_zero_is_forward,
        truth("forward_kl", "token_mean", "not_expected", tolerated="parameter_jump"),
        expect="reverse_kl",
        source="idanshen/Self-Distillation#5, siyan-zhao/OPSD#14",
        twin=reverse_log_target,
    ),
    Case(
        "reverse_through_target",
        faulty.reverse_through_target,
        truth("reverse_kl", "token_mean", "overflow"),
        source="MakazhanAlpamys/Soup#719",
        twin=reverse_log_target,
    ),
    Case(
        "log_space_mixture",
        faulty.log_space_mixture,
        truth("f_divergence", "token_mean", "mixture_of_logs", "not_expected", tolerated="nan_at_zero"),
        expect="jensen_shannon",
        source="huggingface/trl#2202",
        core=JEFFREYS,
        twin=symmetric,
    ),
    Case(
        "logit_mixture",
        faulty.logit_mixture,
        truth("none", "token_mean", "mixture_of_logs", "not_expected", tolerated="nan_at_zero", warnings=NAN),
        expect="jensen_shannon",
        twin=faulty.end(0.5),
    ),
    Case(
        "swapped_weights",
        faulty.swapped_weights,
        truth("f_divergence", "token_mean", "not_expected"),
        expect="generalized_js(0.3)",
        source="huggingface/trl#3043, #6780, modelscope/ms-swift#10213",
        core=swapped_js(0.3),
        twin=faulty.end(0.3),
    ),
    *(
        Case(
            f"unguarded_beta_{beta}",
            faulty.end(beta),
            truth("zero", None, "zero_loss", value=None, stop_gradient=None, temperature=None, tolerated="nan_at_zero"),
            source="linkedin/Liger-Kernel#278, huggingface/trl#3043",
            twin=faulty.forward_for_reverse,
        )
        for beta in (0.0, 1.0)
    ),
    # Of size 1e-6: a number cannot tell "almost zero" from a small scale. What must not happen is an exception.
    Case(
        "clamped_beta",
        faulty.clamped_beta,
        truth(None, None, value=None, tolerated="zero_loss parameter_jump dead_zone overflow negative"),
        source="verl-project/verl-recipe#151",
    ),
    Case(
        "special_ends",
        faulty.special_ends,
        truth("jensen_shannon", "token_mean", "parameter_jump"),
        source="modelscope/ms-swift#10078, huggingface/trl#6780",
        twin=faulty.end(0.5),
    ),
    Case(
        "half_special",
        faulty.half_special,
        truth("jensen_shannon", "token_mean", "parameter_jump", tolerated="zero_loss"),
        source="linkedin/Liger-Kernel#278",
        twin=faulty.end(0.5),
    ),
    Case(
        "truncated_forward",
        faulty.truncated_forward,
        truth(None, "token_mean", "tail_dropped", "negative", top_k=3, tolerated="dead_zone", **DROPPED),
        source="verl-project/verl#7856",
        twin=kl_masked_mean,
    ),
    Case(
        "truncated_and_clamped",
        faulty.truncated_and_clamped,
        truth(None, "token_mean", "tail_dropped", "dead_zone", value=None, top_k=3, **DROPPED),
        source="verl-project/verl#7856",
        twin=misweighted.per_token,
    ),
    Case(
        "truncated_reverse",
        faulty.truncated_reverse,
        truth(None, "token_mean", "tail_dropped", "negative", top_k=4, tolerated=INFINITE, **DROPPED),
        source="verl-project/verl#5041, #7806",
        twin=misweighted.reverse_teacher_attached,
    ),
    Case(
        "renormalised",
        faulty.renormalised,
        truth(None, "token_mean", "tail_renormalised", support="renormalised", top_k=3, tolerated="dead_zone"),
        twin=kl_masked_mean,
    ),
    Case(
        "chosen_by_student",
        faulty.chosen_by_student,
        truth(None, "token_mean", "student_top_k", support="student_top_k", top_k=3, tolerated=INFINITE),
        source="huggingface/trl#6237, NVIDIA-NeMo/RL#3584",
        twin=misweighted.reverse_teacher_attached,
    ),
    Case(
        "chosen_by_student_truncated",
        faulty.chosen_by_student_truncated,
        truth(
            None,
            "token_mean",
            "student_top_k",
            support="student_top_k",
            top_k=3,
            tolerated=f"tail_dropped negative {INFINITE}",
        ),
        source="verl-project/verl#7425",
        twin=reverse_log_target,
    ),
    Case(
        "pointwise_clip",
        faulty.pointwise_clip,
        # Clipped entry by entry, by p log u: strictly no divergence, forward KL where nothing is clipped.
        truth(("none", "forward_kl"), "token_mean", "negative", tolerated="dead_zone"),
        source="siyan-zhao/OPSD#24, #2, huggingface/trl#5990",
        twin=misweighted.per_token,
    ),
    Case(
        "token_clip",
        faulty.token_clip,
        truth(None, "token_mean", "dead_zone", warnings=NAN),
        source="siyan-zhao/OPSD#24",
        twin=kl_masked_mean,
    ),
    Case("logit_clamp", faulty.logit_clamp, truth(None, "batch_mean", "dead_zone"), twin=kl_batchmean),
    Case(
        "ratio_clamp",
        faulty.ratio_clamp,
        truth(None, "token_mean", "dead_zone", tolerated="negative"),
        twin=misweighted.per_token,
    ),
    Case(
        "epsilon_in_the_log",
        faulty.epsilon_in_the_log,
        truth("forward_kl", "token_mean", "dead_zone", tolerated="negative"),
        slack=1e-4,
        twin=misweighted.per_token,
    ),
    Case(
        "log_of_softmax",
        faulty.log_of_softmax,
        truth("forward_kl", "token_mean", "overflow", value="cross_entropy", tolerated="dead_zone"),
        twin=misweighted.per_token,
    ),
    Case(
        "reverse_by_quotient",
        faulty.reverse_by_quotient,
        truth("reverse_kl", "batch_mean", "overflow", warnings=NAN, tolerated="dead_zone"),
        twin=reverse_log_target,
    ),
    Case(
        "exponential_ratio",
        faulty.exponential_ratio,
        # The ratio's root has an infinite slope at a teacher's zero.
        truth("hellinger", "token_mean", "overflow", tolerated="nan_at_zero dead_zone"),
        source="NVIDIA-NeMo/RL#874",
        twin=misweighted.per_token,
    ),
    Case(
        "plain_log_target",
        faulty.plain_log_target,
        truth("forward_kl", "token_mean", "nan_at_zero"),
        source="huggingface/trl#5594",
        twin=kl_masked_mean,
    ),
    Case(
        "js_log_target",
        faulty.js_log_target,
        truth("jensen_shannon", "token_mean", "nan_at_zero"),
        source="huggingface/trl#5594",
        twin=faulty.end(0.5),
    ),
)
