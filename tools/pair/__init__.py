"""Training of the embedded pair of models. The command line is `tools/train_pair.py`."""
