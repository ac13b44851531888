#!/usr/bin/env bash
# Prepare the data of the shipped model: scripts/scenes_data.sh DATA OUTPUT [CAMVID_MODEL]
# DATA has the folders camvid_480x360, idd_lite, labelmefacade, coco_panoptic_mini and teachers. CAMVID_MODEL, by default the
# result of config/training/camvid_light.yaml, is one of the teachers. Steps that were completed are skipped.
set -euo pipefail

readonly DATA="${1:?usage: scripts/scenes_data.sh DATA OUTPUT [CAMVID_MODEL]}"
readonly OUTPUT="${2:?usage: scripts/scenes_data.sh DATA OUTPUT [CAMVID_MODEL]}"
readonly CAMVID_MODEL="${3:-out/training/camvid_light/model.safetensors}"
readonly MAPS=config/label_maps SETS=config/data_sets
readonly TEACHERS="mosaic=$DATA/teachers/mosaic_r4.tflite&yolox=$DATA/teachers/yolox-nano"

# written FILE COMMAND...: run the command unless it has written the file.
written() {
  local file="$1"
  shift
  [[ -e "$file" ]] || "$@"
}

# semantic SET SPLIT IMAGES ANNOTATIONS [OPTION...]: convert a split with semantic annotations.
semantic() {
  local target="$OUTPUT/$1/annotations/panoptic_$2.json"
  written "$target" python -m training.convert_semantic "$DATA/$1/$3" "$DATA/$1/$4" "$target" --classes "$SETS/$1.yaml" "${@:5}"
}

# label SET: complete the annotations of a training split with the teachers' labels.
label() {
  python -m training.label "$OUTPUT/$1/train" --teacher "examples/mosaic_and_yolox.py?$TEACHERS" --teacher "$CAMVID_MODEL" \
    --map "$MAPS/scenes.yaml" --mirror --min-change 0 --min-agreement 0.6 --min-support 0.5 \
    --annotations "$OUTPUT/$1/annotations/panoptic_train.json" --annotations-map "$MAPS/$1.yaml" --output "$OUTPUT/$1_labels"
}

# mapped SOURCE MAP TARGET IMAGES: map the categories of a data set, whose images are linked next to the annotations.
mapped() {
  written "$3" python -m training.map_categories "$1" "$3" --map "$MAPS/$2.yaml"
  local name
  name="$(basename "${3%.json}")"
  ln -sfn "$(realpath "$4")" "$(dirname "$3")/../${name#panoptic_}"
}

semantic idd_lite train train trainannot
semantic idd_lite val val valannot
semantic labelmefacade train images labels --without "$SETS/labelmefacade_val.txt" "$SETS/labelmefacade_test.txt"
semantic labelmefacade val images labels --only "$SETS/labelmefacade_val.txt"
semantic labelmefacade test images labels --only "$SETS/labelmefacade_test.txt"
written "$OUTPUT/camvid_classes/annotations/panoptic_trainval.json" \
  python -m training.convert_camvid "$DATA/camvid_480x360" "$OUTPUT/camvid_classes"

for split in val test; do
  mapped "$OUTPUT/labelmefacade/annotations/panoptic_$split.json" labelmefacade \
    "$OUTPUT/labelmefacade_streets/annotations/panoptic_$split.json" "$OUTPUT/labelmefacade/$split"
done
mapped "$OUTPUT/camvid_classes/annotations/panoptic_trainval.json" scenes \
  "$OUTPUT/camvid/annotations/panoptic_trainval.json" "$OUTPUT/camvid_classes/trainval"
readonly COCO="$DATA/coco_panoptic_mini"
for split in train2017 val2017; do
  mapped "$COCO/annotations/panoptic_$split.json" scenes "$OUTPUT/coco/annotations/panoptic_$split.json" "$COCO/$split"
done
mapped "$COCO/annotations/panoptic_val2017.json" coco_streets \
  "$OUTPUT/coco_streets/annotations/panoptic_val2017.json" "$COCO/val2017"

label idd_lite
label labelmefacade
