"""The ComfyUI side: one extension that lists the pack's nodes. Only ComfyUI imports this package."""

from comfy_api.latest import ComfyExtension, io

from . import host, host_reading


class ConceptAlgebra(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from . import (
            algebra, attribution, calibrate, checkpoint, encode, features, files, interpret, judge, lists, load, priors, probe, read, render, sae, save,
            showcase,
        )  # fmt: skip

        # here and not in on_load, which ComfyUI 0.8 does not call first
        host.register_folders()
        host_reading.register_folders()
        return [
            load.LoadConceptEncoder,
            load.LoadGenerator,
            judge.LoadJudge,
            checkpoint.GeneratorFromCheckpoint,
            calibrate.CalibrateEncoder,
            encode.EncodeText,
            encode.EncodeImage,
            encode.EncodeAudio,
            encode.EncodeVideo,
            algebra.ConceptAdd,
            algebra.ConceptSub,
            algebra.ConceptSlerp,
            algebra.ConceptScale,
            algebra.ConceptUnion,
            algebra.ConceptExpression,
            sae.LoadSAE,
            sae.TrainSAE,
            features.SAEDecompose,
            features.EditFeatures,
            priors.VsdPrior,
            priors.FlairPrior,
            priors.BridgePrior,
            render.LatentOptimiser,
            render.DualTrack,
            render.OpenRender,
            save.SaveRender,
            read.ConceptReadout,
            read.CompareTracks,
            interpret.Interpret,
            judge.EvalCard,
            showcase.Showcase,
            attribution.AttributionOverlay,
            probe.Probe,
            probe.TrainProbe,
            files.SaveConcept,
            files.LoadConcept,
            lists.ConceptList,
            lists.TargetFromList,
        ]
