#!/usr/bin/env bash
# Every run of the study (docs/study/index.md): bash docs/study/run.sh DATA_ROOT [RESULTS]. A run that is there is gone on with.
set -euo pipefail
data=$1
results=${2:-results/study}

sweep() {
  local file=$1 name=$2
  shift 2
  local resume=()
  [ -d "$results/$file/$name" ] && resume=(--resume)
  python -m sweeps.run "docs/study/$file.py" --data-root "$data" --storage "$results" --name "$name" "$@" "${resume[@]}"
}

sweep label_noise mlp --set model=mlp
sweep label_noise cnn
for dataset in breastmnist retinamnist; do
  sweep generalisation "${dataset}_mlp" --dataset "$dataset" --set model=mlp
  sweep generalisation "${dataset}_cnn" --dataset "$dataset"
done
sweep generalisation pneumoniamnist_mlp --dataset pneumoniamnist --set data_fraction=0.25 --set model=mlp
sweep generalisation pneumoniamnist_cnn --dataset pneumoniamnist --set data_fraction=0.25
sweep generalisation mnist_mlp --dataset mnist --set data_fraction=0.03 --set model=mlp
sweep generalisation mnist_cnn --dataset mnist --set data_fraction=0.03
sweep generalisation adrenalmnist3d_mlp --dataset adrenalmnist3d --set data_fraction=0.5 --set model=mlp
sweep generalisation adrenalmnist3d_cnn3d --dataset adrenalmnist3d --set data_fraction=0.5 --set model=cnn3d --set width=4

for dataset in breastmnist pneumoniamnist retinamnist; do
  sweep best "${dataset}_cnn" --dataset "$dataset"
done
sweep best adrenalmnist3d_cnn3d --dataset adrenalmnist3d --set model=cnn3d --set width=4
