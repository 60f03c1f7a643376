"""The labels of the losses without fault."""

from tests.audit_bench import correct
from tests.audit_bench.cases import Case, truth
from tests.audit_bench.cores import JEFFREYS, skew_kl, skew_reverse_kl

NAN = "mask_nan"
CORRECT = (
    Case("kl_batchmean", correct.kl_batchmean, truth("forward_kl", "batch_mean")),
    Case("kl_masked_mean", correct.kl_masked_mean, truth("forward_kl", "token_mean", warnings=NAN)),
    Case("kl_by_logsumexp", correct.kl_by_logsumexp, truth("forward_kl", "batch_mean")),
    Case("kl_twice_normalised", correct.kl_twice_normalised, truth("forward_kl", "token_mean")),
    Case("kl_zeroed_logits", correct.kl_zeroed_logits, truth("forward_kl", "token_sum", unwarned=NAN)),
    Case("kl_upcast_fixed", correct.kl_upcast_fixed, truth("forward_kl", "fixed", unwarned="half_precision")),
    Case(
        "kl_items_in_batch",
        correct.kl_items_in_batch,
        truth("forward_kl", "fixed", warnings=NAN),
        source="huggingface/trl#6006",
    ),
    Case(
        "kl_temperature",
        correct.kl_temperature,
        truth("forward_kl", "token_mean", temperature=2.0, temperature_squared=True, warnings=NAN),
    ),
    Case("soft_cross_entropy", correct.soft_cross_entropy, truth("forward_kl", "token_mean", value="cross_entropy")),
    Case(
        "soft_labels_by_sequence",
        correct.soft_labels_by_sequence,
        truth("forward_kl", "sequence_mean", value="cross_entropy", warnings=NAN),
    ),
    Case(
        "reverse_log_target",
        correct.reverse_log_target,
        truth("reverse_kl", "token_sum", warnings=NAN),
        expect="reverse_kl",
    ),
    Case("reverse_advantage_form", correct.reverse_advantage_form, truth("reverse_kl", "none")),
    Case("reverse_per_token", correct.reverse_per_token, truth("reverse_kl", "none", warnings=NAN)),
    Case(
        "reverse_warm",
        correct.reverse_warm,
        truth("reverse_kl", "token_mean", temperature=0.5, temperature_squared=True),
    ),
    Case("js_selected", correct.js_selected, truth("jensen_shannon", "token_mean"), expect="jensen_shannon"),
    Case("js_envelope", correct.js_envelope, truth("jensen_shannon", "batch_mean", warnings=NAN)),
    Case("gjs_teacher_side", correct.gjs_teacher_side, truth("generalized_js(0.9)", "token_sum", warnings=NAN)),
    Case("gjs_student_side", correct.gjs_student_side, truth("generalized_js(0.1)", "token_mean")),
    Case("gjs_continuous", correct.gjs_continuous, truth("generalized_js(0.3)", ("token_sum", "fixed"))),
    Case("skewed", correct.skewed, truth("f_divergence", "token_mean", warnings=NAN), core=skew_kl(0.1)),
    Case("skewed_reverse", correct.skewed_reverse, truth("f_divergence", "batch_mean"), core=skew_reverse_kl(0.1)),
    Case("symmetric", correct.symmetric, truth("f_divergence", "token_mean"), core=JEFFREYS),
    Case("alpha_0.3", correct.alpha(0.3), truth("alpha(0.3)", "token_mean")),
    Case("alpha_1.5", correct.alpha(1.5), truth("alpha(1.5)", "token_mean")),
    Case("hellinger", correct.hellinger, truth("hellinger", "token_mean", warnings=NAN)),
    Case("hellinger_affinity", correct.hellinger_affinity, truth("hellinger", ("token_sum", "fixed"))),
    Case("pearson", correct.pearson, truth("pearson_chi2", "token_mean"), expect="pearson_chi2"),
    Case(
        "pearson_second_moment",
        correct.pearson_second_moment,
        truth("pearson_chi2", "token_mean", value=None),
        shift=1.0,
    ),
    Case("neyman", correct.neyman, truth("neyman_chi2", "token_sum", warnings=NAN)),
    Case("total_variation", correct.total_variation, truth("total_variation", "token_mean", warnings=NAN)),
    Case(
        "logit_distance", correct.logit_distance, truth("none", "token_mean", temperature=None, tolerated="nan_at_zero")
    ),
    Case("bhattacharyya", correct.bhattacharyya, truth("none", "token_mean")),
    Case(
        "tail_bucket_forward",
        correct.tail_bucket_forward,
        truth(None, "token_mean", support="tail_bucket", top_k=3, warnings=NAN),
    ),
    Case(
        "tail_bucket_reverse",
        correct.tail_bucket_reverse,
        truth(None, "token_sum", support="tail_bucket", top_k=4, tolerated="nan_at_zero"),
    ),
)
