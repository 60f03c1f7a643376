"""The labels of the losses that are faulty in masks, reductions, gradients or temperatures."""

from tests.audit_bench import misweighted
from tests.audit_bench.cases import Case, truth
from tests.audit_bench.correct import kl_batchmean, kl_masked_mean, reverse_log_target
from tests.audit_bench.named_correct import NAN

MISWEIGHTED = (
    Case(
        "mask_forgotten",
        misweighted.mask_forgotten,
        truth("forward_kl", ("token_mean", "padded_mean"), "mask_ignored", tolerated="padding_dependent"),
        source="peremartra/optipfair#34",
        twin=kl_masked_mean,
    ),
    Case(
        "mask_in_the_denominator_only",
        misweighted.mask_in_the_denominator_only,
        truth("forward_kl", None, "mask_ignored", tolerated="padding_dependent"),
        twin=kl_masked_mean,
    ),
    Case(
        "mask_rolled",
        misweighted.mask_rolled,
        truth("forward_kl", None, "mask_shifted", tolerated="mask_leak"),
        twin=kl_masked_mean,
    ),
    Case(
        "mask_sliced",
        misweighted.mask_sliced,
        truth("forward_kl", None, "mask_shifted", tolerated="mask_leak"),
        twin=kl_masked_mean,
    ),
    Case(
        "padded_mean",
        misweighted.padded_mean,
        truth("forward_kl", "padded_mean", "padding_dependent", warnings=NAN),
        twin=kl_masked_mean,
    ),
    Case(
        "student_masked_only",
        misweighted.student_masked_only,
        truth("forward_kl", "token_mean", "mask_leak", value=None, tolerated="padding_dependent"),
        twin=kl_masked_mean,
    ),
    Case(
        "regularised_everywhere",
        misweighted.regularised_everywhere,
        truth("none", None, "mask_leak", tolerated="padding_dependent"),
        twin=kl_masked_mean,
    ),
    Case(
        "kl_mean", misweighted.kl_mean, truth("forward_kl", "element_mean", warnings="element_mean"), twin=kl_batchmean
    ),
    Case(
        "kl_mean_unexpected",
        misweighted.kl_mean,
        # The code may move from the warnings to the faults, "unless expected otherwise".
        truth("forward_kl", "element_mean", "not_expected", tolerated="element_mean", warnings="element_mean"),
        expect="forward_kl",
        expect_reduction="token_mean",
        source="huggingface/trl#4105",
        twin=kl_batchmean,
    ),
    Case(
        "batchmean_unexpected",
        kl_batchmean,
        truth("forward_kl", "batch_mean", "not_expected"),
        expect_reduction="token_mean",
        source="huggingface/trl#4105",
        twin=misweighted.per_token,
    ),
    Case(
        "teacher_attached",
        misweighted.teacher_attached,
        truth("forward_kl", "token_mean", "teacher_gradient", stop_gradient=False, warnings=NAN),
        twin=kl_masked_mean,
    ),
    Case(
        "reverse_teacher_attached",
        misweighted.reverse_teacher_attached,
        truth("reverse_kl", "token_mean", "teacher_gradient", stop_gradient=False),
        twin=reverse_log_target,
    ),
    Case(
        "weights_detached",
        misweighted.weights_detached,
        truth("zero", "token_mean", "zero_loss", "gradient_not_of_value", value="reverse_kl"),
        source="radixark/miles#2362",
        twin=reverse_log_target,
    ),
    Case(
        "own_anchor",
        misweighted.own_anchor,
        truth("zero", None, "zero_loss", value=None, stop_gradient=None, temperature=None),
        source="huggingface/trl#6237, labmlai/annotated_deep_learning_paper_implementations#66",
        twin=reverse_log_target,
    ),
    Case(
        "divided_twice",
        misweighted.divided_twice,
        truth("forward_kl", "other", "not_expected", warnings=NAN),
        expect_reduction="token_mean",
        source="modelscope/easydistill#16",
        twin=kl_masked_mean,
    ),
    Case(
        "fused_backward_of_the_other",
        misweighted.fused_backward_of_the_other,
        truth("forward_kl", "token_mean", "gradient_not_of_value", value="reverse_kl", tolerated="nan_at_zero"),
        twin=reverse_log_target,
    ),
    Case(
        "confidence_weighted",
        misweighted.confidence_weighted,
        truth("none", "token_mean", "gradient_not_of_value"),
        twin=misweighted.per_token,
    ),
    Case(
        "one_sided_temperature",
        misweighted.one_sided_temperature,
        truth("none", "batch_mean", "not_expected", temperature=None, value=None, tolerated="negative"),
        expect="forward_kl",
        twin=kl_batchmean,
    ),
    Case(
        "temperature_without_square",
        misweighted.temperature_without_square,
        truth("forward_kl", "token_mean", temperature=4.0, temperature_squared=False, warnings="temperature_unscaled"),
        twin=misweighted.per_token,
    ),
    Case(
        "softmax_into_cross_entropy",
        misweighted.softmax_into_cross_entropy,
        truth("none", "token_mean", "double_softmax", value=None, temperature=None, tolerated="dead_zone"),
        twin=misweighted.per_token,
    ),
    Case(
        "softmax_twice_on_both",
        misweighted.softmax_twice_on_both,
        truth("none", "token_mean", "double_softmax", value=None, temperature=None, tolerated="dead_zone"),
        twin=kl_masked_mean,
    ),
    Case(
        "probabilities_into_kl_div",
        misweighted.probabilities_into_kl_div,
        truth("none", "batch_mean", "negative", "not_expected", temperature=None, tolerated="dead_zone double_softmax"),
        expect="forward_kl",
        twin=kl_batchmean,
    ),
    Case(
        "sign_flipped",
        misweighted.sign_flipped,
        truth(None, "token_mean", "negative", "not_expected", value=None),
        expect="forward_kl",
        twin=misweighted.per_token,
    ),
    Case(
        "hard_labels",
        misweighted.hard_labels,
        truth("none", "token_mean", "not_expected", value=None, stop_gradient=None, temperature=None),
        expect="forward_kl",
        twin=misweighted.per_token,
    ),
)
