"""The trainer (extra [train]), the only importers of torch: material in, one self-describing .onnx out.

command     scripts/train and scripts/export      smoke       the whole chain in seconds
trainer     a run: step, schedules, resume        report      a run as one HTML file
adversary   the discriminator's side              balance     shares of the gradient; when to stop
losses      formulas                              metrics     PSNR-Y, SSIMULACRA2, other networks
generator, discriminator                          export      fold, ONNX, card
pool        degraded clips made ahead             checkpoint  files that are whole or absent
degrade     what happens to a clip                codec       real encoders
data        sharp clips                           recipe      what a TOML file may say
"""
