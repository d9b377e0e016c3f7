"""The content-addressed folder of finished runs and studies: files, digests, run specs, checkpoints, baselines."""
