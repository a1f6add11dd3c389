"""The ComfyUI side: one extension that lists the pack's nodes. Only ComfyUI imports this package."""

from comfy_api.latest import ComfyExtension, io


class ConceptAlgebra(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return []
