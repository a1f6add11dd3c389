"""Concept algebra for ComfyUI: concepts as places in a joint embedding space, rendered by latent optimisation.

ComfyUI loads this file from ``custom_nodes``, so nothing heavy is imported here.
"""


WEB_DIRECTORY = "web"


async def comfy_entrypoint():
    """What ComfyUI asks for when it loads the folder: the pack's extension."""
    from .nodes import ConceptAlgebra

    return ConceptAlgebra()
