"""The models in torch: the readable truth, for training and for GPUs."""
