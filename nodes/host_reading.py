"""The model folders of what reads renders: judges, a folder each, and trained probes."""

from __future__ import annotations

import os

from .host import file_names

JUDGES = "concept_judges"
PROBES = "concept_probes"
MADE_BY = "config.json"
"""What makes a folder a model of Hugging Face's."""


def register_folders() -> None:
    """Judges lie in models/concept_judges, a folder each, trained probes in models/concept_probes."""
    import folder_paths

    for name, endings in ((JUDGES, {".json"}), (PROBES, {".safetensors"})):
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        paths, _ = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (paths, endings)


def judges() -> list[str]:
    """Names of the folders that Load Judge offers."""
    parts = (os.path.split(name) for name in file_names(JUDGES))
    return [folder for folder, file in parts if folder and file == MADE_BY]


def judge_path(name: str) -> str | None:
    """Where a judge's folder lies; None when it is not there."""
    import folder_paths

    found = folder_paths.get_full_path(JUDGES, os.path.join(name, MADE_BY))
    return found and os.path.dirname(found)


def judge_folder() -> str:
    """Where the folder of a judge belongs."""
    import folder_paths

    return folder_paths.get_folder_paths(JUDGES)[0]


def probe_files() -> list[str]:
    """Names of the trained probes that Probe offers."""
    return file_names(PROBES)


def probe_path(name: str) -> str | None:
    """Where a trained probe's file lies; None when it is not there."""
    import folder_paths

    return folder_paths.get_full_path(PROBES, name)


def probe_folder() -> str:
    """Where a trained probe belongs."""
    import folder_paths

    return folder_paths.get_folder_paths(PROBES)[0]
