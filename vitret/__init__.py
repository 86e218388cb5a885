"""vitret: which image-retrieval method is better, when everything else is equal?"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("vitret")
except PackageNotFoundError:  # read from a source tree that was never installed
    __version__ = "0+unknown"
