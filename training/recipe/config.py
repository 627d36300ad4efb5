"""Owns the rooms of a recipe: frozen settings with their defaults and bounds; it must not know how any is used."""

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
    """Which material is drawn from, and how often."""

    root: str = "../shared/data"
    """Folder with train/ and, for licences and credits, manifest.csv; relative to the working folder."""
    weights: tuple[tuple[str, Amount], ...] = ()
    """(glob on the file name, factor): the first match counts, 1 where none matches; 0 leaves a file out."""
    exclude_licences: tuple[str, ...] = ()
    """Files whose licence in the manifest contains one of these strings are left out."""
    video_share: Share = 0.2
    """Of the clips, how many come from videos; the others are pans over stills."""
    holdout: Count = 12
    """Every so-manieth file, if it is a still, only measures the run and is never trained on; 0: none."""
    held_out: tuple[str, ...] = ()
    """Globs on names of files, videos included, that only measure the run, too."""
    titles: Share = 0.0
    """Of the clips, how many get lettering drawn over them."""
    leaves: Share = 0.0
    """Share of the clips that are pans over drawn dead leaves pictures."""
    video_scale: Range = (0.5, 0.67)
    """Videos are made so many times as large, drawn anew for each clip: their files are lossy."""


class DegradeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Chances and ranges of everything that stands between a sharp frame and the one a user has."""

    scale: Positive = 2
    """How many times smaller than the reference the input is, each way."""
    kernels: tuple[tuple[Kernel, Amount], ...] = (
        ("catrom", 0.42), ("area", 0.26), ("bilinear", 0.12), ("lanczos", 0.20),
    )  # fmt: skip
    """(what makes the small picture, weight)."""
    codecs: tuple[tuple[Codec, Amount], ...] = (("h264", 0.54), ("h265", 0.33), ("mpeg2", 0.07), ("none", 0.06))
    """(what encodes the small picture, weight)."""
    h264_crf: Range = (15.0, 29.0)
    """Rate factor of x264, 0 to 51."""
    h265_crf: Range = (21.0, 31.0)
    """Rate factor of x265, 0 to 51."""
    mpeg2_q: Range = (2.0, 6.0)
    """Quantiser of MPEG-2, 1 to 31."""
    mpeg4_q: Range = (2.0, 8.0)
    """Quantiser of MPEG-4 part 2, 1 to 31."""
    soft_chance: Share = 0.0
    """Of the clips, how many are blurred before all else, the reference with them: much real video is softer than its
    size allows, and a generator that never saw such sharpens what never was sharp."""
    soft_sigma: Range = (0.4, 1.3)
    """Deviation of that Gaussian, in reference pixels."""
    camera_chance: Share = 0.0
    """Of the clips, how many are filmed, the reference with them: blurred by a lens, given a sensor's noise, sharpened
    as cameras do, encoded well. Such are a film's own frames; a still made smaller is not."""
    camera_blur: Range = (0.3, 1.0)
    """Deviation of the lens' Gaussian, in reference pixels."""
    camera_noise: Range = (0.0, 2.0)
    """Deviation of the sensor's noise, in 8-bit code values."""
    camera_sharpening: Range = (0.0, 1.0)
    """Amount of an unsharp mask of radius 1.2."""
    camera_crf: Range = (14.0, 22.0)
    """Rate factor of x264."""
    blur_chance: Share = 0.12
    """Of the inputs, how many are blurred before they are made small."""
    blur_sigma: Range = (0.3, 0.8)
    """Deviation of that Gaussian, in reference pixels."""
    noise_chance: Share = 0.12
    """Of the inputs, how many get noise that the reference does not have."""
    noise_sigma: Range = (0.5, 2.5)
    """Its deviation, in 8-bit code values."""
    ringing_chance: Share = 0.06
    """Of the inputs, how many are sharpened until they ring."""
    ringing_amount: Range = (0.2, 0.6)
    """Amount of that unsharp mask of radius 1.2."""


class WearConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What happened to worn footage before its last encode: softness, an earlier resize, halos, lost lines.

    Only the input is worn; the reference stays crisp, so that a network learns to undo it.
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
    """Size of the pool of degraded clips."""

    clips: Positive = 700
    """Encodes."""
    length: Positive = 9
    """Frames in each."""
    field: tuple[Positive, Positive] = (640, 384)
    """Width and height of each, in reference pixels."""
    crops: Positive = 6
    """Squares kept of each."""
    crop: Positive = 192
    """Their side, in reference pixels."""
    frames: Positive = 3
    """Neighbouring frames kept of each square."""
    detail_power: Amount = 1.0
    """A place's chance to be drawn is its detail to this power."""
    seed: Count = 1
    """Of all draws."""


class GeneratorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A chain of 3x3 convolutions with an activation between them."""

    scale: Positive = 2
    """Enlargement, each way."""
    width: Annotated[int, Meta(ge=16, multiple_of=16)] = 32
    """Features of each hidden layer, in steps of 16."""
    convolutions: Annotated[int, Meta(ge=2)] = 8
    """First and last included."""
    slope: Amount = 0.0
    """Where LeakyReLU's slope ends; 0 is ReLU."""
    start_slope: Amount = 0.1
    """Where it starts."""
    phases: Literal[1, 2] = 1
    """Side of the square of input pixels that the chain takes as one: with 2 it works at half the input's size, on
    four planes, at a quarter of the multiply-adds."""
    frames: Literal[1, 3] = 1
    """Frames it sees: 3 are the one before, aligned to it, itself, and the one after, aligned to it."""
    grain: bool = False
    """Whether the network takes a plane of noise beside the picture, to draw grain with."""


class DiscriminatorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Size of the U-shaped discriminator."""

    width: Positive = 32
    """Features of its largest level; the deeper ones have 2 and 3 times as many."""


class LossConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the generator's gradient in a stage, normalised to a sum of 1; 0 leaves a loss out."""

    pixel: Amount = 1.0
    """Smooth absolute difference."""
    structure: Amount = 0.0
    """1 - SSIM at three sizes."""
    gradient: Amount = 0.0
    """Difference of slopes."""
    frequency: Amount = 0.0
    """Difference of spectra."""
    temporal: Amount = 0.0
    """Difference of changes from frame to frame; wants run.clip of at least 2."""
    sliced_texture: Amount = 0.0
    """What fine detail is like, wherever it lies, in the reference's textured places."""
    sliced_edge: Amount = 0.0
    """The same along its edges."""
    sliced_flat: Amount = 0.0
    """The same where it is flat."""
    adversarial: Amount = 0.0
    """What the discriminator says; grows from 0 after its head start."""
    feature: Amount = 0.0
    """Difference of the discriminator's features; grows alike."""
    perceptual: Amount = 0.0
    """Difference of a pretrained network's features."""
    projected: Amount = 0.0
    """Judgement of heads on a pretrained network's features; grows like `adversarial`."""
    artifact: Amount = 0.0
    """Absolute difference where the picture varies from the reference more than the averaged weights' picture does."""


class BandConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How losses tell scales apart."""

    low_sigma: Amount = 0.0
    """The losses `pixel` and `structure` see luma blurred by a Gaussian of this deviation, in reference pixels, so that
    fine detail need not lie where the reference has it; 0: as it is."""
    low_where: Literal["everywhere", "texture"] = "everywhere"
    """Where they see it blurred; "texture": in the reference's texture without a direction, off edges and lettering."""
    levels: Annotated[int, Meta(ge=1, le=3)] = 2
    """Finest Laplacian bands that the sliced losses compare."""
    slices: Positive = 12
    """Random directions a band and step."""
    patch: Annotated[int, Meta(ge=3, le=15)] = 7
    """Side of the patches compared, in the band's pixels."""
    window: Annotated[int, Meta(ge=8)] = 48
    """Side of the windows within which it does not matter where a patch lies, in the band's pixels."""


class AimConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What `pixel` and `structure` ask for where the reference's fine detail cannot be known from the small picture."""

    texture: Share = 0.0
    """In texture without a direction: how much of the sharpened resize of the small picture is in place of the
    reference."""
    amount: Amount = 1.2
    """Of that unsharp mask, by a 3x3 binomial filter."""
    flat: Share = 0.0
    """The same where the reference is flat."""
    flat_amount: Amount = 0.3
    """Of the mask there."""


class AdversaryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The discriminator's side of the game."""

    rate: Amount = 4e-4
    """Learning rate."""
    penalty: Literal["noise", "exact"] = "noise"
    """How R1 + R2 is taken: by the logits' change under small noise, or by a double backward pass."""
    penalty_weight: Amount = 0.02
    """Its weight in the discriminator's loss."""
    penalty_every: Positive = 4
    """Steps from one penalty to the next; it weighs so much more."""
    noise: Annotated[float, Meta(gt=0)] = 0.02
    """Deviation of the small noise, where white is 1."""
    where: Literal["everywhere", "texture"] = "everywhere"
    """Where the generator hears the discriminator; "texture": in the reference's texture without a direction alone,
    where its whole share then falls."""


class ProjectedConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The pretrained network whose features judge, and the heads on them that learn to tell real from made crops."""

    blocks: tuple[Count, ...] = (2, 4, 10)
    """Blocks of EfficientNet-lite0 whose outputs are looked at: 1 and 2 at a quarter of the size, 3 and 4 at an eighth,
    5 to 10 at a sixteenth."""
    enlarge: Literal[1, 2] = 2
    """How many times crops are enlarged before: at their own size the strided features draw a mesh of period 2."""
    width: Positive = 48
    """Features of each head."""
    rate: Amount = 2e-4
    """Learning rate of the heads."""
    noise: Amount = 0.015
    """Deviation of the noise on real and made crops, where white is 1."""
    skip: Share = 0.8
    """Accuracy above which the heads do not learn in a step."""
    where: Literal["everywhere", "texture"] = "everywhere"
    """Where the generator hears the heads; "texture": in the reference's texture without a direction."""


class GuardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """When a run is stopped."""

    accuracy: tuple[Share, Share] = (0.505, 0.995)
    """Least and most share of pairs that the discriminator may order rightly."""
    patience: Positive = 20
    """Logs in a row outside of it."""
    alive: Share = 0.02
    """Least share of activations above 0 in the last hidden layer."""
    residual: Amount = 1e-4
    """Least deviation of what the generator's body adds, where white is 1."""


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Length and pace: `steps` (repeatable to the step) or `minutes` (as many steps as fit), not both."""

    steps: Count = 0
    """Steps of the generator."""
    minutes: Amount = 0.0
    """Minutes of training."""
    batch: Positive = 12
    """Crops a step."""
    crop: Positive = 96
    """Their side, in reference pixels."""
    clip: Positive = 1
    """Neighbouring frames of one place in a batch."""
    rate: Amount = 4e-4
    """The generator's learning rate in the pixel-loss stage."""
    warmup: Positive = 200
    """Steps in which it rises to that; also the discriminator's head start."""
    adversarial_rate: Amount = 1.5e-4
    """The generator's learning rate in the adversarial stage."""
    pixel_part: Share = 0.4
    """Share of the run that is the pixel-loss stage; 1: no adversary."""
    ema: Share = 0.999
    """Decay a step of the moving average of weights that is measured and exported."""
    seed: Count = 7
    """Of weights and batches."""
    bf16: bool = True
    """Whether networks run in bfloat16; weights, losses and resize stay in float32."""
    balance_every: Positive = 20
    """Steps from one measurement of the losses' gradients to the next."""
    log_every: Positive = 20
    """Steps from one line of the log to the next."""
    checkpoint_every: Positive = 400
    """Steps from one checkpoint to the next."""
    sample_every: Count = 2000
    """Steps from one measurement on held-out crops to the next; 0: at the end alone."""
    init: str = ""
    """Checkpoint or exported network to begin with; a smaller one is grown. Empty: begin from nothing."""


class ShipConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What of the trained weights is exported."""

    twin: str = ""
    """Exported network that the run began with, near or far, of the same shape and trained without an adversary; empty:
    none is mixed in."""
    part: Share = 1.0
    """How far from the twin's weights (0) towards the trained ones (1) the exported ones lie."""
