#!/usr/bin/env python3
# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Mutate lines of the core, one at a time, and check that a test fails for each (mutation testing).

    python scripts/check_mutations.py [WORD...]

Each line is changed in a copy of the checkout, where its tests run until the first failure; that test must pass with
the original line. Prints a table; the exit code is 1 if a mutation was not detected, or if a line was not found. With
words, only the mutations whose names contain one of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared"


class Mutation(NamedTuple):
    """A line of the core, and a fault to put in its place."""

    name: str
    file: str
    original: str
    """Part of the file's text that is in it once."""
    mutated: str
    tests: str
    """Paths for pytest, of which one must fail."""


MUTATIONS = (
    Mutation(
        "CUDA: the warm-up tries all of cuDNN's algorithms, which switches cuDNN off",
        "ciae_ros/inference/pipeline/stream_pipeline.py",
        "        for _ in range(2 if self._is_cuda else 1):\n            self._run_warm_up_batches(images)",
        "        with torch.backends.cudnn.flags(benchmark=True):\n            self._run_warm_up_batches(images)",
        "tests/inference/pipeline/test_cuda_batch.py",
    ),
    Mutation(
        "CUDA: thresholds are created on the device for every batch",
        "ciae_ros/inference/predictor.py",
        "        if counts not in self._settings_on_device:",
        "        if True:",
        "tests/inference/test_predictor.py",
    ),
    Mutation(
        "CUDA: a graph does not keep its sampling grids",
        "ciae_ros/inference/fusion/sampling_grid.py",
        "    keep_for_graph(grid)",
        "    pass",
        "tests/inference/pipeline/test_cuda_batch.py",
    ),
    Mutation(
        "CUDA: a graph does not keep what operators read",
        "ciae_ros/inference/graph_inputs.py",
        "            self.kept += self._mode.inputs.values()",
        "            pass",
        "tests/inference/test_graph_inputs.py",
    ),
    Mutation(
        "CUDA: streams do not wait for the network's weights",
        "ciae_ros/inference/pipeline/stream_pipeline.py",
        "    torch.cuda.synchronize(predictor.device)",
        "    pass",
        "tests/inference/pipeline/test_cuda_batch.py",
    ),
    Mutation(
        "CUDA: buffers are memory of the default stream",
        "ciae_ros/inference/pipeline/cuda_batch.py",
        "            with torch.cuda.stream(self.upload_task.stream):",
        "            if True:",
        "tests/inference/pipeline/test_cuda_batch.py",
    ),
    Mutation(
        "self-test: a wrong kernel is used",
        "ciae_ros/inference/predictor.py",
        "        refuse_triton(self.device, fault)",
        "        pass",
        "tests/inference/pipeline/test_cuda_batch.py",
    ),
    Mutation(
        "self-test: graphs that are refused remain",
        "ciae_ros/inference/pipeline/stream_pipeline.py",
        "            self.release_buffers()\n            mode, fault",
        "            mode, fault",
        "tests/inference/pipeline/test_cuda_batch.py",
    ),
    Mutation(
        "self-test: other categories agree",
        "ciae_ros/inference/self_test.py",
        "overlaps[corresponds & is_same]",
        "overlaps[corresponds]",
        "tests/inference/test_self_test.py",
    ),
    Mutation(
        "self-test: a wrong device is used although the CPU may be",
        "ciae_ros/node/panoptic_node.py",
        "            if parameters.device != AUTO:",
        "            if True:",
        "tests/node/test_managed_life.py",
    ),
    Mutation(
        "execution: an inexact way is taken",
        "ciae_ros/inference/execution/measurement.py",
        "return not self.error and self.similarity >= MIN_SIMILARITY",
        "return not self.error",
        "tests/inference/execution",
    ),
    Mutation(
        "execution: the measurement does not depend on the instructions in use",
        "ciae_ros/inference/execution/processor.py",
        '**{limit: os.environ.get(limit, "") for limit in LIMITS},',
        "",
        "tests/inference/execution",
    ),
    Mutation(
        "cache: two processes write at once",
        "ciae_ros/core/user_cache.py",
        "fcntl.flock(file, fcntl.LOCK_EX)",
        "pass",
        "tests/core/test_user_cache.py",
    ),
    Mutation(
        "cache: an entry appears before it is complete",
        "ciae_ros/core/user_cache.py",
        "unfinished = staging / path.name",
        "unfinished = path",
        "tests/core/test_user_cache.py",
    ),
    Mutation(
        "conversion: the network is converted again for other weights only by name",
        "ciae_ros/inference/conversion/converted_models.py",
        'key = {"weights": weights_digest(checkpoint), **versions("torch", "timm", "openvino")}',
        'key = versions("torch", "timm")',
        "tests/inference/conversion",
    ),
    Mutation(
        "proposals: classes suppress each other",
        "ciae_ros/inference/proposals/suppression.py",
        "members = (classes == one).nonzero().flatten()",
        "members = (classes >= one).nonzero().flatten()",
        "tests/inference/proposals",
    ),
    Mutation(
        "loss on samples: the gradient through the norm is left out",
        "training/losses/embedding_kernel.py",
        "radial = -along * inverse * inverse",
        "radial = zero",
        "tests/training/losses",
    ),
    Mutation(
        "loss on samples: an instance is similar outside its box",
        "training/losses/embedding_kernel.py",
        "if is_outside[q]:",
        "if False:",
        "tests/training/losses",
    ),
    Mutation(
        "loss: no margin between the queries",
        "training/losses/embedding_loss.py",
        "violation = similarity.gather(0, highest) - positive + config.margin",
        "violation = similarity.gather(0, highest) - positive",
        "tests/training/losses",
    ),
    Mutation(
        "loss: one query more than K",
        "training/losses/embedding_loss.py",
        "config.top_k - 1)",
        "config.top_k)",
        "tests/training/losses",
    ),
    Mutation(
        "loss: the gradient through the queries is left out",
        "training/losses/embedding_loss.py",
        "gradient += _gather_by_instance(sums_gradient, image)",
        "gradient += 0 * _gather_by_instance(sums_gradient, image)",
        "tests/training/losses",
    ),
    Mutation(
        "targets: a level also takes the next level's boxes",
        "training/losses/assignment.py",
        "(longest <= locations.high)",
        "(longest <= 2 * locations.high)",
        "tests/training/losses",
    ),
    Mutation(
        "targets: crowds count as background",
        "training/losses/detection_loss.py",
        "(class_losses * targets.counts[:, :, None]).sum()",
        "class_losses.sum()",
        "tests/training/losses tests/training/run/test_optimization.py",
    ),
    Mutation(
        "targets: ATSS ignores how the IoUs are spread",
        "training/losses/assignment.py",
        "ious.mean(dim=1) + ious.std(dim=1)",
        "ious.mean(dim=1)",
        "tests/training/losses/test_detection_options.py",
    ),
    Mutation(
        "loss: the quality focal loss does not know the IoU",
        "training/losses/detection_loss.py",
        "quality[positive] *= iou.detach()[:, None]",
        "quality[positive] *= 1.0",
        "tests/training/losses/test_detection_options.py",
    ),
    Mutation(
        "calibration: chance decides",
        "training/evaluation/calibration.py",
        "gain > error + MIN_GAIN",
        "gain > MIN_GAIN",
        "tests/training/run/test_calibration.py",
    ),
    Mutation(
        "memory update: the momentum goes to the new embedding",
        "training/losses/memory_update.py",
        "momentum * memory.vectors + (1 - momentum) * means",
        "(1 - momentum) * memory.vectors + momentum * means",
        "tests/training/losses/test_memory_update.py",
    ),
    Mutation(
        "memory update: the momentum rises linearly",
        "training/losses/memory_update.py",
        "(1 - iteration / iterations) ** 3",
        "(1 - iteration / iterations)",
        "tests/training/losses/test_memory_update.py",
    ),
    Mutation(
        "scheduler: the rate falls an iteration late",
        "training/engine/schedule.py",
        "iteration >= milestone",
        "iteration > milestone",
        "tests/training/run/test_optimization.py",
    ),
    Mutation(
        "scheduler: milestones stay when the batch is scaled",
        "training/engine/schedule.py",
        "tuple(round(milestone / factor) for milestone in config.milestones)",
        "config.milestones",
        "tests/training/run/test_optimization.py tests/training/run/test_configuration.py",
    ),
    Mutation(
        "resume: the counters restart",
        "training/engine/state.py",
        "setattr(self, name, content[name])",
        "content[name]",
        "tests/training/run/test_interruptions.py",
    ),
    Mutation(
        "resume: the optimiser's momentum is lost",
        "training/engine/state.py",
        "part.load_state_dict(content[name])",
        'name == "optimizer" or part.load_state_dict(content[name])',
        "tests/training/run/test_interruptions.py",
    ),
    Mutation(
        "assignment: a cell is settled by three corners",
        "ciae_ros/inference/fusion/cell_assignment.py",
        "if q == best[i, j + 1] and q == best[i + 1, j] and q == best[i + 1, j + 1]:",
        "if q == best[i, j + 1] and q == best[i + 1, j]:",
        "tests/inference/fusion/test_assignment.py",
    ),
    Mutation(
        "assignment: an instance wins outside of its box",
        "ciae_ros/inference/fusion/assignment.py",
        "at_pixels[..., num_stuff:].masked_fill_(outside_y[rows, None] | outside_x, -torch.inf)",
        "at_pixels[..., num_stuff:].masked_fill_(outside_y[rows, None] & outside_x, -torch.inf)",
        "tests/inference/fusion/test_assignment.py",
    ),
    Mutation(
        "filter: small stuff stays",
        "ciae_ros/inference/fusion/fusion.py",
        "is_segment[:num_stuff] &= statistics.area[:num_stuff] >= min_stuff_area",
        "pass",
        "tests/inference/fusion/test_fusion.py",
    ),
    Mutation(
        "filter: a network's NaN becomes a map",
        "ciae_ros/inference/fusion/fusion.py",
        'if zero.device.type == "cpu" and zero.isnan():',
        "if False:",
        "tests/inference/fusion/test_fusion.py",
    ),
    Mutation(
        "NMS: classes suppress each other",
        "ciae_ros/inference/proposals/selection.py",
        "class_wise_nms(boxes, scores, classes, settings.nms_threshold)",
        "class_wise_nms(boxes, scores, 0 * classes, settings.nms_threshold)",
        "tests/inference/proposals/test_proposals.py",
    ),
    Mutation(
        "NMS of padded entries: an IoU at the threshold suppresses",
        "ciae_ros/inference/proposals/triton_nms.py",
        "(iou.to(limit.dtype) > limit)",
        "(iou.to(limit.dtype) >= limit)",
        "tests/inference/test_triton_interpreter.py",
    ),
    Mutation(
        "batch normalisation folded without its epsilon",
        "ciae_ros/inference/networks/fold_batch_norm.py",
        "torch.sqrt(variance + norm.eps)",
        "torch.sqrt(variance)",
        "tests/inference/test_predictor.py tests/model",
    ),
    Mutation(
        "conversion: red and blue change places",
        "ciae_ros/inference/preprocessing.py",
        '(2, 1, 0) if channel_order == "bgr"',
        '(2, 1, 0) if channel_order == "rgb"',
        "tests/inference/test_predictor.py",
    ),
    Mutation(
        "conversion: the bytes that pad a row are taken for pixels",
        "ciae_ros/camera/image_conversion.py",
        ".reshape(-1, message.step)[:, : message.width * encoding.bytes_per_pixel]",
        ".reshape(-1, message.step)",
        "tests/camera",
    ),
    Mutation(
        "conversion: a message whose data is too long goes through",
        "ciae_ros/camera/image_conversion.py",
        "if len(message.data) != rows * step:",
        "if len(message.data) < rows * step:",
        "tests/camera",
    ),
    Mutation(
        "wake: no notification that a batch has finished",
        "ciae_ros/inference/pipeline/network_availability.py",
        "self._idle_at = left_network_at + len(self._start_times) * self._typical_seconds()\n"
        "            self._changed.notify_all()",
        "self._idle_at = left_network_at + len(self._start_times) * self._typical_seconds()",
        "tests/inference/pipeline/test_stream_pipeline.py",
    ),
    Mutation(
        "tf: the latest transform replaces a missing one",
        "ciae_ros/spatial/transform_buffer.py",
        "    if place == len(frame.stamps):\n",
        "    if place == len(frame.stamps):\n        return frame.transforms[-1]\n",
        "tests/spatial/test_transform_buffer.py",
    ),
    Mutation(
        "3D: labels do not wait for nearer depth",
        "ciae_ros/node/panoptic_3d/frame_assembly.py",
        "0 if must_equal else allowed",
        "allowed",
        "tests/node/panoptic_3d/test_matching.py",
    ),
    Mutation(
        "3D: the border of a mask need not continue the surface",
        "ciae_ros/spatial/segment_pixels.py",
        "band[index, 2] == level and _continues(depth, accepted, row, column, step)",
        "band[index, 2] == level",
        "tests/spatial/test_objects_of_a_rendered_drive.py",
    ),
    Mutation(
        "3D: flying pixels stay",
        "ciae_ros/spatial/depth_cleaning.py",
        "if not is_clear[column] and _is_flying(depth, row, column, step):",
        "if False:",
        "tests/spatial/test_depth_cleaning.py",
    ),
    Mutation(
        "3D: lidar points behind an object get its label",
        "ciae_ros/spatial/lidar_labels.py",
        "        ids[outside] = 0\n",
        "",
        "tests/spatial/test_lidar_labels.py",
    ),
    Mutation(
        "3D: the farther of two surfaces is seen",
        "ciae_ros/spatial/depth_registration.py",
        "nearest[row, column] = min(nearest[row, column], z)",
        "nearest[row, column] = z",
        "tests/spatial/test_depth_registration.py",
    ),
    Mutation(
        "bounds: a batch may take forever",
        "ciae_ros/node/panoptic_node.py",
        "if 0 < (limit := parameters.batch_timeout) < busy:",
        "if False:",
        "tests/node/test_process_end.py",
    ),
    Mutation(
        "bounds: deactivation waits forever",
        "ciae_ros/node/panoptic_node.py",
        "self._segmenter.stop(timeout)",
        "self._segmenter.stop(1e6)",
        "tests/node/test_process_end.py",
    ),
    Mutation(
        "order: the overlay is drawn before labels are sent",
        "ciae_ros/node/publishing/result_publisher.py",
        "in self._messages(frame, model, calibration, style, note):",
        "in list(self._messages(frame, model, calibration, style, note)):",
        "tests/node/test_camera_stream.py",
    ),
    Mutation(
        "calibration: binning is not applied",
        "ciae_ros/spatial/camera_model.py",
        "if binning > 1:",
        "if False:",
        "tests/node/test_camera_calibration.py",
    ),
    Mutation(
        "remapping: the calibration stays behind",
        "ciae_ros/node/camera_stream.py",
        "return by_parameter if is_remapped else camera_info_topic(self.topic)",
        "return by_parameter",
        "tests/node/test_camera_stream.py",
    ),
    Mutation(
        "counts: frames after the end are superseded",
        "ciae_ros/node/camera_stream.py",
        "STOPPED if dropped is frame else SUPERSEDED",
        "SUPERSEDED",
        "tests/node/test_camera_stream.py",
    ),
    Mutation(
        "stamps: the future is not refused",
        "ciae_ros/node/segmenter.py",
        "-age > parameters.max_future",
        "False",
        "tests/node/test_sim_time.py",
    ),
    Mutation(
        "stamps: labels carry the time of publishing",
        "ciae_ros/node/publishing/result_publisher.py",
        "header, result = frame.header, frame.result",
        "header, result = Header(stamp=self._node.get_clock().now().to_msg()), frame.result",
        "tests/node/test_node_over_dds.py",
    ),
    Mutation(
        "bound: a failed process ends before its responses are sent",
        "ciae_ros/node/lifecycle/worker.py",
        "        return sent.wait(end - time.monotonic())",
        "        return False",
        "tests/node/test_process_end.py",
    ),
    Mutation(
        "executor: a topic that is destroyed meanwhile ends the process",
        "ciae_ros/node/lifecycle/process_end.py",
        "            except InvalidHandle:\n                continue",
        "            except InvalidHandle:\n                raise",
        "tests/node/test_process_end.py",
    ),
    Mutation(
        "scheduler: the first camera is always served first",
        "ciae_ros/node/frame_scheduler.py",
        "self._service_order.append(camera)",
        "self._service_order.insert(0, camera)",
        "tests/node/test_frame_scheduler.py",
    ),
    Mutation(
        "pipeline: a batch is reused while its results are read",
        "ciae_ros/inference/pipeline/stream_pipeline.py",
        "batch.download_task.wait()\n",
        "batch.download_task.wait()\n            self._free.put(batch)\n",
        "tests/inference/pipeline/test_stream_pipeline.py",
    ),
    Mutation(
        "labels: pixels without a label are votes",
        "training/labeling/voting.py",
        "support[semantic == 0] = 0",
        "pass",
        "tests/training/labeling/test_voting.py",
    ),
    Mutation(
        "labels: unconfirmed instances are kept",
        "training/labeling/voting.py",
        "instance.support >= thresholds.support and ",
        "",
        "tests/training/labeling/test_voting.py",
    ),
    Mutation(
        "labels: the annotation does not limit them",
        "training/labeling/annotated.py",
        "ids = np.where(agrees[self._dense, voted], voted, 0)",
        "ids = voted.copy()",
        "tests/training/labeling/test_annotated.py",
    ),
    Mutation(
        "labels: objects are extended to what the annotation refutes",
        "training/labeling/annotated.py",
        "permitted = self._agreement(segment.category) & self._only_things",
        "permitted = self._only_things",
        "tests/training/labeling/test_annotated.py",
    ),
    Mutation(
        "mixture: all data sets have the same share",
        "training/data/dataset.py",
        "rng.choices(epochs, shares)",
        "rng.choices(epochs)",
        "tests/training/data/test_mixture.py",
    ),
    Mutation(
        "training: depthwise convolutions in bf16",
        "training/engine/precision.py",
        "args[1].shape[1] > 1",
        "True",
        "tests/training/engine/test_precision.py",
    ),
    Mutation(
        "labels: those of a mirrored view are not turned back",
        "training/labeling/views.py",
        "np.ascontiguousarray(result.label_map[:, ::-1])",
        "result.label_map",
        "tests/training/labeling/test_views.py",
    ),
    Mutation(
        "labels: pixels that a neighbour does not show get its labels",
        "training/labeling/motion.py",
        "np.where(self.is_visible, moved, 0)",
        "np.where(True, moved, 0)",
        "tests/training/labeling/test_views.py",
    ),
    Mutation(
        "category map: regions of things are objects",
        "ciae_ros/inference/category_map.py",
        "if segment.category.id in self.regions:",
        "if False:",
        "tests/inference/test_category_map.py",
    ),
    Mutation(
        "tracking: a hidden end of a box moves the box",
        "ciae_ros/tracking/box_motion.py",
        "completed = complete(boxes, self.boxes[tracks])",
        "completed = boxes",
        "tests/tracking",
    ),
    Mutation(
        "tracking: masks are not moved to where they are expected",
        "ciae_ros/tracking/mask_samples.py",
        "column = np.floor(x + (j + 0.5) * step_x)",
        "column = np.floor((j + 0.5) * step_x)",
        "tests/tracking",
    ),
    Mutation(
        "tracking: the motion of the camera is forgotten",
        "ciae_ros/tracking/tracker.py",
        "self._motion.compensate(camera_motion * (1, 1, self._shape[1]))",
        "pass",
        "tests/tracking",
    ),
    Mutation(
        "tracking: ids are used again after a reset",
        "ciae_ros/tracking/tracker.py",
        "        self._camera_motion = CameraMotion()\n",
        "        self._camera_motion = CameraMotion()\n        self._new_ids = count(1)\n",
        "tests/tracking",
    ),
    Mutation(
        "STQ: pixels on crowds count",
        "ciae_ros/replay/metrics/tubes.py",
        'overlaps["predicted_thing"] & ~overlaps["ignored"]',
        'overlaps["predicted_thing"]',
        "tests/replay/metrics/test_tracking.py",
    ),
    Mutation(
        "VPQ: windows of one frame less",
        "ciae_ros/replay/metrics/tubes.py",
        "last = frame.max() - length + 1",
        "last = frame.max() - length",
        "tests/replay/metrics/test_tracking.py",
    ),
    Mutation(
        "replay: tracks of shards are not linked",
        "ciae_ros/replay/evaluation/track_linking.py",
        "if after not in linked and before in ids",
        "if False and after not in linked and before in ids",
        "tests/replay/evaluation/test_track_linking.py",
    ),
    Mutation(
        "confidence: the margin is to the same category",
        "ciae_ros/inference/fusion/confidence.py",
        "elif categories[q] != category and value > other:",
        "elif value > other:",
        "tests/inference/fusion/test_confidence.py",
    ),
    Mutation(
        "navigation: unmeasured points are in a group",
        "ciae_ros/spatial/category_groups.py",
        "if np.isnan(points[n, 2]):",
        "if False:",
        "tests/spatial/test_category_groups.py",
    ),
    Mutation(
        "duplicates: what resembles a duplicate is dropped with it",
        "ciae_ros/inference/proposals/duplicates.py",
        "        if is_kept[index]:",
        "        if True:",
        "tests/inference/proposals/test_duplicates.py",
    ),
    Mutation(
        "duplicates: their boxes need not overlap",
        "ciae_ros/inference/proposals/duplicates.py",
        "((cosine > similarity) & (box_iou(boxes) > iou))",
        "(cosine > similarity)",
        "tests/inference/proposals/test_duplicates.py",
    ),
    Mutation(
        "candidates: centre-ness does not count",
        "ciae_ros/inference/proposals/candidates.py",
        "(probabilities * centerness.gather(1, places)[:, None])",
        "(probabilities + 0 * centerness.gather(1, places)[:, None])",
        "tests/inference/proposals/test_proposals.py",
    ),
    Mutation(
        "candidates: locations are corners of their cells",
        "ciae_ros/inference/proposals/candidates.py",
        "* stride + stride // 2",
        "* stride",
        "tests/inference/proposals/test_proposals.py",
    ),
    Mutation(
        "masks: a query that others cover keeps its segment",
        "ciae_ros/inference/fusion/mask_merging.py",
        "(share > overlap_threshold)",
        "(share >= 0)",
        "tests/inference/fusion/test_mask_merging.py",
    ),
    Mutation(
        "masks: the queries of a stuff category remain separate",
        "ciae_ros/inference/fusion/mask_merging.py",
        "torch.where(is_stuff, first, index)",
        "index",
        "tests/inference/fusion/test_mask_merging.py",
    ),
    Mutation(
        "masks: large and small queries have the same weight in a centroid",
        "ciae_ros/inference/fusion/mask_merging.py",
        "statistics.centroid * area[:, None]",
        "statistics.centroid",
        "tests/inference/fusion/test_mask_merging.py",
    ),
    Mutation(
        "masks: a query without a rival wins outside of its mask",
        "ciae_ros/inference/fusion/mask_assignment.py",
        "if _lowest_corner(products[first], i, j) >= product_thresholds[first]:",
        "if True:",
        "tests/inference/fusion/test_mask_merging.py",
    ),
    Mutation(
        "statistics: boxes are a pixel too narrow",
        "ciae_ros/inference/fusion/segment_statistics.py",
        "high[block, q, 0] = max(high[block, q, 0], stop - 1)",
        "high[block, q, 0] = max(high[block, q, 0], stop - 2)",
        "tests/inference/fusion/test_segment_statistics.py",
    ),
    Mutation(
        "geometry: the longer side has no limit",
        "ciae_ros/inference/geometry.py",
        "min(input_size / min(height, width), max_input_size / max(height, width))",
        "input_size / min(height, width)",
        "tests/inference/test_predictor.py",
    ),
    Mutation(
        "conversion: large images are sampled without a filter",
        "ciae_ros/inference/preprocessing.py",
        "antialias=True",
        "antialias=False",
        "tests/inference/test_predictor.py",
    ),
    Mutation(
        "run lengths: the first run is too short",
        "ciae_ros/core/run_lengths.py",
        "prepend=-1",
        "prepend=0",
        "tests/core/test_run_lengths.py",
    ),
    Mutation(
        "COCO: the bytes of segment ids change places",
        "ciae_ros/core/coco_panoptic.py",
        "(ids >> 16, ids >> 8 & 255, ids & 255)",
        "(ids & 255, ids >> 8 & 255, ids >> 16)",
        "tests/core/test_coco_panoptic.py",
    ),
    Mutation(
        "3D: the depth is not multiplied into the ray",
        "ciae_ros/spatial/depth_points.py",
        "rays[row, column, 1] * z",
        "rays[row, column, 1]",
        "tests/spatial",
    ),
    Mutation(
        "3D: the position of the camera is left out",
        "ciae_ros/spatial/depth_points.py",
        "matrix[2, 2] * z + matrix[2, 3]",
        "matrix[2, 2] * z",
        "tests/spatial",
    ),
    Mutation(
        "resume: the first batches are repeated",
        "training/data/dataset.py",
        "islice(self._batches(), self._first, None)",
        "islice(self._batches(), 0, None)",
        "tests/training/data/test_dataset.py tests/training/run/test_interruptions.py",
    ),
    Mutation(
        "resume: the state of another configuration is accepted",
        "training/engine/state.py",
        "        if different:",
        "        if False:",
        "tests/training/run/test_interruptions.py",
    ),
    Mutation(
        "augmentation: segments are half a pixel beside their image",
        "training/data/augmentation.py",
        'mode="nearest-exact"',
        'mode="nearest"',
        "tests/training/data/test_augmentation.py",
    ),
    Mutation(
        "loss: boxes far from the centre count as much as others",
        "training/losses/detection_loss.py",
        "(_box_losses(iou, enclosing_ratio, config) * weights)",
        "_box_losses(iou, enclosing_ratio, config)",
        "tests/training/losses",
    ),
    Mutation(
        "loss: the focal loss prefers the background",
        "training/losses/detection_loss.py",
        "FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0",
        "FOCAL_ALPHA, FOCAL_GAMMA = 0.75, 2.0",
        "tests/training/losses",
    ),
    Mutation(
        "exit codes: a node with a wrong configuration is restarted",
        "ciae_ros/node/exit_codes.py",
        "frozenset({NORMAL_EXIT, CONFIGURATION_ERROR})",
        "frozenset({NORMAL_EXIT})",
        "tests/node/test_process_end.py",
    ),
    Mutation(
        "exit codes: a later failure replaces the first one",
        "ciae_ros/node/lifecycle/process_end.py",
        "if self.fault or (self._requested.is_set() and not fault):",
        "if self._requested.is_set() and not fault:",
        "tests/node/test_process_end.py",
    ),
    Mutation(
        "scheduler: the older of two frames is kept",
        "ciae_ros/node/frame_scheduler.py",
        "            self._mailboxes[camera] = frame\n",
        "            self._mailboxes[camera] = superseded or frame\n",
        "tests/node/test_frame_scheduler.py",
    ),
    Mutation(
        "rate: an early frame delays the next one",
        "ciae_ros/node/rate_limiter.py",
        "self._due = max(due, now - TOLERANCE * period) + period",
        "self._due = now + period",
        "tests/node/test_rate_limiter.py",
    ),
    Mutation(
        "stamps: only whole seconds count",
        "ciae_ros/node/stamps.py",
        "int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)",
        "int(stamp.sec) * 1_000_000_000",
        "tests/node/panoptic_3d/test_inputs_and_outputs.py",
    ),
    Mutation(
        "tracking: a thing of another category continues a track",
        "ciae_ros/tracking/association.py",
        "same_category & ((overlap > MIN_OVERLAP)",
        "((overlap > MIN_OVERLAP)",
        "tests/tracking",
    ),
    Mutation(
        "tracking: tracks are never forgotten",
        "ciae_ros/tracking/tracker.py",
        "is_kept = stamp - self._last_seen <= max_gap",
        "is_kept = self._last_seen <= stamp",
        "tests/tracking",
    ),
    Mutation(
        "PQ: segments that hardly overlap match",
        "ciae_ros/replay/metrics/matching.py",
        "MATCHING_IOU = 0.5",
        "MATCHING_IOU = 0.3",
        "tests/replay/metrics",
    ),
)


