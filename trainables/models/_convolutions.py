"""Convolutions of volumes with the kernels of a 2D network, so that 2D weights fit: 2.5D and ACS. (B, C, D, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d


class SliceConv3d(nn.Conv3d):
    """2.5D: a k×k kernel in every slice, nothing across. The weight is (out, in, 1, k, k): as many values as in 2D.

    Strided within slices only. The published 2.5D baseline strides across them too, so that of 28 slices its ResNets,
    which have no kernel across slices, see 4.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        margin = kernel // 2
        super().__init__(channels, out, (1, kernel, kernel), (1, stride, stride), (0, margin, margin), bias=False)


class ACSConv3d(nn.Conv3d):
    """Axial, coronal, sagittal: each third of the k×k kernels looks along another axis (Yang et al. 2021, JBHI 25(8)).

    The outputs are concatenated, so layers mix the views. Kernels that three does not divide go to the first views.
    Strided along all axes. The weight is (out, in, 1, k, k), as in 2.5D.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        self.margin = kernel // 2
        super().__init__(channels, out, (1, kernel, kernel), stride, (0, self.margin, self.margin), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, D, H, W)."""
        # One voxel looks the same from everywhere.
        if self.kernel_size[-1] == 1:
            return super().forward(x)
        outputs = []
        # A kernel is one voxel thick along `axis`.
        for axis, weight in enumerate(torch.tensor_split(self.weight, 3), start=2):
            padding = [0 if axis == other else self.margin for other in (2, 3, 4)]
            outputs.append(conv3d(x, weight.movedim(2, axis), None, self.stride, padding))
        return torch.cat(outputs, dim=1)
