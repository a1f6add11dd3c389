"""ComfyUI's memory manager, interrupts, progress, folders and media types.

With the other `host` files, which are for its loaded models and more of its folders, the only ones that touch its internals. Written for
ComfyUI 0.8.0 and newer; tried on 0.8.0 and 0.33.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CONCEPTS = "concepts"  # the model folder where shared concepts lie
ENCODERS = "concept_encoders"  # and the one where converted encoders lie
SAES = "concept_saes"  # and the one where trained dictionaries of features lie
CACHE = ".cache"  # how a folder beside such a dictionary ends, with what its training has done so far
RESCUED = "concept-algebra-rescued"
HANDED_OUT = "concept-algebra"


class _Held(nn.Module):
    """A module as ComfyUI's memory manager wants it: it sets attributes on what it holds, so it gets a shell of ours."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module


class Resident:
    """A module in ComfyUI's memory management: on the device while it is used, elsewhere or freed when others need room.

    patcher: of a module that ComfyUI itself has loaded.
    """

    def __init__(self, module: nn.Module, patcher: Any = None):
        from comfy import model_management
        from comfy.model_patcher import ModelPatcher

        self.module = module
        # the plain patcher: the dynamic one streams weights through memory that autograd must not save
        self.patcher = patcher or ModelPatcher(
            _Held(module),
            load_device=model_management.get_torch_device(),
            offload_device=model_management.text_encoder_offload_device(),
        )


def load(residents: Iterable[Resident], working: int = 0) -> torch.device:
    """Bring everything that a piece of work needs onto the device, in one call; returns the device.

    working: bytes that the work itself will take. One call, because a second could push the first one's models out.
    """
    from comfy import model_management

    model_management.load_models_gpu([r.patcher for r in residents], memory_required=working, force_full_load=True)
    return model_management.get_torch_device()


def release() -> None:
    """Give back what a piece of work has held on the device, weights excepted: those stay until others need room."""
    from comfy import model_management

    model_management.soft_empty_cache()


def plain(execute: Callable) -> Callable:
    """Run a node's work outside inference mode, without gradients: what it makes may be differentiated by a later node."""

    @wraps(execute)
    def run(*args, **kwargs):
        with torch.inference_mode(False), torch.no_grad():
            return execute(*args, **kwargs)

    return run


def stop_if_asked() -> None:
    """Raises ComfyUI's own interruption when the person has cancelled."""
    from comfy import model_management

    model_management.throw_exception_if_processing_interrupted()


class Progress:
    """The bar, the preview and the running words on one node while it works."""

    def __init__(self, node_id: str, total: int):
        from comfy.utils import ProgressBar

        self.node_id = node_id
        self.bar = ProgressBar(total, node_id=node_id)

    def show(self, done: int, picture: Tensor | None = None) -> None:
        """`done` steps of the total, with a picture [3, H, W] in 0..1 now and then."""
        from PIL import Image

        from ..ops.media import as_bytes

        self.bar.update_absolute(done, preview=None if picture is None else ("JPEG", Image.fromarray(as_bytes(picture)), 512))

    def say(self, text: str, detail: dict[str, Any] | None = None) -> None:
        """Text on the node, and for a detail the event `concept_algebra.step` with it for whoever listens in the browser."""
        from server import PromptServer

        server = PromptServer.instance
        server.send_progress_text(text, self.node_id)
        if detail is not None:
            server.send_sync("concept_algebra.step", {"node": self.node_id, **detail}, server.client_id)


_noted: set[str] = set()


def note(text: str) -> None:
    """A line on the node that runs, which stays there; "" takes away what an earlier run of that node has left."""
    from comfy_execution.utils import get_executing_context
    from server import PromptServer

    running = get_executing_context()
    # over a list a node runs once an item: the others leave standing what the first has said
    if text or (running.node_id in _noted and not running.list_index):
        # the page takes an empty text for none, and would leave the old one
        PromptServer.instance.send_progress_text(text or " ", running.node_id)
        (_noted.add if text else _noted.discard)(running.node_id)


