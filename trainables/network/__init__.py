"""The whole network of a config: model, pretrained weights, stochastic layers, size."""
