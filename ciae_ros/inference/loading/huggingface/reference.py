# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""References to models in the Hugging Face layout: on the hub, or in a local folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from ciae_ros.inference.loading.errors import CheckpointError

HUB_PREFIX = "hf://"
OPTIONS = ("things", "base")
USAGE = f"{HUB_PREFIX}OWNER/NAME[@REVISION] or a folder, followed by ?things=FILE or ?base=MODEL if it needs them"


@dataclass(frozen=True)
class ModelReference:
    """A model on the hub, or a local folder."""

    location: str
    """OWNER/NAME, or the path of the folder."""
    is_on_hub: bool
    revision: str | None = None
    """Branch, tag or commit on the hub; the main branch if None."""
    things: Path | None = None
    """A YAML list of the names or numbers of the classes that are things."""
    base: str | None = None
    """Reference to the model that the weights are differences from."""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB_PREFIX}{self.location}{revision}" if self.is_on_hub else self.location


def is_reference(name: str) -> bool:
    """Whether a model's name refers to the hub or to a folder."""
    location, _, _ = name.partition("?")
    return name.startswith(HUB_PREFIX) or (location != "" and Path(location).expanduser().is_dir())


def parse_reference(name: str) -> ModelReference:
    """Parse OWNER/NAME on the hub or the path of a folder, with options as in a URL.

    Raises:
        CheckpointError: the reference has another form, or an option is unknown.
    """
    location, _, query = name.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [option for option in options if option not in OPTIONS]
    if unknown or (query and not options):
        raise CheckpointError(f"{name} has an unknown option {(unknown or [query])[0]!r}: use {USAGE}")
    things = Path(options["things"]).expanduser() if "things" in options else None
    if not location.startswith(HUB_PREFIX):
        return ModelReference(str(Path(location).expanduser()), False, None, things, options.get("base"))
    repository, at, revision = location.removeprefix(HUB_PREFIX).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")) or (at and not revision):
        raise CheckpointError(f"{name} is not the name of a model on the Hugging Face hub: use {USAGE}")
    return ModelReference(repository, True, revision or None, things, options.get("base"))


def with_absolute_paths(name: str) -> str:
    """Return the reference with absolute paths, for processes in other folders."""
    reference = parse_reference(name)
    options = {}
    if reference.things:
        options["things"] = str(reference.things.resolve())
    if reference.base:
        options["base"] = with_absolute_paths(reference.base) if is_reference(reference.base) else reference.base
    location = str(reference) if reference.is_on_hub else str(Path(reference.location).resolve())
    return location + (f"?{urlencode(options, safe='/:@', quote_via=quote)}" if options else "")