@contextmanager
def explained(advice: str, rescue: Callable[[], Tensor | None] | None = None) -> Iterator[None]:
    """Turn a failure that a person can do something about into one that says what, keeping the best latent so far.

    advice: a sentence on what needs less memory, by the inputs of the node that works. rescue: the latent to keep, as LATENT's
    samples, or None; not given where nothing is made. Interruptions and everything unknown pass untouched.
    """
    from ..ops.optimise import OptimisationError

    try:
        yield
    except OptimisationError as error:
        raise ArithmeticError(_told(f"{error}.", rescue, "Another seed or a simpler target helps.")) from error
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryError(_told("The device ran out of memory.", rescue, advice)) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out. On Apple Silicon that is a plain RuntimeError, told only by its words."""
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "out of memory" in str(error).lower() or "can't allocate memory" in str(error)


def _told(what: str, rescue: Callable[[], Tensor | None] | None, advice: str) -> str:
    return " ".join([what, *([_kept(rescue())] if rescue else []), advice])


def _kept(latent: Tensor | None) -> str:
    if latent is None:
        return "Nothing had been made yet."
    try:
        path = save_latent(latent)
    except OSError as error:
        return f"The best latent so far could not be saved ({error})."
    return f"The best latent so far is kept in {path}; with Load Latent it can be taken up again."


def save_latent(latent: Tensor) -> str:
    """Write a latent where Load Latent can read it (ComfyUI's own format) and return the path."""
    from safetensors.torch import save

    from ..ops.atomic import write_bytes

    path = free_path(RESCUED, "latent", input_folder())
    write_bytes(path, save({"latent_tensor": latent.cpu().contiguous(), "latent_format_version_0": torch.tensor([])}))
    logging.warning("concept algebra: kept the best latent in %s", path)
    return path


def input_folder() -> str:
    """The folder of the person's own pictures and sounds."""
    import folder_paths

    return folder_paths.get_input_directory()


def free_path(prefix: str, extension: str, folder: str | None = None) -> str:
    """A numbered path in the output folder that is not taken, a folder's for an extension of ""; `prefix` may hold a subfolder.
    Makes the subfolder."""
    import folder_paths

    made, name, counter, _, _ = folder_paths.get_save_image_path(prefix, folder or folder_paths.get_output_directory())
    ending = f".{extension}" if extension else ""
    path = os.path.join(made, f"{name}_{counter:05}_{ending}")
    while os.path.exists(path):  # ComfyUI counts names that end like its pictures only
        counter += 1
        path = os.path.join(made, f"{name}_{counter:05}_{ending}")
    return path


def in_output(path: str) -> tuple[str, str]:
    """(file name, subfolder) of a path in the output folder, as a node's output names a file."""
    import folder_paths

    subfolder, name = os.path.split(os.path.relpath(path, folder_paths.get_output_directory()))
    return name, subfolder


def inscription(prompt: dict | None, extra: dict | None, own: dict[str, Any]) -> dict[str, str] | None:
    """What a saved file is to hold as text: the prompt, the workflow (in `extra`) and `own`, each as JSON under its name, as
    ComfyUI's own nodes write it and its page reads it. None where ComfyUI was started with --disable-metadata: no text at all."""
    from comfy.cli_args import args

    if args.disable_metadata:
        return None
    said = ({"prompt": prompt} if prompt else {}) | (extra or {}) | own
    return {name: json.dumps(value) for name, value in said.items()}


def register_folders() -> None:
    """Shared concepts lie in models/concepts, saved ones in output/concepts, converted encoders in models/concept_encoders,
    trained dictionaries in models/concept_saes."""
    import folder_paths

    models = (folder_paths.models_dir,)
    for name, roots in ((CONCEPTS, (*models, folder_paths.get_output_directory())), (ENCODERS, models), (SAES, models)):
        for root in roots:
            folder_paths.add_model_folder_path(name, os.path.join(root, name))
        paths, _ = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (paths, {".safetensors"})


def concept_files() -> list[str]:
    """Names of the concept files that Load Concept offers."""
    return file_names(CONCEPTS)


def concept_path(name: str) -> str:
    """Where a concept file lies. ValueError when it is gone."""
    import folder_paths

    path = folder_paths.get_full_path(CONCEPTS, name)
    if path is None:
        raise ValueError(f"there is no concept '{name}'; put the file into models/concepts or pick another")
    return path


def encoder_files() -> list[str]:
    """Names of the converted encoders that Load Concept Encoder offers."""
    return file_names(ENCODERS)


def sae_files() -> list[str]:
    """Names of the trained dictionaries that Load SAE offers."""
    return [name for name in file_names(SAES) if not any(part.endswith(CACHE) for part in Path(name).parts)]


def sae_path(name: str) -> str | None:
    """Where a trained dictionary's file lies; None when it is not there."""
    import folder_paths

    return folder_paths.get_full_path(SAES, name)


def sae_folder() -> str:
    """Where a trained dictionary belongs."""
    import folder_paths

    return folder_paths.get_folder_paths(SAES)[0]


def file_names(kind: str) -> list[str]:
    """Names of the files that lie in a model folder, by its kind."""
    import folder_paths

    try:
        return folder_paths.get_filename_list(kind)
    except FileNotFoundError:  # ComfyUI remembers a folder that somebody has deleted, and asks for its time
        folder_paths.filename_list_cache.pop(kind, None)
        return folder_paths.get_filename_list(kind)


def encoder_path(name: str) -> str | None:
    """Where an encoder's file lies; None when it is not there."""
    import folder_paths

    return folder_paths.get_full_path(ENCODERS, name)


def encoder_folder() -> str:
    """Where a converted encoder belongs."""
    import folder_paths

    return folder_paths.get_folder_paths(ENCODERS)[0]


def encoder_dtype() -> torch.dtype:
    """What towers compute in: bfloat16 where ComfyUI finds that the device does, else float32."""
    from comfy import model_management

    return torch.bfloat16 if model_management.should_use_bf16(model_management.get_torch_device()) else torch.float32


def tokenizer_folder() -> str:
    """Where ComfyUI keeps CLIP's vocabulary."""
    from comfy import model_management

    return os.path.join(os.path.dirname(model_management.__file__), "sd1_tokenizer")


def file_mark(path: str) -> str:
    """Changes when the file's content does; "missing" without a file."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return "missing"


def media_folder(name: str) -> str:
    """A folder in ComfyUI's input folder. ValueError for none, for one outside and for one that is not there."""
    root = os.path.abspath(input_folder())
    path = _within(root, name.strip())
    if not name.strip() or path is None:
        raise ValueError(f"'{name.strip()}' is not a folder in ComfyUI's input folder; put the media into one there and write its name")
    if not os.path.isdir(path):
        raise ValueError(f"there is no folder '{name.strip()}' in ComfyUI's input folder, {root}")
    return path


def output_folder(name: str) -> str:
    """Where a folder in the output folder lies, or will lie. ValueError for one outside, and for the output folder itself, which is the
    person's own."""
    import folder_paths

    root = os.path.abspath(folder_paths.get_output_directory())
    path = _within(root, name)
    if path in (None, root):
        raise ValueError(f"'{name}' is not a folder within ComfyUI's output folder; write a name such as showcase or trials/showcase")
    return path


def _within(root: str, name: str) -> str | None:
    """The path of a name in a folder; None when it leads out of it."""
    path = os.path.normpath(os.path.join(root, name))
    return path if f"{path}{os.sep}".startswith(f"{root.rstrip(os.sep)}{os.sep}") else None


def handed_out(name: str, value: Any) -> dict[str, str]:
    """Write JSON where the page can fetch it from ComfyUI's own /view, and say where, as a node's output names a file.

    name: says all that the content depends on; what is there under it stays. Gone when ComfyUI starts again.
    """
    import folder_paths

    from ..ops.atomic import write_text

    path = os.path.join(folder_paths.get_temp_directory(), HANDED_OUT, f"{name}.json")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_text(path, json.dumps(value, ensure_ascii=False))
    return {"filename": os.path.basename(path), "subfolder": HANDED_OUT, "type": "temp"}


def folder_mark(path: str) -> str:
    """Changes when a file in the folder, or in one inside it, comes, goes or is written."""
    files = (os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
    states = ((file, os.stat(file)) for file in sorted(files) if os.path.exists(file))
    return hashlib.sha256("\n".join(f"{file} {s.st_size} {s.st_mtime_ns}" for file, s in states).encode()).hexdigest()


def audio_rate(rate: int) -> int:
    """The rate in Hz at which VAE Encode Audio hands sounds over: a VAE's own, or 44100 before ComfyUI asked for it."""
    from comfy.sd import VAE

    return rate if "audio_sample_rate" in VAE.__init__.__code__.co_names else 44100


def clip(frames: Tensor, fps: float):
    """Frames [T, H, W, 3] in 0..1 as ComfyUI's VIDEO."""
    from comfy_api.latest import InputImpl, Types

    rate = Fraction(fps).limit_denominator(1001)
    return InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, audio=None, frame_rate=rate))


def blocked(message: str):
    """An output that stops what hangs on it, with a message, and nothing else."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(message)
