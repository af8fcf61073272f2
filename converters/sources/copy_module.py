"""Copy a torch module, to change the copy."""

from __future__ import annotations

import copy

from torch import nn

from converters.errors import ExportError
from converters.sources.user_code import describe_failure


def copy_module(module: nn.Module) -> nn.Module:
    """A copy in eval mode, which torch's own deep copies of traced modules (torch.fx) are not.

    Raises:
        ExportError: it cannot be copied, as a user's module that keeps results or locks.
    """
    try:
        return copy.deepcopy(module).eval()
    except Exception as error:  # of a user's own __deepcopy__, and of what a module may hold
        met = f"it cannot be copied by copy.deepcopy ({describe_failure(error)})"
        raise ExportError(type(module).__name__, met, "Keep no results, locks or files in the module") from error
