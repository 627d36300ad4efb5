"""The trainer (extra [train]), the only importers of torch: material in, one self-describing .onnx out.

command     scripts/train and scripts/export      smoke       the whole chain in seconds
trainer     a run: step, loop, resume             report      a run as one HTML file
schedule    rates and stages by progress          run_log     log.jsonl and TensorBoard
objective   which losses a stage asks for         pace        means and the clock between two logs
adversary   the discriminator's side              balance     shares of the gradient; when to stop
losses      formulas                              metrics     PSNR-Y, SSIMULACRA2, other networks
bands       Laplacian bands, low pass             regions     where it is flat, edge, texture
sliced_wasserstein   fine detail compared by what it is like
grain       the branch that draws with noise      noise       a function of place and frame
generator, discriminator                          grow        a larger generator of a smaller one
export      fold, ONNX, card                      checkpoint  a run's state on disk
pool        degraded clips made ahead             degrade     what happens to a clip
data        sharp clips                           codec       real encoders
enlarge     a generator on 8-bit frames
titles      lettering drawn over clips            luma        BT.709's luma
recipe      what a TOML file may say              config      its settings, room by room
int8        the 8-bit twin of an exported model
"""
