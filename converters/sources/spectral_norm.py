"""Fold spectral normalization into the weights.

W = W_orig / (u^T W_mat v) with the stored u and v (Miyato et al. 2018, arXiv 1802.05957). Both of torch's
implementations compute this in eval mode. torch itself does the arithmetic here too, so the folded weights equal those
that the unfolded module computes bit for bit.
"""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize, remove_spectral_norm
from torch.nn.utils.spectral_norm import SpectralNorm

from converters.sources.copy_module import copy_module


def fold_spectral_norm(module: nn.Module) -> nn.Module:
    """A copy of `module`, in eval mode, whose layers hold plain weights; `module` itself is not changed.

    Folds torch's older hooks (`weight_orig`, `weight_u`, `weight_v`) and its newer parametrizations.
    """
    folded = copy_module(module)
    for layer in list(folded.modules()):
        hooks = [hook for hook in layer._forward_pre_hooks.values() if isinstance(hook, SpectralNorm)]
        for hook in hooks:
            remove_spectral_norm(layer, hook.name)
        if parametrize.is_parametrized(layer, "weight"):
            # A deep copy has the same class object as the original, and torch deletes the parametrized weight's
            # property from the class. So the copy gets a class of its own.
            original = type(layer)
            layer.__class__ = type(original.__name__, original.__bases__, dict(vars(original)))
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return folded.requires_grad_(False)
