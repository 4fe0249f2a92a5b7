"""ImageNet-2012 validation, or any folder of images, as a TFDS dataset.

Importing the package registers the dataset `imagenet_val_tfrec`; it does not
import TensorFlow.
"""

from imagenet_val_tfrec._version import __version__
from imagenet_val_tfrec.core import command_line
from imagenet_val_tfrec.dataset.config import ImagenetValTfrecConfig
from imagenet_val_tfrec.imagenet_val_tfrec_dataset_builder import Builder

command_line.tell_briefly()

__all__ = ['Builder', 'ImagenetValTfrecConfig', '__version__']
