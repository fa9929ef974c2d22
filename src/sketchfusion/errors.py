"""Exception classes of the package.

Every message says what failed, what was given, what was expected and what to do.
``exit_code`` is what the command line returns when the error reaches it.
"""

from __future__ import annotations


class SketchFusionError(Exception):
    """Base of all errors that a user can cause and mend."""

    exit_code = 1


class ConfigError(SketchFusionError):
    """A preset, configuration file or option is unknown or does not fit."""

    exit_code = 2


class ImageError(SketchFusionError):
    """A photo or sketch cannot be read, is too large, or is blank."""

    exit_code = 3


class BlankPicture(ImageError):
    """A photo or sketch can be read, but there is nothing on it."""


class WeightsUnavailable(SketchFusionError):
    """Weights are neither in a local folder nor to be had from the sources of the preset."""

    exit_code = 4


class GalleryError(SketchFusionError):
    """A gallery is missing, in use, damaged, or made by another extractor."""

    exit_code = 5


class DataError(SketchFusionError):
    """A data set folder is missing, incomplete or malformed."""

    exit_code = 6


class DeviceError(SketchFusionError):
    """The device or number format asked for is not there; there is no silent fallback."""

    exit_code = 7
