"""Fold spectral normalization into the weights.

W = W_orig / (u^T W_mat v) with the stored u and v, as both of torch's implementations compute it in eval mode
(Miyato et al. 2018, arXiv 1802.05957). The arithmetic is torch's own: folded weights equal the live ones bit for bit.
"""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils import parametrize, remove_spectral_norm
from torch.nn.utils.spectral_norm import SpectralNorm


def fold_spectral_norm(module: nn.Module) -> nn.Module:
    """A copy of `module`, in eval mode, whose layers hold plain weights; `module` stays as it is.

    Folds the old hooks (`weight_orig`, `weight_u`, `weight_v`) and the new parametrizations alike.
    """
    folded = copy.deepcopy(module).eval()
    for layer in list(folded.modules()):
        hooks = [hook for hook in layer._forward_pre_hooks.values() if isinstance(hook, SpectralNorm)]
        for hook in hooks:
            remove_spectral_norm(layer, hook.name)
        if parametrize.is_parametrized(layer, "weight"):
            # A copy shares its class with the original, and torch takes the parametrized weight off the class.
            shared = type(layer)
            layer.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return folded.requires_grad_(False)
