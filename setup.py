# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Installed by colcon (ament_python)."""

from pathlib import Path

from setuptools import find_packages, setup


def files(folder: str, *patterns: str) -> list[str]:
    """Paths of the files in a folder that fit one of the patterns."""
    return [str(path) for pattern in patterns for path in sorted(Path(folder).glob(pattern))]


setup(
    name="ciae_ros",
    version="0.2.0",
    description="Panoptic segmentation of camera streams with category- and instance-aware pixel embeddings (CIAE).",
    maintainer="ciae_ros maintainers",
    maintainer_email="maintainers@users.noreply.b-seed-f265baf3.example",
    license="Apache-2.0",
    packages=find_packages(include=["ciae_ros", "ciae_ros.*", "training", "training.*"]),
    package_data={
        "ciae_ros.core": ["*.json"],
        "ciae_ros.replay.report": ["templates/*.j2"],
        "ciae_ros.weights": ["*.safetensors", "*.md"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/ciae_ros"]),
        ("share/ciae_ros", ["package.xml"]),
        ("share/ciae_ros/config", files("config", "*.yaml", "*.xml", "*.rviz", "*.json")),
        ("share/ciae_ros/config/data_sets", files("config/data_sets", "*.yaml", "*.txt")),
        ("share/ciae_ros/config/label_maps", files("config/label_maps", "*.yaml")),
        ("share/ciae_ros/config/sros2", files("config/sros2", "*.xml")),
        ("share/ciae_ros/config/training", files("config/training", "*.yaml")),
        ("share/ciae_ros/config/training/paper", files("config/training/paper", "*.yaml")),
        ("share/ciae_ros/config/training/beyond", files("config/training/beyond", "*.yaml")),
        ("share/ciae_ros/launch", files("launch", "*.launch.py")),
    ],
    # What the package imports; requirements.txt has the versions that are tested. ROS comes from a distribution.
    install_requires=[
        "hotcoco",
        "jinja2",
        "lapx",
        "markupsafe",
        "matplotlib",
        "mcap",
        "motrics",
        "numba",
        "numpy",
        "opencv-python-headless",
        "pandas",
        "pillow",
        "pyarrow",
        "pycocotools",
        "pydantic",
        "PyYAML",
        "rosbags",
        "safetensors",
        "setuptools",
        "simplejpeg",
        "tensorboard",
        "timm",
        "torch",
        "torchvision",
        "tqdm",
        "zstandard",
    ],
    extras_require={
        "cluster": ["ray"],
        "models": ["huggingface_hub", "scipy", "transformers"],
        "onnx": ["onnx", "onnxruntime", "onnxscript"],
        "openvino": ["openvino"],
        "test": ["hypothesis", "packaging", "psutil", "pytest>=7.4", "pytest-timeout"],  # `colcon test`
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "panoptic_node = ciae_ros.node.cli.panoptic_node:main",
            "panoptic_3d = ciae_ros.node.cli.panoptic_3d:main",
            "image_player = ciae_ros.node.cli.image_player:main",
            "replay = ciae_ros.replay.__main__:main",
        ],
    },
)
