"""What a dataset is made of: labels, images, and which belong together."""
