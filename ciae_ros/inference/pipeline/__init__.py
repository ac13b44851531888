# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""The stream pipeline: upload, network and download of successive batches overlap."""
