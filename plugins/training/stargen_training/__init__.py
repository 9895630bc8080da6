"""What the networks of Star-gen's plugins share: a training loop, and files of weights.

`stargen_training.loop.train`, `.options.Options`, `.task.Task`; `stargen_training.weights`. Nothing
is imported here: the command line asks this package for names alone and must not load torch.
"""
