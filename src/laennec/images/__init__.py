"""Files to grey pictures, grey pictures to what a model reads, and the cache of the latter."""

from laennec.images.cache import Decoded, decoded
from laennec.images.picture import Done, Limits, Picture
from laennec.images.read import read
from laennec.images.resize import is_blank, load, to_input

__all__ = ["Decoded", "Done", "Limits", "Picture", "decoded", "is_blank", "load", "read", "to_input"]
