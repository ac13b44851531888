"""How good a network's panoptic results are: PQ, mIoU and AP."""
