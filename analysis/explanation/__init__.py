"""Explanations of a trained network: saliency maps, tests of their truth, and its features of images and labels."""