def main() -> int:
    words = sys.argv[1:]
    chosen = [each for each in MUTATIONS if not words or any(word in each.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        _copy_checkout(copy)
        if DATA.is_dir():
            (copy.parent / "shared").symlink_to(DATA)
        print("| Mutation | Test that fails |\n|---|---|", flush=True)
        survivors = 0
        for number, each in enumerate(chosen):
            print(f"[{number + 1}/{len(chosen)}] {each.name}", file=sys.stderr)
            failed = _failed_test(copy, each)
            survivors += not failed
            print(f"| {each.name} (`{each.file}`) | {f'`{failed}`' if failed else '**none**'} |", flush=True)
    return int(survivors > 0)


def _copy_checkout(copy: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


def _failed_test(copy: Path, each: Mutation) -> str:
    """The first test that fails because of the mutation, or nothing.

    Raises:
        SystemExit: the line is not there, pytest could not run, or the test fails without the mutation too.
    """
    path = copy / each.file
    text = path.read_text()
    if text.count(each.original) != 1:
        raise SystemExit(f"{each.file} has {text.count(each.original)} times, not once: {each.original}")
    path.write_text(text.replace(each.original, each.mutated))
    try:
        run = _run_tests(copy, each.tests.split())
    finally:
        path.write_text(text)
    if run.returncode == 0:
        return ""
    failed = re.search(r"^FAILED (.+?)(?: - |$)", run.stdout, re.MULTILINE)
    if run.returncode != 1 or not failed:
        raise SystemExit(f"{each.name}: pytest ended with {run.returncode}\n{run.stdout[-3000:]}{run.stderr[-1000:]}")
    if _run_tests(copy, [failed[1]]).returncode:
        raise SystemExit(f"{failed[1]} does not pass either without the mutation")
    return failed[1]


def _run_tests(copy: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    path = os.pathsep.join([str(copy), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
