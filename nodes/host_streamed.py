"""Plain models in place of those that ComfyUI streams onto the device while they run.

With the other `host` files the only ones that touch ComfyUI's internals.
"""

from __future__ import annotations

from typing import Any


def still(patcher: Any) -> Any:
    """A patcher whose weights stay where they are while they are used; a backward pass needs them as the forward pass had them.

    ComfyUI's dynamic ones, usual on NVIDIA cards, stream weights through memory that is used again. Their second, plain model is read
    from the file once and kept as long as they are. ValueError where there is no file to read again.
    """
    if not getattr(patcher, "is_dynamic", bool)():
        return patcher
    try:
        return patcher.get_non_dynamic_delegate()
    except (AttributeError, RuntimeError) as error:
        raise ValueError(f"gradients need weights that stay in place; start ComfyUI with --disable-dynamic-vram ({error})") from error


def still_vae(vae: Any) -> Any:
    """`still` of a VAE's patcher, its weights in what the VAE computes in."""
    from comfy.model_patcher import ModelPatcher
    from comfy.taesd.taesd import TAESD

    patcher, module = vae.patcher, vae.patcher.model
    if not getattr(patcher, "is_dynamic", bool)():
        return patcher
    if isinstance(module, TAESD):  # of two files, which ComfyUI does not read again; and small
        again = TAESD(latent_channels=vae.latent_channels)
        again.load_state_dict(module.state_dict())
        made = ModelPatcher(again, load_device=patcher.load_device, offload_device=patcher.offload_device)
    else:
        made = still(patcher)
    made.model.to(vae.vae_dtype)  # streamed ones lie as the file has them, and are cast on the way
    return made
