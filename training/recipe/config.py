"""Define the tables of a recipe: frozen settings with their defaults and bounds.

docs/recipes.md is made of this module: the docstrings of its classes and of their fields.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
"""0 or more."""
Positive = Annotated[int, Meta(ge=1)]
"""1 or more."""
Amount = Annotated[float, Meta(ge=0)]
"""0 or more."""
Share = Annotated[float, Meta(ge=0, le=1)]
"""0 to 1."""
Range = tuple[Amount, Amount]
"""(least, most), both included."""
Kernel = Literal["catrom", "area", "bilinear", "lanczos"]
"""How a picture is made small."""
Codec = Literal["h264", "h265", "mpeg2", "mpeg4", "none"]
"""How it is encoded."""


class DataConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Choose the material."""

    root: str = "../shared/data"
    """Folder with train/ and, for licences and credits, manifest.csv; relative to the working folder."""
    weights: tuple[tuple[str, Amount], ...] = ()
    """Pairs of a glob on the file name and a factor of how often the file is drawn; the first match counts. Files
    without a match have factor 1; 0 leaves a file out."""
    exclude_licences: tuple[str, ...] = ()
    """Leave out files whose licence in manifest.csv contains one of these strings."""
    video_share: Share = 0.2
    """Share of the clips that come from videos. The others are pans over stills."""
    holdout: Count = 12
    """Hold out every Nth file if it is a still, to measure the run with; 0 disables."""
    held_out: tuple[str, ...] = ()
    """Globs on names of further files to hold out, videos included."""
    titles: Share = 0.0
    """Share of the clips that get lettering drawn over them."""
    leaves: Share = 0.0
    """Share of the clips that are pans over drawn dead leaves pictures."""
    video_scale: Range = (0.5, 0.67)
    """Factor by which videos are scaled first, drawn for each clip: their files are lossy."""


class DegradeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Make the small, compressed input from the sharp reference."""

    scale: Positive = 2
    """Ratio of the reference's size to the input's, each way."""
    kernels: tuple[tuple[Kernel, Amount], ...] = (
        ("catrom", 0.42), ("area", 0.26), ("bilinear", 0.12), ("lanczos", 0.20),
    )  # fmt: skip
    """Pairs of a resize kernel and its weight."""
    codecs: tuple[tuple[Codec, Amount], ...] = (("h264", 0.54), ("h265", 0.33), ("mpeg2", 0.07), ("none", 0.06))
    """Pairs of a codec and its weight."""
    h264_crf: Range = (15.0, 29.0)
    """Rate factor of x264, 0 to 51."""
    h265_crf: Range = (21.0, 31.0)
    """Rate factor of x265, 0 to 51."""
    mpeg2_q: Range = (2.0, 6.0)
    """Quantiser of MPEG-2, 1 to 31."""
    mpeg4_q: Range = (2.0, 8.0)
    """Quantiser of MPEG-4 part 2, 1 to 31."""
    soft_chance: Share = 0.0
    """Share of the clips whose reference is blurred, too, as soft cameras and earlier enlargements leave it."""
    soft_sigma: Range = (0.4, 1.3)
    """Deviation of that Gaussian, in reference pixels."""
    camera_chance: Share = 0.0
    """Share of the clips whose reference is filmed, too: blurred by a lens, given a sensor's noise, sharpened as
    cameras do, encoded at a high rate."""
    camera_blur: Range = (0.3, 1.0)
    """Deviation of the lens' Gaussian, in reference pixels."""
    camera_noise: Range = (0.0, 2.0)
    """Deviation of the sensor's noise, in 8-bit code values."""
    camera_sharpening: Range = (0.0, 1.0)
    """Amount of an unsharp mask of radius 1.2."""
    camera_crf: Range = (14.0, 22.0)
    """Rate factor of x264."""
    blur_chance: Share = 0.12
    """Share of the inputs that are blurred before they are resized."""
    blur_sigma: Range = (0.3, 0.8)
    """Deviation of that Gaussian, in reference pixels."""
    noise_chance: Share = 0.12
    """Share of the inputs that get noise that the reference does not have."""
    noise_sigma: Range = (0.5, 2.5)
    """Its deviation, in 8-bit code values."""
    ringing_chance: Share = 0.06
    """Share of the inputs that are sharpened until they ring."""
    ringing_amount: Range = (0.2, 0.6)
    """Amount of that unsharp mask of radius 1.2."""


class WearConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Wear inputs as footage is worn before its last encode: softness, an earlier resize, halos, lost lines.

    The reference stays crisp, so that a network learns to undo the wear.
    """

    chance: Share = 0.0
    """Share of the clips whose inputs are worn. The inputs of the others are made by one resize."""
    blur_chance: Share = 0.4
    """Share of the worn inputs that a Gaussian blurs first."""
    blur_sigma: Range = (0.4, 1.6)
    """Deviation of that Gaussian, in reference pixels."""
    width: Range = (0.62, 1.25)
    """Width of the earlier size, relative to the input's width."""
    height: Range = (0.7, 1.25)
    """Height of the earlier size, relative to the input's height."""
    halo_chance: Share = 0.5
    """Share of the worn inputs that are sharpened at the earlier size."""
    taps_share: Share = 0.5
    """Share of the sharpened inputs that a FIR filter sharpens; an unsharp mask sharpens the others."""
    mask_radius: Range = (0.6, 2.2)
    """Radius of the unsharp mask, in pixels of the earlier size."""
    mask_amount: Range = (0.3, 1.4)
    """Amount of that mask."""
    taps: Range = (0.08, 0.32)
    """Outer taps of the FIR filter [-a, 1 + 2a, -a], along rows and, for 6 of 10, along columns."""
    lines_chance: Share = 0.1
    """Share of the worn inputs that keep half of their lines and show each of them twice."""
    encode_chance: Share = 0.2
    """Share of the worn inputs that are encoded at the earlier size, too."""
    encode_crf: Range = (16.0, 27.0)
    """Rate factor of that x264 encode."""


class PoolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the size of the pool of pairs, which is made once and kept on disk."""

    clips: Positive = 700
    """Clips that are encoded."""
    length: Positive = 9
    """Frames of each clip."""
    field: tuple[Positive, Positive] = (640, 384)
    """Width and height of each clip, in reference pixels."""
    crops: Positive = 6
    """Squares kept of each clip."""
    crop: Positive = 192
    """Side of the squares, in reference pixels."""
    frames: Positive = 3
    """Consecutive frames kept of each square."""
    detail_power: Amount = 1.0
    """Power of a place's detail that is its chance to be drawn; 0 draws evenly."""
    seed: Count = 1
    """Seed of all draws of the pool."""


class GeneratorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the size of the generator, a chain of 3x3 convolutions with an activation between them."""

    scale: Positive = 2
    """Enlargement, each way."""
    width: Annotated[int, Meta(ge=16, multiple_of=16)] = 32
    """Features of each hidden layer."""
    convolutions: Annotated[int, Meta(ge=2)] = 8
    """Number of convolutions, first and last included."""
    slope: Amount = 0.0
    """Slope of the LeakyReLU at the end of the first stage; 0 is ReLU."""
    start_slope: Amount = 0.1
    """Slope at the beginning."""
    phases: Literal[1, 2] = 1
    """Side of the block of input pixels that the chain takes as one pixel of several planes. With 2 the chain works at
    half the input's size, for a quarter of the multiply-adds."""
    colour: bool = False
    """Whether it enlarges the chroma of 4:2:0, too, seeing luma and chroma together; goes with `phases` 2."""


class DiscriminatorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the size of the U-shaped discriminator."""

    width: Positive = 32
    """Features of the largest level; the deeper levels have 2 and 3 times as many."""


class LossConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the share of the generator's gradient that each loss has in the pixel-loss stage.

    Shares are normalised to a sum of 1; 0 leaves a loss out.
    """

    pixel: Amount = 1.0
    """Smooth absolute difference."""
    structure: Amount = 0.0
    """1 - SSIM at three scales."""
    chroma: Amount = 0.0
    """Smooth absolute difference of the chroma planes; for generators with `colour`."""
    gradient: Amount = 0.0
    """Difference of slopes."""
    frequency: Amount = 0.0
    """Difference of spectra."""
    temporal: Amount = 0.0
    """Difference of changes from frame to frame; needs run.clip of at least 2."""
    sliced_texture: Amount = 0.0
    """Sliced Wasserstein distance of fine detail where the reference has texture."""
    sliced_edge: Amount = 0.0
    """Sliced Wasserstein distance of fine detail along the reference's edges."""
    sliced_flat: Amount = 0.0
    """Sliced Wasserstein distance of fine detail where the reference is flat."""
    adversarial: Amount = 0.0
    """Judgement of the discriminator; grows from 0 after run.warmup steps."""
    feature: Amount = 0.0
    """Difference of the discriminator's features; grows like `adversarial`."""
    perceptual: Amount = 0.0
    """Difference of a pretrained network's features."""
    distribution: Amount = 0.0
    """Distance between how often and how strongly a pretrained network's features occur in crop and reference."""
    projected: Amount = 0.0
    """Judgement of heads on a pretrained network's features; grows like `adversarial`."""
    artifact: Amount = 0.0
    """Absolute difference where the picture varies from the reference more than the averaged weights' picture does."""
    mesh: Amount = 0.0
    """Part of the error that repeats in every block of pixels that the generator gives at once."""
    shift: Amount = 0.0
    """Difference from the output for the input moved by one pixel; for generators with `phases` 2."""

    @property
    def looks(self) -> bool:
        """Whether the losses compare a pretrained network's features."""
        return any(getattr(self, name) for name in LOOKS)


LOOKS = frozenset({"perceptual", "distribution", "projected"})
"""Losses on a pretrained network's features."""


class BandConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the sliced losses compare fine detail."""

    levels: Annotated[int, Meta(ge=1, le=3)] = 2
    """Finest Laplacian bands that the sliced losses compare."""
    slices: Positive = 12
    """Random directions a band and step."""
    patch: Annotated[int, Meta(ge=3, le=15)] = 7
    """Side of the patches compared, in the band's pixels."""
    window: Annotated[int, Meta(ge=8)] = 48
    """Side of the windows within which it does not matter where a patch lies, in the band's pixels."""


class AimConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Sharpen the reference, or replace it for the losses `pixel` and `structure` where its fine detail cannot be
    known."""

    crisp: Amount = 0.0
    """Amount of an unsharp mask (5x5 binomial) without overshoot on the reference's luma, for every loss; as much of
    it as the input lacks of the reference's fine detail."""
    texture: Share = 0.0
    """Share of the input's sharpened resize in place of the reference in texture without a direction."""
    amount: Amount = 1.2
    """Amount of the unsharp mask (3x3 binomial) in texture."""
    flat: Share = 0.0
    """Share of the input's sharpened resize in place of the reference where it is flat."""
    flat_amount: Amount = 0.3
    """Amount of the unsharp mask on flats."""


class AdversaryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set how the discriminator learns."""

    rate: Amount = 4e-4
    """Learning rate of the discriminator."""
    penalty: Literal["noise", "exact"] = "noise"
    """How the R1 + R2 penalty is measured: by the logits' change under small noise, or by a double backward pass."""
    penalty_weight: Amount = 0.02
    """Weight of the penalty in the discriminator's loss."""
    penalty_every: Positive = 4
    """Steps from one penalty to the next; the penalty is multiplied by this number."""
    noise: Annotated[float, Meta(gt=0)] = 0.02
    """Standard deviation of that noise; white is 1."""
    where: Literal["everywhere", "texture"] = "everywhere"
    """Where the discriminator's gradient reaches the generator; "texture": only where the reference has texture without
    a direction."""


class ProjectedConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set up the pretrained judge: frozen EfficientNet-lite0 and heads that learn to tell real from made."""

    blocks: tuple[Count, ...] = (2, 4, 10)
    """Blocks of EfficientNet-lite0 whose outputs are used: 1 and 2 at a quarter of the size, 3 and 4 at an eighth, 5 to
    10 at a sixteenth."""
    enlarge: Literal[1, 2] = 2
    """Factor by which crops are enlarged first; at 1 the strided features leave a mesh of period 2."""
    width: Positive = 48
    """Features of each head."""
    rate: Amount = 2e-4
    """Learning rate of the heads."""
    noise: Amount = 0.015
    """Standard deviation of the noise on real and made crops; white is 1."""
    skip: Share = 0.8
    """Accuracy above which the heads skip a step."""
    where: Literal["everywhere", "texture"] = "everywhere"
    """Where the heads' gradient reaches the generator; "texture": only where the reference has texture without a
    direction."""


class GuardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set when a run is stopped as lost."""

    accuracy: tuple[Share, Share] = (0.505, 0.995)
    """Least and most share of pairs that the discriminator may order correctly."""
    patience: Positive = 20
    """Logs in a row outside of that range that stop the run."""
    alive: Share = 0.02
    """Least share of activations above 0 in the last hidden layer."""
    residual: Amount = 1e-4
    """Least standard deviation of what the generator's body adds; white is 1."""


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Set length and pace: either `steps` (repeatable) or `minutes` (as many steps as fit)."""

    steps: Count = 0
    """Steps of the generator."""
    minutes: Amount = 0.0
    """Minutes of training."""
    batch: Positive = 12
    """Crops in a step."""
    crop: Positive = 96
    """Side of the crops, in reference pixels."""
    clip: Positive = 1
    """Consecutive frames of one place in a batch."""
    rate: Amount = 4e-4
    """The generator's learning rate in the pixel-loss stage."""
    warmup: Positive = 200
    """Steps in which the rate rises; also the steps that the discriminator learns alone."""
    adversarial_rate: Amount = 1.5e-4
    """The generator's learning rate in the adversarial stage."""
    pixel_part: Share = 0.4
    """Share of the run that is the pixel-loss stage; 1 trains without a judge."""
    ema: Share = 0.999
    """Decay, per step, of the moving average of the weights, which is measured and exported."""
    seed: Count = 7
    """Seed of weights and batches."""
    worn: Annotated[float, Meta(ge=-1, le=1)] = -1.0
    """Share of crops whose inputs were worn (`wear`) before they were encoded; -1: as many as the pool holds."""
    flat: Share = 0.0
    """Share of crops that are of one colour, so that none is shifted."""
    letters: Share = 0.0
    """Share of crops with lettering that is crisp in the input, so that it is not taken for sharpening."""
    bf16: bool = True
    """Run networks in bfloat16; weights, losses and resize stay in float32."""
    balance_every: Positive = 20
    """Steps from one measurement of the losses' gradients to the next."""
    log_every: Positive = 20
    """Steps from one line of the log to the next."""
    checkpoint_every: Positive = 400
    """Steps from one checkpoint to the next."""
    sample_every: Count = 2000
    """Steps from one measurement on held-out crops to the next; 0 measures at the end only."""
    init: str = ""
    """Checkpoint or exported network to begin with; a smaller one is grown. Empty: random weights."""


class ShipConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Mix the exported weights with those of another network, and prepare them for int8."""

    twin: str = ""
    """Exported network of the same shape, trained without an adversary; empty: mix nothing in."""
    part: Share = 1.0
    """Blend from the weights of `twin` (0) to the trained weights (1)."""
    rounded: bool = False
    """Round the weights to what their int8 variant holds: it then differs by rounded activations alone."""
    keep: tuple[str, ...] = ()
    """Convolutions that stay float32 in the int8 variant and are not rounded, such as "conv0"."""
