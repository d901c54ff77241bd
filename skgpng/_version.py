"""Version of the package, where every module can import it."""

__all__ = ["__version__"]

#: Version of the package.
__version__ = "0.1.0"
