"""Files to grey pictures, grey pictures to what a model reads, lung masks to truths, and the cache of both."""

from laennec.images.cache import Decoded, decoded, lung_masks, truths
from laennec.images.facts import Header, header, years
from laennec.images.lungs import probabilities as lung_probabilities
from laennec.images.picture import Done, Limits, Picture, spacing_of
from laennec.images.read import read
from laennec.images.resize import is_blank, load, to_input
from laennec.images.truth import read_truth

__all__ = [
    "Decoded",
    "Done",
    "Header",
    "Limits",
    "Picture",
    "decoded",
    "header",
    "is_blank",
    "load",
    "lung_masks",
    "lung_probabilities",
    "read",
    "read_truth",
    "spacing_of",
    "to_input",
    "truths",
    "years",
]
