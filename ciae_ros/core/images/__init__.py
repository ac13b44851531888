# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Decoding of image files and of encoded images in messages: what is corrupt or truncated is refused."""
