"""Small networks of architectures that spandrel knows, with random weights, as PyTorch files."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

torch = pytest.importorskip("torch", reason="conversion needs the extra [convert]")
pytest.importorskip("spandrel", reason="conversion needs the extra [convert]")

warnings.filterwarnings("ignore", category=DeprecationWarning)
torch.set_num_threads(1)


def make(package: str, name: str, **sizes: Any) -> Callable[[], torch.nn.Module]:
    def build() -> torch.nn.Module:
        torch.manual_seed(0)
        return getattr(importlib.import_module(f"spandrel.architectures.{package}"), name)(**sizes)

    return build


FAMILIES: dict[str, Callable[[], torch.nn.Module]] = {
    "Compact": make("Compact", "Compact", num_feat=16, num_conv=2, upscale=2),
    "ESRGAN": make("ESRGAN", "ESRGAN", num_filters=16, num_blocks=1, scale=4),
    "SPAN": make("SPAN", "SPAN", num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2),
    "PLKSR": make("PLKSR", "PLKSR", dim=16, n_blocks=1, upscaling_factor=2, kernel_size=9),
    "RealPLKSR": make("PLKSR", "RealPLKSR", dim=16, n_blocks=1, upscaling_factor=2, kernel_size=9, layer_norm=True),
    "SwinIR": make(
        "SwinIR", "SwinIR", img_size=16, embed_dim=12, depths=[2], num_heads=[2], window_size=4, upscale=2,
        upsampler="pixelshuffledirect", mlp_ratio=2.0,
    ),
    "OmniSR": make("OmniSR", "OmniSR", num_feat=16, up_scale=2, window_size=8),
    "DAT": make(
        "DAT", "DAT", img_size=32, embed_dim=64, split_size=[8, 8], depth=[1], num_heads=[2], expansion_factor=2.0,
        upscale=2,
    ),
    "HAT": make(
        "HAT", "HAT", img_size=32, embed_dim=32, depths=(1,), num_heads=(2,), window_size=8, upscale=2, mlp_ratio=2.0,
        num_feat=64, compress_ratio=4, squeeze_factor=8,
    ),
    "SAFMN": make("SAFMN", "SAFMN", dim=16, n_blocks=1, upscaling_factor=2),
    "RealCUGAN": make("RealCUGAN", "UpCunet2x"),
}  # fmt: skip


REFUSED: dict[str, Callable[[], torch.nn.Module]] = {
    "ATD": make(
        "ATD", "ATD", img_size=32, embed_dim=24, depths=(2,), num_heads=(2,), window_size=8, category_size=64,
        num_tokens=8, reducted_dim=4, convffn_kernel_size=5, mlp_ratio=2.0, upscale=2, upsampler="pixelshuffledirect",
    ),
}  # fmt: skip


def save(folder: Path, family: str, suffix: str = ".pth", wrap: str = "") -> Path:
    """The weights of a family in a file; `wrap` is the key of the checkpoint that holds them."""
    weights = {key: value.detach().clone() for key, value in (FAMILIES | REFUSED)[family]().state_dict().items()}
    path = folder / f"{family}{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in weights.items()}, str(path), {"modelspec.license": "CC0-1.0"})
    else:
        torch.save({wrap: weights, "step": 7} if wrap else weights, path)
    return path


def metadata(path: Path) -> dict[str, str]:
    """What a model says of itself."""
    return {p.key: p.value for p in onnx.load(str(path)).metadata_props}
