"""How the authors of a model prepared its images: public names.

>>> from imagenet_val_tfrec import recipes
>>> recipes.keras('ResNet50').resize_size
256
"""

from imagenet_val_tfrec.pipeline.recipes import (
  RECIPES,
  Recipe,
  keras,
  timm,
  torchvision,
)

__all__ = ['RECIPES', 'Recipe', 'keras', 'timm', 'torchvision']
