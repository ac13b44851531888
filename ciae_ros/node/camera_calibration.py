# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Camera calibration of label images."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from ciae_ros.spatial.camera_model import image_projection, resized_projection

Size = tuple[int, int]
"""Height and width in pixels."""


def labels_camera_info(info: CameraInfo, header: Header, image: Size, labels: Size) -> CameraInfo:
    """Return the calibration of the label image, interpreted as in `image_geometry`.

    `CameraInfo` refers to the full sensor: k and p are in its pixels, the region of interest (roi) defines which of
    them were read out, and binning how many of them form one pixel of the image. Labels of the image's size get the
    calibration unchanged. For another size, region and binning are applied, and the result is the calibration of a
    sensor of the labels' size without them.

    Args:
        info: calibration of the camera.
        header: header of the image.
        image: size of the image.
        labels: size of the labels.
    """
    if labels == image:
        return CameraInfo(
            header=header,
            height=info.height,
            width=info.width,
            distortion_model=info.distortion_model,
            d=info.d,
            k=info.k,
            r=info.r,
            p=info.p,
            binning_x=info.binning_x,
            binning_y=info.binning_y,
            roi=info.roi,
        )
    scales = labels[1] / image[1], labels[0] / image[0]
    return CameraInfo(
        header=header,
        height=labels[0],
        width=labels[1],
        distortion_model=info.distortion_model,
        d=info.d,
        k=resized_projection(image_projection(info.k, 3, info), 3, *scales),
        r=info.r,
        p=resized_projection(image_projection(info.p, 4, info), 4, *scales),
        roi=RegionOfInterest(do_rectify=info.roi.do_rectify),
    )
