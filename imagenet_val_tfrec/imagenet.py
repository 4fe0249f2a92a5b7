"""Names of ImageNet's classes that people know: public names.

>>> from imagenet_val_tfrec import imagenet
>>> imagenet.class_name(985)
'daisy'
"""

from imagenet_val_tfrec.inputs.imagenet import class_name

__all__ = ['class_name']
